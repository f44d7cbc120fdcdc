"""Secrets that are not in their form: one sentence that names the secret and shows nothing of it."""

import json

import pytest

from chalicelib.aws.secrets import Secrets
from chalicelib.core.errors import ConfigurationError
from tests.support.aws_refusing import answering

HIDDEN = "hidden-value-of-the-secret"


@pytest.mark.parametrize(
    "text",
    [
        HIDDEN,
        json.dumps([HIDDEN]),
        json.dumps(HIDDEN),
        json.dumps({"certificate": HIDDEN}),
        json.dumps({"certificate": "", "private_key": "", "intermediate": "", "apns": HIDDEN}),
        json.dumps({"certificate": "", "private_key": "", "intermediate": "", "apns": [HIDDEN]}),
        "[" * 100_000,
        "",
        None,
    ],
)
def test_a_damaged_secret_is_a_configuration_error(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"SecretString": text} if text is not None else {"SecretBinary": "AAAA"}
    for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "eu-central-1")
    with answering(json.dumps(answer), status=200) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        with pytest.raises(ConfigurationError, match=r"secret passwire/test/pass-types/pass.com.acme") as refused:
            Secrets(stage="test").pass_type_with_apns("pass.com.acme")
    assert HIDDEN not in str(refused.value)
