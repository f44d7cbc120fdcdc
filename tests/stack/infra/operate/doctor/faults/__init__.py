"""The faults that `doctor` finds in a stage, by the module of its checks (`infra/operate/doctor/checks/`)."""

from tests.stack.infra.operate.doctor.deployment import Fault
from tests.stack.infra.operate.doctor.faults import credentials, pipeline, surroundings, web_service

FAULTS: dict[str, Fault] = {**credentials.FAULTS, **web_service.FAULTS, **pipeline.FAULTS, **surroundings.FAULTS}
