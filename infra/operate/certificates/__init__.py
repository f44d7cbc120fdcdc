"""A team's certificates: read from whatever files it has, checked to fit together, kept in Secrets Manager.

`AppleWWDRCAG4.pem` is Apple's public intermediate, which issues all pass type certificates since 2022
(apple.com/certificateauthority, "Worldwide Developer Relations - G4"); it ends in December 2030.
"""

from chalicelib.core.errors import PasswireError


class CertificateError(PasswireError):
    """A file cannot be read, or something does not fit: nothing was stored. The message says what to do."""
