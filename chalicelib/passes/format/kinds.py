"""The types of values in Apple's format: each checks a value, and says the same as JSON Schema.

Types are strict: "1" is not a number and 1 is not a text, since phones refuse what a lenient parser would let through.
A value of None is an absent one: the reader of the JSON decides whether null may be written at all.

`check(value, path, report)` is what the push function pays for every change, so a right value costs a comparison or two
and no allocation; the words are put together for wrong ones alone.
"""

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from chalicelib.core.errors import shown
from chalicelib.passes import dates
from chalicelib.passes.format import colors
from chalicelib.passes.format.findings import Report, quoted

Schema = dict[str, Any]
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
"""What JSON writers and phones' readers hold in an integer of 64 bits."""
MISSING = "is missing; Apple requires it"


class Kind:
    """A type of value."""

    __slots__ = ()
    words = "anything"
    types: tuple[type, ...] = ()
    """Python types of a right value; a bool counts only where bool is listed."""

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        """Report what is wrong with a value that is not None."""

    def schema(self) -> Schema:
        """The same as JSON Schema, 2020-12: what it refuses, `check` reports as an error."""
        return {}

    def has_type(self, value: object) -> bool:
        """Whether the value is of a right Python type, whatever it holds."""
        return isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))


class AnyJson(Kind):
    """What the format leaves to the issuer: not looked into."""

    __slots__ = ()
    types = (dict, list, str, int, float, bool)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, dict):
            report.warning(path, f"{quoted(value)}: is documented as a map; apps may not get another value")


class Text(Kind):
    """A string.

    Args:
        min_length: in characters.
        max_bytes: in UTF-8; None for any.
        secret: whether the value must not be shown.
    """

    __slots__ = ("max_bytes", "min_length", "secret")
    words = "a text"
    types = (str,)

    def __init__(self, *, min_length: int = 0, max_bytes: int | None = None, secret: bool = False) -> None:
        self.min_length, self.max_bytes, self.secret = min_length, max_bytes, secret

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, str):
            report.error(path, "must be a text" if self.secret else f"{quoted(value)}: must be a text")
        elif len(value) < self.min_length:
            report.error(
                path,
                "is empty; write a text" if self.min_length == 1 else f"needs at least {self.min_length} characters",
            )
        elif self.max_bytes is not None and (size := len(value.encode(errors="replace"))) > self.max_bytes:
            report.error(path, f"has {size} bytes in UTF-8; phones take {self.max_bytes} at most, shorten it")

    def schema(self) -> Schema:
        return {"type": "string"} | ({"minLength": self.min_length} if self.min_length else {})


class Pattern(Text):
    """A string of a form.

    Args:
        pattern: a regular expression for the whole text.
        expected: what to write, such as `must be a colour such as ...`.
        fatal: whether phones refuse the pass for another form, or only leave the value out.
    """

    __slots__ = ("expected", "fatal", "pattern")

    def __init__(self, pattern: str, expected: str, *, fatal: bool) -> None:
        super().__init__()
        self.pattern, self.expected, self.fatal = pattern, expected, fatal

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, str):
            report.error(path, f"{quoted(value)}: {self.expected}")
        elif re.fullmatch(self.pattern, value, re.ASCII) is None:
            (report.error if self.fatal else report.warning)(path, f"{quoted(value)}: {self.expected}")

    def schema(self) -> Schema:
        return {"type": "string"} | ({"pattern": f"^({self.pattern})$"} if self.fatal else {})


class Color(Text):
    """A colour: `colors`."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, str) or colors.parse_color(value) is None:
            report.error(path, f"{quoted(value)}: {colors.EXPECTED}; phones refuse the whole pass for another form")
        elif remark := colors.remark(value):
            report.warning(path, f"{quoted(value)} {remark}")

    def schema(self) -> Schema:
        return {"type": "string", "pattern": colors.PATTERN}


class Date(Text):
    """A moment with its time zone.

    Args:
        fractions: whether a fraction of a second is only warned of: Apple's own samples have one in semantic tags, and
            phones refuse the whole pass for one in a top-level key.
    """

    __slots__ = ("fractions",)

    def __init__(self, *, fractions: bool = False) -> None:
        super().__init__()
        self.fractions = fractions

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if dates.is_w3c_date(value):
            return
        if self.fractions and dates.is_w3c_date_with_fraction(value):
            report.warning(path, f"{quoted(value)}: has a fraction of a second, which phones may refuse; leave it out")
        else:
            report.error(path, f"{quoted(value)}: {dates.EXPECTED}")

    def schema(self) -> Schema:
        return {"type": "string", "pattern": dates.PATTERN_WITH_FRACTION if self.fractions else dates.PATTERN}


class Url(Text):
    """A URL with its scheme.

    Args:
        lenient: whether one without a scheme is only warned of.
    """

    __slots__ = ("lenient",)

    def __init__(self, *, lenient: bool = False) -> None:
        super().__init__()
        self.lenient = lenient

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, str) and is_url(value):
            return
        say = report.warning if self.lenient and isinstance(value, str) else report.error
        say(path, f"{quoted(value)}: must be a URL with its scheme, such as https://example.com/")

    def schema(self) -> Schema:
        return {"type": "string"} | ({} if self.lenient else {"pattern": r"^[A-Za-z][A-Za-z0-9+.-]*:[^ ]*$"})


class WebServiceUrl(Url):
    """What phones append `/v1/...` to."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, str) and value.rstrip("/").endswith("/v1"):
            report.error(path, f"{quoted(value)}: must not end in /v1: phones append it; take it off")
        elif isinstance(value, str) and not value.lower().startswith("https://"):
            report.error(path, f"{quoted(value)}: must begin with https://; phones call nothing else")
        else:
            super().check(value, path, report)


class Number(Kind):
    """A number; a bool is not one.

    Args:
        minimum: None for any.
        maximum: likewise.
        whole: whether a fraction is wrong.
        lenient: whether a fraction is only warned of.
    """

    __slots__ = ("lenient", "maximum", "minimum", "whole", "words")
    types = (int, float)

    def __init__(
        self,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        whole: bool = False,
        lenient: bool = False,
    ) -> None:
        self.minimum, self.maximum, self.whole, self.lenient = minimum, maximum, whole, lenient
        self.words = "a whole number" if whole else "a number"
        if minimum is not None and maximum is not None:
            self.words += f" from {minimum:g} to {maximum:g}"
        elif minimum is not None:
            self.words += f" of at least {minimum:g}"

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, bool) or not isinstance(value, int | float) or not self._holds(value):
            report.error(path, f"{quoted(value)}: must be {self.words}")
        elif self.whole and value != int(value):
            (report.warning if self.lenient else report.error)(path, f"{quoted(value)}: must be {self.words}")

    def _holds(self, value: float) -> bool:
        if not is_json_number(value):
            return False
        if self.minimum is not None and value < self.minimum:
            return False
        return self.maximum is None or value <= self.maximum

    def schema(self) -> Schema:
        limits = {"minimum": self.minimum, "maximum": self.maximum}
        return {"type": "integer" if self.whole and not self.lenient else "number"} | {
            name: limit for name, limit in limits.items() if limit is not None
        }


class Flag(Kind):
    """true or false."""

    __slots__ = ()
    words = "true or false"
    types = (bool,)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if value is not True and value is not False:
            report.error(path, f"{quoted(value)}: must be true or false")

    def schema(self) -> Schema:
        return {"type": "boolean"}


class Scalar(Kind):
    """A field's value: a text or a number."""

    __slots__ = ()
    words = "a text or a number"
    types = (str, int, float)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, str):
            return
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_json_number(value):
            report.error(path, f"{quoted(value)}: must be a text or a number")

    def schema(self) -> Schema:
        return {"type": ["string", "number"]}


class AttributedText(Scalar):
    """A field's value with links: HTML of which phones take `<a href="...">` alone."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        super().check(value, path, report)
        if not isinstance(value, str) or ("<" not in value and "&" not in value):
            return
        others = sorted({name.lower() for name in re.findall(r"</?([A-Za-z][A-Za-z0-9]*)", value)} - {"a"})
        if others:
            report.warning(path, f"has the tags {', '.join(others)[:40]}; phones show links alone, <a href='...'>")
        if any(
            re.search(r"&(?![#A-Za-z0-9]{1,32};)", link) for link in re.findall(r"href\s*=\s*[\"']([^\"'>]*)", value)
        ):
            report.warning(path, "has a link with &, which phones cut there; write &amp;", "peers' devices")


class Choice(Kind):
    """One of Apple's words.

    Args:
        prefix: what they begin with.
        endings: what they end in; of texts without a prefix the whole word.
        numbers: instead of texts.
        fatal: whether phones refuse the pass for another word, or only leave the value out.
    """

    __slots__ = ("fatal", "types", "values")
    words = "one of Apple's values"

    def __init__(self, prefix: str = "", endings: str = "", *, numbers: Sequence[int] = (), fatal: bool = True) -> None:
        self.values: tuple[str | int, ...] = tuple(numbers) or tuple(prefix + ending for ending in endings.split())
        self.fatal = fatal
        self.types = (int,) if numbers else (str,)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if self.has_type(value) and value in self.values:
            return
        say = report.error if self.fatal or not self.has_type(value) else report.warning
        say(path, f"{quoted(value)}: must be one of {', '.join(map(str, self.values))}")

    def schema(self) -> Schema:
        return {"enum": list(self.values)} if self.fatal else {"type": "string"}


class ListOf(Kind):
    """A list.

    Args:
        member: of its members.
        maximum: how many members it may have; None for any.
        minimum: how many it must have.
        rule: checks the whole list, for what concerns several members.
    """

    __slots__ = ("maximum", "member", "minimum", "rule")
    words = "a list"
    types = (list,)

    def __init__(
        self,
        member: Kind,
        *,
        maximum: int | None = None,
        minimum: int = 0,
        rule: Callable[[list[Any], str, Report], None] | None = None,
    ) -> None:
        self.member, self.maximum, self.minimum, self.rule = member, maximum, minimum, rule

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, list):
            report.error(path, f"{quoted(value)}: must be a list")
            return
        over = self.maximum is not None and len(value) > self.maximum
        if over:
            report.error(path, f"has {len(value)} members; Apple allows at most {self.maximum}")
        if len(value) < self.minimum:
            report.error(path, f"has {len(value)} members and needs at least {self.minimum}")
        check = self.member.check
        for index, member in enumerate(value):
            if report.full:
                return
            check(member, f"{path}[{index}]", report)
        if self.rule is not None and not over:
            self.rule(value, path, report)

    def schema(self) -> Schema:
        limits = {"maxItems": self.maximum, "minItems": self.minimum or None}
        return {"type": "array", "items": nullable(self.member.schema())} | {
            name: limit for name, limit in limits.items() if limit is not None
        }


class Key:
    """What the format says of one key.

    Args:
        kind: of its value.
        source: who says so.
        since: the first iOS that knows it.
        required: whether the map is wrong without it.
        advice: a warning to whoever writes it, such as that it is deprecated.
    """

    __slots__ = ("advice", "is_plain_text", "kind", "required", "since", "source")

    def __init__(self, kind: Kind, source: str, since: int, *, required: bool = False, advice: str = "") -> None:
        self.kind, self.source, self.since, self.required, self.advice = kind, source, since, required, advice
        self.is_plain_text = type(kind) is Text and not kind.min_length and kind.max_bytes is None


class Map(Kind):
    """A map with the keys that Apple documents; others are warned of.

    Args:
        keys: by name.
        rule: checks the whole map, for what concerns several keys.
    """

    __slots__ = ("_required", "keys", "rule")
    words = "a map"
    types = (dict,)

    def __init__(
        self, keys: Mapping[str, Key], *, rule: Callable[[Mapping[str, Any], str, Report], None] | None = None
    ) -> None:
        self.keys, self.rule = keys, rule
        self._required = tuple(name for name, key in keys.items() if key.required)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, dict):
            report.error(path, f"{quoted(value)}: must be a map")
            return
        for name in self._required:
            if value.get(name) is None:
                key = self.keys[name]
                report.error(join(path, name), MISSING, key.source)
        self.check_members(value, path, report)
        if self.rule is not None:
            self.rule(value, path, report)

    def check_members(self, value: Mapping[str, Any], path: str, report: Report) -> None:
        """Check the keys that are there, and ask for none."""
        keys = self.keys
        prefix = path + "." if path else ""
        for name, member in value.items():
            if member is None:
                continue
            key = keys.get(name)
            if key is None:
                if report.full:
                    return
                if name != "_id":  # Pass Designer's own; it is left out of the pass
                    report.warning(prefix + shown(str(name)), unknown_key(str(name), keys, report))
                continue
            if key.is_plain_text and type(member) is str:
                continue
            start = len(report.findings)
            key.kind.check(member, prefix + name, report)
            if len(report.findings) != start:
                report.cite(start, key.source)

    def schema(self) -> Schema:
        described: Schema = {
            "type": "object",
            "properties": {
                name: key.kind.schema() if key.required else nullable(key.kind.schema())
                for name, key in self.keys.items()
            },
        }
        return described | ({"required": list(self._required)} if self._required else {})


def join(path: str, name: str) -> str:
    """The path of a member."""
    return f"{path}.{name}" if path else name


def unknown_key(name: str, known: Mapping[str, Any], report: Report) -> str:
    """What to say of a key that Apple does not document, with the one that was probably meant."""
    problem = "is no key that Apple documents; phones pass over it"
    if not report.suggestions:
        return problem
    from difflib import get_close_matches  # only for those who misspell

    report.suggestions -= 1
    near = get_close_matches(name[:64], known, n=1, cutoff=0.8)
    return f"{problem}; did you mean {near[0]}?" if near else problem


def nullable(schema: Schema) -> Schema:
    """The schema of a value that may be null, which means absent."""
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def is_url(text: str) -> bool:
    """Whether a text is a URL with a scheme, and one of the web with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and " " not in text and (parts.scheme not in ("http", "https") or bool(parts.netloc))


def is_json_number(value: float) -> bool:
    """Whether phones' JSON readers can hold it."""
    if isinstance(value, int):
        return MIN_INTEGER <= value <= MAX_INTEGER
    return math.isfinite(value)


_P256_POINTS = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04": 91,
    bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + b"\x02": 59,
    bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + b"\x03": 59,
}
"""How a SubjectPublicKeyInfo of P-256 begins (RFC 5480), with a whole or a compressed point, and its length."""


class PublicKey(Text):
    """A key for NFC: Base64 of an X.509 SubjectPublicKeyInfo, an elliptic curve key on P-256."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, str) or not _is_p256_key(value):
            report.error(
                path,
                "must be the Base64 text of a public key on P-256 (X.509 SubjectPublicKeyInfo), without the lines "
                "-----BEGIN and -----END and without line breaks; make one with openssl ec -pubout",
            )


def _is_p256_key(text: str) -> bool:
    try:
        der = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(der.startswith(start) and len(der) == length for start, length in _P256_POINTS.items())
