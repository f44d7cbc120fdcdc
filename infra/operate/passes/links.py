"""Creates download links for passes of a stage; `chalicelib/core/links.py` defines their form."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib.aws.secrets import Secrets
from chalicelib.core.identifiers import PassId
from chalicelib.core.links import PATH, Link, sign_link
from chalicelib.settings import Settings
from infra.deploy.deployer import Stack


@dataclass(frozen=True, slots=True)
class DownloadLink:
    """A link for a person.

    Args:
        url: contains the secret.
        expires_at: end of its validity, in UTC.
    """

    url: str
    expires_at: datetime


class Links:
    """Signs links with the stage's newest authentication key.

    Args:
        stack: the stage's stack.
        settings: the stage's settings.
    """

    def __init__(self, stack: Stack, settings: Settings) -> None:
        self._base_url = settings.web_service_url or stack.api_url
        self._secrets = Secrets(stage=stack.stage)

    def make(self, pass_id: PassId, *, lifetime: timedelta) -> DownloadLink:
        """Create a link to a pass.

        Args:
            pass_id: the pass.
            lifetime: how long the link is valid.

        Raises:
            LinkLifetimeError: the lifetime is not positive, or exceeds the maximum.
            ConfigurationError: the stage has no authentication key.
            SecretsError: Secrets Manager did not answer.
        """
        link = Link.lasting(pass_id, lifetime_seconds=lifetime.total_seconds(), now=time.time())
        token = sign_link(self._secrets.authentication_keys(), link)
        return DownloadLink(f"{self._base_url}{PATH}{token}", datetime.fromtimestamp(link.expires_at, UTC))
