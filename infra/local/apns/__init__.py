"""A stand-in for APNs: a real HTTP/2 and TLS server in a process of its own, whose answers can be programmed.

It answers as Apple's provider API does: headers, status codes, reasons, one stream at a time for a connection with
provider tokens until its first success, a client certificate good for its own topic. What it leaves out: it delivers
nothing, so it never finds out by itself that a device is gone; it takes any device token that is not programmed; it
does not know which topics belong to a team, does not close idle connections, and does not limit how often a provider
token changes.

    values.py         what can be told to it, and what it remembers
    rules.py          what APNs would say to a request
    header_blocks.py  requests' headers, read fast
    connection.py     HTTP/2 without I/O
    server.py         sockets and TLS
    control.py        the HTTP endpoint that drives it
    handle.py         starting and stopping it
"""

from infra.local.apns.handle import ApnsStandIn

__all__ = ["ApnsStandIn"]
