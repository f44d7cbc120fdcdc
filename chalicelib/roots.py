"""Locates the root certificates that the functions trust for AWS and APNs: Mozilla's, as packaged in the zip.

They are in a folder, one file per root (`infra/deploy/slim.py`), so that OpenSSL reads only the one that it needs.
Reading all of them takes 30 ms, for each of the two TLS contexts of a cold start.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "roots"
"""Exists in the zip only."""


def folder() -> str | None:
    """Return the folder; None outside the zip, where the roots of the machine and of botocore are used."""
    return str(FOLDER) if FOLDER.is_dir() else None
