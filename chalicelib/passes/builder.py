"""Where a pass is made: a template and an item become pass.json, and that a signed archive."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template


class Templates(Protocol):
    """Where templates come from."""

    def get(self, name: str, *, max_age_seconds: float | None = None) -> Template:
        """The template of that name, as it was `max_age_seconds` ago or later; None for the source's own age.

        Raises:
            RefusedError: there is no such template, or it cannot be a template.
            TransientError: the source did not answer.
        """


@dataclass(frozen=True, slots=True)
class PassBuilder:
    """What makes passes.

    Args:
        templates: by name.
        signer_for: the signer of a pass type, certainly its own; raises ConfigurationError where it has none.
    """

    templates: Templates
    signer_for: Callable[[str], Signer]

    def build(
        self,
        item: PassItem,
        *,
        personalized: bool,
        authentication_token: AuthenticationToken,
        web_service_url: str,
        at: datetime,
        template_age_seconds: float | None = None,
    ) -> bytes:
        """The `.pkpass` of an item, signed as of `at`. One that is personalized asks for nothing any more.

        The template is as it was `template_age_seconds` ago or later.

        Raises:
            RefusedError: the item does not fit its template.
            ConfigurationError: the pass type has no valid certificate.
        """
        template = self.templates.get(item.template, max_age_seconds=template_age_seconds)
        signer = self.signer_for(item.pass_id.pass_type_identifier)
        pass_json = render(
            template,
            item,
            web_service_url=web_service_url,
            authentication_token=authentication_token,
            team_identifier=signer.team_identifier,
        )
        archive = template.personalized_archive if personalized else template.archive
        return archive.with_pass(pass_json, sign=lambda manifest: signer.sign(manifest, at=at))
