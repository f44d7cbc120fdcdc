"""Tests of pass type identifiers on the command line."""

import pytest

from infra.operate.certificates import CertificateError
from infra.operate.certificates.stage import check_pass_type


@pytest.mark.parametrize("name", ["pass.com.acme", "pass.com.acme.boarding-2"])
def test_pass_type_identifier_is_accepted(name: str) -> None:
    assert check_pass_type(name) == name


@pytest.mark.parametrize(
    "name", ["", "com.acme", "pass.", "pass.com/acme", "pass.com acme", "pass.com.acme\n", "pass.é"]
)
def test_other_text_is_refused(name: str) -> None:
    with pytest.raises(CertificateError, match=r"write it like pass\.com\.acme\.boarding"):
        check_pass_type(name)
