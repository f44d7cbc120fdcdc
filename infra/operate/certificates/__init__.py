"""Certificates: reads them from files of any form, validates that they match, and stores them in Secrets Manager.

`AppleWWDRCAG4.pem` is Apple's public intermediate certificate, which has issued all pass type certificates since 2022
(apple.com/certificateauthority, "Worldwide Developer Relations - G4"); it expires in December 2030.
"""

from chalicelib.core.errors import PasswireError


class CertificateError(PasswireError):
    """A file cannot be read, or credentials do not match; nothing was stored. The message says what to do."""
