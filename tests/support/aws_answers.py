"""Stand-ins around AWS clients: invented answers in the form that botocore reads, a client to stub, a clock to set."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import botocore.session


class Raw:
    """A response's body, as botocore reads it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: object, **__: object) -> Iterable[bytes]:
        yield self._body

    def read(self) -> bytes:
        return self._body


class Clock:
    """Epoch seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@cache
def stub_client(service: str) -> Any:  # noqa: ANN401 - botocore's clients have no types
    """Make a client for botocore's Stubber, once per service: making one takes long."""
    return botocore.session.get_session().create_client(
        service, region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
