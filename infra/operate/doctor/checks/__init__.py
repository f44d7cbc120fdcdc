"""What the doctor looks at: a table of small functions, each of which yields what it finds."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infra.operate.doctor.checks import credentials, pipeline, surroundings, web_service
from infra.operate.doctor.context import DoctorContext
from infra.operate.doctor.findings import DoctorFinding


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at.

    Args:
        name: for scripts.
        question: what a healthy stage answers with yes.
        look: yields what is wrong; any exception is a finding too.
    """

    name: str
    question: str
    look: Callable[[DoctorContext], Iterator[DoctorFinding]]


CHECKS: tuple[Check, ...] = (
    Check("certificates", "certificates: Apple's chain, key, dates, team, topic", credentials.certificates),
    Check("apns", "APNs is reached and takes the credentials", credentials.apns),
    Check("apns-roots", "the functions trust APNs' server certificate", credentials.apns_roots),
    Check("authentication-keys", "the keys of authentication tokens are there", credentials.authentication_keys),
    Check("web-service-url", "passes name this stage's URL, by https", web_service.web_service_url),
    Check("gateway", "the routes answer as phones expect", web_service.gateway),
    Check("download", "passes are served whole, and say where they are updated", web_service.download),
    Check("tables", "tables: there, streamed, recoverable, protected", pipeline.tables),
    Check("mappings", "stream and queue have their functions behind them", pipeline.mappings),
    Check("lag", "changes and pushes do not wait, nothing was given up", pipeline.lag),
    Check("functions", "functions: active, environment whole", pipeline.functions),
    Check("templates", "templates are such as phones take", pipeline.templates),
    Check("clock", "the clock agrees with AWS's", surroundings.clock),
    Check("alarms", "no alarm is on, and somebody would hear of it", surroundings.alarms),
)
