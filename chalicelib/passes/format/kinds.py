"""Types of values in Apple's format: each checks a value, and expresses the same rule as JSON Schema.

Types are strict: "1" is not a number and 1 is not a text, because phones refuse what a lenient parser would accept.
None means an absent value; whether null may be written is decided elsewhere.

The push function calls `check(value, path, report)` for every change. So a valid value costs one or two comparisons and
no allocation, and messages are composed only for invalid ones.
"""

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from chalicelib.core.errors import excerpt
from chalicelib.passes import dates
from chalicelib.passes.format import colors
from chalicelib.passes.format.findings import Report, quoted

Schema = dict[str, Any]
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**64 - 1
"""Range of integers of JSON writers and of the readers on phones, which have 64 bits."""
MISSING = "is missing; Apple requires it"


class Kind:
    """A type of value."""

    __slots__ = ()
    words = "anything"
    types: tuple[type, ...] = ()
    """Python types of a valid value; a bool is valid only if bool is listed."""

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        """Report the problems of a value that is not None."""

    def schema(self) -> Schema:
        """Return the rule as JSON Schema 2020-12; `check` reports an error for every value that it refuses."""
        return {}

    def has_type(self, value: object) -> bool:
        """Tell whether a value has a valid Python type, regardless of its content."""
        return isinstance(value, self.types) and (bool in self.types or not isinstance(value, bool))


class AnyJson(Kind):
    """JSON that the format leaves to the issuer: not checked further."""

    __slots__ = ()
    types = (dict, list, str, int, float, bool)

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, dict):
            report.warning(
                path, f"{quoted(value)}: is documented as a map; write a map, because apps may not get another value"
            )


class Text(Kind):
    """A string.

    Args:
        min_length: minimum number of characters.
        max_bytes: maximum number of bytes in UTF-8; None for no limit.
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
            report.error(path, f"has {size} bytes in UTF-8; phones accept at most {self.max_bytes}, shorten it")

    def schema(self) -> Schema:
        return {"type": "string"} | ({"minLength": self.min_length} if self.min_length else {})


class Pattern(Text):
    """A string in a certain form.

    Args:
        pattern: regular expression for the whole text.
        expected: requirement for the message, such as `must be a color such as ...`.
        fatal: whether phones refuse the pass for another form; if not, they leave the value out.
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
    """A color; its grammar is in `colors`."""

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
        fractions: whether a fraction of a second gives only a warning: Apple's samples have one in semantic tags, but
            phones refuse the whole pass for one in a top-level key.
    """

    __slots__ = ("fractions",)

    def __init__(self, *, fractions: bool = False) -> None:
        super().__init__()
        self.fractions = fractions

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if type(value) is str and dates.is_w3c_text(value):
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
        lenient: whether a URL without a scheme gives only a warning.
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
    """URL to which phones append `/v1/...`."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if isinstance(value, str) and value.rstrip("/").endswith("/v1"):
            report.error(path, f"{quoted(value)}: must not end in /v1, which phones append; remove it")
        elif isinstance(value, str) and not value.lower().startswith("https://"):
            report.error(path, f"{quoted(value)}: must begin with https://, the only scheme that phones call")
        else:
            super().check(value, path, report)


class Number(Kind):
    """A number; a bool is not one.

    Args:
        minimum: smallest valid value; None for no limit.
        maximum: largest valid value; None for no limit.
        whole: whether a fraction is invalid.
        lenient: whether a fraction gives only a warning.
    """

    __slots__ = ("_high", "_low", "lenient", "maximum", "minimum", "whole", "words")
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
        self._low = MIN_INTEGER if minimum is None else minimum
        self._high = MAX_INTEGER if maximum is None else maximum
        self.words = "a whole number" if whole else "a number"
        if minimum is not None and maximum is not None:
            self.words += f" from {minimum:g} to {maximum:g}"
        elif minimum is not None:
            self.words += f" of at least {minimum:g}"

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        kind = type(value)
        if (kind is int or (kind is float and not self.whole)) and self._low <= value <= self._high:
            return  # almost all values; the rest of this method is slower
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
    """A boolean, true or false."""

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
    """A field's value with links: HTML of which phones use only `<a href="...">`."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        super().check(value, path, report)
        if not isinstance(value, str) or ("<" not in value and "&" not in value):
            return
        others = sorted({name.lower() for name in re.findall(r"</?([A-Za-z][A-Za-z0-9]*)", value)} - {"a"})
        if others:
            report.warning(path, f"has the tags {', '.join(others)[:40]}; phones use only links, <a href='...'>")
        if any(
            re.search(r"&(?![#A-Za-z0-9]{1,32};)", link) for link in re.findall(r"href\s*=\s*[\"']([^\"'>]*)", value)
        ):
            report.warning(path, "has a link with &, where phones cut it; write &amp;", "peers' devices")


class Choice(Kind):
    """One of Apple's values.

    Args:
        prefix: common beginning of the values.
        endings: endings of the values, separated by spaces; with an empty prefix the whole values.
        numbers: numbers that are the values instead of texts.
        fatal: whether phones refuse the pass for another value; if not, they leave the value out.
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
        member: type of the members.
        maximum: maximum number of members; None for no limit.
        minimum: minimum number of members.
        rule: checks the whole list, for rules about several members.
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
        if type(value) is not list:
            report.error(path, f"{quoted(value)}: must be a list")
            return
        over = self.maximum is not None and len(value) > self.maximum
        if over:
            report.error(path, f"has {len(value)} members; Apple allows at most {self.maximum}")
        if self.minimum and len(value) < self.minimum:
            report.error(path, f"has {len(value)} members; write at least {self.minimum}")
        check = self.member.check
        for index, member in enumerate(value):
            check(member, f"{path}[{index}]", report)
            if report.findings and report.full:
                return
        if self.rule is not None and not over:
            self.rule(value, path, report)

    def schema(self) -> Schema:
        limits = {"maxItems": self.maximum, "minItems": self.minimum or None}
        return {"type": "array", "items": nullable(self.member.schema())} | {
            name: limit for name, limit in limits.items() if limit is not None
        }


class Key:
    """Definition of a key.

    Args:
        kind: type of its value.
        source: page or tool that defines it.
        since: first version of iOS that knows it.
        required: whether a map without it is invalid.
        advice: warning for every use of it, such as that it is deprecated; empty for none.
    """

    __slots__ = ("advice", "is_plain_text", "kind", "required", "since", "source")

    def __init__(self, kind: Kind, source: str, since: int, *, required: bool = False, advice: str = "") -> None:
        self.kind, self.source, self.since, self.required, self.advice = kind, source, since, required, advice
        self.is_plain_text = type(kind) is Text and not kind.min_length and kind.max_bytes is None


class Map(Kind):
    """A map with keys that Apple documents; other keys give warnings.

    Args:
        keys: definitions of the keys by name.
        rule: checks the whole map, for rules about several keys.
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
        if type(value) is not dict:
            report.error(path, f"{quoted(value)}: must be a map")
            return
        for name in self._required:
            if name not in value or value[name] is None:
                key = self.keys[name]
                report.error(join(path, name), MISSING, key.source)
        self.check_members(value, path, report)
        if self.rule is not None:
            self.rule(value, path, report)

    def check_members(self, value: Mapping[str, Any], path: str, report: Report) -> None:
        """Check the keys that are present; no key is required."""
        keys, findings = self.keys, report.findings
        count = len(findings)
        prefix = path + "." if path else ""
        for name, member in value.items():
            if member is None:
                continue
            key = keys.get(name)
            if key is None:
                if report.full:
                    return
                if name != "_id":  # written by Pass Designer; it is left out of the pass
                    report.warning(prefix + excerpt(str(name)), unknown_key(str(name), keys, report))
                    count = len(findings)
                continue
            if key.is_plain_text and type(member) is str:
                continue
            key.kind.check(member, prefix + name, report)
            if len(findings) != count:
                report.cite(count, key.source)
                count = len(findings)

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
    """Return the path of a member."""
    return f"{path}.{name}" if path else name


def unknown_key(name: str, known: Mapping[str, Any], report: Report) -> str:
    """Return the problem of a key that Apple does not document, with the key that was probably meant."""
    problem = "is not a key that Apple documents; phones ignore it"
    if not report.suggestions:
        return problem
    from difflib import get_close_matches  # imported here, because it is needed only for misspelt keys

    report.suggestions -= 1
    near = get_close_matches(name[:64], known, n=1, cutoff=0.8)
    return f"{problem}; did you mean {near[0]}?" if near else problem


def nullable(schema: Schema) -> Schema:
    """Return the schema of a value that may also be null, which means absent."""
    return {"anyOf": [schema, {"type": "null"}]} if schema else schema


def is_url(text: str) -> bool:
    """Tell whether a text is a URL with a scheme and, for http and https, with a host."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme) and " " not in text and (parts.scheme not in ("http", "https") or bool(parts.netloc))


def is_json_number(value: float) -> bool:
    """Tell whether the JSON readers on phones can read a number."""
    if isinstance(value, int):
        return MIN_INTEGER <= value <= MAX_INTEGER
    return math.isfinite(value)


_P256_POINTS = {
    bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04": 91,
    bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + b"\x02": 59,
    bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + b"\x03": 59,
}
"""Beginnings of a SubjectPublicKeyInfo of P-256 (RFC 5480) with a full or a compressed point, and its length."""


class PublicKey(Text):
    """Public key for NFC: an elliptic curve key on P-256, as Base64 of an X.509 SubjectPublicKeyInfo."""

    __slots__ = ()

    def check(self, value: Any, path: str, report: Report) -> None:  # noqa: ANN401 - any JSON
        if not isinstance(value, str) or not _is_p256_key(value):
            report.error(
                path,
                "must be the Base64 text of a public key on P-256 (X.509 SubjectPublicKeyInfo), without the lines "
                "-----BEGIN and -----END and without line breaks; create it with openssl ec -pubout",
            )


def _is_p256_key(text: str) -> bool:
    try:
        der = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return any(der.startswith(start) and len(der) == length for start, length in _P256_POINTS.items())
