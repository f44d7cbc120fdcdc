"""Where a pass is made: a template and an item become pass.json, and that a signed archive."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from chalicelib.aws.images import Images
from chalicelib.aws.templates import KEEP_SECONDS, Templates
from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import ItemError, PassItem
from chalicelib.passes.rendering import check_format, localized_strings, render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template
from chalicelib.telemetry import log


@dataclass(frozen=True, slots=True)
class PassBuilder:
    """What makes passes.

    Args:
        templates: by name.
        images: of single passes; None where there are none.
        signer_for: the signer of a pass type, certainly its own; raises ConfigurationError where it has none.
    """

    templates: Templates
    signer_for: Callable[[str], Signer]
    images: Images | None = None

    def build(
        self,
        item: PassItem,
        *,
        personalized: bool,
        authentication_token: AuthenticationToken,
        web_service_url: str,
        at: datetime,
        template_age_seconds: float = KEEP_SECONDS,
        strict: bool = False,
    ) -> bytes:
        """The `.pkpass` of an item, signed as of `at`. One that is personalized asks for nothing any more.

        The template is as it was `template_age_seconds` ago or later. An item against Apple's format is refused if
        `strict`; otherwise that is logged, and the pass is made as before the format was checked.

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
        _check_against_format(template, item, strict=strict)
        own = localized_strings(template, item)
        if item.images and self.images is not None:
            own |= {path: self.images.get(key) for path, key in item.images.items()}
        archive = template.archive_with(own, personalized=personalized)
        return archive.with_pass(pass_json, sign=lambda manifest: signer.sign(manifest, at=at))


def _check_against_format(template: Template, item: PassItem, *, strict: bool) -> None:
    """Refuse or log what phones may refuse of a pass."""
    try:
        check_format(template, item)
    except ItemError as error:
        if strict:
            raise
        log.event("pass_against_format", pass_id=item.pass_id, error=str(error))
