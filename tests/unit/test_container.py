"""Tests of what an execution environment is built from."""

import pytest

from chalicelib.aws.secrets import PassTypeSecret, Secrets
from chalicelib.container import Services
from chalicelib.core.errors import ConfigurationError
from infra.local.certificates import DevelopmentChain
from tests.support import samples

OTHER_TYPE = "pass.com.example.other"


class SampleSecrets(Secrets):
    """Source of the same credentials for every pass type, as after an import under a wrong name."""

    def __init__(self, chain: DevelopmentChain) -> None:
        super().__init__(stage="none")
        self._chain = chain

    def pass_type(self, pass_type_identifier: str) -> PassTypeSecret:
        assert pass_type_identifier
        chain = self._chain
        return PassTypeSecret(
            certificate=chain.pass_type_certificate.read_text(),
            private_key=chain.pass_type_key.read_text(),
            intermediate=chain.intermediate.read_text(),
        )


def test_signer_of_another_pass_type_is_refused(chain: DevelopmentChain) -> None:
    """It is validated where it is handed out, so the rule covers passes and personalization tokens."""
    services = Services()
    services.secrets = SampleSecrets(chain)
    assert services.signer_for(samples.PASS_TYPE_IDENTIFIER).pass_type_identifier == samples.PASS_TYPE_IDENTIFIER
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=f"{OTHER_TYPE}: its certificate belongs to pass type"):
            services.signer_for(OTHER_TYPE)
