"""The timeline shows a message that a device reported as one printable line of limited length."""

from infra.local.page.device_logs import describe_message


def message(text: str) -> dict[str, object]:
    return {"event": "device_log", "message": text}


def test_message_is_one_printable_line() -> None:
    assert describe_message(message("<b>a</b>\n\x1b[2J\u202eb")) == "received: <b>a</b>\\n\\x1b[2J\\u202eb"


def test_long_message_is_cut_and_its_length_is_shown() -> None:
    assert describe_message(message("x" * 4000)) == f"received: {'x' * 400}... (4,000 characters)"


def test_messages_that_the_service_left_out_are_counted() -> None:
    assert describe_message({"event": "device_log_cut", "left_out": 7}) == "left out 7 more messages of this request"
