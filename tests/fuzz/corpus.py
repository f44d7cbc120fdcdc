"""The stored inputs of each target, and inputs made from them."""

from hypothesis import strategies as st

from infra.local.processes import PROJECT

CORPUS = PROJECT / "tests" / "fuzz" / "corpus"
GROWN = PROJECT / ".passwire" / "fuzz"
"""Where `make fuzz` keeps the inputs that it finds; they are not part of the project."""


def stored(name: str) -> dict[str, bytes]:
    """Return a target's stored inputs by file name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / name).iterdir())}


def inputs(name: str, *, max_bytes: int) -> st.SearchStrategy[bytes]:
    """Return a strategy: stored inputs with changes, two of them joined, and any bytes."""
    known = st.sampled_from(list(stored(name).values()))
    cut = st.tuples(known, st.integers(0, 1 << 16), st.integers(0, 64), st.binary(max_size=16) | _TOKENS)
    changed = cut.map(lambda of: of[0][: of[1] % (len(of[0]) + 1)] + of[3] + of[0][of[1] % (len(of[0]) + 1) + of[2] :])
    joined = st.tuples(known, known, st.integers(0, 1 << 16)).map(lambda of: of[0][: of[2] % (len(of[0]) + 1)] + of[1])
    return (changed | joined | st.binary(max_size=200) | st.text(max_size=80).map(_encoded)).map(
        lambda b: b[:max_bytes]
    )


_TOKENS = st.sampled_from(
    [
        *(b"null", b"true", b"1e999", b"NaN", b"9" * 5000, b"-1", b"0" * 40),
        *(b"[" * 3000, b'{"a":' * 1500, b'""', b"{}", b"[]"),
        *(b"\\ud800", b"\0", b"\xff\xfe", "\u2028é".encode(), b"%00", b"%ff", b"../", b"\r\n", b"\x1b[2J"),
    ]
)


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")
