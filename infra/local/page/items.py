"""Pass items as the page's form shows and writes them. It changes only what the form changed, as `pass update` does."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chalicelib.aws.templates import PACKAGED, SUFFIX, Templates
from chalicelib.core.errors import RefusedError, TransientError
from chalicelib.core.identifiers import PassId
from chalicelib.passes.template import Template
from infra.operate.bulk.cells import CellError, field_cell, read_field
from infra.operate.passes.change import ItemChange
from infra.operate.passes.links import Links
from infra.operate.passes.table import SECRET_ATTRIBUTES, PassState, PassTable
from infra.operate.templates.bucket import TemplatesBucket
from infra.stage import aws
from infra.stage.stage import Stage

MAX_ITEMS = 200
"""How many passes the page lists; any other can be named."""
MAX_LINE = 300
LINK_LIFETIME = timedelta(days=1)
LANGUAGE = "en"
FIRST_FIELDS = {"gate": "A7", "seat": "14C", "passenger": "Ada Lovelace"}
"""Values of a new pass, where its template has these fields."""


class ItemInputError(RefusedError):
    """A value in the form is invalid; nothing was written."""


@dataclass(frozen=True, slots=True)
class FieldInput:
    """A field of the form.

    Args:
        key: of the field.
        label: for people.
        value: as text, of the item or else of the template.
    """

    key: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class ItemForm:
    """An item, for the form.

    Args:
        pass_id: of the item.
        template: its name.
        fields: in the order of the template.
        voided: whether the pass is void.
        devices: the number of registered devices.
        revision: how often it has changed; 0 before the first stamp.
    """

    pass_id: str
    template: str
    fields: list[FieldInput]
    voided: bool
    devices: int
    revision: int


class Items:
    """The passes of the local run.

    Args:
        stage: of the local run.
    """

    def __init__(self, stage: Stage) -> None:
        self._table = PassTable(stage)
        self._templates = Templates(bucket=stage.templates_bucket)
        self._bucket = TemplatesBucket(stage)
        self._links = Links(stage)
        self._passes = aws.resource("dynamodb").Table(stage.table("passes"))

    def pass_ids(self) -> list[str]:
        """The passes in the table, up to `MAX_ITEMS`, in alphabetical order."""
        pages = self._table.pages(pass_type_identifier=None, template=None, after=None, page_size=MAX_ITEMS)
        return sorted(str(item["pass_id"]) for item in next(pages).passes)

    def snapshot(self) -> dict[str, Any]:
        """The attributes of up to `MAX_ITEMS` items by pass id, without secrets."""
        items = self._passes.scan(Limit=MAX_ITEMS)["Items"]
        return {str(item.pop("pass_id")): _without_secrets(item) for item in items}

    def templates(self) -> list[str]:
        """The names of all templates, packaged and pushed."""
        packaged = {path.name.removesuffix(SUFFIX) for path in PACKAGED.glob(f"*{SUFFIX}")}
        return sorted(packaged | {pushed.name for pushed in self._bucket.list()})

    def form(self, pass_id: PassId) -> ItemForm:
        """Return an item.

        Raises:
            RefusedError: the pass or its template does not exist.
        """
        state = self._table.state(str(pass_id))
        template = self._templates.get(str(state.attributes.get("template")), max_age_seconds=0)
        return ItemForm(
            pass_id=str(pass_id),
            template=template.name,
            fields=_inputs(template, state),
            voided=state.attributes.get("voided") is True,
            devices=state.devices,
            revision=state.version.revision if state.version else 0,
        )

    def issue(self, pass_id: PassId, template: str) -> None:
        """Write a new item with a few values.

        Raises:
            RefusedError, ConfigurationError: as `PassTable.issue`.
        """
        places = self._templates.get(template, max_age_seconds=0).places
        fields = {key: value for key, value in FIRST_FIELDS.items() if key in places}
        self._table.issue(pass_id, template=template, change=ItemChange(fields=fields), reuse_serial=True)

    def save(self, pass_id: PassId, *, before: Mapping[str, str], after: Mapping[str, str], voided: bool) -> bool:
        """Write the values that the form changed.

        Args:
            pass_id: of the item.
            before: field values as the form showed them, by key.
            after: field values as it has them now.
            voided: whether the pass is void.

        Returns:
            False if the form changed nothing.

        Raises:
            ItemInputError: a value is invalid.
            RefusedError: the changed item does not match its template.
        """
        state = self._table.state(str(pass_id))
        template = self._templates.get(str(state.attributes.get("template")), max_age_seconds=0)
        changed: dict[str, object] = {}
        for key in after:
            if after[key] != before.get(key):
                try:
                    changed[key] = read_field(template, key, after[key])
                except CellError as error:
                    raise ItemInputError(f"{key}: {error}") from None
        void = voided if voided != (state.attributes.get("voided") is True) else None
        if not changed and void is None:
            return False
        self._table.update(pass_id, ItemChange(fields=changed, voided=void))
        return True

    def delete(self, pass_id: PassId) -> None:
        """Delete an item.

        Raises:
            RefusedError: it does not exist.
        """
        self._table.delete(str(pass_id))

    def link(self, pass_id: PassId) -> str:
        """Return a download link.

        Raises:
            RefusedError, ConfigurationError: the pass does not exist or cannot be built.
        """
        self._table.validate(pass_id)
        return self._links.make([pass_id], lifetime=LINK_LIFETIME).url


def new_pass_id(pass_type_identifier: str) -> PassId:
    """Return an id for a new pass."""
    return PassId(pass_type_identifier, f"PAGE-{secrets.token_hex(3).upper()}")


def describe_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Describe the difference of two snapshots: a line per item that was written or deleted.

    Args:
        before: of `Items.snapshot`.
        after: of a later one.
    """
    lines = [f"deleted {pass_id}" for pass_id in before if pass_id not in after]
    for pass_id, item in after.items():
        if pass_id not in before:
            lines.append(f"wrote {pass_id}, which is new")
        elif item != before[pass_id]:
            lines.append(f"wrote {pass_id}: {', '.join(_changed(before[pass_id], item))}"[:MAX_LINE])
    return lines


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names of attributes that differ; of fields, with their new values."""
    changed = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old != new and name == "fields" and isinstance(old, Mapping) and isinstance(new, Mapping):
            changed += [
                f"{key} {new.get(key)}" for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)
            ]
        elif old != new:
            changed.append(name)
    return changed


def _without_secrets(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in SECRET_ATTRIBUTES}


def _inputs(template: Template, state: PassState) -> list[FieldInput]:
    fields: Any = state.attributes.get("fields")
    given = fields if isinstance(fields, Mapping) else {}
    texts = template.strings.get(LANGUAGE, {})
    inputs = []
    for key, places in template.places.items():
        field = template.content[places[0].style][places[0].group][places[0].index]
        label = str(field.get("label") or key)
        value = given[key] if key in given else texts.get(str(field.get("value")), field.get("value"))
        shown = "" if value is None or value == "" else field_cell(template, key, value)
        inputs.append(FieldInput(key, texts.get(label, label), shown))
    return inputs


EXPECTED = (RefusedError, TransientError)
"""Errors of this module that the page shows."""
