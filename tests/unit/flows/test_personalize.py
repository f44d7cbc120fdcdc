"""Tests of sign-ups, with tables in memory: what is stored and stamped, and what a refusal reveals."""

import json
import time
from dataclasses import dataclass, field
from typing import cast

import pytest
from cryptography.hazmat.primitives.serialization import pkcs7

from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.errors import RefusedError
from chalicelib.core.identifiers import PassId
from chalicelib.flows.authorize import UnauthorizedError
from chalicelib.flows.personalize import REFUSAL_SECONDS, Personalizer
from chalicelib.passes.builder import PassBuilder, TemplateSource
from chalicelib.passes.personalization import (
    AlreadyPersonalizedError,
    NotPersonalizableError,
    Personalization,
    PersonalizationError,
    PersonalizationToken,
)
from chalicelib.passes.template import Template
from chalicelib.settings import PersonalizeAuthorization
from chalicelib.telemetry.metrics import Metrics
from infra.local.certificates import DevelopmentChain
from tests.schedules.memory import Memory
from tests.support import samples

PASS_ID = PassId(samples.PASS_TYPE_IDENTIFIER, "S-1")
KEYS = AuthenticationKeys((AuthenticationKey("k", b"k" * 32),))
REWARDS = Template.parse(
    "rewards",
    {
        **samples.files_of("coupon"),
        "personalization.json": json.dumps(
            {"requiredPersonalizationFields": ["PKPassPersonalizationFieldName"], "description": "Join"}
        ).encode(),
        "personalizationLogo.png": samples.png(150, 40),
    },
)
PLAIN = Template.parse("plain", samples.files_of("coupon"))
SIGN_UP = Personalization(PersonalizationToken("dG9rZW4="), {"fullName": "Ada Lovelace"})
NAMELESS = Personalization(PersonalizationToken("dG9rZW4="), {"emailAddress": "ada@example.com"})
NOW = time.time()


class BothTemplates:
    def get(self, name: str, **_: object) -> Template:
        return {"rewards": REWARDS, "plain": PLAIN}[name]


@dataclass
class Stage:
    """A stage in memory, whose clock moves by what is slept and by `read_seconds` at each look."""

    chain: DevelopmentChain
    rows: Memory = field(default_factory=Memory)
    now: float = 0.0
    read_seconds: float = 0.05

    def personalizer(self, authorization: PersonalizeAuthorization = PersonalizeAuthorization.OPTIONAL) -> Personalizer:
        signer = samples.signer_of(self.chain)
        builder = PassBuilder(cast("TemplateSource", BothTemplates()), lambda _: signer)
        return Personalizer(
            self.rows.store(), KEYS, builder, authorization, Metrics("test"), clock=self.clock, sleep=self.sleep
        )

    def clock(self) -> float:
        self.now += self.read_seconds
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def has(self, template: str, **attributes: object) -> None:
        self.rows.items[PASS_ID] = {"pass_id": str(PASS_ID), "template": template, **attributes}

    def signs_up(
        self,
        personalization: Personalization = SIGN_UP,
        *,
        header: str | None = None,
        authorization: PersonalizeAuthorization = PersonalizeAuthorization.OPTIONAL,
    ) -> bytes:
        personalizer = self.personalizer(authorization)
        with personalizer.counting_refusals():
            return personalizer.personalize(
                pass_id=PASS_ID, authorization=header, personalization=personalization, now=NOW
            )


@pytest.fixture
def stage(chain: DevelopmentChain) -> Stage:
    return Stage(chain)


def right() -> str:
    return f"ApplePass {KEYS.issue(PASS_ID, item_token=None).value}"


def test_data_is_stored_the_pass_is_stamped_and_the_token_is_signed(stage: Stage) -> None:
    stage.has("rewards")
    signature = stage.signs_up()
    assert pkcs7.load_der_pkcs7_certificates(signature)
    assert stage.rows.items[PASS_ID]["personalization"] == {"fullName": "Ada Lovelace"}
    version = stage.rows.versions[PASS_ID]
    assert version.modified_at >= int(NOW)


@pytest.mark.parametrize("header", [None, "with the token"])
def test_second_sign_up_is_refused(stage: Stage, header: str | None) -> None:
    """Only who has the pass learns that it is personalized."""
    stage.has("rewards")
    stage.signs_up()
    expected: type[RefusedError] = UnauthorizedError if header is None else AlreadyPersonalizedError
    with pytest.raises(expected):
        stage.signs_up(header=header and right())
    assert stage.rows.items[PASS_ID]["personalization"] == {"fullName": "Ada Lovelace"}


@pytest.mark.parametrize(
    ("template", "personalization", "cause"),
    [
        (None, SIGN_UP, NotPersonalizableError),
        ("plain", SIGN_UP, NotPersonalizableError),
        ("rewards", NAMELESS, PersonalizationError),
    ],
)
def test_refusals_without_the_token_are_alike_and_take_the_same_time(
    stage: Stage, template: str | None, personalization: Personalization, cause: type[RefusedError]
) -> None:
    if template:
        stage.has(template)
    with pytest.raises(UnauthorizedError) as refused:
        stage.signs_up(personalization)
    assert isinstance(refused.value.__cause__, cause)
    assert stage.now == pytest.approx(REFUSAL_SECONDS + stage.read_seconds)
    assert PASS_ID not in stage.rows.versions


@pytest.mark.parametrize(
    ("template", "personalization", "error"),
    [("plain", SIGN_UP, NotPersonalizableError), ("rewards", NAMELESS, PersonalizationError)],
)
def test_refusal_with_the_token_says_why_at_once(
    stage: Stage, template: str, personalization: Personalization, error: type[RefusedError]
) -> None:
    stage.has(template)
    with pytest.raises(error):
        stage.signs_up(personalization, header=right())
    assert stage.now == pytest.approx(stage.read_seconds)


@pytest.mark.parametrize("header", [None, "ApplePass 0123456789abcdef0123456789abcdef"])
def test_sign_up_without_the_token_is_refused_where_it_is_required(stage: Stage, header: str | None) -> None:
    stage.has("rewards")
    with pytest.raises(UnauthorizedError):
        stage.signs_up(header=header, authorization=PersonalizeAuthorization.REQUIRED)
    assert "personalization" not in stage.rows.items[PASS_ID]
    assert stage.signs_up(header=right(), authorization=PersonalizeAuthorization.REQUIRED)


def test_reason_of_a_refusal_is_logged_and_counted_but_not_answered(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    stage.has("plain")
    with pytest.raises(UnauthorizedError):
        stage.signs_up()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["reason"] for line in lines if line.get("event") == "personalization_refused"] == [
        "not_personalizable"
    ]
    assert any(line.get("Reason") == "not_personalizable" and "PersonalizationsRefused" in line for line in lines)
