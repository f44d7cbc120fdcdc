"""The roots that the functions trust, for AWS and for APNs: Mozilla's, as the zip has them (`infra/deploy/slim.py`).

They stand in a folder, a file each, of which OpenSSL reads the one that it needs. To read them all takes 30 ms, for
each of the two contexts of a cold start.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "roots"
"""In the zip only."""


def folder() -> str | None:
    """Where they are; None outside the zip, where those of the machine and of botocore serve."""
    return str(FOLDER) if FOLDER.is_dir() else None
