"""One way to make an AWS client: botocore's own, since boto3's import costs a cold start 60 ms more.

All clients share what botocore reads once a session (70 ms for a second one) and one pool of connections, which knows
the roots that it trusts: botocore itself reads them all for each connection.
"""

from functools import cache, cached_property
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from ssl import SSLContext
from typing import Any

from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.session import Session, get_session

from chalicelib import roots

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 1.5
"""A request that was not answered by then is sent again; all of ours may be repeated. DynamoDB, SQS and Secrets Manager
answer within tens of milliseconds, and S3 begins to.
"""
ATTEMPTS = 3
"""A request that is never answered fails within 8 seconds, so within the API function's timeout of 10: the device gets
503 and the log says why, instead of a timeout of the function that says nothing.
"""
CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_SECONDS,
    read_timeout=READ_TIMEOUT_SECONDS,
    parameter_validation=False,  # the service validates too
    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
)


def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
    """A client for `service` in the region and with the credentials of the environment."""
    made = _session().create_client(service, config=CONFIG)
    made._endpoint.http_session = _connections()  # noqa: SLF001 - botocore has no public way to share them
    return made


@cache
def _session() -> Session:
    """For the life of the sandbox."""
    return get_session()


@cache
def _connections() -> "Connections":
    """For the life of the sandbox."""
    trusted = _session().get_config_variable("ca_bundle") or roots.folder() or True
    return Connections(
        verify=trusted,
        timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
        socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)],  # else a request's body waits 40 ms for its headers' ACK
    )


class Connections(URLLib3Session):  # type: ignore[misc]  # botocore has no types
    """botocore's connections to all services, of which each trusts what the first one read."""

    @cached_property
    def _context(self) -> SSLContext:
        context: SSLContext = super()._get_ssl_context()
        return context

    @cached_property
    def _trusted(self) -> set[str]:
        """The files and folders of roots that the context knows."""
        return set()

    def _get_ssl_context(self) -> SSLContext:
        return self._context

    def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:  # noqa: ANN401 - a pool of urllib3's
        super()._setup_ssl_cert(conn, url, verify)
        if conn.ca_certs is not None:
            if conn.ca_certs not in self._trusted:
                kind = "capath" if Path(conn.ca_certs).is_dir() else "cafile"
                self._context.load_verify_locations(**{kind: conn.ca_certs})
                self._trusted.add(conn.ca_certs)
            conn.ca_certs = None
