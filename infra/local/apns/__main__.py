"""The process of the stand-in for APNs: `python -m infra.local.apns --help`."""

import argparse
import gc
import json
import os
import ssl
import sys
import threading
from pathlib import Path

from infra.local.apns.control import ControlServer
from infra.local.apns.server import LOOPBACK, Server
from infra.local.apns.values import State

SWITCH_SECONDS = 0.0005
"""The longest time that a busy connection keeps other threads waiting."""


def main() -> None:
    """Serve until standard input ends; print the URLs as one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.apns", description="A stand-in for APNs.")
    parser.add_argument("--certificate", type=Path, required=True, help="of the server, PEM")
    parser.add_argument("--private-key", type=Path, required=True, help="of the server, PEM")
    parser.add_argument("--client-ca", type=Path, required=True, help="issuer of pass type certificates, PEM")
    parser.add_argument("--provider-key", action="append", default=[], metavar="KEY_ID=PEM_FILE", help="public key")
    parser.add_argument("--port", type=int, default=0, help="for pushes; 0 for a free one")
    parser.add_argument("--control-port", type=int, default=0, help="for commands; 0 for a free one")
    options = parser.parse_args()
    keys = dict(entry.partition("=")[::2] for entry in options.provider_key)
    state = State(provider_keys={key_id: Path(path).read_text() for key_id, path in keys.items()})
    try:
        pushes = Server(options.port, _context(options), state)
        control = ControlServer(options.control_port, state)
    except OSError as error:
        sys.exit(f"cannot listen on ports {options.port} and {options.control_port}: {error.strerror}; choose others")
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.disable()  # received pushes have no cycles, and searching them takes longer the more there are
    threading.Thread(target=pushes.serve_forever, daemon=True).start()
    threading.Thread(target=control.serve_forever, daemon=True).start()
    urls = {
        "apns_url": f"https://{LOOPBACK}:{pushes.port}",
        "control_url": f"http://{LOOPBACK}:{control.server_address[1]}",
    }
    sys.stdout.write(json.dumps(urls) + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # the process that started this one has ended; there is nothing to save


def _context(options: argparse.Namespace) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(options.certificate, options.private_key)
    context.set_alpn_protocols(["h2"])
    context.load_verify_locations(options.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


if __name__ == "__main__":
    main()
