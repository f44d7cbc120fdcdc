"""Numbers as words, for fields with PKNumberStyleSpellOut: browsers have no such format.

The words are those of the Unicode CLDR ("spellout-cardinal"), written out here for five languages up to 999,999,999.
Other languages and numbers show digits, which the preview says.
"""

from collections.abc import Callable, Mapping

from chalicelib.preview.words import all_words, base_language

_Speller = Callable[[int], str]
_LIMIT = 1_000_000_000
_HUNDRED, _THOUSAND, _MILLION = 100, 1_000, 1_000_000
_TWENTY = 20


def spelled_out(value: float, language: str) -> str | None:
    """Return a number as words; None if this module does not know them.

    Args:
        value: the number; its fraction is read digit by digit.
        language: such as `en` or `de-AT`.
    """
    found = _SPELLERS.get(base_language(language))
    if found is None or not abs(value) < _LIMIT:
        return None
    spell, minus, point = found
    whole, _, digits = f"{abs(value):.6f}".rstrip("0").rstrip(".").partition(".")
    words = spell(int(whole))
    if digits:
        words = " ".join([words, point, *(spell(int(digit)) for digit in digits)])
    return f"{minus} {words}" if value < 0 else words


def _words(language: str, name: str) -> list[str]:
    return all_words()[language][name].split()


def _english(number: int) -> str:
    if number < _TWENTY:
        return _ENGLISH[number]
    if number < _HUNDRED:
        tens, rest = divmod(number, 10)
        return _ENGLISH_TENS[tens] + (f"-{_ENGLISH[rest]}" if rest else "")
    for size, name in ((_MILLION, "million"), (_THOUSAND, "thousand"), (_HUNDRED, "hundred")):
        if number >= size:
            count, rest = divmod(number, size)
            return f"{_english(count)} {name}" + (f" {_english(rest)}" if rest else "")
    raise AssertionError(number)


def _german(number: int, one: str = "eins") -> str:
    if number == 1:
        return one
    if number < _TWENTY:
        return _GERMAN[number]
    if number < _HUNDRED:
        tens, rest = divmod(number, 10)
        return (f"{_german(rest, 'ein')}und" if rest else "") + _GERMAN_TENS[tens]
    if number < _MILLION:
        size, name = (_THOUSAND, "tausend") if number >= _THOUSAND else (_HUNDRED, "hundert")
        count, rest = divmod(number, size)
        return _german(count, "ein") + name + (_german(rest) if rest else "")
    count, rest = divmod(number, _MILLION)
    millions = "eine Million" if count == 1 else f"{_german(count, 'eine')} Millionen"
    return millions + (f" {_german(rest)}" if rest else "")


def _french(number: int) -> str:  # noqa: PLR0911 - one rule of the language per line
    if number < _TWENTY:
        return _FRENCH[number]
    if number < _HUNDRED:
        tens, rest = divmod(number, 10)
        if tens in (7, 9):
            tens, rest = tens - 1, rest + 10
        if rest in (1, 11) and tens != 8:  # noqa: PLR2004 - quatre-vingt-un
            return f"{_FRENCH_TENS[tens]}-et-{_FRENCH[rest]}"
        if not rest:
            return _FRENCH_TENS[tens] + ("s" if tens == 8 else "")  # noqa: PLR2004 - quatre-vingts
        return f"{_FRENCH_TENS[tens]}-{_FRENCH[rest]}"
    if number < _THOUSAND:
        count, rest = divmod(number, _HUNDRED)
        hundreds = "cent" if count == 1 else f"{_FRENCH[count]} cent" + ("" if rest else "s")
        return hundreds + (f" {_french(rest)}" if rest else "")
    if number < _MILLION:
        count, rest = divmod(number, _THOUSAND)
        words = _french(count).removesuffix("s") if count % 100 in (0, 80) else _french(count)
        thousands = "mille" if count == 1 else f"{words} mille"
        return thousands + (f" {_french(rest)}" if rest else "")
    count, rest = divmod(number, _MILLION)
    return f"{_french(count)} million" + ("s" if count > 1 else "") + (f" {_french(rest)}" if rest else "")


def _spanish(number: int) -> str:
    if number < len(_SPANISH):
        return _SPANISH[number]
    if number < _HUNDRED:
        tens, rest = divmod(number, 10)
        return _SPANISH_TENS[tens] + (f" y {_SPANISH[rest]}" if rest else "")
    if number < _THOUSAND:
        count, rest = divmod(number, _HUNDRED)
        hundreds = ("cien" if not rest else "ciento") if count == 1 else _SPANISH_HUNDREDS[count]
        return hundreds + (f" {_spanish(rest)}" if rest else "")
    size, one, many = (_THOUSAND, "mil", "mil") if number < _MILLION else (_MILLION, "un millón", "millones")
    count, rest = divmod(number, size)
    words = _spanish(count)
    if words.endswith("veintiuno"):
        words = words.removesuffix("uno") + "ún"
    elif words.endswith("uno"):
        words = words.removesuffix("o")
    return (one if count == 1 else f"{words} {many}") + (f" {_spanish(rest)}" if rest else "")


def _italian(number: int) -> str:
    if number < _TWENTY:
        return _ITALIAN[number]
    if number < _HUNDRED:
        tens, rest = divmod(number, 10)
        stem = _ITALIAN_TENS[tens][:-1] if rest in (1, 8) else _ITALIAN_TENS[tens]
        return stem + (("tré" if rest == 3 else _ITALIAN[rest]) if rest else "")  # noqa: PLR2004 - ventitré
    if number < _THOUSAND:
        count, rest = divmod(number, _HUNDRED)
        return ("" if count == 1 else _ITALIAN[count]) + "cento" + (_italian(rest) if rest else "")
    if number < _MILLION:
        count, rest = divmod(number, _THOUSAND)
        return ("mille" if count == 1 else f"{_italian(count)}mila") + (_italian(rest) if rest else "")
    count, rest = divmod(number, _MILLION)
    millions = "un milione" if count == 1 else f"{_italian(count)} milioni"
    return millions + (f" {_italian(rest)}" if rest else "")


_ENGLISH, _ENGLISH_TENS = _words("en", "numbers"), _words("en", "tens")
_GERMAN, _GERMAN_TENS = _words("de", "numbers"), _words("de", "tens")
_FRENCH, _FRENCH_TENS = _words("fr", "numbers"), _words("fr", "tens")
_SPANISH, _SPANISH_TENS, _SPANISH_HUNDREDS = _words("es", "numbers"), _words("es", "tens"), _words("es", "hundreds")
_ITALIAN, _ITALIAN_TENS = _words("it", "numbers"), _words("it", "tens")
_SPELLERS: Mapping[str, tuple[_Speller, str, str]] = {
    "en": (_english, "minus", "point"),
    "de": (_german, "minus", "Komma"),
    "fr": (_french, "moins", "virgule"),
    "es": (_spanish, "menos", "coma"),
    "it": (_italian, "meno", "virgola"),
}
"""By language: the function for whole numbers, and the words for the minus sign and the decimal point."""
