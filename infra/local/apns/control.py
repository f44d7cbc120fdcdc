"""The HTTP endpoint that programs the stand-in for APNs: on the loopback interface, JSON in and out."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from infra.local.apns.server import LOOPBACK
from infra.local.apns.values import DELIVERED, NO_FAULTS, Faults, ProgrammedAnswer, State

MAX_BODY_BYTES = 1 << 16
TOKENS = "/tokens/"
HELP = {
    "GET /pushes": "the received pushes, in order",
    "GET /pushes?after=<number>&wait=<seconds>": "those after the first <number>, for which it waits: {next, pushes}",
    "DELETE /pushes": "forget the received pushes and the counts",
    "GET /arrivals": "times of the pushes to each device: {token: [epoch seconds, ...]}",
    "GET /deliveries?after=<number>": 'accepted pushes after the first <number>: {"next": <number>, "deliveries": '
    '[{"token", "topic", "at"}, ...]}; simulated phones receive them so',
    "GET /summary": "number, time span and statuses of the pushes; numbers of connections and streams",
    "PUT /tokens/<token>": '{"status": 410, "reason": "Unregistered", "timestamp": <ms>, "retry_after": <s>}',
    "DELETE /tokens/<token>": "answer 200 again",
    "GET /faults": "the current faults",
    "PUT /faults": Faults.__doc__,
    "DELETE /faults": "end all faults",
}


class ControlServer(ThreadingHTTPServer):
    """Listens for commands."""

    daemon_threads = True

    def __init__(self, port: int, state: State) -> None:
        super().__init__((LOOPBACK, port), _Control)
        self.state = state


class _Control(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in two writes take 40 ms with Nagle's algorithm
    disable_nagle_algorithm = True

    @property
    def _state(self) -> State:
        return cast("ControlServer", self.server).state

    def do_GET(self) -> None:
        location = urlsplit(self.path)
        match location.path:
            case "/":
                self._reply(200, HELP)
            case "/pushes" if location.query:
                self._reply_later_pushes(parse_qs(location.query))
            case "/pushes":
                self._reply(200, [push.describe() for push in list(self._state.pushes)])
            case "/faults":
                self._reply(200, asdict(self._state.faults))
            case "/arrivals":
                self._reply(200, _arrivals(self._state))
            case "/deliveries":
                self._reply_deliveries(parse_qs(location.query).get("after", ["0"])[0])
            case "/summary":
                self._reply(200, _summary(self._state))
            case _:
                self._unknown()

    def do_DELETE(self) -> None:
        if self.path == "/pushes":
            self._state.forget()
        elif self.path == "/faults":
            self._state.set_faults(NO_FAULTS)
        elif self.path.startswith(TOKENS):
            self._state.answers.pop(self._token, None)
        else:
            self._unknown()
            return
        self._reply(200, {})

    def do_PUT(self) -> None:
        if self.path == "/faults":
            self._take(lambda body: self._state.set_faults(Faults.parse(body)))
        elif self.path.startswith(TOKENS):
            self._take(lambda body: self._state.answers.update({self._token: ProgrammedAnswer.parse(body)}))
        else:
            self._unknown()

    def _reply_later_pushes(self, query: dict[str, list[str]]) -> None:
        after, wait = query.get("after", ["0"])[0], query.get("wait", ["0"])[0]
        if not after.isdecimal() or not wait.isdecimal():
            self._reply(400, {"error": f"after={after}, wait={wait}: must be whole numbers"})
            return
        self._state.wait_for_pushes(int(after), int(wait))
        received, pushes = self._state.pushes_after(int(after))
        self._reply(200, {"next": received, "pushes": [push.describe() for push in pushes]})

    def _reply_deliveries(self, after: str) -> None:
        if not after.isdecimal():
            self._reply(400, {"error": f"after={after}: must be the number from `next` of the reply before"})
            return
        received, pushes = self._state.pushes_after(int(after))
        delivered = [push for push in pushes if push.answer is not None and push.answer.status == DELIVERED]
        described = [
            {
                "token": push.token.decode("utf-8", "replace"),
                "topic": dict(push.headers).get(b"apns-topic", b"").decode("utf-8", "replace"),
                "at": push.at,
            }
            for push in delivered
        ]
        self._reply(200, {"next": received, "deliveries": described})

    @property
    def _token(self) -> bytes:
        return unquote(self.path.removeprefix(TOKENS)).encode()

    def _take(self, use: Callable[[Any], None]) -> None:
        try:
            length = int(self.headers.get("Content-Length", "0"))
            use(json.loads(self.rfile.read(min(length, MAX_BODY_BYTES))))
        except (ValueError, TypeError) as error:
            self._reply(400, {"error": str(error)})
        else:
            self._reply(200, {})

    def _unknown(self) -> None:
        self._reply(404, {"error": f"{self.command} {self.path} does not exist; GET / lists the commands"})

    def _reply(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Log nothing."""


def _arrivals(state: State) -> dict[str, list[float]]:
    arrivals: dict[str, list[float]] = defaultdict(list)
    for push in list(state.pushes):
        arrivals[push.token.decode("utf-8", "replace")].append(push.at)
    return arrivals


def _summary(state: State) -> dict[str, Any]:
    pushes = list(state.pushes)
    return {
        "pushes": len(pushes),
        "devices": len({push.token for push in pushes}),
        "first_at": pushes[0].at if pushes else None,
        "last_at": pushes[-1].at if pushes else None,
        "statuses": Counter(str(push.answer.status) if push.answer else "none" for push in pushes),
        "connections": state.accepted,
        "open_connections": len(state.on_faults),
        "peak_streams": state.peak_streams,
        "excess_streams": state.excess_streams,
    }
