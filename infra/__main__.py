"""`python -m infra`: the command line, put together from `infra/commands/`."""

import os
import signal
import sys

INTERRUPTED = 130


def main() -> int:
    """Run the command line and return its exit code; Ctrl-C while it is being loaded ends it without a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:  # a shell that started this in the background ignores the signal
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from infra.commands import main as run  # noqa: PLC0415 - it takes most of the time until a command begins

    signal.signal(signal.SIGINT, handler)
    return run()


if __name__ == "__main__":
    sys.exit(main())
