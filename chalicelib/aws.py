"""One way to make an AWS client: botocore's own, since boto3's import costs a cold start 60 ms more."""

from functools import cache
from typing import Any

from botocore.config import Config
from botocore.session import Session, get_session

CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 4, "mode": "standard"})


def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
    """A client for `service` in the region and with the credentials of the environment."""
    return _session().create_client(service, config=CONFIG)


@cache
def _session() -> Session:
    """For the life of the sandbox: a second session would read what all services share again, at 70 ms each."""
    return get_session()
