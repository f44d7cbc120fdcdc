"""wallet-py3k and py-pkpass, which have the same interface. Files are read once, into `io.BytesIO`."""

import importlib
import io
import sys
from typing import Any

from benchmarks.pass_peers.job import PassJob

GROUPS = ("Header", "Primary", "Secondary", "Auxiliary", "Back")


def main() -> None:
    job, models = PassJob.read(), importlib.import_module(sys.argv[1])
    content, images = job.content(), job.images()

    def make(serial_number: str, gate: str) -> bytes:
        card = models.BoardingPass()
        for group in GROUPS:
            add = getattr(card, f"add{group}Field")
            for member in content["boardingPass"].get(f"{group.lower()}Fields", []):
                add(member["key"], gate if member["key"] == "gate" else member["value"], member.get("label", ""))
        made: Any = models.Pass(
            card,
            passTypeIdentifier=job.pass_type_identifier,
            organizationName=content["organizationName"],
            teamIdentifier=job.team_identifier,
        )
        made.serialNumber = serial_number
        made.description = content["description"]
        made.barcode = models.Barcode(message=serial_number, format=models.BarcodeFormat.AZTEC)
        made.webServiceURL = job.web_service_url
        made.authenticationToken = job.authentication_token
        for key in ("backgroundColor", "foregroundColor", "labelColor", "logoText"):
            setattr(made, key, content[key])
        for name, data in images.items():
            made.addFile(name, io.BytesIO(data))
        packed = made.create(job.certificate, job.private_key, job.intermediate, "")
        return bytes(packed.getvalue())

    job.run(make)


if __name__ == "__main__":
    main()
