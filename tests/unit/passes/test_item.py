"""Tests of pass items: which items are accepted, what is read from them, and which changes a device would see."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.identifiers import AuthenticationToken, PassId
from chalicelib.passes.item import PassItem, parse_pass_id
from chalicelib.passes.item_errors import ItemError

KEY = "pass.com.acme.boarding/7K2M9Q"


def item(**attributes: object) -> PassItem:
    return PassItem.parse({"pass_id": KEY, "template": "boarding", **attributes})


def test_item_with_the_required_attributes_has_defaults() -> None:
    assert item() == PassItem(PassId.parse(KEY), "boarding")


def test_every_attribute_is_read() -> None:
    read = item(
        fields={"gate": "B22", "seat": Decimal(12), "departs": {"value": "x", "label": "DEPARTS"}},
        overrides={"logoText": "Acme", "maxDistance": Decimal("1.5")},
        voided=True,
        template_revision="abc",
        personalization={"fullName": "Ada"},
        authentication_token="t" * 16,
    )
    assert read.fields == {
        "gate": {"value": "B22"},
        "seat": {"value": 12},
        "departs": {"value": "x", "label": "DEPARTS"},
    }
    assert read.overrides == {"logoText": "Acme", "maxDistance": 1.5}
    assert (read.voided, read.template_revision, read.personalization) == (True, "abc", {"fullName": "Ada"})
    assert read.authentication_token == AuthenticationToken("t" * 16)


@given(st.integers(-(10**15), 10**15) | st.decimals(-1000, 1000, places=2))
def test_whole_numbers_become_int_and_others_float(number: Decimal | int) -> None:
    value = item(fields={"points": Decimal(number)}).fields["points"]["value"]
    assert value == float(number)
    assert isinstance(value, int if number == int(number) else float)


@pytest.mark.parametrize(
    "attribute", ["voided", "fields", "overrides", "template_revision", "personalization", "authentication_token"]
)
def test_null_in_place_of_an_attribute_means_absent(attribute: str) -> None:
    assert item(**{attribute: None}) == item()


def test_other_attributes_of_the_pipeline_are_ignored() -> None:
    assert item(customer={"name": "Ada"}, ttl=Decimal(5), raw=b"\0", tags={"a"}) == item()


@pytest.mark.parametrize(
    ("attributes", "attribute", "problem"),
    [
        ({"pass_id": None}, "pass_id", "is missing; write <passTypeIdentifier>/<serialNumber>"),
        ({"pass_id": Decimal(5)}, "pass_id", "is missing"),
        ({"pass_id": "no-slash"}, "pass_id", "must be <passTypeIdentifier>/<serialNumber>"),
        ({"template": None}, "template", "is missing; write the name of a template"),
        ({"template": ""}, "template", "is missing"),
        ({"template": "../secrets"}, "template", "'../secrets' is not a valid template name"),
        ({"voided": "true"}, "voided", "must be a BOOL, not S"),
        ({"voided": Decimal(1)}, "voided", "must be a BOOL, not N"),
        ({"template_revision": Decimal(1)}, "template_revision", "must be a string, not N"),
        ({"fields": []}, "fields", "must be a map, not L"),
        ({"fields": "x"}, "fields", "must be a map, not S"),
        ({"fields": {"gate": True}}, "fields.gate", "must be a string, a number, or a map"),
        ({"fields": {"gate": []}}, "fields.gate", "must be a string, a number, or a map"),
        ({"overrides": [1]}, "overrides", "must be a map, not L"),
        ({"personalization": "Ada"}, "personalization", "must be a map, not S"),
        ({"authentication_token": Decimal(1)}, "authentication_token", "must be a string"),
        ({"authentication_token": "short"}, "authentication_token", "has 5 characters"),
    ],
)
def test_message_names_the_item_the_attribute_and_the_problem(
    attributes: dict[str, object], attribute: str, problem: str
) -> None:
    with pytest.raises(ItemError) as refused:
        item(**attributes)
    assert refused.value.attribute == attribute
    assert problem in refused.value.problem
    assert f"attribute '{attribute}': " in str(refused.value)


def test_message_names_the_pass() -> None:
    with pytest.raises(ItemError, match=f"^pass item {KEY}: attribute 'voided'") as refused:
        item(voided=1)
    assert refused.value.pass_id == KEY


@pytest.mark.parametrize("value", [b"x", frozenset("a"), {Decimal(1)}], ids=["binary", "strings", "numbers"])
def test_type_that_json_does_not_have_is_refused_with_its_path(value: object) -> None:
    with pytest.raises(ItemError) as refused:
        item(overrides={"userInfo": {"a": ["b", value]}})
    assert refused.value.attribute == "overrides.userInfo.a[1]"


def test_invalid_token_is_refused_without_being_quoted() -> None:
    with pytest.raises(ItemError) as refused:
        item(authentication_token="s3cret s3cret s3cret")
    assert "s3cret" not in str(refused.value)


def test_key_is_read_without_the_rest_of_the_item() -> None:
    assert parse_pass_id({"pass_id": KEY}) == PassId.parse(KEY)


VISIBLE: dict[str, tuple[object, object]] = {
    "template": ("boarding", "coupon"),
    "fields": ({"gate": "A"}, {"gate": "B"}),
    "overrides": ({"logoText": "A"}, {"logoText": "B"}),
    "voided": (False, True),
}


@pytest.mark.parametrize("attribute", VISIBLE)
def test_device_sees_a_change_of_content(attribute: str) -> None:
    before, after = VISIBLE[attribute]
    old, new = item(**{attribute: before}), item(**{attribute: after})
    assert not old.same_content(new)
    assert not new.same_content(old)
    assert old.same_content(item(**{attribute: before}))


def test_device_does_not_see_another_authentication_token() -> None:
    """An installed pass keeps its token."""
    assert item().same_content(item(authentication_token="t" * 16))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, True),
        (None, "a", False),
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, True),
    ],
)
def test_template_revision_is_a_change_unless_it_was_overwritten(
    before: str | None, after: str | None, *, expected: bool
) -> None:
    """A pipeline that writes the whole item removes the revision, which this service had added."""
    assert item(template_revision=before).same_content(item(template_revision=after)) is expected


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, None, True),
        (None, {"fullName": "Ada"}, False),
        ({"fullName": "Ada"}, {"fullName": "Grace"}, True),
        ({"fullName": "Ada"}, None, True),
    ],
)
def test_personalization_is_a_change_when_it_is_added(before: object, after: object, *, expected: bool) -> None:
    """The pass does not show the data, but it asks for none from then on."""
    assert item(personalization=before).same_content(item(personalization=after)) is expected
