"""This service's code, as a warm execution environment runs it; with `own-image`, each pass has its own image."""

import random
import struct
import sys
import zlib
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.pass_peers.job import PassJob
from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template

OWN_IMAGE = "own-image"
OWN_PATH, OWN_SIZE, OWN_COUNT = "thumbnail@2x.png", 180, 32
"""The size of a thumbnail in pixels (Apple), and the number of different images."""


def noise(size: int, seed: int) -> bytes:
    """Make a square PNG that cannot be compressed further, like a photograph."""
    dice = random.Random(seed)  # noqa: S311 - the same pixels each time
    rows = b"".join(b"\0" + dice.randbytes(3 * size) for _ in range(size))

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def main() -> None:
    job = PassJob.read()
    template = Template.parse("bench", {**job.images(), "pass.json": (Path(job.folder) / "pass.json").read_bytes()})
    signer = Signer.from_pem(
        certificate=Path(job.certificate).read_text(),
        private_key=Path(job.private_key).read_text(),
        intermediate=Path(job.intermediate).read_text(),
    )
    own = [noise(OWN_SIZE, seed) for seed in range(OWN_COUNT)] if OWN_IMAGE in sys.argv[1:-1] else []
    token = AuthenticationToken(job.authentication_token)

    def make(serial_number: str, gate: str) -> bytes:
        pass_id = f"{job.pass_type_identifier}/{serial_number}"
        item = PassItem.parse({"pass_id": pass_id, "template": "bench", "fields": {"gate": gate}})
        rendered = render(
            template,
            item,
            web_service_url=job.web_service_url,
            authentication_token=token,
            team_identifier=signer.team_identifier,
        )
        now = datetime.now(UTC)
        number = serial_number.rpartition("-")[2]
        image = {OWN_PATH: own[int(number) % OWN_COUNT]} if own and number.isdecimal() else {}
        archive = template.archive_with(image, personalized=False)
        return archive.with_pass(rendered, sign=lambda manifest: signer.sign(manifest, at=now))

    job.run(make)


if __name__ == "__main__":
    main()
