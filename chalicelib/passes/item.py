"""The contract with pipelines: a pass item of the passes table, parsed into a frozen value or refused.

The attributes of `PassItem` are what reaches a pass. Every other attribute is the pipeline's own: kept, not rendered,
and a change to it alone is no change (`same_content`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Self

from chalicelib.core.errors import RefusedError, limited, shown
from chalicelib.core.identifiers import (
    TEMPLATE_NAME_RULE,
    AuthenticationToken,
    IdentifierError,
    PassId,
    is_template_name,
)
from chalicelib.core.numbers import NumberError, check_number

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
"""A value as JSON knows it; DynamoDB's numbers become int where they are whole and float otherwise."""


class ItemError(RefusedError):
    """A pass item that cannot become a pass: names the pass, the attribute, what is wrong and what to do.

    All three are the pipeline's own text and of any length, so the message is limited.
    """

    def __init__(self, pass_id: object, attribute: str, problem: str) -> None:
        attribute, problem = shown(attribute), limited(problem)
        super().__init__(limited(f"pass item {shown(pass_id, most=300)}: attribute '{attribute}': {problem}"))
        self.pass_id = str(pass_id)
        self.attribute = attribute
        self.problem = problem


@dataclass(frozen=True, slots=True)
class PassItem:
    """What a pipeline wrote.

    Args:
        pass_id: which pass.
        template: the name of the template folder, without `.pass`.
        fields: by field key, what to put over the template's field: a dictionary of Apple's field keys. A plain value
            in the item stands here as `{"value": it}`.
        overrides: top-level keys of pass.json.
        voided: whether the phone shows the pass as void.
        template_revision: set by `template push --notify` so that a new template reaches its passes; None if never.
        personalization: what the person gave at sign-up, by Apple's personalization keys; None while not personalized.
        authentication_token: only for passes that live on phones with a token of their own, not derived from our key.
    """

    pass_id: PassId
    template: str
    fields: Mapping[str, Mapping[str, Json]] = field(default_factory=dict)
    overrides: Mapping[str, Json] = field(default_factory=dict)
    voided: bool = False
    template_revision: str | None = None
    personalization: Mapping[str, Json] | None = None
    authentication_token: AuthenticationToken | None = None

    @classmethod
    def parse(cls, attributes: Mapping[str, object]) -> Self:
        """Read an item as a DynamoDB client hands it over: str, Decimal, bool, None, list, dict, sets, bytes.

        Raises:
            ItemError: an attribute is missing or is not what it must be.
        """
        pass_id = parse_pass_id(attributes)
        reader = _Reader(pass_id, attributes)
        return cls(
            pass_id=pass_id,
            template=reader.template(),
            fields=reader.fields(),
            overrides=reader.mapping("overrides") or {},
            voided=reader.voided(),
            template_revision=reader.text("template_revision"),
            personalization=reader.mapping("personalization"),
            authentication_token=parse_authentication_token(pass_id, attributes),
        )

    def same_content(self, newer: Self) -> bool:
        """Whether a device that has this pass would see no difference in the newer one.

        The authentication token is left out because an installed pass keeps its own. A template revision or a
        personalization that is gone is no change: a pipeline's PutItem wiped what this service had written. Nor is one
        personalization instead of another: what a person gave is not shown.
        """
        before = replace(self, authentication_token=None)
        after = replace(newer, authentication_token=None)
        if after.template_revision is None:
            before = replace(before, template_revision=None)
        if before.personalization is not None or after.personalization is None:
            before, after = replace(before, personalization=None), replace(after, personalization=None)
        return before == after


def parse_pass_id(attributes: Mapping[str, object]) -> PassId:
    """The item's key.

    Raises:
        ItemError: it is missing or not `<passTypeIdentifier>/<serialNumber>`.
    """
    value = attributes.get("pass_id")
    if not isinstance(value, str):
        raise ItemError("(without key)", "pass_id", "is missing; write <passTypeIdentifier>/<serialNumber>")
    try:
        return PassId.parse(value)
    except IdentifierError as error:
        raise ItemError(value, "pass_id", str(error)) from error


def parse_authentication_token(pass_id: PassId, attributes: Mapping[str, object]) -> AuthenticationToken | None:
    """The item's own token, or None where it is derived.

    Raises:
        ItemError: there is one and it cannot be one; the message does not show it.
    """
    value = attributes.get("authentication_token")
    if value is None:
        return None
    if not isinstance(value, str):
        raise ItemError(pass_id, "authentication_token", "must be a string, or absent to have it derived")
    try:
        return AuthenticationToken(value)
    except IdentifierError as error:
        raise ItemError(pass_id, "authentication_token", str(error)) from error


class _Reader:
    """Reads one attribute at a time; each method raises ItemError where the value cannot be taken."""

    def __init__(self, pass_id: PassId, attributes: Mapping[str, object]) -> None:
        self.pass_id = pass_id
        self.attributes = attributes

    def template(self) -> str:
        value = self.attributes.get("template")
        if not isinstance(value, str) or not value:
            raise self.error("template", "is missing; write the name of a template, such as 'boarding'")
        if not is_template_name(value):
            raise self.error("template", f"'{shown(value)}' is not a valid template name: write {TEMPLATE_NAME_RULE}")
        return value

    def voided(self) -> bool:
        value = self.attributes.get("voided")
        if value is None:
            return False
        if not isinstance(value, bool):
            raise self.error("voided", f"must be a BOOL, not {_type_name(value)}")
        return value

    def text(self, attribute: str) -> str | None:
        value = self.attributes.get(attribute)
        if value is not None and not isinstance(value, str):
            raise self.error(attribute, f"must be a string, not {_type_name(value)}")
        return value

    def fields(self) -> dict[str, dict[str, Json]]:
        fields: dict[str, dict[str, Json]] = {}
        for key, value in (self.mapping("fields") or {}).items():
            if isinstance(value, dict):
                fields[key] = value
            elif isinstance(value, str | int | float) and not isinstance(value, bool):
                fields[key] = {"value": value}
            else:
                raise self.error(
                    f"fields.{key}",
                    f"must be a string, a number, or a map of Apple's field keys, not {_type_name(value)}",
                )
        return fields

    def mapping(self, attribute: str) -> dict[str, Json] | None:
        value = self.attributes.get(attribute)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise self.error(attribute, f"must be a map, not {_type_name(value)}")
        return {str(key): self.json(f"{attribute}.{key}", member) for key, member in value.items()}

    def json(self, path: str, value: object) -> Json:
        match value:
            case None | bool() | str():
                return value
            case int() | float() | Decimal():
                return self.number(path, value)
            case Mapping():
                return {str(key): self.json(f"{path}.{key}", member) for key, member in value.items()}
            case list() | tuple():
                return [self.json(f"{path}[{index}]", member) for index, member in enumerate(value)]
        raise self.error(path, f"{_type_name(value)} cannot stand in a pass; use a string, number, list or map")

    def number(self, path: str, value: Decimal | float) -> int | float:
        try:
            check_number(value)
        except NumberError as error:
            raise self.error(path, str(error)) from None
        if not isinstance(value, Decimal):
            return value
        return int(value) if value == value.to_integral_value() else float(value)

    def error(self, attribute: str, problem: str) -> ItemError:
        return ItemError(self.pass_id, attribute, problem)


_DYNAMODB_TYPE_NAMES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((type(None),), "NULL"),
    ((bool,), "BOOL"),
    ((str,), "S"),
    ((int, float, Decimal), "N"),
    ((bytes, bytearray), "B"),
    ((Mapping,), "M"),
    ((list, tuple), "L"),
    ((set, frozenset), "a set"),
)


def _type_name(value: object) -> str:
    """DynamoDB's name for the type of a value, which is what a pipeline's developer knows."""
    names = (name for types, name in _DYNAMODB_TYPE_NAMES if isinstance(value, types))
    return next(names, type(value).__name__)
