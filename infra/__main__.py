"""`python -m infra`: the command line, put together from `infra/commands/`."""

import sys

from infra.commands import main

if __name__ == "__main__":
    sys.exit(main())
