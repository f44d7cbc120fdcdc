"""What APNs says of a push, and what each answer means: one table, from which handlers and tests take it.

Source: Apple, "Handling notification responses from APNs". Every 403 is about the credential, also one whose reason is
not in the table: APNs really answers BadEnvironmentKeyInToken where the page says BadEnvironmentKeyIdInToken. Any other
status and reason that are not in the table mean "try later".
"""

from enum import Enum


class OutcomeKind(Enum):
    """How a push ended, by what is to be done."""

    DELIVERED = "delivered"
    """APNs took it. No more: the phone may be off."""
    GONE = "gone"
    """The device is no longer there; forget it."""
    CONFIGURATION = "configuration"
    """A credential or topic is wrong: keep the work and the devices, and alarm."""
    LATER = "later"
    """Nothing is wrong with the push; try again."""
    DEFECT = "defect"
    """We sent what APNs does not understand: keep the work, and mend this service."""


DELIVERED_STATUS = 200
FORBIDDEN_STATUS = 403
"""Apple's status for a sender that it does not accept."""
TOO_MANY_REQUESTS_STATUS = 429
EXPIRED_PROVIDER_TOKEN = (403, "ExpiredProviderToken")
"""Renewed once before it counts as what the table says."""

KINDS: dict[tuple[int, str], OutcomeKind] = {
    (410, "Unregistered"): OutcomeKind.GONE,
    (410, "ExpiredToken"): OutcomeKind.GONE,
    (400, "BadDeviceToken"): OutcomeKind.GONE,
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
"""What is said of the sender or the topic, not of the device: every other push would be told the same."""


def concerns_all(status: int, reason: str) -> bool:
    """Whether every other push of the same sender and topic would get the same answer."""
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
    }
)
"""Our reasons, where there was no answer."""
_METRIC_REASONS = OWN_REASONS | {reason for _, reason in KINDS}


def metric_reason(reason: str | None) -> str:
    """A reason as a metric has it: whatever APNs comes to say, metrics stay as many as this page has lines."""
    if reason is None:
        return "none"
    return reason if reason in _METRIC_REASONS else "unknown"


def kind_of(status: int, reason: str) -> OutcomeKind:
    """What an answer means."""
    if status == DELIVERED_STATUS:
        return OutcomeKind.DELIVERED
    if status == FORBIDDEN_STATUS:
        return OutcomeKind.CONFIGURATION
    return KINDS.get((status, reason), OutcomeKind.LATER)


def is_unknown_refusal(status: int | None, reason: str | None) -> bool:
    """Whether APNs refused a push with a client error (4xx) that is not in the table.

    429 is left out: whatever its reason, it asks for time.
    """
    return (
        status is not None
        and 400 <= status < 500  # noqa: PLR2004 - RFC 9110, section 15.5
        and status != TOO_MANY_REQUESTS_STATUS
        and (status, reason or "") not in KINDS
        and status != FORBIDDEN_STATUS
    )
