"""Invented answers of AWS, in the form that botocore reads."""

from collections.abc import Iterable


class Raw:
    """A response's body, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterable[bytes]:
        yield self._body

    def read(self) -> bytes:
        return self._body
