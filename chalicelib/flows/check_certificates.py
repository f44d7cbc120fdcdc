"""Measures the days until a stage's certificates expire, so that an alarm is raised before phones refuse its passes.

A secret that cannot be used at all counts as expired, so the same alarm covers it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chalicelib.aws.secrets import Secrets, SecretsError
from chalicelib.core.errors import ConfigurationError, TransientError
from chalicelib.passes.signing import Signer
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit
from chalicelib.updates.events import EventNote

WARNING_DAYS = 30
"""The alarm is raised, and an event published every day, when no more days are left."""
NOTE_SECONDS = 12 * 3600
"""Minimum time between two events of a pass type: the check runs once a day, and Lambda may repeat it."""


class NoteEvent(Protocol):
    """Writes an event to be published; raises TransientError if it was not written."""

    def __call__(self, note: EventNote, *, at: float, interval_seconds: int) -> bool: ...


@dataclass(frozen=True, slots=True)
class CertificateExpiry:
    """Measures the validity of certificates.

    Args:
        secrets: list the pass types.
        metrics: get `CertificateDaysLeft` per pass type; the minimum of a stage is the first certificate to expire.
        signer_for: returns the signer of a pass type; raises ConfigurationError if its secret cannot be used.
        note: writes an event of a certificate that expires soon (`Versions.note_event`).
    """

    secrets: Secrets
    metrics: Metrics
    signer_for: Callable[[str], Signer]
    note: NoteEvent

    def measure(self, now: datetime) -> None:
        """Write the days left for every pass type; one that fails does not affect the others.

        Args:
            now: the current time, with a time zone.

        Raises:
            TransientError: Secrets Manager did not answer for a pass type, or DynamoDB did not accept an event. The
                others are measured, and Lambda retries.
        """
        unanswered: TransientError | None = None
        for pass_type_identifier in self.secrets.pass_types():
            try:
                days_left = self._days_left(pass_type_identifier, now)
            except SecretsError as error:
                unanswered = unanswered or error
                continue
            log.event("certificate_measured", pass_type_identifier=pass_type_identifier, days_left=days_left)
            self.metrics.put({"CertificateDaysLeft": days_left}, Unit.COUNT, pass_type_identifier=pass_type_identifier)
            if days_left <= WARNING_DAYS:
                detail = {"pass_type_identifier": pass_type_identifier, "days_left": days_left}
                note = EventNote("certificate.expiring", pass_type_identifier, detail)
                try:
                    self.note(note, at=now.timestamp(), interval_seconds=NOTE_SECONDS)
                except TransientError as error:
                    unanswered = unanswered or error
        if unanswered is not None:
            raise unanswered

    def _days_left(self, pass_type_identifier: str, now: datetime) -> int:
        try:
            signer = self.signer_for(pass_type_identifier)
            return signer.days_left(now)
        except SecretsError:
            raise
        except ConfigurationError as error:
            problem = str(error)
        except Exception as error:  # noqa: BLE001 - a damaged secret can raise anything; others are still measured
            problem = f"the secret cannot be read: {type(error).__name__}; import the certificate again"
        log.event("certificate_unusable", pass_type_identifier=pass_type_identifier, error=problem)
        return 0
