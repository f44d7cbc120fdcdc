"""Passwire's table of contents: every route that a device calls and every trigger that AWS fires, one function each.

Nothing is decided here. A route reads its request (`chalicelib/web.py`), calls a flow (`chalicelib/flows/`) with what
the sandbox keeps (`chalicelib/sandbox.py`), and puts the result into a response.
"""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from chalice.app import BaseLambdaEvent, Chalice, CloudWatchEvent, DynamoDBEvent, Rate, Request, Response, SQSEvent

from chalicelib import link_web, log, web
from chalicelib.domain.links import PATH
from chalicelib.domain.updates import Tag
from chalicelib.flows import logs
from chalicelib.sandbox import Sandbox

PASSES_STREAM = os.environ.get("PASSWIRE_PASSES_STREAM", "arn:aws:dynamodb:*:*:table/passes/stream/*")
"""`chalice deploy` reads it from the stage that `prepare` wrote; in the one stack the template names the real one."""
PUSH_QUEUE = os.environ.get("PASSWIRE_PUSH_QUEUE", "arn:aws:sqs:*:*:push")
"""Likewise."""
PUSH_RESERVE_SECONDS = 3.0
"""What an invocation keeps for queueing what could not be pushed."""

app = Chalice(app_name="passwire")
app.api.binary_types.append(web.PKPASS)
if "AWS_CHALICE_CLI_MODE" in os.environ:  # where it is deployed from: the gateway must hand everything on as it is
    app.api.binary_types.append("*/*")
sandbox = Sandbox()

DEVICE = "/v1/devices/{device_library_identifier}/registrations/{pass_type_identifier}"
REGISTRATION = DEVICE + "/{serial_number}"
PASS = "/v1/passes/{pass_type_identifier}/{serial_number}"
LINK = PATH + "{token}"


@app.middleware("http")
def border(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Middleware: sets the log context, answers unknown routes, ignores the media types that the headers name."""
    with log.invocation(request_id=request.context.get("requestId")):
        if request.method not in app.routes.get(request.path, {}):
            return web.not_routed(request, app.routes)
        web.ignore_media_types(request)
        with sandbox.metrics.duration("CallDuration", call=app.routes[request.path][request.method].view_name):
            return get_response(request)


@app.route(REGISTRATION, methods=["POST"])
@web.answers
def register(device_library_identifier: str, pass_type_identifier: str, serial_number: str) -> Response:
    """A device adds a pass (Apple, "Register a Pass for Update Notifications")."""
    first_time = sandbox.registrar.register(
        device=web.device(sandbox.settings, device_library_identifier),
        pass_id=web.pass_id(sandbox.settings, pass_type_identifier, serial_number),
        authorization=web.authorization(current_request()),
        push_token=web.push_token(current_request()),
        now=time.time(),
    )
    return web.empty(HTTPStatus.CREATED if first_time else HTTPStatus.OK)


@app.route(REGISTRATION, methods=["DELETE"])
@web.answers
def unregister(device_library_identifier: str, pass_type_identifier: str, serial_number: str) -> Response:
    """A device removes a pass (Apple, "Unregister a Pass for Update Notifications")."""
    sandbox.registrar.unregister(
        device=web.device(sandbox.settings, device_library_identifier),
        pass_id=web.pass_id(sandbox.settings, pass_type_identifier, serial_number),
        authorization=web.authorization(current_request()),
    )
    return web.empty(HTTPStatus.OK)


@app.route(DEVICE, methods=["GET"])
@web.answers
def list_changed(device_library_identifier: str, pass_type_identifier: str) -> Response:
    """A device asks what changed (Apple, "Get the List of Updatable Passes")."""
    listing = sandbox.lister.list_changed(
        device=web.known_device(sandbox.settings, device_library_identifier),
        pass_type_identifier=web.path_parameter(sandbox.settings, pass_type_identifier),
        tag=Tag.parse(web.query_parameter(current_request(), "passesUpdatedSince")),
        now=time.time(),
    )
    return web.listing(listing)


@app.route(PASS, methods=["GET", "HEAD"])
@web.answers
def download(pass_type_identifier: str, serial_number: str) -> Response:
    """A device downloads a pass (Apple, "Send an Updated Pass")."""
    result = sandbox.downloader.download(
        pass_id=web.pass_id(sandbox.settings, pass_type_identifier, serial_number),
        authorization=web.authorization(current_request()),
        conditions=web.conditions(current_request()),
        web_service_url=web.web_service_url(sandbox.settings, current_request()),
        now=time.time(),
    )
    return web.download(result, method=current_request().method)


@app.route(PASS + "/personalize", methods=["POST"])
@web.answers
def personalize(pass_type_identifier: str, serial_number: str) -> Response:
    """A person signs up with a pass (Apple, "Return a Personalized Pass")."""
    personalizer = sandbox.personalizer
    with personalizer.counting_refusals():
        signature = personalizer.personalize(
            pass_id=web.pass_id(sandbox.settings, pass_type_identifier, serial_number),
            authorization=web.authorization(current_request()),
            personalization=web.personalization(current_request()),
            now=time.time(),
        )
    return web.signature(signature)


@app.route("/v1/log", methods=["POST"], content_types=["*/*"])
@web.answers
def note_log() -> Response:
    """A device reports errors (Apple, "Log a Message")."""
    logs.note(web.log_messages(current_request()))
    return web.empty(HTTPStatus.OK)


@app.route(LINK, methods=["GET", "HEAD"])
@link_web.answers
def open_link(token: str) -> Response:
    """A person opens a download link: an iPhone gets the pass, everything else a page that shows it."""
    token = web.path_parameter(sandbox.settings, token)
    opened = sandbox.link_opener.open(
        token=token,
        web_service_url=web.web_service_url(sandbox.settings, current_request()),
        now=time.time(),
        asked_for="pass" if link_web.wants_pass(current_request()) else "page",
    )
    return link_web.answer(opened, token, settings=sandbox.settings, request=current_request())


@app.on_dynamodb_record(stream_arn=PASSES_STREAM, name="push", batch_size=100, starting_position="TRIM_HORIZON")
def push(event: DynamoDBEvent) -> dict[str, Any]:
    """Passes changed: stamp them, and wake every device that holds one."""
    with log.invocation(request_id=request_id(event)):
        failed = sandbox.changes.handle(event.to_dict()["Records"], deadline=deadline(event))
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


@app.on_sqs_message(queue_arn=PUSH_QUEUE, name="drain", batch_size=10, maximum_concurrency=20)
def drain(event: SQSEvent) -> dict[str, Any]:
    """What could not be settled at once: carry it out, and name what must come again."""
    with log.invocation(request_id=request_id(event)):
        failed = sandbox.drain.handle(event.to_dict()["Records"], deadline=deadline(event))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


@app.schedule(Rate(1, unit=Rate.DAYS), name="watch")
def watch(event: CloudWatchEvent) -> None:
    """A day has passed: measure how long the certificates still hold."""
    with log.invocation(request_id=request_id(event)):
        sandbox.expiry_watch.measure(datetime.now(UTC))


def current_request() -> Request:
    """The request being answered; there is one whenever a route runs."""
    return cast("Request", app.current_request)


def request_id(event: BaseLambdaEvent) -> str:
    """Of the invocation, as AWS's own log lines name it."""
    return str(context_of(event).aws_request_id)


def deadline(event: BaseLambdaEvent) -> float:
    """The moment of `time.monotonic` by which an invocation must stop pushing."""
    remaining = float(context_of(event).get_remaining_time_in_millis()) / 1000
    return time.monotonic() + remaining - PUSH_RESERVE_SECONDS


def context_of(event: BaseLambdaEvent) -> Any:  # noqa: ANN401
    """Lambda's context object, which Chalice types as a dictionary."""
    return event.context
