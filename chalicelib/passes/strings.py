r"""Files `pass.strings`: the texts of one language, `"key" = "text";` (Apple, "Localizing passes").

The grammar is that of Foundation's old-style property lists, with which phones read the file (CoreFoundation,
`CFOldStylePList.c`): quotes of either kind or none, `/* */` and `//` comments, `"key";` for a text that equals its key,
the escapes `\a \b \f \n \r \t \v \" \' \\`, `\UXXXX` for a UTF-16 unit and `\ooo` for a character of NeXTSTEP's code
page. Xcode writes UTF-16, other tools UTF-8, either with or without a byte order mark.
"""

import codecs
import re
from collections.abc import Iterable, Mapping

FALLBACK_LANGUAGES = ("en", "Base")
"""Languages that a phone shows if the pass has none of the person's languages."""
_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\n": "\n"}
_TOKEN = r"""
    (?P<skipped> \s+ | //[^\n\r]* | /\*.*?\*/ )
  | "(?P<double> (?: [^"\\] | \\. )* )"
  | '(?P<single> (?: [^'\\] | \\. )* )'
  | (?! /[*] ) (?P<bare> [A-Za-z0-9_.$/:-]+ )
  | (?P<mark> [=;] )
    """
_ESCAPE = r"(?s)\\(?:U([0-9A-Fa-f]{1,4})|([0-7]{1,3})|(.))"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ASCII_END = 0x80
_NEXTSTEP = (
    "\u00a0ÀÁÂÃÄÅÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖÙÚÛÜÝÞµ×÷©¡¢£⁄¥ƒ§¤’“«‹›ﬁﬂ®–†‡·¦¶•‚„”»…‰¬¿"  # noqa: RUF001 - a code page
    "¹ˋ´ˆ˜¯˘˙¨²˚¸³˝˛ˇ—±¼½¾àáâãäåçèéêëìÆíªîïðñŁØŒºòóôõöæùúûıüýłøœßþÿ\ufffd\ufffd"  # noqa: RUF001 - a code page
)
"""NeXTSTEP's code page from 0x80 on (Unicode Consortium, NEXTSTEP.TXT)."""


class StringsError(ValueError):
    """A `pass.strings` is invalid; the message contains the line, the column and the problem."""


def parse_strings(raw: bytes) -> dict[str, str]:
    """Read the texts by key; if a key is repeated, its last text counts.

    Args:
        raw: content of the file.

    Raises:
        StringsError: the content is invalid.
    """
    text = _decode(raw)
    strings: dict[str, str] = {}
    pending: list[str] = []
    position = 0
    match = re.compile(_TOKEN, re.VERBOSE | re.DOTALL).match  # compiled here: few functions need it
    while position < len(text):
        token = match(text, position)
        if token is None:
            raise _error(text, position, _explain(text[position : position + 20]))
        if token["skipped"] is None:
            mark = token["mark"]
            pending.append(mark if mark is not None else '"' + _value(text, token))
            shape = "".join(part[0] for part in pending)
            if shape in _ENTRIES:
                strings[pending[0][1:]] = pending[_ENTRIES[shape]][1:]
                pending.clear()
            elif not any(entry.startswith(shape) for entry in _ENTRIES):
                raise _error(text, position, 'expected "key" = "text";')
        position = token.end()
    if pending:
        raise _error(text, len(text), 'the file ends inside of "key" = "text";')
    return strings


_ENTRIES = {'"=";': 2, '";': 0}
"""Forms of an entry, with `"` for a text, and the index of the text: `"key" = "text";` and `"key";`."""


def write_strings(strings: Mapping[str, str]) -> bytes:
    """Return a `pass.strings` with these texts by key, in UTF-16 with a byte order mark (Apple, "Localizing passes").

    Equal texts give equal bytes.
    """
    lines = [f"{_quoted(key)} = {_quoted(strings[key])};\n" for key in sorted(strings)]
    return codecs.BOM_UTF16_LE + "".join(lines).encode("utf-16-le")


def pick_language(available: Iterable[str], wanted: str) -> str | None:
    """Return the language that a phone shows: the wanted one, its nearest relative, English, or the first by name.

    Args:
        available: names of the language folders without `.lproj`, such as `de`, `zh-Hans`, `pt_BR`.
        wanted: the person's language, such as `de-CH`.

    Returns:
        One of `available`; None if it is empty.
    """
    by_name = {_plain(language): language for language in sorted(available)}
    name = _plain(wanted)
    while name:
        if name in by_name:
            return by_name[name]
        name = name.rpartition("-")[0]
    fallback = next((by_name[_plain(language)] for language in FALLBACK_LANGUAGES if _plain(language) in by_name), None)
    return fallback if fallback is not None or not by_name else next(iter(by_name.values()))


def same_language(one: str, other: str) -> bool:
    """Tell whether two names denote the same language, such as `pt_BR` and `pt-br`."""
    return _plain(one) == _plain(other)


def _plain(language: str) -> str:
    return language.replace("_", "-").lower()


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _value(text: str, token: re.Match[str]) -> str:
    if token["bare"] is not None:
        return token["bare"]
    group = "double" if token["double"] is not None else "single"
    value = re.sub(_ESCAPE, _unescape, token[group])
    if value.isascii():
        return value
    try:  # joins the two UTF-16 units of a character above U+FFFF
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise _error(
            text,
            _lone_escape(token, group),
            r"is half of a character; a character above FFFF is two \U escapes, such as \Ud83d\Ude00",
        ) from None


def _lone_escape(token: re.Match[str], group: str) -> int:
    r"""Return the position of the first `\U` escape that lacks the other half of its character."""
    open_since: int | None = None
    for escape in re.finditer(_ESCAPE, token[group]):
        unit = int(escape[1], 16) if escape[1] is not None else 0
        if open_since is not None:
            if unit >> 10 != 0xDC00 >> 10:
                break
            open_since = None
        elif unit >> 10 == 0xD800 >> 10:
            open_since = escape.start()
        elif unit >> 10 == 0xDC00 >> 10:
            open_since = escape.start()
            break
    return token.start(group) + (open_since or 0)


def _unescape(escape: re.Match[str]) -> str:
    if escape[1] is not None:
        return chr(int(escape[1], 16))
    if escape[2] is not None:
        code = int(escape[2], 8) & 0xFF
        return chr(code) if code < _ASCII_END else _NEXTSTEP[code - _ASCII_END]
    return _ESCAPES.get(escape[3], escape[3])


def _decode(raw: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if raw.startswith(mark)), None) or _guess(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise StringsError(
            f"line {line}: is not {encoding.upper()}: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from None


def _guess(raw: bytes) -> str:
    r"""Detect the encoding without a mark: the file begins with ASCII (`"` or `/`), so a zero byte indicates UTF-16."""
    if raw[:1] == b"\0":
        return "utf-16-be"
    return "utf-16-le" if raw[1:2] == b"\0" else "utf-8"


def _explain(rest: str) -> str:
    if rest.startswith("/*"):
        return "a comment that does not end; write */ after it"
    if rest.startswith(('"', "'")):
        return f"a text that does not end; write {rest[0]} after it"
    return f'unexpected {rest!r}; write "key" = "text";'


def _error(text: str, position: int, problem: str) -> StringsError:
    before = text[:position]
    line = before.count("\n") + 1
    return StringsError(f"line {line}, column {position - (before.rfind(chr(10)) + 1) + 1}: {problem}")
