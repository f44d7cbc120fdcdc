"""How long the certificates of a stage still hold: what the alarm looks at that comes before phones refuse its passes.

A secret that cannot be used at all counts as expired, so that the one alarm finds it too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.secrets import Secrets, SecretsError
from chalicelib.core.errors import ConfigurationError
from chalicelib.passes.signing import Signer
from chalicelib.telemetry import log
from chalicelib.telemetry.metrics import Metrics, Unit

WARNING_DAYS = 30
"""From so many days left on a person is told."""


@dataclass(frozen=True, slots=True)
class CertificateExpiry:
    """What measures.

    Args:
        secrets: which pass types there are.
        metrics: `CertificateDaysLeft`, for each pass type; its minimum by stage is the first to end.
        signer_for: the signer of a pass type; raises ConfigurationError where it has none.
    """

    secrets: Secrets
    metrics: Metrics
    signer_for: Callable[[str], Signer]

    def measure(self, now: datetime) -> None:
        """Write the days left of every pass type, whatever becomes of the others.

        Raises:
            SecretsError: Secrets Manager did not answer for one; the others are measured, and the trigger tries again.
        """
        unanswered: SecretsError | None = None
        for pass_type_identifier in self.secrets.pass_types():
            try:
                days_left = self._days_left(pass_type_identifier, now)
            except SecretsError as error:
                unanswered = unanswered or error
                continue
            log.event("certificate_measured", pass_type_identifier=pass_type_identifier, days_left=days_left)
            self.metrics.put({"CertificateDaysLeft": days_left}, Unit.COUNT, pass_type_identifier=pass_type_identifier)
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
        except Exception as error:  # noqa: BLE001 - whatever a damaged secret raises, the other pass types are measured
            problem = f"the secret cannot be read: {type(error).__name__}"
        log.event("certificate_unusable", pass_type_identifier=pass_type_identifier, error=problem)
        return 0
