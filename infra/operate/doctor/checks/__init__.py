"""The doctor's checks: a table of small functions, each of which yields its findings."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infra.operate.doctor.checks import credentials, pipeline, surroundings, web_service
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Args:
        name: identifies the check in JSON output.
        title: describes a healthy stage.
        find: yields findings; an exception becomes a finding too.
    """

    name: str
    title: str
    find: Callable[[DoctorContext], Iterator[DoctorFinding]]


CHECKS: tuple[Check, ...] = (
    Check("certificates", "certificates: Apple's chain, key, dates, team, topic", credentials.certificates),
    Check("apns", "APNs is reachable and accepts the credentials", credentials.apns),
    Check("apns-roots", "the functions trust APNs' server certificate", credentials.apns_roots),
    Check("authentication-keys", "the keys of authentication tokens exist", credentials.authentication_keys),
    Check("web-service-url", "passes contain this stage's https URL", web_service.web_service_url),
    Check("gateway", "the routes answer as phones expect", web_service.gateway),
    Check("download", "passes can be downloaded and contain the stage's URL", web_service.download),
    Check("tables", "tables: existing, streamed, recoverable, protected", pipeline.tables),
    Check("mappings", "stream and queue invoke their functions", pipeline.mappings),
    Check("lag", "changes and pushes are not delayed, and none was given up", pipeline.lag),
    Check("events", "the event bus exists, and holders are counted right", pipeline.event_counts),
    Check("functions", "functions: active, environment complete", pipeline.functions),
    Check("templates", "phones accept the templates", pipeline.templates),
    Check("clock", "this machine's clock agrees with AWS's", surroundings.clock),
    Check("alarms", "no alarm is on, and alarms reach a person", surroundings.alarms),
)
