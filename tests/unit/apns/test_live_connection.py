"""Tests of the causes that end a connection. The connections themselves are in test_client.py."""

import ssl

import pytest

from chalicelib.apns.live_connection import EndedError, connect, ending_of
from chalicelib.apns.reasons import OutcomeKind


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower()}")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason", "final"),
    [
        (ssl.SSLCertVerificationError(1, "self-signed certificate"), "UntrustedServer", True),
        (tls_error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), "CertificateRefused", True),
        (tls_error("SSLV3_ALERT_HANDSHAKE_FAILURE"), "Unreachable", False),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), "Unreachable", False),
        (tls_error("NO_CERTIFICATE_ASSIGNED"), "Unreachable", False),  # of this side, not an alert of the peer
        (ConnectionRefusedError(), "Unreachable", False),
        (TimeoutError(), "Unreachable", False),
        (None, "Unreachable", False),
    ],
    ids=str,
)
def test_only_errors_of_certificates_end_all_attempts(error: OSError | None, reason: str, *, final: bool) -> None:
    ending = ending_of(error, otherwise="Unreachable")
    assert (ending.reason, ending.final) == (reason, final)
    assert (ending.kind is OutcomeKind.CONFIGURATION) == final


def test_nothing_is_tried_after_the_deadline() -> None:
    with pytest.raises(EndedError) as raised:
        connect("127.0.0.1", 9, ssl.create_default_context(), timer=lambda: 10.0, deadline=9.0)
    assert raised.value.ending.reason == "Deadline"
