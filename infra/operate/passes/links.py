"""Making download links for a stage's passes; `chalicelib/core/links.py` says what a link is."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib.core.identifiers import PassId
from chalicelib.core.links import PATH, Link, sign_link
from infra.stage.stage import Stage


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A link, as it is handed to a person: the secret is in the address."""

    url: str
    expires_at: datetime


class Links:
    """Signs links with the stage's newest authentication key."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._secrets = stage.secrets

    def make(self, pass_id: PassId, *, lifetime: timedelta) -> DownloadLink:
        """A link that works for so long.

        Raises:
            LinkLifetimeError: it would live too long, or not at all.
            ConfigurationError: the stage has no authentication key.
            SecretsError: Secrets Manager did not answer.
        """
        link = Link.lasting(pass_id, lifetime_seconds=lifetime.total_seconds(), now=time.time())
        token = sign_link(self._secrets.authentication_keys(), link)
        return DownloadLink(f"{self._stage.web_service_url}{PATH}{token}", datetime.fromtimestamp(link.expires_at, UTC))
