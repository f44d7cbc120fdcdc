"""Classifies APNs' responses to pushes: one table for handlers and tests.

Source: Apple, "Handling notification responses from APNs". Every 403 concerns the credential, also with a reason that
is not in the table: APNs answers BadEnvironmentKeyInToken where the page says BadEnvironmentKeyIdInToken. Any other
status and reason that are not in the table mean "try later".
"""

from enum import Enum


class OutcomeKind(Enum):
    """Classes of outcomes by the action that they need."""

    DELIVERED = "delivered"
    """APNs accepted the push. That does not mean delivery: the device may be offline."""
    UNREGISTERED = "unregistered"
    """The device is unregistered; remove it."""
    CONFIGURATION = "configuration"
    """A credential or topic is wrong: keep the push task and the devices, and raise an alarm."""
    LATER = "later"
    """The push is valid; try again."""
    DEFECT = "defect"
    """APNs does not understand the request: keep the push task, and fix this service."""


DELIVERED_STATUS = 200
FORBIDDEN_STATUS = 403
"""Apple's status for a sender that it does not accept."""
TOO_MANY_REQUESTS_STATUS = 429
EXPIRED_PROVIDER_TOKEN = (403, "ExpiredProviderToken")
"""The token is renewed once before this response counts."""

KINDS: dict[tuple[int, str], OutcomeKind] = {
    (410, "Unregistered"): OutcomeKind.UNREGISTERED,
    (410, "ExpiredToken"): OutcomeKind.UNREGISTERED,
    (400, "BadDeviceToken"): OutcomeKind.UNREGISTERED,
    (400, "DeviceTokenNotForTopic"): OutcomeKind.CONFIGURATION,
    (400, "TopicDisallowed"): OutcomeKind.CONFIGURATION,
    (400, "BadTopic"): OutcomeKind.CONFIGURATION,
    (400, "MissingTopic"): OutcomeKind.CONFIGURATION,
    (403, "BadCertificate"): OutcomeKind.CONFIGURATION,
    (403, "BadCertificateEnvironment"): OutcomeKind.CONFIGURATION,
    EXPIRED_PROVIDER_TOKEN: OutcomeKind.CONFIGURATION,
    (403, "Forbidden"): OutcomeKind.CONFIGURATION,
    (403, "InvalidProviderToken"): OutcomeKind.CONFIGURATION,
    (403, "MissingProviderToken"): OutcomeKind.CONFIGURATION,
    (403, "UnrelatedKeyIdInToken"): OutcomeKind.CONFIGURATION,
    (403, "BadEnvironmentKeyIdInToken"): OutcomeKind.CONFIGURATION,
    (403, "BadEnvironmentKeyInToken"): OutcomeKind.CONFIGURATION,
    (429, "TooManyRequests"): OutcomeKind.LATER,
    (429, "TooManyProviderTokenUpdates"): OutcomeKind.LATER,
    (500, "InternalServerError"): OutcomeKind.LATER,
    (503, "ServiceUnavailable"): OutcomeKind.LATER,
    (503, "Shutdown"): OutcomeKind.LATER,
    (400, "BadCollapseId"): OutcomeKind.DEFECT,
    (400, "BadExpirationDate"): OutcomeKind.DEFECT,
    (400, "BadMessageId"): OutcomeKind.DEFECT,
    (400, "BadPriority"): OutcomeKind.DEFECT,
    (400, "DuplicateHeaders"): OutcomeKind.DEFECT,
    (400, "IdleTimeout"): OutcomeKind.DEFECT,
    (400, "InvalidPushType"): OutcomeKind.DEFECT,
    (400, "MissingDeviceToken"): OutcomeKind.DEFECT,
    (400, "PayloadEmpty"): OutcomeKind.DEFECT,
    (404, "BadPath"): OutcomeKind.DEFECT,
    (405, "MethodNotAllowed"): OutcomeKind.DEFECT,
    (413, "PayloadTooLarge"): OutcomeKind.DEFECT,
}

SENDER_REASONS: frozenset[tuple[int, str]] = frozenset(
    {key for key in KINDS if key[0] == FORBIDDEN_STATUS}
    | {(400, "BadTopic"), (400, "MissingTopic"), (400, "TopicDisallowed"), (429, "TooManyProviderTokenUpdates")}
)
"""Responses that concern the sender or the topic, not the device: every other push would get the same one."""


def concerns_all(status: int, reason: str) -> bool:
    """Return True if every other push of the same sender and topic would get the same response."""
    return status == FORBIDDEN_STATUS or (status, reason) in SENDER_REASONS


OWN_REASONS = frozenset(
    {
        "Unreachable",
        "UntrustedServer",
        "CertificateRefused",
        "ConnectionLost",
        "ConnectionBroken",
        "GoAway",
        "StreamReset",
        "RefusedStream",
        "InvalidAnswer",
        "Timeout",
        "Deadline",
        "SlotMissed",
    }
)
"""This service's own reasons, for pushes without a response."""
_METRIC_REASONS = OWN_REASONS | {reason for _, reason in KINDS}


def metric_reason(reason: str | None) -> str:
    """Return the reason for a metric; `unknown` for reasons that are not listed here, which limits the metrics."""
    if reason is None:
        return "none"
    return reason if reason in _METRIC_REASONS else "unknown"


def kind_of(status: int, reason: str) -> OutcomeKind:
    """Classify a response."""
    if status == DELIVERED_STATUS:
        return OutcomeKind.DELIVERED
    if status == FORBIDDEN_STATUS:
        return OutcomeKind.CONFIGURATION
    return KINDS.get((status, reason), OutcomeKind.LATER)


def is_unknown_refusal(status: int | None, reason: str | None) -> bool:
    """Return True if APNs refused a push with a client error (4xx) that is not in the table.

    429 does not count, because it asks to wait for any reason.
    """
    return (
        status is not None
        and 400 <= status < 500  # noqa: PLR2004 - RFC 9110, section 15.5
        and status != TOO_MANY_REQUESTS_STATUS
        and (status, reason or "") not in KINDS
        and status != FORBIDDEN_STATUS
    )
