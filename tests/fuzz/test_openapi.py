"""The OpenAPI description has the routes of app.py, and the app answers generated requests as described.

Requests become events of API Gateway, with tables in memory, so that there are many. The same description is tested
through the gateway of the local run in `tests/stack/http/test_openapi.py`.
"""

import json
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.described_api import CHECKS, DESCRIPTION, METHODS, OPERATIONS, Case, Valid, valid_in
from tests.support.memory_app import DEVICE, LINK, PASS, TOKEN, MemoryApp
from tests.support.wsgi_app import WsgiApp

EXAMPLES = 60
VALID = Valid(device=DEVICE, pass_id=PASS, token=TOKEN, link=LINK)


@pytest.fixture(scope="module")
def memory_app(tmp_path_factory: pytest.TempPathFactory) -> MemoryApp:
    folder: Path = tmp_path_factory.mktemp("memory")
    return MemoryApp(folder)


def test_routes_are_those_of_the_app(memory_app: MemoryApp) -> None:
    described = {
        (path, name.upper()) for path, item in DESCRIPTION["paths"].items() for name in item if name in METHODS
    }
    routes = {(path, method) for path, methods in memory_app.app.app.routes.items() for method in methods}
    assert described == routes


@pytest.mark.parametrize("label", OPERATIONS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda mode: str(mode.value))
def test_every_answer_is_described(memory_app: MemoryApp, label: str, mode: schemathesis.GenerationMode) -> None:
    wsgi = WsgiApp(memory_app)
    memory_app.starts_over()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(OPERATIONS[label].as_strategy(generation_mode=mode), st.sets(st.sampled_from(sorted(VALID.names))))
    def try_it(case: Case, parts: set[str]) -> None:
        valid_in(case, VALID, parts)
        case.call_and_validate(app=wsgi, checks=CHECKS)
        for line in wsgi.logged.splitlines():
            json.loads(line)

    try_it()
