"""APNs' checks of a request: finds the status and the reason with which APNs refuses invalid headers or bodies.

Source: Apple, "Handling notification responses from APNs".
These checks come before programmed answers: an invalid request is refused for every device.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jwt

from infra.local.apns.values import Headers, ProgrammedAnswer

MAX_TOKEN_AGE_SECONDS = 3600
MAX_TOKEN_AHEAD_SECONDS = 60
MAX_PAYLOAD_BYTES = 4096
DEVICE_PATH = b"/3/device/"
PUSH_TYPES = (b"alert", b"background")
PRIORITIES = (b"1", b"5", b"10")
CACHE_SECONDS = 1.0
"""How long the result for a provider token is cached, since the token may expire."""
MAX_CACHED = 1000
NEVER_ISSUED_TOKEN = b"f" * 64
"""A device token that APNs never issued."""
ALWAYS = float("inf")


@dataclass(frozen=True, slots=True)
class HeaderCheck:
    """The result of checking headers.

    Args:
        wrong: the answer that refuses them, or None.
        apns_id: the id that the client chose, or None.
        until: how long this result is valid, epoch seconds.
    """

    wrong: ProgrammedAnswer | None
    apns_id: bytes | None
    until: float


class Rules:
    """Checks the headers of one connection.

    Args:
        topics: the topics of its client certificate; None if it has presented no certificate.
        provider_keys: public keys of provider tokens, PEM, by key id.
    """

    def __init__(self, *, topics: frozenset[bytes] | None, provider_keys: Mapping[str, str]) -> None:
        self._topics = topics
        self._provider_keys = provider_keys
        self._cached: dict[Headers, HeaderCheck] = {}

    def verdict(self, headers: Headers, now: float) -> HeaderCheck:
        """Check all headers except `:path`; `now` is in epoch seconds."""
        cached = self._cached.get(headers)
        if cached is not None and now < cached.until:
            return cached
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        by_name = dict(headers)
        apns_id = by_name.get(b"apns-id", b"")
        verdict = HeaderCheck(
            _wrong_request(by_name, count=len(headers)) or self._wrong_sender(by_name, now),
            apns_id if _is_uuid(apns_id) else None,
            ALWAYS if self._topics is not None else now + CACHE_SECONDS,
        )
        self._cached[headers] = verdict
        return verdict

    def _wrong_sender(self, headers: Mapping[bytes, bytes], now: float) -> ProgrammedAnswer | None:
        topic = headers.get(b"apns-topic")
        if self._topics is not None:
            return ProgrammedAnswer(400, "TopicDisallowed") if topic is not None and topic not in self._topics else None
        scheme, _, token = headers.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer":
            return ProgrammedAnswer(403, "MissingProviderToken")
        try:
            key = self._provider_keys[str(jwt.get_unverified_header(token).get("kid"))]
            options = {"verify_iat": False}  # the age is checked below and has a reason of its own
            age = now - jwt.decode(token, key, algorithms=["ES256"], options=options)["iat"]  # type: ignore[arg-type]  # pyjwt's TypedDict
        except (jwt.PyJWTError, KeyError, TypeError):
            return ProgrammedAnswer(403, "InvalidProviderToken")
        if age < -MAX_TOKEN_AHEAD_SECONDS:
            return ProgrammedAnswer(403, "InvalidProviderToken")
        if age > MAX_TOKEN_AGE_SECONDS:
            return ProgrammedAnswer(403, "ExpiredProviderToken")
        return ProgrammedAnswer(400, "MissingTopic") if topic is None else None


def wrong_path(path: bytes) -> ProgrammedAnswer | None:
    """Check `:path`; returns the answer that refuses it, or None."""
    if not path.startswith(DEVICE_PATH):
        return ProgrammedAnswer(404, "BadPath")
    token = path[len(DEVICE_PATH) :]
    if not token:
        return ProgrammedAnswer(400, "MissingDeviceToken")
    if not token.isascii() or b"/" in token or token == NEVER_ISSUED_TOKEN:
        return ProgrammedAnswer(400, "BadDeviceToken")
    return None


def wrong_body(body: bytes) -> ProgrammedAnswer | None:
    """Check the payload; returns the answer that refuses it, or None."""
    if not body:
        return ProgrammedAnswer(400, "PayloadEmpty")
    return ProgrammedAnswer(413, "PayloadTooLarge") if len(body) > MAX_PAYLOAD_BYTES else None


def _wrong_request(headers: Mapping[bytes, bytes], *, count: int) -> ProgrammedAnswer | None:  # noqa: PLR0911 - one return per reason
    if headers.get(b":method") != b"POST":
        return ProgrammedAnswer(405, "MethodNotAllowed")
    if count != len(headers):
        return ProgrammedAnswer(400, "DuplicateHeaders")
    apns_id = headers.get(b"apns-id")
    if apns_id is not None and not _is_uuid(apns_id):
        return ProgrammedAnswer(400, "BadMessageId")
    expiration = headers.get(b"apns-expiration", b"0")
    if not expiration.isdigit():
        return ProgrammedAnswer(400, "BadExpirationDate")
    push_type = headers.get(b"apns-push-type", b"alert")
    if push_type not in PUSH_TYPES:
        return ProgrammedAnswer(400, "InvalidPushType")
    priority = headers.get(b"apns-priority", b"10")
    if priority not in PRIORITIES or (push_type == b"background" and priority == b"10"):
        return ProgrammedAnswer(400, "BadPriority")
    if len(headers.get(b"apns-collapse-id", b"")) > 64:  # noqa: PLR2004 - Apple's limit
        return ProgrammedAnswer(400, "BadCollapseId")
    return None


def _is_uuid(value: bytes) -> bool:
    parts = value.split(b"-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and value.replace(b"-", b"").isalnum()
