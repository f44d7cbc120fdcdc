"""Does what a team does to its stage: writes items, publishes templates, rotates secrets."""

import json
import secrets
from pathlib import Path
from typing import Any

from chalicelib.aws.secrets import Secrets
from chalicelib.core.authentication import AuthenticationKey, AuthenticationKeys
from chalicelib.core.identifiers import PassId
from chalicelib.core.secret_forms import SecretNames, authentication_keys_content
from infra.local.authority import Authority
from infra.local.certificates import keep_development_chain
from infra.local.run import PASS_TYPE_IDENTIFIER, TEAM_IDENTIFIER, LocalRun
from infra.operate.events import correct_counts
from infra.operate.queues import StageQueues
from infra.operate.rechecks import recheck_refused, refused_passes
from infra.operate.templates.bucket import TemplatesBucket
from infra.operate.templates.touch import touch, untouched
from infra.stage import aws
from infra.stage.secrets import put_pass_type
from infra.stage.stage import Stage
from tests.soak.ledger import Write, gate_of

TEMPLATE = "soak"
COUNTED_SECONDS = 20.0
"""A count that is still different after this time is wrong; the stream of the registrations has been read by then."""
PACKAGED = Path(__file__).parents[2] / "chalicelib" / "templates" / "boarding.pass"


class SoakedStage:
    """A stage under load. All methods block."""

    def __init__(self, stack: LocalRun) -> None:
        self._stack = stack
        self.stage = Stage.open(stack.stage)
        self._table = aws.resource("dynamodb").Table(stack.tables["passes"])
        self._client = aws.client("dynamodb")
        self._secrets = aws.client("secretsmanager")
        self._names = SecretNames(stack.stage)
        self._saved = {name: self._secret(name) for name in self._secret_names()}
        self._files = {
            str(path.relative_to(PACKAGED)): path.read_bytes() for path in PACKAGED.rglob("*") if path.is_file()
        }
        self._bucket = TemplatesBucket(self.stage)
        self.revision = 0
        self._first_keys = Secrets(stage=stack.stage).authentication_keys()

    def token(self, pass_id: PassId) -> str:
        """The authentication token of a new pass, from a key that every execution environment knows."""
        return self._first_keys.issue(pass_id, item_token=None).value

    # ------------------------------------------------------------ items

    def item(self, pass_id: PassId, write: Write) -> dict[str, Any]:
        fields = {"gate": gate_of(write.number), **({} if write.valid else {"no_such_field": "x"})}
        return {"pass_id": str(pass_id), "template": TEMPLATE, "fields": fields}

    def puts(self, pass_id: PassId, write: Write) -> None:
        """PutItem, which replaces the item."""
        self._table.put_item(Item=self.item(pass_id, write))

    def updates(self, pass_id: PassId, write: Write) -> None:
        """UpdateItem of the field, or PutItem if there is no item."""
        missing = self._client.exceptions.ConditionalCheckFailedException
        try:
            self._table.update_item(
                Key={"pass_id": str(pass_id)},
                UpdateExpression="SET #fields = :fields",
                ConditionExpression="attribute_exists(pass_id)",
                ExpressionAttributeNames={"#fields": "fields"},
                ExpressionAttributeValues={":fields": self.item(pass_id, write)["fields"]},
            )
        except missing:
            self.puts(pass_id, write)

    def puts_many(self, writes: dict[PassId, Write]) -> None:
        """BatchWriteItem."""
        with self._table.batch_writer() as batch:
            for pass_id, write in writes.items():
                batch.put_item(Item=self.item(pass_id, write))

    def rewrites(self, pass_id: PassId, **own: object) -> None:
        """PutItem of the item as it is, with attributes of the pipeline's own, which are no change."""
        found = self._table.get_item(Key={"pass_id": str(pass_id)}, ConsistentRead=True).get("Item")
        if found:
            self._table.put_item(Item={**found, **own})

    def deletes(self, pass_id: PassId) -> None:
        self._table.delete_item(Key={"pass_id": str(pass_id)})

    def refused(self) -> set[str]:
        """The passes whose refusal is recorded."""
        return set(refused_passes(self.stage, TEMPLATE))

    # ------------------------------------------------------------ templates and secrets

    def publishes(self, *, broken: bool = False) -> int:
        """Push a revision of the template, and have refused items checked again, as `template push` does."""
        self.revision += 1
        content = json.loads(self._files["pass.json"])
        content["description"] = f"Revision {self.revision}"
        if broken:
            content["boardingPass"]["headerFields"] = []
        files = {**self._files, "pass.json": json.dumps(content).encode()}
        self._bucket.push(TEMPLATE, files, on_progress=lambda _: None)
        recheck_refused(self.stage, TEMPLATE, on_progress=lambda _: None)
        return self.revision

    def touches(self) -> None:
        """Notify the phones of the template's passes of its revision, as `template push --notify` does."""
        current = self._bucket.current(TEMPLATE)
        assert current is not None
        pages = untouched(self.stage, template=TEMPLATE, revision=current.revision)
        touch(self.stage, pages, template=TEMPLATE, revision=current.revision, rate=1000, on_progress=lambda _: None)

    def adds_a_key(self) -> None:
        """Add an authentication key; passes that were issued before keep their tokens."""
        name = self._names.authentication_keys
        keys = Secrets(stage=self._stack.stage).authentication_keys().keys
        more = AuthenticationKeys((*keys, AuthenticationKey(f"soak-{secrets.token_hex(3)}", secrets.token_bytes(32))))
        self._secrets.put_secret_value(SecretId=name, SecretString=json.dumps(authentication_keys_content(more)))

    def renews_the_certificate(self) -> None:
        """Replace the pass type certificate and its key by new ones of the same team."""
        chain = keep_development_chain(
            Path(self._stack.certificates["root"]).parent,
            pass_type_identifier=PASS_TYPE_IDENTIFIER,
            team_identifier=TEAM_IDENTIFIER,
        )
        authority = Authority(chain, team_identifier=TEAM_IDENTIFIER, on_issue=lambda _: None)
        put_pass_type(self._stack.stage, PASS_TYPE_IDENTIFIER, authority.credentials(PASS_TYPE_IDENTIFIER))

    # ------------------------------------------------------------ afterwards

    def waiting(self) -> dict[str, int]:
        """Count the messages of the queues by role."""
        states = StageQueues(self.stage).states()
        return {role: state.waiting + state.in_flight + state.delayed for role, state in states.items()}

    def wrong_counts(self) -> int:
        """Compare the counts of holders with a full scan of the registrations; returns how many were wrong."""
        return correct_counts(self.stage, settle_seconds=COUNTED_SECONDS)

    def cleans_up(self, passes: list[PassId]) -> None:
        """Delete the soak's items and template, and restore the secrets."""
        with self._table.batch_writer() as batch:
            for pass_id in passes:
                batch.delete_item(Key={"pass_id": str(pass_id)})
        for name, content in self._saved.items():
            self._secrets.put_secret_value(SecretId=name, SecretString=content)
        self._bucket.delete(TEMPLATE)

    def _secret_names(self) -> list[str]:
        return [
            self._names.authentication_keys,
            self._names.pass_type(PASS_TYPE_IDENTIFIER),
            self._names.apns_key(PASS_TYPE_IDENTIFIER),
        ]

    def _secret(self, name: str) -> str:
        return str(self._secrets.get_secret_value(SecretId=name)["SecretString"])
