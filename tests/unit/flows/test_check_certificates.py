"""Tests of the daily measurement of certificates: pass types do not affect each other."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib.aws.secrets import Secrets, SecretsError
from chalicelib.aws.tables.connection import StoreError
from chalicelib.core.errors import ConfigurationError
from chalicelib.flows.check_certificates import WARNING_DAYS, CertificateExpiry, NoteEvent
from chalicelib.passes.signing import Signer
from chalicelib.telemetry.metrics import Metrics
from chalicelib.updates.events import EventNote
from infra.local.certificates import LIFETIME, DevelopmentChain
from infra.local.run import PASS_TYPE_IDENTIFIER

NOW = datetime.now(UTC)


class Listed(Secrets):
    """Lists the given pass types."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(stage="test")
        self._names = names

    def pass_types(self) -> list[str]:
        return self._names


def measured(capsys: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Read days left by pass type from the metrics."""
    lines = map(json.loads, capsys.readouterr().out.splitlines())
    return {line["PassTypeIdentifier"]: line["CertificateDaysLeft"] for line in lines if "_aws" in line}


def no_note(note: EventNote, *, at: float, interval_seconds: int) -> bool:
    return bool(note and at and interval_seconds)


def certificate_expiry(
    chain: DevelopmentChain, broken: Mapping[str, Exception], note: NoteEvent = no_note
) -> CertificateExpiry:
    """Make a measurement of pass types whose secrets raise these errors, and of a valid one after them."""
    good = Signer.from_pem(
        certificate=chain.pass_type_certificate.read_text(),
        private_key=chain.pass_type_key.read_text(),
        intermediate=chain.intermediate.read_text(),
    )

    def signer_for(pass_type_identifier: str) -> Signer:
        if error := broken.get(pass_type_identifier):
            raise error
        return good

    return CertificateExpiry(Listed([*broken, PASS_TYPE_IDENTIFIER]), Metrics("test"), signer_for, note)


@pytest.mark.parametrize(
    "error",
    [
        ConfigurationError("its private key is not the certificate's"),
        ValueError("error parsing asn1 value"),
        AttributeError("get"),
        RecursionError(),
    ],
)
def test_damaged_certificate_counts_as_expired_and_others_are_measured(
    chain: DevelopmentChain, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    certificate_expiry(chain, {"pass.a.damaged": error}).measure(NOW)
    assert measured(capsys) == {"pass.a.damaged": 0, PASS_TYPE_IDENTIFIER: LIFETIME.days - 1}


def test_message_of_unexpected_error_is_not_logged(chain: DevelopmentChain, capsys: pytest.CaptureFixture[str]) -> None:
    """The message may contain the secret."""
    certificate_expiry(chain, {"pass.a.damaged": ValueError("-----BEGIN PRIVATE KEY-----")}).measure(NOW)
    logged = capsys.readouterr().out
    assert "PRIVATE KEY" not in logged
    assert '"event":"certificate_unusable"' in logged
    assert "ValueError" in logged


def test_error_of_secrets_manager_is_raised_after_the_others_are_measured(
    chain: DevelopmentChain, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SecretsError, match="throttled"):
        certificate_expiry(chain, {"pass.a.throttled": SecretsError("throttled")}).measure(NOW)
    assert measured(capsys) == {PASS_TYPE_IDENTIFIER: LIFETIME.days - 1}


@pytest.mark.parametrize(("days_left", "noted"), [(WARNING_DAYS + 1, False), (WARNING_DAYS, True), (1, True)])
def test_certificate_that_ends_soon_is_an_event(chain: DevelopmentChain, *, days_left: int, noted: bool) -> None:
    notes: list[EventNote] = []

    def note(note: EventNote, *, at: float, interval_seconds: int) -> bool:
        assert at > 0 < interval_seconds < 86_400
        notes.append(note)
        return True

    certificate_expiry(chain, {}, note).measure(NOW + LIFETIME - timedelta(days=days_left, hours=12))
    assert [n.detail for n in notes] == (
        [{"pass_type_identifier": PASS_TYPE_IDENTIFIER, "days_left": days_left}] if noted else []
    )


def test_event_that_is_not_written_is_written_by_the_next_attempt(chain: DevelopmentChain) -> None:
    """Lambda repeats the check; the other pass types are measured meanwhile."""

    def note(note: EventNote, *, at: float, interval_seconds: int) -> bool:
        raise StoreError(f"DynamoDB is away: {note.name} {at} {interval_seconds}")

    with pytest.raises(StoreError):
        certificate_expiry(chain, {"pass.broken": ConfigurationError("damaged")}, note).measure(NOW)
