"""Building of passes: a template and an item become a pass.json, and then a signed archive."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.item_errors import ItemError
from chalicelib.passes.rendering import check_format, localized_strings, render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template


class TemplateSource(Protocol):
    """Source of templates."""

    def get(self, name: str, *, max_age_seconds: float | None = None, announced: str | None = None) -> Template:
        """Return a template as it was at most `max_age_seconds` ago; None for the source's default age.

        While the source does not respond, an older one may be returned, but none other than the revision `announced`.

        Raises:
            RefusedError: there is no such template, or it is invalid.
            TransientError: the source did not respond.
        """


class ImageSource(Protocol):
    """Source of the images of single passes."""

    def get(self, key: str) -> bytes:
        """Return the image with this key.

        Raises:
            RefusedError: there is no such image.
            TransientError: the source did not respond.
        """

    def validate_exist(self, keys: Iterable[str]) -> None:
        """Check that these images exist.

        Raises:
            RefusedError: one of them does not exist.
            TransientError: the source did not respond.
        """


@dataclass(frozen=True, slots=True)
class PassBuilder:
    """Builder of passes.

    Args:
        templates: source of templates.
        signer_for: returns the signer of a pass type, and validates that it belongs to it; raises ConfigurationError
            if it has no certificate.
        images: source of the images of single passes; None for passes without such images.
        on_invalid: called with an item that violates Apple's format and its problem, if the pass is built anyway.
    """

    templates: TemplateSource
    signer_for: Callable[[str], Signer]
    images: ImageSource | None = None
    on_invalid: Callable[[PassItem, ItemError], None] = lambda _item, _error: None

    def build(
        self,
        item: PassItem,
        *,
        personalized: bool,
        authentication_token: AuthenticationToken,
        web_service_url: str,
        at: datetime,
        template_age_seconds: float | None = None,
        strict: bool = False,
    ) -> bytes:
        """Build the `.pkpass` of an item.

        Args:
            item: the item.
            personalized: whether a person has signed up with the pass, so that it does not ask for it again.
            authentication_token: the token of the pass.
            web_service_url: URL to which devices append `/v1/...`.
            at: the current time, with time zone: the signing time.
            template_age_seconds: maximum age of the template; None for the default of its source.
            strict: whether an item that violates Apple's format is refused. If not, it is reported to `on_invalid`.

        Raises:
            RefusedError: the item is invalid for its template.
            ConfigurationError: the pass type has no valid certificate.
            TransientError: the source of templates or images did not respond.
        """
        template = self.templates.get(
            item.template, max_age_seconds=template_age_seconds, announced=item.template_revision
        )
        signer = self.signer_for(item.pass_id.pass_type_identifier)
        pass_json = render(
            template,
            item,
            web_service_url=web_service_url,
            authentication_token=authentication_token,
            team_identifier=signer.team_identifier,
        )
        try:
            check_format(template, item)
        except ItemError as error:
            if strict:
                raise
            self.on_invalid(item, error)
        own = localized_strings(template, item)
        if item.images and self.images is not None:
            own |= {path: self.images.get(key) for path, key in item.images.items()}
        archive = template.archive_with(own, personalized=personalized)
        return archive.with_pass(pass_json, sign=lambda manifest: signer.sign(manifest, at=at))
