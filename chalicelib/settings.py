"""Settings of a stage: its environment variables, read once into one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

from chalicelib.core.errors import ConfigurationError
from chalicelib.updates.pacing import default_push_rate
from chalicelib.updates.protocol import window_seconds

PREFIX = "PASSWIRE_"
DEFAULT_THROTTLE_RATE = 3000
"""The template's default of `ThrottleRate`."""


class PathParameters(Enum):
    """Form in which the gateway passes path parameters on: AWS REST APIs leave them percent-encoded."""

    ENCODED = "encoded"
    DECODED = "decoded"


class PersonalizeAuthorization(Enum):
    """Rule for the `Authorization` header of a sign-up. Apple's page on the call does not document the header."""

    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of a stage, from its environment.

    Args:
        stage: name of the stage; part of the names of its secrets.
        passes_table: name of the table that pipelines write.
        versions_table: name of the table of stamps.
        registrations_table: name of the table of registrations: which device has which pass.
        devices_table: name of the table of devices and their push tokens.
        push_queue_url: URL of the SQS queue of push tasks.
        dead_letter_queue_url: URL of the SQS queue of messages that need a person's decision.
        templates_bucket: S3 bucket of templates; empty to use only the packaged ones.
        apns_url: URL of APNs; Apple's production host by default.
        apns_ca: PEM of an additional root certificate to trust for APNs; empty on AWS.
        apns_push_type: value of the header `apns-push-type`; empty to leave the header out, as is usual for passes.
        push_timeout_seconds: timeout of the push function, which bounds how long a stamp can take to be committed.
        web_service_url: URL of the API under a custom domain; empty to take the URL of each request.
        path_parameters: form of the path parameters that the gateway passes on.
        held_removals_queue_url: URL of the SQS queue of removals that an operator decides on (`updates/removals.py`).
        counts_table: name of the table of holders' counts; empty on a stage without events.
        event_bus: name of the EventBridge bus of events.
        event_failure_queue_url: URL of the SQS queue of events that the bus did not accept.
        download_events: whether each download of a device is an event.
        throttle_rate: requests per second that the gateway lets through.
        push_rate_limit: maximum number of devices that are notified per second; by default what the gateway can serve
            with a third of `throttle_rate` kept free.
        deletion_grace_minutes: minutes for which the registrations of a deleted pass are kept.
        personalize_authorization: whether a sign-up without `Authorization` is refused.
        log_key: key under which secrets are hashed in logs.
    """

    stage: str
    passes_table: str
    versions_table: str
    registrations_table: str
    devices_table: str
    push_queue_url: str
    dead_letter_queue_url: str
    templates_bucket: str = ""
    apns_url: str = "https://api.push.apple.com:443"
    apns_ca: str = ""
    apns_push_type: str = ""
    push_timeout_seconds: int = 20
    web_service_url: str = ""
    path_parameters: PathParameters = PathParameters.ENCODED
    personalize_authorization: PersonalizeAuthorization = PersonalizeAuthorization.OPTIONAL
    log_key: str = ""
    held_removals_queue_url: str = ""
    deletion_grace_minutes: int = 15
    counts_table: str = ""
    event_bus: str = ""
    event_failure_queue_url: str = ""
    download_events: bool = False
    throttle_rate: int = DEFAULT_THROTTLE_RATE
    push_rate_limit: int = default_push_rate(DEFAULT_THROTTLE_RATE)

    @property
    def window_seconds(self) -> int:
        """W of the update protocol: the seconds by which a tag stays behind the clock."""
        return window_seconds(push_timeout_seconds=self.push_timeout_seconds)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the variables `PASSWIRE_*`.

        Raises:
            ConfigurationError: a variable without a default is missing, or a value is invalid.
        """

        def required(name: str) -> str:
            value = environment.get(PREFIX + name, "")
            if not value:
                raise ConfigurationError(f"environment variable {PREFIX}{name} is missing; deploy the stack again")
            return value

        def optional(name: str, default: str) -> str:
            return environment.get(PREFIX + name, "") or default

        try:
            push_timeout_seconds = int(optional("PUSH_TIMEOUT_SECONDS", "20"))
            deletion_grace_minutes = int(optional("DELETION_GRACE_MINUTES", "15"))
            throttle_rate = int(optional("THROTTLE_RATE", str(DEFAULT_THROTTLE_RATE)))
            push_rate_limit = int(optional("PUSH_RATE_LIMIT", str(default_push_rate(throttle_rate))))
            path_parameters = PathParameters(optional("PATH_PARAMETERS", "encoded"))
            personalize_authorization = PersonalizeAuthorization(optional("PERSONALIZE_AUTHORIZATION", "optional"))
        except ValueError as error:
            raise ConfigurationError(f"environment variables {PREFIX}*: {error}") from error
        if push_rate_limit < 1:
            raise ConfigurationError(
                f"environment variable {PREFIX}PUSH_RATE_LIMIT must be greater than 0; deploy again"
            )
        return cls(
            stage=required("STAGE"),
            passes_table=required("PASSES_TABLE"),
            versions_table=required("VERSIONS_TABLE"),
            registrations_table=required("REGISTRATIONS_TABLE"),
            devices_table=required("DEVICES_TABLE"),
            push_queue_url=required("PUSH_QUEUE_URL"),
            dead_letter_queue_url=required("DEAD_LETTER_QUEUE_URL"),
            templates_bucket=optional("TEMPLATES_BUCKET", ""),
            apns_url=optional("APNS_URL", "https://api.push.apple.com:443"),
            apns_ca=optional("APNS_CA", ""),
            apns_push_type=optional("APNS_PUSH_TYPE", ""),
            push_timeout_seconds=push_timeout_seconds,
            web_service_url=optional("WEB_SERVICE_URL", "").rstrip("/"),
            path_parameters=path_parameters,
            personalize_authorization=personalize_authorization,
            log_key=optional("LOG_KEY", ""),
            held_removals_queue_url=optional("HELD_REMOVALS_QUEUE_URL", ""),
            deletion_grace_minutes=deletion_grace_minutes,
            counts_table=optional("COUNTS_TABLE", ""),
            event_bus=optional("EVENT_BUS", ""),
            event_failure_queue_url=optional("EVENT_FAILURE_QUEUE_URL", ""),
            download_events=optional("DOWNLOAD_EVENTS", "off") == "on",
            throttle_rate=throttle_rate,
            push_rate_limit=push_rate_limit,
        )
