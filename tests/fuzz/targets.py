"""The targets: each reads bytes of a stranger with one parser, or with the whole app.

A target returns for every input, or raises one of the errors that its parser documents. Anything else is a finding.
Inputs that are texts of a person or a program (JSON, requests) are read from the bytes as such, so that the stored
corpus can be read by a person.
"""

import contextlib
import io
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from chalicelib.apns.connection import Answered, Connection, ConnectionBrokenError, Headers
from chalicelib.apns.header_blocks import HeaderBlockError, HeaderBlocks
from chalicelib.apns.outcomes import Push, outcome_of
from chalicelib.aws.templates import Templates, read_pointer, unpack
from chalicelib.core.errors import ConfigurationError, PasswireError, RefusedError
from chalicelib.core.identifiers import DeviceLibraryIdentifier, PassId, PushToken
from chalicelib.core.links import read_link
from chalicelib.core.secret_forms import read_authentication_keys
from chalicelib.flows.authorize import UnauthorizedError, read_header
from chalicelib.flows.device_logs import log_messages
from chalicelib.http.browsers import device_of, preferred_languages
from chalicelib.http.events import queue_messages, registration_records, stream_records
from chalicelib.passes.dates import date_problem, parse_date
from chalicelib.passes.format.check import check_item, check_pass
from chalicelib.passes.item import PassItem
from chalicelib.passes.personalization import Personalization, PersonalizationError
from chalicelib.passes.strings import StringsError, parse_strings, write_strings
from chalicelib.passes.template import Template, TemplateError
from chalicelib.preview.opened import OpenedPass
from chalicelib.updates.conditional import Conditions
from chalicelib.updates.protocol import Tag, Version
from infra.core.moments import MomentError, parse_moment
from infra.operate.backup import file as backup_file
from infra.operate.backup.errors import BackupError
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.files.kinds import open_rows
from infra.operate.certificates import CertificateError
from infra.operate.certificates.files import read as read_certificates
from infra.operate.templates.check import check_template
from infra.operate.templates.folder import read_checked
from infra.operate.templates.images import PngError, check_images, png_size
from infra.operate.templates.recompress import recompress
from tests.support import samples
from tests.support.in_process import gateway_event
from tests.support.memory_app import DEVICE, KEYS, LINK, PASS, TOKEN, MemoryApp, logged

PUSH = Push(PushToken("f00d" * 16), "pass.com.example")
APNS_HEADERS: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.push.apple.com:443"),
    (b"apns-topic", b"pass.com.example"),
)
MAX_RECORDS = 50
MAX_ROWS = 2_000


@dataclass(frozen=True)
class FuzzTarget:
    """A target.

    Args:
        run: takes one input.
        errors: that it may raise.
        max_bytes: the longest input to try.
        cpu_seconds: limit for one input.
    """

    run: Callable[[bytes], object]
    errors: tuple[type[Exception], ...] = ()
    max_bytes: int = 4096
    cpu_seconds: float = 2.0


def text_of(data: bytes) -> str:
    """Read bytes as a text, with lone surrogates where they are not UTF-8, as they can arrive in JSON."""
    return data.decode(errors="surrogateescape")


def json_of(data: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return text_of(data)


@cache
def folder() -> Path:
    """A folder for the inputs that are files; it is left behind, because targets run until they are killed."""
    return Path(tempfile.mkdtemp(prefix="passwire-fuzz-"))


def as_file(name: str, data: bytes) -> Path:
    path = folder() / name
    path.write_bytes(data)
    return path


@cache
def app() -> MemoryApp:
    return MemoryApp(folder())


@cache
def templates() -> Templates:
    designs = folder() / "templates"
    shutil.rmtree(designs, ignore_errors=True)
    designs.mkdir(parents=True)
    return Templates(folder=samples.member_templates(designs))


def run_paths(data: bytes) -> None:
    """Identifiers from paths: each is refused, or is itself when it is written and read again."""
    text = text_of(data)
    for kind in (DeviceLibraryIdentifier, PushToken):
        with contextlib.suppress(RefusedError):
            assert kind(text[::-1]).value == text[::-1]  # reversed: the message that refuses a pass id shows its text
    pass_id = PassId.parse(text)
    assert PassId.parse(str(pass_id)) == pass_id


def run_tags(data: bytes) -> None:
    tag = Tag.parse(text_of(data))
    if tag is not None:
        tag.can_be_issued(1.7e9, window_seconds=60)
        assert Tag.parse(str(tag)) == tag


def run_dates(data: bytes) -> None:
    text = text_of(data)
    Conditions(if_modified_since=text).not_modified(Version(1_700_000_000, 1))
    Conditions(if_none_match=text).not_modified(Version(1_700_000_000, 1))
    parse_date(text)
    date_problem(text)
    parse_moment(text, now=1.7e9)


def run_headers(data: bytes) -> None:
    text = text_of(data)
    device_of(text)
    preferred_languages(text)
    read_header(text)


def run_apns_responses(data: bytes) -> None:
    status, _, rest = data.partition(b"\n")
    retry_after, _, body = rest.partition(b"\n")
    outcome_of(PUSH, Answered(1, {b":status": status, b"retry-after": retry_after}, body))


def run_http2_frames(data: bytes) -> None:
    """A connection with two requests receives the bytes at once, and another one in pieces."""
    pieces = [[data], [data[at : at + 7] for at in range(0, len(data), 7)]]
    for received in pieces:
        connection = Connection()
        for path in (b"/3/device/a", b"/3/device/b"):
            if connection.capacity:
                connection.request(path, APNS_HEADERS)
        connection.data_to_send()
        try:
            for piece in received:
                connection.receive(piece)
                connection.data_to_send()
        except ConnectionBrokenError:
            continue


def run_header_blocks(data: bytes) -> None:
    blocks = HeaderBlocks()
    for block in data.split(b"\n\n"):
        blocks.read(block)


def records_of(data: bytes) -> list[Any]:
    content = json_of(data)
    records = content if isinstance(content, list) else [content]
    return records[:MAX_RECORDS]


def change(serial_number: str, number: int) -> dict[str, Any]:
    """Make the stream record of a valid change."""
    key = {"pass_id": {"S": f"{PASS.pass_type_identifier}/{serial_number}"}}
    images = [
        {**key, "template": {"S": "boarding"}, "fields": {"M": {"gate": {"S": gate}}}} for gate in (f"A{number}", "B")
    ]
    return {
        "eventName": "MODIFY",
        "dynamodb": {
            "Keys": key,
            "SequenceNumber": str(number),
            "ApproximateCreationDateTime": time.time(),
            "OldImage": images[0],
            "NewImage": images[1],
        },
    }


def run_stream_records(data: bytes) -> None:
    """Records of any form in the middle of a batch: the changes before and after them reach their phone."""
    service = app()
    service.starts_over()
    for serial_number in ("first", "last"):
        pass_id = PassId(PASS.pass_type_identifier, serial_number)
        token = PushToken(f"token-of-{serial_number}")
        device = DeviceLibraryIdentifier(f"holder-of-{serial_number}")
        service.rows.store().registrations.create(device, pass_id, push_token=token, at=time.time())
        service.rows.items[pass_id] = {"pass_id": str(pass_id), "template": "boarding"}
    records = records_of(data)
    stream_records({"Records": records})
    failed = service.invoke("push", {"Records": [change("first", 1), *records, change("last", 2)]})
    assert not {"1", "2"} & set(failed)
    assert {push.push_token.value for push in service.pushed} >= {"token-of-first", "token-of-last"}


def run_registration_records(data: bytes) -> None:
    registration_records({"Records": records_of(data)})


def run_queue_messages(data: bytes) -> None:
    """A message of any body between others: what cannot be read becomes a dead letter, and the batch is settled."""
    service = app()
    service.starts_over()
    queue_messages({"Records": records_of(data)})
    message = {"receiptHandle": "r", "attributes": {"ApproximateReceiveCount": "1"}, "eventSource": "aws:sqs"}
    bodies = [
        text_of(data),
        *(record if isinstance(record, str) else json.dumps(record) for record in records_of(data)),
    ]
    service.invoke(
        "push_worker",
        {"Records": [{**message, "messageId": str(number), "body": body} for number, body in enumerate(bodies)]},
    )


def run_items(data: bytes) -> None:
    content = json_of(data)
    attributes = content if isinstance(content, Mapping) else {"pass_id": str(PASS), "template": content}
    item = PassItem.parse(attributes)
    check_item(item.overrides, item.fields, templates().get("member").content)
    assert item.same_content(PassItem.parse(attributes))


def run_templates(data: bytes) -> None:
    """A pass.json of any content."""
    files = {**samples.files_of("generic"), "pass.json": data}
    check_template("sample", files)
    template = Template.parse("sample", files)
    check_pass(template.content)


def run_strings(data: bytes) -> None:
    strings = parse_strings(data)
    assert parse_strings(write_strings(strings)) == strings


def run_zips(data: bytes) -> None:
    """A revision of a template, a folder as a zip, and a pass: each member stays within its folder."""
    for read in (
        lambda: unpack("sample", data),
        lambda: Template.parse("sample", unpack("sample", data)),
        lambda: read_checked(as_file("case.pkpasstemplate", data)),
        lambda: OpenedPass.read(data, language="en"),
    ):
        try:
            read()
        except PasswireError:
            continue


def run_zip_names(data: bytes) -> None:
    """A valid zip whose members have any names: no path leads out of the folder."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name in dict.fromkeys(text_of(data).encode(errors="replace").decode().split("\n")):
            archive.writestr(zipfile.ZipInfo(name or "x"), b"{}")
    read, _ = read_checked(as_file("names.pkpasstemplate", packed.getvalue()))
    for path in read:
        assert not path.startswith("/")
        assert ".." not in path.split("/")
        assert "\\" not in path
    run_zips(packed.getvalue())


def run_png(data: bytes) -> None:
    for _ in check_images({"icon.png": data, "strip@2x.png": data}, styles=["coupon"]):
        pass
    assert recompress(data)[:0] == b""
    png_size(data)


def run_certificates(data: bytes) -> None:
    """PEM, DER, PKCS#12 and PKCS#7, with a password."""
    read_certificates([as_file("given", data)], password=lambda _: "secret")


def run_import(suffix: str) -> Callable[[bytes], None]:
    """Make a target for a kind of file of rows."""

    def run(data: bytes) -> None:
        rows = open_rows(as_file(f"rows{suffix}", data))
        columns = Columns(
            mapping={}, pass_type="pass.com.example", template="member", templates=templates(), cells=rows.cells
        )
        columns.take(rows.columns)
        for number, row in enumerate(rows.rows()):
            if number >= MAX_ROWS:
                return
            if not row.problem:
                try:
                    columns.item(row.values)
                except RefusedError:
                    continue

    return run


def run_links(data: bytes) -> None:
    read_link(KEYS, text_of(data), now=1.7e9)


def run_bodies(data: bytes) -> None:
    """Bodies of sign-ups, and messages of devices."""
    content = json_of(data)
    with logged() as output:
        log_messages([text_of(data)])
    assert all(json.loads(line) for line in output.getvalue().splitlines())
    Personalization.parse(content)


def run_stored(data: bytes) -> None:
    """Secrets and pointers that the service reads from Secrets Manager and its bucket."""
    content = json_of(data)
    if isinstance(content, dict):
        with contextlib.suppress(ConfigurationError):
            read_authentication_keys("secret", content)
    read_pointer("sample", data)


def run_backup(data: bytes) -> None:
    path = as_file("backup.gz", data)
    backup_file.verify(path)
    for kind in backup_file.KINDS:
        list(backup_file.read(path, kind))


def request_of(data: bytes) -> dict[str, Any]:
    """Read a request as its text: a line with method and path, lines of headers, an empty line, the body.

    `{token}`, `{device}`, `{link}`, `{type}` and `{serial}` are replaced by valid ones.
    """
    head, _, body = data.partition(b"\n\n")
    valid = {"token": TOKEN, "device": DEVICE, "link": LINK, "type": PASS.pass_type_identifier}
    text = head.decode("latin-1")
    for name, value in {**valid, "serial": PASS.serial_number}.items():
        text = text.replace(f"{{{name}}}", value)
    line, *lines = text.split("\n")
    method, _, target = line.partition(" ")
    path, _, query = target.partition("?")
    headers = {name.strip(): value.strip() for name, colon, value in (each.partition(":") for each in lines) if colon}
    route, parameters = app().match(path)
    return gateway_event(method, route, *parameters, query=query, headers=headers, body=body or None)


def run_requests(data: bytes) -> None:
    """A request in the form of API Gateway's event: no answer is a 500, and every log line is JSON."""
    service = app()
    if len(service.rows.registrations) > MAX_RECORDS or not service.rows.items:
        service.starts_over()
    answer, output = service.requests(request_of(data))
    assert answer["statusCode"] < 500, (answer["statusCode"], output[-500:])
    assert all(json.loads(line) for line in output.splitlines())
    assert "Traceback" not in answer["body"]
    json.dumps(answer)


TARGETS: Mapping[str, FuzzTarget] = {
    "requests": FuzzTarget(run_requests, max_bytes=20_000),
    "paths": FuzzTarget(run_paths, (RefusedError,)),
    "tags": FuzzTarget(run_tags),
    "dates": FuzzTarget(run_dates, (MomentError,)),
    "headers": FuzzTarget(run_headers, (UnauthorizedError,)),
    "bodies": FuzzTarget(run_bodies, (PersonalizationError,), max_bytes=8192),
    "links": FuzzTarget(run_links, (RefusedError,)),
    "apns_responses": FuzzTarget(run_apns_responses, max_bytes=16_384),
    "http2_frames": FuzzTarget(run_http2_frames, max_bytes=65_536),
    "header_blocks": FuzzTarget(run_header_blocks, (HeaderBlockError,), max_bytes=16_384),
    "stream_records": FuzzTarget(run_stream_records, max_bytes=16_384),
    "registration_records": FuzzTarget(run_registration_records),
    "queue_messages": FuzzTarget(run_queue_messages),
    "items": FuzzTarget(run_items, (RefusedError,), max_bytes=16_384),
    "templates": FuzzTarget(run_templates, (TemplateError,), max_bytes=16_384),
    "strings": FuzzTarget(run_strings, (StringsError,), max_bytes=16_384),
    "zips": FuzzTarget(run_zips, max_bytes=65_536),
    "zip_names": FuzzTarget(run_zip_names),
    "png": FuzzTarget(run_png, (PngError,), max_bytes=65_536, cpu_seconds=10.0),
    "certificates": FuzzTarget(
        run_certificates, (CertificateError, ConfigurationError), max_bytes=16_384, cpu_seconds=10.0
    ),
    "import_csv": FuzzTarget(run_import(".csv"), (RefusedError,), max_bytes=16_384),
    "import_jsonl": FuzzTarget(run_import(".jsonl"), (RefusedError,), max_bytes=16_384),
    "import_xlsx": FuzzTarget(run_import(".xlsx"), (RefusedError,), max_bytes=65_536, cpu_seconds=5.0),
    "import_parquet": FuzzTarget(run_import(".parquet"), (RefusedError,), max_bytes=65_536),
    "stored": FuzzTarget(run_stored, (TemplateError,)),
    "backup": FuzzTarget(run_backup, (BackupError,), max_bytes=16_384),
}


def run(name: str, data: bytes) -> None:
    """Try one input; an error that the target documents is an answer."""
    target = TARGETS[name]
    try:
        target.run(data)
    except target.errors:
        return
