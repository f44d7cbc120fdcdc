"""The plan of a soak: which load and which faults happen when. It follows from the seed and the length alone."""

import hashlib
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

STEPS_PER_SECOND = 5.0
PASSES = 40
PHONES = 20
FAULT_PAUSE_SECONDS = (1.0, 5.0)
"""The shortest and the longest time from the beginning of a fault to that of the next one."""
FAULT_SECONDS = (3.0, 12.0)
QUIET_SECONDS = 3.0
"""Time at the beginning in which nothing fails."""

LOAD: Mapping[str, int] = {
    "change a pass": 20,
    "change a pass twice": 6,
    "change many passes": 6,
    "write a pass unchanged": 6,
    "write an invalid item": 3,
    "delete a pass": 1,
    "add a pass to a phone": 12,
    "register again": 4,
    "change a push token": 2,
    "remove a pass from a phone": 4,
    "list": 8,
    "download": 8,
    "send an invalid request": 8,
    "uninstall": 1,
    "publish a template": 1,
    "publish a template and notify": 1,
    "publish a broken template": 1,
    "add an authentication key": 1,
    "renew the certificate": 1,
}
"""Kinds of steps, and how often each occurs in comparison with the others."""

APNS_FAULTS: Mapping[str, Mapping[str, Any]] = {
    "APNs down": {"down": True},
    "APNs answers 429": {"answer": {"status": 429, "reason": "TooManyRequests"}},
    "APNs answers 503": {"answer": {"status": 503, "reason": "ServiceUnavailable"}},
    "APNs answers 500 for a while": {"answer": {"status": 500, "reason": "InternalServerError"}, "answer_next": 20},
    "APNs slow": {"latency_ms": 1500},
    "APNs sends GOAWAY": {"goaway_after": 3},
    "APNs resets streams": {"reset_stream_every": 3},
    "APNs refuses streams": {"refuse_stream_every": 2},
    "APNs ignores pushes": {"ignore_push_every": 4},
    "APNs sends garbage": {"garbage_after": 2},
    "APNs silent": {"black_hole": True},
}
AWS_FAULTS: Mapping[str, Mapping[str, float]] = {
    "DynamoDB fails": {"dynamodb_fails": 0.3},
    "DynamoDB away": {"dynamodb_fails": 1.0},
    "DynamoDB throttles": {"dynamodb_throttles": 0.4},
    "DynamoDB loses answers": {"dynamodb_loses_answers": 0.3},
    "DynamoDB slow": {"dynamodb_delay_seconds": 0.5},
    "SQS fails": {"sqs_fails": 0.5},
    "SQS away": {"sqs_fails": 1.0},
    "SQS refuses messages": {"sqs_refuses_entries": 0.5},
    "S3 fails": {"s3_fails": 0.5},
    "Secrets Manager fails": {"secrets_fail": 0.8},
    "functions killed": {"kills": 0.3},
    "functions stopped": {"stops": 0.3, "stop_seconds": 3.0},
    "batches delivered again": {"loses_results": 0.5},
    "stream late": {"stream_delay_seconds": 3.0},
    "stream read again": {"stream_rereads": 0.2},
    "clocks differ": {"clock_skew_seconds": 2.0},
}
LOSSES: Mapping[str, Mapping[str, float]] = {"stream drops records": {"stream_drops": 0.5}}
"""Faults that AWS does not have, so no plan draws them: with one of them a soak must fail."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the load.

    Args:
        at: seconds from the beginning.
        kind: of `LOAD`.
        number: the seed of everything that is chosen in it.
    """

    at: float
    kind: str
    number: int


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that is on for a time.

    Args:
        at: seconds from the beginning.
        until: seconds from the beginning.
        kind: of `APNS_FAULTS`, `AWS_FAULTS` or `LOSSES`.
    """

    at: float
    until: float
    kind: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Load and faults of a soak.

    Args:
        seconds: the length.
        seed: what all choices follow from.
        steps: of the load, in their order.
        faults: in the order of their beginnings.
        passes: number of passes.
        phones: number of phones at the beginning.
    """

    seconds: float
    seed: int
    steps: Sequence[Step]
    faults: Sequence[Fault]
    passes: int = PASSES
    phones: int = PHONES

    @classmethod
    def of(
        cls, seed: int, *, seconds: float, faults: bool = True, passes: int = PASSES, phones: int = PHONES
    ) -> "Plan":
        """Draw a plan.

        Args:
            seed: the same seed and length make the same plan.
            seconds: the length.
            faults: False for a load without faults.
            passes: number of passes.
            phones: number of phones at the beginning.
        """
        load, failing = random.Random(f"load {seed}"), random.Random(f"faults {seed}")  # noqa: S311 - no secrets
        kinds = load.choices(list(LOAD), list(LOAD.values()), k=round(seconds * STEPS_PER_SECOND))
        steps = [Step(load.uniform(0, seconds), kind, load.getrandbits(32)) for kind in kinds]
        drawn: list[Fault] = []
        at, waiting = QUIET_SECONDS, list[str]()
        while faults and at < seconds:
            if not waiting:  # each kind once before any comes again
                waiting = failing.sample(names := [*APNS_FAULTS, *AWS_FAULTS], len(names))
            drawn.append(Fault(at, min(seconds, at + failing.uniform(*FAULT_SECONDS)), waiting.pop()))
            at += failing.uniform(*FAULT_PAUSE_SECONDS)
        return cls(seconds, seed, sorted(steps, key=lambda step: step.at), drawn, passes, phones)

    @property
    def digest(self) -> str:
        """A short hash by which two runs can be compared."""
        return hashlib.sha256(repr((self.steps, self.faults, self.passes, self.phones)).encode()).hexdigest()[:12]

    @property
    def counts(self) -> Counter[str]:
        """How often each kind of fault begins."""
        return Counter(fault.kind for fault in self.faults)
