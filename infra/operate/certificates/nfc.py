"""Finds passes that phones refuse because an ordinary certificate signs them, although they need an NFC certificate.

A pass with `nfc` or personalization.json must be signed by an NFC certificate. Phones refuse it otherwise, and log that
it "must be signed with an enhanced Passbook certificate" (jpasskit issue 96). Apple issues such a certificate on
request (Apple, Pass.NFC; developer.apple.com/contact/passkit). It is a pass type certificate with one more extension
(passkit-generator issue 205), 1.2.840.113635.100.6.1.26, and the name `Pass Type ID with NFC: ...` (read from real
certificates by edutap.pass_builder). Apple documents neither, so one of them is enough here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.x509 import Certificate
from cryptography.x509.oid import NameOID, ObjectIdentifier

from chalicelib.aws import templates as stored
from chalicelib.core.attributes import plain_item
from chalicelib.core.errors import RefusedError
from chalicelib.passes.builder import TemplateSource
from chalicelib.passes.format.images import PERSONALIZATION_JSON
from chalicelib.passes.item import PassItem
from chalicelib.passes.template import Template
from infra.operate.templates.findings import TemplateFinding, error, warning
from infra.stage import aws
from infra.stage.stage import Stage

NFC_EXTENSION = ObjectIdentifier("1.2.840.113635.100.6.1.26")
NFC_NAME = "Pass Type ID with NFC:"
NFC_KEY = "nfc"
REMEDY = (
    "request an NFC certificate at developer.apple.com/contact/passkit and import it with: passwire cert rotate; or "
    "remove what needs it from the template and its items"
)
SOURCE = "Apple, Pass.NFC"
EXAMINED_PASSES = 1_000
"""Number of pass items that are read: each read costs money, and a stage may have millions."""


@dataclass(frozen=True, slots=True)
class RefusedPasses:
    """Passes of one pass type and template that phones refuse.

    Args:
        pass_type_identifier: the pass type, whose certificate cannot sign them.
        template: their template.
        part: what needs an NFC certificate: `nfc` or `personalization.json`.
        example: one of the passes.
        count: number of the passes among those that were examined.
    """

    pass_type_identifier: str
    template: str
    part: str
    example: str
    count: int

    def __str__(self) -> str:
        others = f" and {self.count - 1} more that were examined" if self.count > 1 else ""
        return (
            f"pass type {self.pass_type_identifier}: phones refuse pass {self.example}{others} of template "
            f"{self.template}: its {self.part} needs an NFC certificate, which this pass type does not have"
        )


def can_sign_nfc(certificate: Certificate) -> bool:
    """Tell whether a pass type certificate can sign passes with `nfc` or personalization."""
    if any(extension.oid == NFC_EXTENSION for extension in certificate.extensions):
        return True
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return any(str(name.value).startswith(NFC_NAME) for name in names)


def part_with_nfc(content: Mapping[str, Any], files: Iterable[str]) -> str | None:
    """Return what in a template needs an NFC certificate: `nfc` or `personalization.json`; None if nothing does.

    Args:
        content: its pass.json.
        files: the paths of its files.
    """
    if content.get(NFC_KEY) is not None:
        return NFC_KEY
    return PERSONALIZATION_JSON if PERSONALIZATION_JSON in files else None


def find_refused_passes(
    items: Iterable[Mapping[str, object]], templates: TemplateSource, can_sign: Mapping[str, bool]
) -> list[RefusedPasses]:
    """Find passes that need an NFC certificate and whose pass type does not have one.

    Args:
        items: attributes of pass items. Invalid items and those of invalid templates are left out.
        templates: source of their templates.
        can_sign: by pass type, whether its certificate is an NFC certificate. Other pass types are left out.
    """
    found: dict[tuple[str, str, str], tuple[str, int]] = {}
    for attributes in items:
        try:
            item = PassItem.parse(attributes)
            if can_sign.get(item.pass_id.pass_type_identifier, True):
                continue
            template = templates.get(item.template)
        except RefusedError:
            continue
        files = [] if item.personalization else template.files
        part = part_with_nfc({**template.content, **item.overrides}, files)
        if part is not None:
            key = item.pass_id.pass_type_identifier, item.template, part
            example, count = found.get(key, (str(item.pass_id), 0))
            found[key] = example, count + 1
    return [RefusedPasses(*key, example, count) for key, (example, count) in sorted(found.items())]


def check_template_certificates(files: Mapping[str, bytes], can_sign: Mapping[str, bool]) -> Iterator[TemplateFinding]:
    """Check that a stage can sign the passes of a template: an error if no pass type can, a warning if some cannot.

    Args:
        files: contents by path.
        can_sign: by pass type of the stage, whether its certificate is an NFC certificate.
    """
    try:
        part = part_with_nfc(Template.parse("", files).content, files)
    except RefusedError:
        return  # reported by the check of the template
    without = sorted(name for name, can in can_sign.items() if not can)
    if part is None or not without:
        return
    file, path = (part, "") if part == PERSONALIZATION_JSON else ("pass.json", part)
    if len(without) == len(can_sign):
        problem = f"needs an NFC certificate, and no pass type of the stage has one ({', '.join(without)}); {REMEDY}"
        yield error(file, path, problem, SOURCE)
    else:
        problem = f"needs an NFC certificate; phones refuse passes of {', '.join(without)}, which have none; {REMEDY}"
        yield warning(file, path, problem, SOURCE)


def find_refused_passes_of(stage: Stage, can_sign: Mapping[str, bool]) -> list[RefusedPasses]:
    """Examine the first passes of a stage as `find_refused_passes` does."""
    if all(can_sign.values()):
        return []
    items = aws.client("dynamodb").scan(TableName=stage.table("passes"), Limit=EXAMINED_PASSES)["Items"]
    templates = stored.Templates(bucket=stage.templates_bucket)
    return find_refused_passes(map(plain_item, items), templates, can_sign)
