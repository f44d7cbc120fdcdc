"""edutap.wallet_apple, with its key as bytes; it does not accept a parsed key."""

import importlib
import io
import os
from pathlib import Path

from benchmarks.pass_peers.job import PassJob


def main() -> None:
    os.environ["EDUTAP_WALLET_APPLE_PYDANTIC_EXTRA"] = "allow"
    api = importlib.import_module("edutap.wallet_apple.api")  # reads the environment

    job = PassJob.read()
    content, images = job.content(), job.images()
    key, certificate, intermediate = (
        Path(path).read_bytes() for path in (job.private_key, job.certificate, job.intermediate)
    )

    def make(serial_number: str, gate: str) -> bytes:
        style = dict(content["boardingPass"])
        style["headerFields"] = [{**style["headerFields"][0], "value": gate}]
        made = api.new(
            data={
                **content,
                "boardingPass": style,
                "barcodes": [{**content["barcodes"][0], "message": serial_number}],
                "serialNumber": serial_number,
                "passTypeIdentifier": job.pass_type_identifier,
                "teamIdentifier": job.team_identifier,
                "webServiceURL": job.web_service_url,
                "authenticationToken": job.authentication_token,
            }
        )
        for name, data in images.items():
            made._add_file(name, io.BytesIO(data))  # noqa: SLF001 - the library has no public way to add bytes
        made.sign_direct(key, certificate, intermediate)
        return bytes(made.as_zip_bytesio().getvalue())

    job.run(make)


if __name__ == "__main__":
    main()
