"""How often and for how long Lambda and SQS deliver again, by the settings of the stage's template."""

from dataclasses import dataclass

from infra.deploy.resources import resources

UNTIL_TOO_OLD = -1
"""The value of MaximumRetryAttempts for which only the age of the records ends the attempts."""


@dataclass(frozen=True)
class DeliveryRules:
    """The rules of repeated delivery in the stage's template.

    Args:
        retry_attempts: of a batch of the stream after the first; UNTIL_TOO_OLD for no limit.
        record_age_seconds: when a batch of the stream is given up, however few its attempts.
        visibility_seconds: when a message that was not settled is delivered again, unless it was postponed.
        max_receives: how often a message is delivered before it is a dead letter.
        may_recurse: whether the worker may be invoked by what it sent itself more than MAX_DEPTH times.
    """

    retry_attempts: int
    record_age_seconds: int
    visibility_seconds: int
    max_receives: int
    may_recurse: bool

    @classmethod
    def of_template(cls) -> "DeliveryRules":
        found = resources()["Resources"]
        stream = found["Push"]["Properties"]["Events"]["PushDynamodbEventSource"]["Properties"]
        queue = found["PushQueue"]["Properties"]
        return cls(
            retry_attempts=stream["MaximumRetryAttempts"],
            record_age_seconds=stream["MaximumRecordAgeInSeconds"],
            visibility_seconds=queue["VisibilityTimeout"],
            max_receives=queue["RedrivePolicy"]["maxReceiveCount"],
            may_recurse=found["PushWorker"]["Properties"].get("RecursiveLoop") == "Allow",
        )
