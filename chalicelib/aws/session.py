"""Makes AWS clients with botocore, because importing boto3 adds 60 ms to a cold start.

All clients share one botocore session (a second one costs 70 ms) and one pool of connections, which loads its root
certificates once: botocore itself loads all of them for each connection.
"""

from functools import cache, cached_property
from pathlib import Path
from socket import IPPROTO_TCP, TCP_NODELAY
from ssl import SSLContext
from typing import Any

from botocore import __version__ as botocore_version
from botocore.config import Config
from botocore.httpsession import URLLib3Session
from botocore.session import get_session

from chalicelib import roots

CONNECT_TIMEOUT_SECONDS = 1
READ_TIMEOUT_SECONDS = 1.5
"""A request without a response by then is sent again; all requests of this service may be repeated. DynamoDB, SQS and
Secrets Manager answer within tens of milliseconds; S3 starts to answer within that time.
"""
ATTEMPTS = 3
"""A request that is never answered fails within 8 seconds, before the API function's timeout of 10: the device gets 503
and the log says why. A timeout of the function would leave neither.
"""
MAX_CONNECTIONS = 16
"""Connections that are kept open to each service. As many changes of a batch wait for DynamoDB at the same time; more
would not be faster (docs/benchmarks.md, "Campaigns").
"""
CONFIG = Config(
    connect_timeout=CONNECT_TIMEOUT_SECONDS,
    read_timeout=READ_TIMEOUT_SECONDS,
    parameter_validation=False,  # the service validates too
    user_agent=f"passwire Botocore/{botocore_version}",  # botocore's own takes a tenth of a request to put together
    retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
)


class ClientFactory:
    """Makes clients that share one botocore session and one pool of connections.

    Args:
        config: of every client.
        roots_folder: hashed root certificates to trust, unless the environment names a bundle (`AWS_CA_BUNDLE`); None
            for botocore's own.
    """

    def __init__(self, *, config: Config = CONFIG, roots_folder: str | None = None) -> None:
        self._config = config
        self._session = get_session()
        self._connections = Connections(
            verify=self._session.get_config_variable("ca_bundle") or roots_folder or True,
            timeout=(config.connect_timeout, config.read_timeout),
            max_pool_connections=MAX_CONNECTIONS,
            socket_options=[(IPPROTO_TCP, TCP_NODELAY, 1)],  # else a body waits 40 ms for the ACK of its headers
        )

    @property
    def events(self) -> Any:  # noqa: ANN401 - botocore has no types
        """Botocore's event emitter, for handlers that apply to all clients."""
        return self._session.get_component("event_emitter")

    def client(self, service: str) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
        """Make a client for `service` with the region and the credentials of the environment."""
        made = self._session.create_client(service, config=self._config)
        made._endpoint.http_session = self._connections  # noqa: SLF001 - botocore has no public way to share them
        return made

    def close(self) -> None:
        """Close all connections; the next request opens a new one."""
        self._connections.close()


@cache
def shared() -> ClientFactory:
    """Return the factory of this execution environment."""
    return ClientFactory(roots_folder=roots.folder())


def client(service: str) -> Any:  # noqa: ANN401 - botocore makes its clients at run time, without types
    """Make a client for `service` with the shared session and connections."""
    return shared().client(service)


def impatient_client(service: str) -> Any:  # noqa: ANN401 - as above
    """Make a client that gives up after one attempt of 0.75 seconds, for requests that must not delay an answer."""
    config = CONFIG.merge(Config(connect_timeout=0.25, read_timeout=0.5, retries={"total_max_attempts": 1}))
    return ClientFactory(config=config, roots_folder=roots.folder()).client(service)


class Connections(URLLib3Session):  # type: ignore[misc]  # botocore has no types
    """Botocore's connections to all services, which share the root certificates that the first one loaded."""

    @cached_property
    def _context(self) -> SSLContext:
        context: SSLContext = super()._get_ssl_context()
        return context

    @cached_property
    def _trusted(self) -> set[str]:
        """Files and folders of root certificates that the context has loaded."""
        return set()

    def _get_ssl_context(self) -> SSLContext:
        return self._context

    def _setup_ssl_cert(self, conn: Any, url: str, verify: Any) -> None:  # noqa: ANN401 - a urllib3 pool
        super()._setup_ssl_cert(conn, url, verify)
        if conn.ca_certs is not None:
            if conn.ca_certs not in self._trusted:
                kind = "capath" if Path(conn.ca_certs).is_dir() else "cafile"
                self._context.load_verify_locations(**{kind: conn.ca_certs})
                self._trusted.add(conn.ca_certs)
            conn.ca_certs = None
