"""Lines of `events tail` for people."""

from infra.operate.event_tail import described


def test_line_names_time_event_and_the_fields_that_people_need() -> None:
    detail = {"time": "2026-11-26T12:00:00Z", "id": "0", "pass_id": "pass.com.example/1", "holders": 0}
    event = {"detail-type": "pass.unregistered", "detail": {**detail, "cause": "person", "last_holder": True}}
    assert described(event) == (
        "2026-11-26T12:00:00Z pass.unregistered pass_id=pass.com.example/1 holders=0 cause=person last_holder=true"
    )


def test_line_of_an_event_without_a_pass_names_the_pass_type() -> None:
    detail = {
        "schema_version": 1,
        "time": "2026-11-26T12:00:00Z",
        "id": "0",
        "pass_type_identifier": "pass.com.example",
    }
    event = {"detail-type": "certificate.expiring", "detail": {**detail, "days_left": 3}}
    assert described(event) == (
        "2026-11-26T12:00:00Z certificate.expiring pass_type_identifier=pass.com.example days_left=3"
    )
