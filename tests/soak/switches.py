"""Switches faults of APNs and AWS on and off."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import httpx

from infra.local.aws_faults import CONTROL_PATH
from infra.local.run import LocalRun
from tests.soak.plan import APNS_FAULTS, AWS_FAULTS, LOSSES

LOAD_WAIT_SECONDS = 20.0
SETTLING_WAIT_SECONDS = 3.0
"""The longest time that a message waits in SQS, instead of up to 15 minutes."""


class Switches:
    """The faults of one local run."""

    def __init__(self, stack: LocalRun) -> None:
        self._aws = stack.aws_endpoint_url + CONTROL_PATH
        self._apns = f"{stack.apns_control_url}/faults"
        self._http = httpx.Client(trust_env=False, timeout=60)
        self._skewed = False

    def set(self, kinds: Iterable[str]) -> None:
        """Switch these faults on, and all others off."""
        apns: dict[str, Any] = {}
        aws: dict[str, Any] = {"message_wait_seconds": LOAD_WAIT_SECONDS}
        for kind in kinds:
            apns.update(APNS_FAULTS.get(kind, {}))
            for name, value in {**AWS_FAULTS, **LOSSES}.get(kind, {}).items():
                aws[name] = max(value, aws.get(name, 0))
        skewed = "clock_skew_seconds" in aws
        aws["new_environments"] = skewed != self._skewed  # a clock does not jump within one
        self._skewed = skewed
        self._http.put(self._apns, json=apns).raise_for_status()
        self._http.put(self._aws, json=aws).raise_for_status()

    def end(self) -> None:
        """End all faults; execution environments with a wrong clock end, too."""
        self._http.delete(self._apns).raise_for_status()
        ended = {"message_wait_seconds": SETTLING_WAIT_SECONDS, "new_environments": self._skewed}
        self._http.put(self._aws, json=ended).raise_for_status()
        self._skewed = False

    def close(self) -> None:
        """Leave the local run as it was."""
        self._http.delete(self._apns).raise_for_status()
        self._http.delete(self._aws).raise_for_status()
        self._http.close()

    def injected(self) -> Counter[str]:
        """Count the faults of AWS that happened, by kind."""
        return Counter(self._http.get(self._aws).raise_for_status().json()["injected"])
