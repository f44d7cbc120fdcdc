"""Creates download links for passes of a stage; `chalicelib/core/links.py` defines their form."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chalicelib.core.identifiers import PassId
from chalicelib.core.links import PATH, Link, sign_link
from infra.stage.stage import Stage


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
        stage: the stage.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._secrets = stage.secrets

    def make(self, pass_ids: Sequence[PassId], *, lifetime: timedelta) -> DownloadLink:
        """Create a link to one pass or several.

        Args:
            pass_ids: the passes, at most ten.
            lifetime: how long the link is valid.

        Raises:
            LinkLifetimeError: the lifetime is not positive, or exceeds the maximum.
            LinkSizeError: there are no passes, too many, or their ids are too long for one URL.
            ConfigurationError: the stage has no authentication key.
            SecretsError: Secrets Manager did not answer.
        """
        return self.signer(lifetime=lifetime)(pass_ids)

    def signer(self, *, lifetime: timedelta) -> Callable[[Sequence[PassId]], DownloadLink]:
        """Return a function that creates links, each as `make` does; the keys are read once.

        Args:
            lifetime: how long each link is valid from now on.

        Raises:
            LinkLifetimeError: the lifetime is not positive, or exceeds the maximum.
            ConfigurationError: the stage has no authentication key.
            SecretsError: Secrets Manager did not answer.
        """
        keys, url, now = self._secrets.authentication_keys(), self._stage.web_service_url, time.time()

        def sign(pass_ids: Sequence[PassId]) -> DownloadLink:
            link = Link.valid_for(pass_ids, lifetime_seconds=lifetime.total_seconds(), now=now)
            return DownloadLink(f"{url}{PATH}{sign_link(keys, link)}", datetime.fromtimestamp(link.expires_at, UTC))

        return sign
