"""This service's push client."""

import time
from pathlib import Path

from benchmarks.peers.job import Job, Stopwatch
from chalicelib.apns.client import Client
from chalicelib.apns.credentials import ProviderToken
from chalicelib.apns.outcomes import Push
from chalicelib.apns.reasons import OutcomeKind
from chalicelib.core.identifiers import PushToken

PATIENCE_SECONDS = 300.0


def main() -> None:
    job = Job.read()
    credential = ProviderToken(team_identifier=job.team_id, key_id=job.key_id, private_key=Path(job.key).read_text())
    client = Client(url=job.url, credential=credential, ca=Path(job.ca).read_text())

    def push(tokens: list[str]) -> int:
        pushes = (Push(PushToken(token), job.topic) for token in tokens)
        outcomes = client.push(pushes, deadline=time.monotonic() + PATIENCE_SECONDS)
        return sum(outcome.kind is OutcomeKind.DELIVERED for outcome in outcomes)

    push(job.tokens)
    due = job.due()
    watch = Stopwatch()
    watch.report(push(due))


if __name__ == "__main__":
    main()
