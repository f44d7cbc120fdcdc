"""CloudFormation's expressions in documents."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from infra.deploy.expressions import MARK, filled_in, found_in, is_expression, name_of, output_of, replaced
from infra.stage.stage import INTERNAL_OUTPUT_PREFIX

expressions = st.sampled_from(
    [{"Ref": "Stage"}, {"Fn::Sub": "passwire-${Stage}"}, {"Fn::If": ["HasDomain", {"Ref": "DomainName"}, ""]}]
)
documents: st.SearchStrategy[Any] = st.recursive(
    st.text(max_size=3) | st.integers() | st.booleans() | expressions,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@given(documents)
def test_filled_in_document_contains_no_expression(document: Any) -> None:  # noqa: ANN401 - JSON
    values = {name_of(expression): MARK + "value" for expression in found_in(document)}
    assert list(found_in(filled_in(document, values))) == []


@given(documents)
def test_document_without_replacements_is_unchanged(document: Any) -> None:  # noqa: ANN401 - JSON
    assert replaced(document, lambda expression: expression) == document


def test_only_the_outermost_expression_is_found() -> None:
    outer = {"Fn::If": ["HasDomain", {"Ref": "DomainName"}, ""]}
    assert list(found_in({"a": [outer, "text"]})) == [outer]


def test_dictionary_with_another_key_is_not_an_expression() -> None:
    assert not is_expression({"Ref": "Stage", "other": 1})
    assert not is_expression({"Reference": "Stage"})
    assert not is_expression({})


def test_output_has_a_value_that_is_never_empty() -> None:
    assert output_of({"Ref": "ApnsCa"}) == {"Value": {"Fn::Join": ["", [MARK, {"Ref": "ApnsCa"}]]}}
    assert name_of({"Ref": "ApnsCa"}).startswith(INTERNAL_OUTPUT_PREFIX)
    assert name_of({"Ref": "ApnsCa"}) != name_of({"Ref": "ApnsUrl"})
