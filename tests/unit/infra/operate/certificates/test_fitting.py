"""Tests of selecting a pass type's credentials and validating that they match."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509 import Certificate

from chalicelib.aws.secrets import PassTypeSecret
from chalicelib.core.errors import ConfigurationError
from infra.local.certificates import LIFETIME, DevelopmentChain, Portal
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import ApnsKey, Material
from infra.operate.certificates.fitting import Fitting, fit, pem_of

PASS_TYPE, TEAM = "pass.com.acme.boarding", "ACMETEAM01"


@dataclass(frozen=True)
class Issued:
    """A portal, a key, and the certificate that the portal issued for it."""

    portal: Portal
    key: rsa.RSAPrivateKey
    certificate: Certificate

    @property
    def intermediate(self) -> Certificate:
        return self.portal.intermediate.certificate

    def material(self) -> Material:
        return Material(certificates=[self.certificate, self.intermediate], keys=[self.key])

    def select(
        self, material: Material, *, kept: list[rsa.RSAPrivateKey] | None = None, current: PassTypeSecret | None = None
    ) -> Fitting:
        return fit(PASS_TYPE, material, kept_keys=kept or [], current=current, now=datetime.now(UTC))


@pytest.fixture(scope="module")
def issued(portal: Portal, rsa_key: rsa.RSAPrivateKey) -> Issued:
    certificate = portal.issue(rsa_key.public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    return Issued(portal, rsa_key, certificate)


@pytest.fixture(scope="module")
def other_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def apns_key(chain: DevelopmentChain) -> ApnsKey:
    return ApnsKey("ABCDE12345", Path(chain.provider_key).read_text())


def test_matching_certificate_key_and_intermediate_are_selected(issued: Issued, other_key: rsa.RSAPrivateKey) -> None:
    material = issued.material()
    material.keys.insert(0, other_key)
    fitting = issued.select(material)
    assert fitting.signer.team_identifier == TEAM
    assert fitting.secret.private_key == pem_of(issued.key)
    assert fitting.secret.apns is None


def test_kept_key_is_used_if_the_files_contain_none(issued: Issued, other_key: rsa.RSAPrivateKey) -> None:
    material = Material(certificates=[issued.certificate, issued.intermediate])
    assert issued.select(material, kept=[other_key, issued.key]).secret.private_key == pem_of(issued.key)
    with pytest.raises(CertificateError, match="the certificate's private key is missing"):
        issued.select(material)


def test_current_secret_supplies_what_the_files_lack(issued: Issued, apns_key: ApnsKey) -> None:
    current = issued.select(issued.material()).secret
    with_key = issued.select(Material(apns_keys=[apns_key]), kept=[issued.key], current=current).secret
    assert (with_key.certificate, with_key.private_key, with_key.intermediate) == (
        current.certificate,
        current.private_key,
        current.intermediate,
    )
    assert with_key.apns is not None
    assert (with_key.apns.team_identifier, with_key.apns.key_id) == (TEAM, "ABCDE12345")
    assert issued.select(issued.material(), current=with_key).secret.apns == with_key.apns


def test_material_without_a_certificate_is_refused(issued: Issued) -> None:
    with pytest.raises(CertificateError, match="the files contain no pass type certificate"):
        issued.select(Material(keys=[issued.key]))


def test_several_certificates_or_apns_keys_are_refused(issued: Issued, apns_key: ApnsKey) -> None:
    material = issued.material()
    renewed = issued.portal.issue(issued.key.public_key(), pass_type_identifier=PASS_TYPE, team_identifier=TEAM)
    material.certificates.append(renewed)
    with pytest.raises(CertificateError, match="the files contain several pass type certificates"):
        issued.select(material)
    material = issued.material()
    material.apns_keys = [apns_key, ApnsKey("OTHERKEY01", apns_key.private_key)]
    with pytest.raises(CertificateError, match="several APNs keys: ABCDE12345, OTHERKEY01; give one at a time"):
        issued.select(material)


def test_same_certificate_given_twice_is_accepted(issued: Issued) -> None:
    material = issued.material()
    material.certificates.append(issued.certificate)
    assert issued.select(material).signer.pass_type_identifier == PASS_TYPE


def test_certificate_of_another_pass_type_is_refused(issued: Issued) -> None:
    with pytest.raises(CertificateError, match=f"belongs to pass type {PASS_TYPE}, not to pass.com.acme.other; give"):
        fit("pass.com.acme.other", issued.material(), kept_keys=[], current=None, now=datetime.now(UTC))


def test_key_of_another_certificate_is_refused(issued: Issued, other_key: rsa.RSAPrivateKey) -> None:
    material = issued.material()
    material.keys = [other_key]
    with pytest.raises(ConfigurationError, match="private key"):
        issued.select(material)


def test_expired_certificate_is_refused(issued: Issued) -> None:
    later = datetime.now(UTC) + LIFETIME + timedelta(days=1)
    with pytest.raises(ConfigurationError, match="is valid from"):
        fit(PASS_TYPE, issued.material(), kept_keys=[], current=None, now=later)
