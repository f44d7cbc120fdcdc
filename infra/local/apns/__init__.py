"""A stand-in for APNs: a real HTTP/2 and TLS server in a process of its own, whose answers can be programmed.

It answers as Apple's provider API does: headers, status codes, reasons, one stream at a time on a connection with
provider tokens until its first success, a client certificate that is valid for its own topic only. It differs from APNs
in that it delivers nothing, so that a device becomes unregistered only when a test programs that; it accepts every
device token; it does not know which topics belong to a team; and it neither closes idle connections nor limits how
often a provider token changes.

    values.py         programmed answers, faults, received pushes
    rules.py          APNs' checks of a request
    header_blocks.py  decodes requests' headers
    connection.py     HTTP/2 without I/O
    server.py         sockets and TLS
    control.py        the HTTP endpoint that programs it
    handle.py         starts and stops it
"""

from infra.local.apns.handle import ApnsStandIn

__all__ = ["ApnsStandIn"]
