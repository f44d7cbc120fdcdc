"""This service's code, as a warm execution environment runs it."""

from datetime import UTC, datetime
from pathlib import Path

from benchmarks.pass_peers.job import PassJob
from chalicelib.core.identifiers import AuthenticationToken
from chalicelib.passes.item import PassItem
from chalicelib.passes.rendering import render
from chalicelib.passes.signing import Signer
from chalicelib.passes.template import Template


def main() -> None:
    job = PassJob.read()
    template = Template.parse("bench", {**job.images(), "pass.json": (Path(job.folder) / "pass.json").read_bytes()})
    signer = Signer.from_pem(
        certificate=Path(job.certificate).read_text(),
        private_key=Path(job.private_key).read_text(),
        intermediate=Path(job.intermediate).read_text(),
    )
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
        return template.archive.with_pass(rendered, sign=lambda manifest: signer.sign(manifest, at=now))

    job.run(make)


if __name__ == "__main__":
    main()
