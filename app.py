"""Passwire's table of contents: every route that devices call and every trigger that AWS fires, one function each.

A route parses its request (`chalicelib/http`), calls a flow (`chalicelib/flows`) from this execution environment's
services (`chalicelib/container.py`), and returns the result as a response. Nothing is decided here.
"""

import gc

GARBAGE_COLLECTION_THRESHOLD = 200_000
"""A cold start creates over 100,000 objects that live as long as the execution environment, most of them by imports.
Python's default, a search for garbage at every 700 new objects, takes a seventh of it. Garbage can grow to about 50 MB.
"""
gc.set_threshold(GARBAGE_COLLECTION_THRESHOLD)

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, cast

from chalice.app import BaseLambdaEvent, Chalice, CloudWatchEvent, DynamoDBEvent, Rate, Request, Response, SQSEvent

from chalicelib.container import Services
from chalicelib.core.links import PATH
from chalicelib.flows import device_logs
from chalicelib.http import api, events, pages
from chalicelib.http.errors import handle_device_errors, handle_page_errors
from chalicelib.http.responses import PKPASS, PKPASSES, PNG, empty
from chalicelib.telemetry import log
from chalicelib.updates.protocol import Tag

PASSES_STREAM = os.environ.get("PASSWIRE_PASSES_STREAM", "arn:aws:dynamodb:*:*:table/passes/stream/*")
"""For `chalice deploy`: from the stage that `prepare` wrote. A stack gets the real ARN from its template."""
REGISTRATIONS_STREAM = os.environ.get(
    "PASSWIRE_REGISTRATIONS_STREAM", "arn:aws:dynamodb:*:*:table/registrations/stream/*"
)
"""For `chalice deploy`, as `PASSES_STREAM`."""
PUSH_QUEUE = os.environ.get("PASSWIRE_PUSH_QUEUE", "arn:aws:sqs:*:*:push")
"""For `chalice deploy`, as `PASSES_STREAM`."""
PUSH_RESERVE_SECONDS = 3.0
"""Seconds before an invocation's end that are reserved for queueing the pushes that were not sent."""

app = Chalice(app_name="passwire")
app.api.binary_types.extend([PKPASS, PKPASSES, PNG])
if "AWS_CHALICE_CLI_MODE" in os.environ and os.environ.get("PASSWIRE_STAGE") != "local":
    # Chalice deploys: the gateway must pass on every body unchanged. `chalice local` would refuse texts with it.
    app.api.binary_types.append("*/*")
services = Services()

DEVICE = "/v1/devices/{device_library_identifier}/registrations/{pass_type_identifier}"
REGISTRATION = DEVICE + "/{serial_number}"
PASS = "/v1/passes/{pass_type_identifier}/{serial_number}"
LINK = PATH + "{token}"


@app.middleware("http")
def middleware(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Middleware: sets the log context, answers unknown routes, ignores the request's media types."""
    with log.invocation(request_id=request.context.get("requestId"), **api.caller(request)):
        if request.method not in app.routes.get(request.path, {}):
            return api.unknown_route(request, app.routes)
        api.ignore_media_types(request)
        with services.metrics.duration("CallDuration", call=app.routes[request.path][request.method].view_name):
            return get_response(request)


@app.route(REGISTRATION, methods=["POST"])
@handle_device_errors
def register(device_library_identifier: str, pass_type_identifier: str, serial_number: str) -> Response:
    """A device adds a pass (Apple, "Register a Pass for Update Notifications")."""
    first_time = services.registrar.register(
        device=api.device(services.settings, device_library_identifier),
        pass_id=api.pass_id(services.settings, pass_type_identifier, serial_number),
        authorization=api.authorization(current_request()),
        push_token=api.push_token(current_request()),
        wallet=api.wallet(current_request()),
        now=time.time(),
    )
    return empty(HTTPStatus.CREATED if first_time else HTTPStatus.OK)


@app.route(REGISTRATION, methods=["DELETE"])
@handle_device_errors
def unregister(device_library_identifier: str, pass_type_identifier: str, serial_number: str) -> Response:
    """A device removes a pass (Apple, "Unregister a Pass for Update Notifications")."""
    services.registrar.unregister(
        device=api.device(services.settings, device_library_identifier),
        pass_id=api.pass_id(services.settings, pass_type_identifier, serial_number),
        authorization=api.authorization(current_request()),
    )
    return empty(HTTPStatus.OK)


@app.route(DEVICE, methods=["GET"])
@handle_device_errors
def list_changed(device_library_identifier: str, pass_type_identifier: str) -> Response:
    """A device requests the passes that changed (Apple, "Get the List of Updatable Passes")."""
    listing = services.lister.list_changed(
        device=api.known_device(services.settings, device_library_identifier),
        pass_type_identifier=api.path_parameter(services.settings, pass_type_identifier),
        tag=Tag.parse(api.query_parameter(current_request(), "passesUpdatedSince")),
        now=time.time(),
    )
    return api.listing(listing)


@app.route(PASS, methods=["GET", "HEAD"])
@handle_device_errors
def download(pass_type_identifier: str, serial_number: str) -> Response:
    """A device downloads a pass (Apple, "Send an Updated Pass")."""
    result = services.downloader.download(
        pass_id=api.pass_id(services.settings, pass_type_identifier, serial_number),
        authorization=api.authorization(current_request()),
        conditions=api.conditions(current_request()),
        web_service_url=api.web_service_url(services.settings, current_request()),
        now=time.time(),
    )
    return api.download(result, method=current_request().method)


@app.route(PASS + "/personalize", methods=["POST"])
@handle_device_errors
def personalize(pass_type_identifier: str, serial_number: str) -> Response:
    """A person signs up with a pass (Apple, "Return a Personalized Pass")."""
    personalizer = services.personalizer
    with personalizer.counting_refusals():
        signature = personalizer.personalize(
            pass_id=api.pass_id(services.settings, pass_type_identifier, serial_number),
            authorization=api.authorization(current_request()),
            personalization=api.personalization(current_request()),
            now=time.time(),
        )
    return api.signature(signature)


@app.route("/v1/log", methods=["POST"], content_types=["*/*"])
@handle_device_errors
def log_messages() -> Response:
    """A device reports errors (Apple, "Log a Message")."""
    device_logs.log_messages(api.log_messages(current_request()))
    return empty(HTTPStatus.OK)


@app.route(LINK, methods=["GET", "HEAD"])
@handle_page_errors(lambda: pages.languages(current_request()))
def open_link(token: str) -> Response:
    """A person opens a download link: an iPhone gets the passes, any other client gets a page that shows them."""
    token = api.path_parameter(services.settings, token)
    opened = services.link_opener.open(
        token=token,
        number=pages.number(current_request()),
        web_service_url=api.web_service_url(services.settings, current_request()),
        now=time.time(),
        asked_for=pages.wanted(current_request()).value,
    )
    return pages.answer(opened, token, settings=services.settings, request=current_request())


@app.on_dynamodb_record(stream_arn=PASSES_STREAM, name="push", batch_size=100, starting_position="TRIM_HORIZON")
def push(event: DynamoDBEvent) -> dict[str, Any]:
    """Passes changed: stamp them and push to every device that holds one."""
    with log.invocation(request_id=request_id(event)):
        failed = services.changes.handle(events.stream_records(event.to_dict()), deadline=deadline(event))
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


@app.on_sqs_message(queue_arn=PUSH_QUEUE, name="push_worker", batch_size=10, maximum_concurrency=20)
def push_worker(event: SQSEvent) -> dict[str, Any]:
    """Push tasks are due: carry them out, and report the messages that must be delivered again."""
    with log.invocation(request_id=request_id(event)):
        failed = services.push_worker.handle(events.queue_messages(event.to_dict()), deadline=deadline(event))
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


@app.on_dynamodb_record(
    stream_arn=REGISTRATIONS_STREAM, name="publish_events", batch_size=100, starting_position="TRIM_HORIZON"
)
def publish_events(event: DynamoDBEvent) -> dict[str, Any]:
    """Devices registered or unregistered, or passes were stamped: publish events and count holders and updates.

    The template adds the stream of the versions table, whose records come in batches of their own.
    """
    with log.invocation(request_id=request_id(event)):
        if events.is_of_registrations(event.to_dict()):
            failed = services.event_publisher.handle(events.registration_records(event.to_dict()))
        else:
            failed = services.pass_event_publisher.handle(events.version_records(event.to_dict()))
    return {"batchItemFailures": [{"itemIdentifier": sequence_number} for sequence_number in failed]}


@app.schedule(Rate(1, unit=Rate.DAYS), name="check_certificates")
def check_certificates(event: CloudWatchEvent) -> None:
    """A day has passed: measure how long the certificates remain valid."""
    with log.invocation(request_id=request_id(event)):
        services.certificate_expiry.measure(datetime.now(UTC))


def current_request() -> Request:
    """Return the current request; there is one whenever a route runs."""
    return cast("Request", app.current_request)


def request_id(event: BaseLambdaEvent) -> str:
    """Return the id of the invocation that AWS's own log lines contain."""
    return str(context_of(event).aws_request_id)


def deadline(event: BaseLambdaEvent) -> float:
    """Return the time, in seconds of `time.monotonic`, by which an invocation must stop pushing."""
    remaining = float(context_of(event).get_remaining_time_in_millis()) / 1000
    return time.monotonic() + remaining - PUSH_RESERVE_SECONDS


def context_of(event: BaseLambdaEvent) -> Any:  # noqa: ANN401
    """Return Lambda's context object, which Chalice types as a dictionary."""
    return event.context
