"""Signing up with a pass, as a stranger tries it: what is signed, and what a refusal tells."""

import json
import secrets
import subprocess
import time
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path

import pytest

from chalicelib.core.identifiers import PassId
from infra.local.run import LocalRun
from tests.conftest import Issuer, Pipeline
from tests.support.in_process import Answer, InProcess

PERSONALIZE = "/v1/passes/{pass_type_identifier}/{serial_number}/personalize"
INFO = {"fullName": "Ada Lovelace", "emailAddress": "ada@example.com"}
TOKEN = "dG9rZW4="


class SignUp:
    """Calls of one pass type's `personalize`."""

    def __init__(self, service: InProcess, pipeline: Pipeline, issuer: Issuer) -> None:
        self.service, self._pipeline, self._issuer = service, pipeline, issuer

    def writes(self, **attributes: object) -> PassId:
        return self._pipeline.writes(secrets.token_hex(8), **{"template": "rewards", **attributes})

    def posts(
        self,
        pass_id: PassId,
        *,
        token: str = TOKEN,
        info: object = INFO,
        authorization: str | None = None,
        content_type: str = "application/json",
    ) -> Answer:
        headers = {"Content-Type": content_type}
        if authorization is not None:
            headers["Authorization"] = authorization
        body = json.dumps({"personalizationToken": token, "requiredPersonalizationInfo": info}).encode()
        return self.service.calls(
            "POST", PERSONALIZE, pass_id.pass_type_identifier, pass_id.serial_number, headers=headers, body=body
        )

    def right(self, pass_id: PassId) -> str:
        return f"ApplePass {self._issuer.token(pass_id)}"


@pytest.fixture
def sign_up(stack: LocalRun, pipeline: Pipeline, issuer: Issuer) -> SignUp:
    return SignUp(InProcess(stack), pipeline, issuer)


def test_a_forged_manifest_is_not_signed(
    sign_up: SignUp, stack: LocalRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A signature of its manifest is all that a forged pass needs, so no caller may get one."""
    forged = json.dumps({"passTypeIdentifier": stack.pass_type_identifier, "serialNumber": "FREE-FLIGHTS"}).encode()
    manifest = json.dumps({"pass.json": sha1(forged).hexdigest()})  # noqa: S324 - what Wallet wants
    answer = sign_up.posts(sign_up.writes(), token=manifest)
    if answer.status == 200:
        (tmp_path / "manifest.json").write_text(manifest)
        (tmp_path / "signature").write_bytes(answer.body)
        verified = subprocess.run(
            [
                *("openssl", "cms", "-verify", "-inform", "DER", "-in", tmp_path / "signature", "-binary"),
                *("-content", tmp_path / "manifest.json", "-CAfile", stack.certificates["root"], "-purpose", "any"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        pytest.fail(f"signed: {verified.stdout} {verified.stderr}")
    assert (answer.status, answer.json()["Code"]) == (400, "BadRequestError")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (logged,) = [line for line in lines if line.get("event") == "personalization_refused"]
    assert logged["reason"] == "token"
    (counted,) = [line for line in lines if "PersonalizationsRefused" in line]
    assert (counted["PersonalizationsRefused"], counted["Reason"]) == (1, "token")


@pytest.mark.parametrize("token", ["\ud800", "", "a b", "ä" * 8, "{", "x" * 1025])
def test_a_token_that_must_not_be_signed_is_a_bad_request(sign_up: SignUp, token: str) -> None:
    assert sign_up.posts(sign_up.writes(), token=token).status == 400


def test_without_the_passes_token_every_refusal_is_the_same(sign_up: SignUp) -> None:
    """Neither status, body, headers nor time tell which passes exist, and which of them are personalized."""
    personalized = sign_up.writes()
    assert sign_up.posts(personalized).status == 200
    refused: dict[str, Callable[[], Answer]] = {
        "unknown": lambda: sign_up.posts(PassId(personalized.pass_type_identifier, "unknown")),
        "not personalizable": lambda: sign_up.posts(sign_up.writes(template="boarding")),
        "already": lambda: sign_up.posts(personalized),
        "not all that it asks for": lambda: sign_up.posts(sign_up.writes(), info={"fullName": "Ada"}),
        "no template": lambda: sign_up.posts(sign_up.writes(template="none-of-ours")),
        "malformed item": lambda: sign_up.posts(sign_up.writes(fields="none")),
        "wrong token": lambda: sign_up.posts(sign_up.writes(), authorization="ApplePass " + "0" * 32),
        "wrong token of an unknown pass": lambda: sign_up.posts(
            PassId(personalized.pass_type_identifier, "unknown"), authorization="ApplePass " + "0" * 32
        ),
        "other scheme": lambda: sign_up.posts(sign_up.writes(), authorization="Bearer " + "0" * 32),
    }
    answers: dict[str, tuple[object, ...]] = {}
    for name, call in refused.items():
        started = time.perf_counter()
        answer = call()
        took = time.perf_counter() - started
        assert took > 0.2, name
        answers[name] = (answer.status, answer.body, sorted(answer.headers.items()))
    assert len(set(map(repr, answers.values()))) == 1, answers
    assert answers["unknown"][0] == 401


def test_with_the_passes_token_the_error_says_what_is_wrong(sign_up: SignUp) -> None:
    boarding, personalized, asked = sign_up.writes(template="boarding"), sign_up.writes(), sign_up.writes()
    assert sign_up.posts(personalized, authorization=sign_up.right(personalized)).status == 200
    assert sign_up.posts(boarding, authorization=sign_up.right(boarding)).status == 404
    assert sign_up.posts(personalized, authorization=sign_up.right(personalized)).status == 409
    incomplete = sign_up.posts(asked, info={"fullName": "Ada"}, authorization=sign_up.right(asked))
    assert (incomplete.status, incomplete.json()["Message"]) == (
        400,
        "requiredPersonalizationInfo: the pass requires emailAddress; add it",
    )


def test_a_stage_can_refuse_every_sign_up_without_the_passes_token(
    stack: LocalRun, pipeline: Pipeline, issuer: Issuer
) -> None:
    strict = SignUp(InProcess(stack, PASSWIRE_PERSONALIZE_AUTHORIZATION="required"), pipeline, issuer)
    pass_id = strict.writes()
    assert strict.posts(pass_id).status == 401
    assert strict.posts(pass_id, authorization=strict.right(pass_id)).status == 200


def test_a_body_is_read_whatever_its_media_type_is_called(sign_up: SignUp) -> None:
    assert sign_up.posts(sign_up.writes(), content_type="text/plain").status == 200
