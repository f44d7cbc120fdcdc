"""Recent answers: what an execution environment may still answer from a version that it has read a moment ago.

Theory of operation
-------------------
When a pass on many devices changes, each of them reads the same two rows, the version and the item, and DynamoDB serves
one row 3,000 times per second. So an execution environment keeps the version of a *widely held* pass, and the signed
pass of that version, for `CACHE_SECONDS`. Each environment has a cache of its own and answers one request at a time, so
the rows are read once per environment and second at most, however many phones ask.

A pass is widely held if a fan-out was begun for it, which its version row says (`Version.fanned_out`). That is set
before the first push of the fan-out and never removed.

Four rules keep the promise of the update protocol.

1. *A kept answer may say "changed", never "nothing changed".* A list call names a pass from the cache only if the kept
   version is later than the tag; otherwise it reads the rows. A download is answered from the cache only if the device
   certainly has an older version (`Conditions.certainly_older`), never with 304.
2. *A push for a widely held pass starts later than an answer can be kept.* It is always a fan-out that notifies its
   devices, also if few are left, and also after a recheck. The fan-out begins `PUSH_DELAY_SECONDS` after the stamp was
   committed or later: SQS delays its message.
3. *The age is counted from before the read*, by the wall clock and the monotonic clock, and the longer time counts.
   Lambda freezes environments, which may stop the monotonic clock; the wall clock may be set back. Both within the
   same second, by more than a second each, are outside the bounds of this protocol.
4. *The tag of a list call is as old as the oldest version that it used*: `as_of` is the time before that was read.

Why no update is lost. Let a stamp V be committed at time c. An environment that has an older version in its cache has
read it before c, so it does not use it after c + `CACHE_SECONDS` (rule 3; no clocks of two machines are compared). A
row that was widely held before c is so at the stamp. So the function that stamps V sees it, and the pushes of V start
later (rule 2). A phone that is pushed to because of V therefore lists and downloads V or something newer. The push that
a registration requests is not delayed: if it comes while an older version may still be kept, the fan-out of V has not
read the registrations yet, and notifies the device once more.

A phone that calls by itself between c and the push may get the older version once more, and never a 204 or 304 in place
of V (rule 1). Its next list call names V: the tag of the call before is not later than a read that did not see V, minus
W (rule 4), as without a cache. And V's push to it is still to come.

Duplicates, retries and crashes only add pushes, and later ones. An environment that is killed takes its cache with it.
A change during the life of a kept answer is the case above. Clocks that differ between machines do not matter, because
an age is measured by one machine, and the delay of a push by SQS.
"""

import hmac
from dataclasses import dataclass, field

from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.protocol import Tag, Version

CACHE_SECONDS = 1.0
"""For how long an answer is kept."""
PUSH_DELAY_SECONDS = 2
"""Delay of the pushes for a widely held pass; whole seconds, as SQS delays messages, longer than `CACHE_SECONDS`."""
MAX_PASSES = 8
"""Passes whose answers an environment keeps at once. A rollout of more passes reads each of them less often."""


@dataclass(frozen=True, slots=True)
class RecentPass:
    """A signed pass.

    Args:
        pkpass: the archive.
        token: the authentication token that it contains.
        web_service_url: that it contains.
        template: name of the item's template.
    """

    pkpass: bytes = field(repr=False)
    token: AuthenticationToken
    web_service_url: str
    template: str


@dataclass(frozen=True, slots=True)
class RecentVersion:
    """A version that was read a moment ago.

    Args:
        version: of the pass.
        as_of: epoch seconds before it was read.
        signed: the pass in this version; None if only the version was read.
    """

    version: Version
    as_of: float
    signed: RecentPass | None = None

    def is_after(self, tag: Tag | None) -> bool:
        """Tell whether a list call with this tag names the pass. If not, the rows must be read."""
        return tag is None or self.version.modified_at > tag.seconds

    def for_device(
        self, presented: AuthenticationToken, conditions: Conditions, *, web_service_url: str
    ) -> RecentPass | None:
        """Return the signed pass if it answers this download; None if the rows must be read.

        Args:
            presented: the authentication token of the request.
            conditions: the conditional headers of the request.
            web_service_url: that the pass must contain.
        """
        signed = self.signed
        if signed is None or signed.web_service_url != web_service_url:
            return None
        same_token = hmac.compare_digest(signed.token.value.encode(), presented.value.encode())
        return signed if same_token and conditions.certainly_older(self.version) else None


def can_be_kept(version: Version | None) -> bool:
    """Tell whether answers from this version may be kept: only of a widely held pass, whose pushes are delayed."""
    return version is not None and version.fanned_out and not version.deleted
