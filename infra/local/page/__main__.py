"""The process of the page: `python -m infra.local.page`. `handle.py` starts it."""

import argparse
import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn

from infra.local.page.app import build_app
from infra.local.processes import LOOPBACK

CLOSE_SECONDS = 1


def main() -> None:
    """Serve until standard input ends; print `ready` when listening."""
    parser = argparse.ArgumentParser(prog="python -m infra.local.page", description="The page of the local run.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for the phones")
    options = parser.parse_args()
    description: dict[str, Any] = json.loads(sys.stdin.readline())
    os.environ.update(description["credentials"])
    app = build_app(description, folder=options.folder, port=options.port)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", server_header=False, timeout_graceful_shutdown=CLOSE_SECONDS)
    )
    with socket.create_server((LOOPBACK, options.port), backlog=128) as listener:
        threading.Thread(target=_end_with_parent, daemon=True).start()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        server.run(sockets=[listener])


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)  # the process that started this one has ended; the phones are saved


if __name__ == "__main__":
    main()
