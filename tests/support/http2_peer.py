"""h2's server as the peer of a connection without a socket."""

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.settings

from chalicelib.apns.connection import (
    Connection,
    ConnectionEvent,
    Headers,
)

MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
HEADERS: Headers = (
    (b":method", b"POST"),
    (b":scheme", b"https"),
    (b":authority", b"api.push.apple.com:443"),
    (b"apns-topic", b"pass.com.example"),
    (b"authorization", b"bearer abc.def.ghi"),
)


class Peer:
    """h2's idea of a server, and what it understood."""

    def __init__(self, **initial: int) -> None:
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        settings = h2.settings.Settings(client=False, initial_values={MAX_STREAMS: 1000})
        for name, value in initial.items():
            settings[h2.settings.SettingCodes[name]] = value
        settings.acknowledge()
        self.h2.local_settings = settings
        self.h2.initiate_connection()
        self.requests: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}

    def takes(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.requests[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                case h2.events.DataReceived():
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data

    def answers(self, stream_id: int, status: int = 200, body: bytes = b"") -> None:
        headers = [(":status", str(status)), ("apns-id", f"id-{stream_id}")]
        self.h2.send_headers(stream_id, headers, end_stream=not body)
        if body:
            self.h2.send_data(stream_id, body, end_stream=True)

    def allows(self, streams: int) -> None:
        self.h2.update_settings({MAX_STREAMS: streams})


def talk(connection: Connection, peer: Peer) -> list[ConnectionEvent]:
    """Carry bytes to and fro until neither side has more to say."""
    events: list[ConnectionEvent] = []
    while True:
        to_peer = connection.data_to_send()
        peer.takes(to_peer)
        to_us = peer.h2.data_to_send()
        events += connection.receive(to_us)
        if not to_peer and not to_us:
            return events


def greeted(peer: Peer) -> Connection:
    connection = Connection()
    talk(connection, peer)
    return connection
