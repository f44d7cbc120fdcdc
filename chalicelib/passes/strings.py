r"""`pass.strings`: the texts of one language, `"key" = "text";` with comments and C's escapes (Apple, "Localizing
passes"; the format is that of Foundation's `.strings`).

Xcode writes UTF-16, everybody else UTF-8, either with or without a byte order mark.
"""

import codecs
import re

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\", "\n": "\n"}
_TOKEN = re.compile(
    r"""
    (?P<skipped> \s+ | //[^\n\r]* | /\*.*?\*/ )
  | "(?P<quoted> (?: [^"\\] | \\. )* )"
  | (?P<bare> [A-Za-z0-9_.$/:-]+ )
  | (?P<mark> [=;] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:[uU]([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class StringsError(ValueError):
    """A file that is no `pass.strings`: says in which line and why."""


def parse_strings(raw: bytes) -> dict[str, str]:
    """The texts by key; of a key that stands there twice, the last.

    Raises:
        StringsError: it cannot be read.
    """
    text = _decode(raw)
    strings: dict[str, str] = {}
    pending: list[str] = []
    position = 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise _error(text, position, f"{text[position : position + 20]!r} cannot stand here")
        value = _value(token)
        if value is not None:
            pending.append(value)
            if not _fits(pending):
                raise _error(text, position, 'expected "key" = "text";')
            if len(pending) == len(_LINE):
                strings[pending[0][1:]] = pending[2][1:]
                pending.clear()
        position = token.end()
    if pending:
        raise _error(text, len(text), 'the file ends inside of "key" = "text";')
    return strings


_LINE = ("text", "=", "text", ";")


def _value(token: re.Match[str]) -> str | None:
    """A mark as it is, a text with a `"` before it, None for what says nothing."""
    if token["skipped"] is not None:
        return None
    if token["quoted"] is not None:
        return '"' + _ESCAPE.sub(_unescape, token["quoted"])
    return '"' + token["bare"] if token["bare"] is not None else token["mark"]


def _fits(pending: list[str]) -> bool:
    expected = _LINE[len(pending) - 1]
    return pending[-1].startswith('"') if expected == "text" else pending[-1] == expected


def _unescape(escape: re.Match[str]) -> str:
    if escape[1] is not None:
        return chr(int(escape[1], 16))
    return _ESCAPES.get(escape[2], escape[2])


def _decode(raw: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if raw.startswith(mark)), None) or _guess(raw)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise StringsError(
            f"is not {encoding.upper()}: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from None


def _guess(raw: bytes) -> str:
    r"""Without a mark: the file begins with ASCII (`"` or `/`), so a zero byte beside it tells UTF-16."""
    if raw[:1] == b"\0":
        return "utf-16-be"
    return "utf-16-le" if raw[1:2] == b"\0" else "utf-8"


def _error(text: str, position: int, problem: str) -> StringsError:
    return StringsError(f"line {text.count(chr(10), 0, position) + 1}: {problem}")
