"""Notifications that APNs keeps for a device while it is not connected.

Apple, "Sending notification requests to APNs": APNs stores a notification until its `apns-expiration`, and not at all
if that is 0. Apple, "APNs Overview", "Quality of Service": of several notifications for one app it keeps the latest;
for passes, the topic (the pass type) is the app.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class WaitingPushes:
    """The notifications that wait for one device.

    Args:
        counts: by topic, how many notifications the one that waits has replaced, itself included.
        expirations: by topic, until when it is kept, in epoch seconds.
    """

    counts: dict[str, int] = field(default_factory=dict)
    expirations: dict[str, float] = field(default_factory=dict)

    def keep(self, topic: str, headers: Mapping[str, str]) -> None:
        """Keep a notification in place of an older one of the same topic.

        Args:
            topic: of the notification.
            headers: of the request to APNs.
        """
        expiration = headers.get("apns-expiration", "")
        if expiration == "0":
            return
        self.counts[topic] = self.counts.get(topic, 0) + 1
        self.expirations[topic] = float(expiration) if expiration.isdecimal() else float("inf")

    def take(self, now: float) -> dict[str, int]:
        """Return the topics to deliver, with the number of notifications that each has replaced, and forget them.

        Args:
            now: epoch seconds.
        """
        taken = {topic: count for topic, count in self.counts.items() if self.expirations[topic] > now}
        self.counts.clear()
        self.expirations.clear()
        return taken
