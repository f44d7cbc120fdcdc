"""The stage's environment, read once into one frozen value."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Self

from chalicelib.core.errors import ConfigurationError
from chalicelib.updates.protocol import window_seconds

PREFIX = "PASSWIRE_"


class PathParameters(Enum):
    """What the gateway hands over for `{serial_number}` in a path: AWS REST APIs leave it percent-encoded."""

    ENCODED = "encoded"
    DECODED = "decoded"


class PersonalizeAuthorization(Enum):
    """Whether a sign-up must carry the pass's `Authorization`; Apple's page on the call documents none."""

    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment decides.

    Args:
        stage: the name of the stage; part of the names of its secrets.
        passes_table: name of the table that pipelines write.
        versions_table: name of the table of stamps.
        registrations_table: name of the table of who holds what.
        devices_table: name of the table of devices.
        push_queue_url: SQS queue of pushes that could not be settled at once.
        dead_letter_queue_url: SQS queue of what a person must look at.
        templates_bucket: S3 bucket of templates; empty for the packaged ones alone.
        apns_url: where APNs is; Apple's production host unless told otherwise.
        apns_ca: PEM of one more root to trust for APNs; empty on AWS.
        apns_push_type: value of `apns-push-type`; empty to leave the header out, as most do for passes.
        push_timeout_seconds: the push function's timeout, the longest that a stamp can be under way.
        web_service_url: the API's URL where it has a domain of its own; empty to take it from each request.
        path_parameters: what the gateway does to path parameters.
        held_removals_queue_url: SQS queue of removals that an operator decides on (`domain/removals.py`).
        deletion_grace_minutes: how long the registrations of a deleted pass are kept.
        personalize_authorization: whether a sign-up without `Authorization` is refused.
        log_key: what secrets are hashed with in logs.
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

    @property
    def window_seconds(self) -> int:
        """W of the update protocol: how far a tag stays behind the clock."""
        return window_seconds(push_timeout_seconds=self.push_timeout_seconds)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read `PASSWIRE_*`.

        Raises:
            ConfigurationError: a variable without a default is missing, or a value cannot be read.
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
            path_parameters = PathParameters(optional("PATH_PARAMETERS", "encoded"))
            personalize_authorization = PersonalizeAuthorization(optional("PERSONALIZE_AUTHORIZATION", "optional"))
        except ValueError as error:
            raise ConfigurationError(f"environment variables {PREFIX}*: {error}") from error
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
        )
