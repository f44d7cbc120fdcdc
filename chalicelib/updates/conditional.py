"""Conditional requests: validators, HTTP dates and the decision for 304 (RFC 9110, sections 5.6.7, 8.8 and 13)."""

from dataclasses import dataclass
from datetime import UTC
from email.utils import formatdate, parsedate_to_datetime

from chalicelib.updates.protocol import Version


@dataclass(frozen=True, slots=True)
class Validators:
    """Validators of a response, by which a device asks later whether its pass has changed.

    Args:
        last_modified: time of the stamp as an IMF-fixdate.
        etag: weak entity tag: the bytes of a pass differ between downloads in the signing time.
    """

    last_modified: str
    etag: str

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response, by name."""
        return {"Last-Modified": self.last_modified, "ETag": self.etag}


def validators_of(version: Version) -> Validators:
    """Return the validators of a pass's content in this version."""
    return Validators(
        last_modified=formatdate(version.modified_at, usegmt=True),
        etag=f'W/"{version.modified_at}-{version.revision}"',
    )


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditional headers of a request, unparsed; None for a header that is absent."""

    if_none_match: str | None = None
    if_modified_since: str | None = None

    def not_modified(self, version: Version) -> bool:
        """Tell whether the device has this version: by `If-None-Match` if present, else by `If-Modified-Since`.

        An invalid date is ignored (RFC 9110, section 13.1.3): devices are known to send `(null)`.
        """
        if self.if_none_match is not None:
            listed = [_opaque(tag) for tag in self.if_none_match.split(",")]
            return "*" in listed or _opaque(validators_of(version).etag) in listed
        since = _epoch_seconds(self.if_modified_since) if self.if_modified_since is not None else None
        return since is not None and version.modified_at <= since

    def certainly_older(self, version: Version) -> bool:
        """Tell whether the device certainly has an older version, or none. Only then may it get this version although
        the newest was not read. An entity tag alone does not tell which version is older.
        """
        if self.if_none_match is None and self.if_modified_since is None:
            return True
        since = _epoch_seconds(self.if_modified_since) if self.if_modified_since is not None else None
        return since is not None and since < version.modified_at and not self.not_modified(version)


def _opaque(etag: str) -> str:
    """Return the part of an entity tag that a weak comparison compares (RFC 9110, section 8.8.3.2)."""
    return etag.strip().removeprefix("W/")


def _epoch_seconds(http_date: str) -> int | None:
    try:
        parsed = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, OverflowError, IndexError):
        # `email.utils` raises IndexError for punctuation alone, OverflowError for a year or zone with 20 digits.
        return None
    # A date without a zone, as asctime writes it, is in GMT (RFC 9110, section 5.6.7).
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp())
