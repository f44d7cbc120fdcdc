"""Generated requests of the OpenAPI description through the gateway of the local run, for a bounded number."""

import secrets

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.described_api import OPERATIONS, Case, Valid, valid_in

EXAMPLES = 10
"""For each operation and mode: a request through the gateway takes about 50 ms."""
OF_THE_GATEWAY = frozenset({400, 403, 404, 405, 414, 429, 431})
"""Answers to requests that it does not hand on, such as a path with `%2F`, which AWS's gateway does hand on."""


@pytest.mark.parametrize("label", OPERATIONS)
def test_every_answer_of_the_gateway_is_described(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer, serial_number: str, label: str
) -> None:
    pass_id = pipeline.writes(serial_number, fields={"gate": "A7"})
    valid = Valid(secrets.token_hex(16), pass_id, issuer.token(pass_id), issuer.link_token(pass_id))
    operation = OPERATIONS[label]
    described = {int(status) for status in operation.definition.raw["responses"]} | OF_THE_GATEWAY

    for mode in schemathesis.GenerationMode:

        @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True)
        @given(operation.as_strategy(generation_mode=mode), st.sets(st.sampled_from(sorted(valid.names))))
        def try_it(case: Case, parts: set[str]) -> None:
            valid_in(case, valid, parts)
            answer = case.call(base_url=stack.api_url)
            assert answer.status_code in described, (case.method, answer.status_code, answer.content[:200])

        try_it()
    pipeline.deletes(pass_id)
