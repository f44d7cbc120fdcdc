"""Conditional requests: HTTP dates, validators, and when the answer is 304 (RFC 9110, sections 5.6.7, 8.8 and 13)."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from chalicelib.updates.protocol import Version


@dataclass(frozen=True, slots=True)
class Validators:
    """What a response names its content by.

    Args:
        last_modified: IMF-fixdate of the stamp.
        etag: weak, because two signatures of the same pass differ in their signing time.
    """

    last_modified: str
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Last-Modified": self.last_modified, "ETag": self.etag}


def validators_of(version: Version) -> Validators:
    """The validators of a pass's content as of this version."""
    return Validators(
        last_modified=formatdate(version.modified_at, usegmt=True),
        etag=f'W/"{version.modified_at}-{version.revision}"',
    )


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditional headers of a request, as they came; None where one is absent."""

    if_none_match: str | None = None
    if_modified_since: str | None = None

    def not_modified(self, version: Version) -> bool:
        """Whether the device has this version: `If-None-Match` decides where it is sent, else `If-Modified-Since`.

        A date that cannot be read counts as absent (RFC 9110, section 13.1.3): devices were seen to send `(null)`.
        """
        if self.if_none_match is not None:
            listed = [_opaque(tag) for tag in self.if_none_match.split(",")]
            return "*" in listed or _opaque(validators_of(version).etag) in listed
        since = _epoch_seconds(self.if_modified_since) if self.if_modified_since is not None else None
        return since is not None and version.modified_at <= since


def _opaque(etag: str) -> str:
    """What a weak comparison compares (RFC 9110, section 8.8.3.2)."""
    return etag.strip().removeprefix("W/")


def _epoch_seconds(http_date: str) -> int | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, OverflowError, IndexError):
        return (
            None  # IndexError: `email.utils` on what is only punctuation; OverflowError: on a year or zone of 20 digits
        )
    # A date without a zone, as asctime writes it, is in GMT (RFC 9110, section 5.6.7).
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
