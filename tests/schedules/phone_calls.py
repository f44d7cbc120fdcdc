"""The actions of phones: add and remove passes, register, and ask for changes after a push."""

from chalicelib.core.identifiers import PassId, PushToken
from chalicelib.flows.authorize import UnauthorizedError
from tests.schedules.actors import UNKNOWN, HandedOut, Phone
from tests.schedules.api import Api
from tests.schedules.limits import API_TIMEOUT_SECONDS, PASS_TYPE
from tests.schedules.pipeline import Pipeline
from tests.schedules.rates import SKEW_SECONDS
from tests.schedules.scheduler import Scheduler
from tests.schedules.services import WorldApns


class PhoneCalls:
    """Lets phones follow Apple's protocol.

    Args:
        scheduler: runs their calls.
        pipeline: may write again what a phone has just downloaded.
        api: answers their calls.
        apns: no longer knows a push token that was replaced.
    """

    def __init__(self, scheduler: Scheduler, pipeline: Pipeline, api: Api, apns: WorldApns) -> None:
        self.handed_out: list[HandedOut] = []
        """The tags that list calls have returned."""
        self._scheduler = scheduler
        self._pipeline = pipeline
        self._api = api
        self._apns = apns

    def adds_a_pass(self, phone: Phone, pass_id: PassId) -> None:
        """A person adds a pass; the registration may come much later."""
        if pass_id not in self._pipeline.items or pass_id in phone.calling or pass_id in phone.wanted:
            return
        phone.calling.add(pass_id)

        def body() -> None:
            done = self._api.download(phone, pass_id, since=None)
            if done is not None and pass_id in self._pipeline.items:
                phone.content[pass_id], phone.last_modified[pass_id] = done
                phone.wanted.add(pass_id)
                steps = 0 if self._scheduler.calm else self._scheduler.random.choice([0, 1, 20, 60, 200, 200])
                phone.registers_from[pass_id] = self._scheduler.steps + min(steps, self._scheduler.rates.linger)

        self._scheduler.start("issue", body, lambda _: phone.calling.discard(pass_id), API_TIMEOUT_SECONDS)

    def removes_a_pass(self, phone: Phone, pass_id: PassId) -> None:
        phone.wanted.discard(pass_id)

    def changes_its_token(self, phone: Phone) -> None:
        """Give a phone a new push token, as after a restore: the old one is invalid, and it registers again."""
        if phone.calling:
            return
        self._apns.dead_tokens[phone.push_token] = self._scheduler.now + 2 * SKEW_SECONDS
        name, number = phone.push_token.value.rsplit("-", 1)
        phone.push_token = PushToken(f"{name}-{int(number) + 1}")

    def acts(self, phone: Phone) -> None:
        """Make the calls that are due: register, unregister, or ask for changes."""
        for pass_id in self._pipeline.pass_ids:
            due = phone.push_token if pass_id in phone.wanted else None
            if pass_id in phone.calling or phone.registered_tokens.get(pass_id) == due:
                continue
            if pass_id in self._pipeline.items and self._scheduler.steps >= phone.registers_from.get(pass_id, 0):
                self._calls(phone, pass_id)
        asleep = phone.asleep and not self._scheduler.calm
        if (phone.push_received or phone.to_fetch) and not phone.asking and not asleep:
            self._asks(phone)

    def _calls(self, phone: Phone, pass_id: PassId) -> None:
        """Register or unregister what the phone has added or removed."""
        phone.calling.add(pass_id)
        phone.registered_tokens[pass_id] = UNKNOWN
        wanted, push_token = pass_id in phone.wanted, phone.push_token
        arrived = [False]

        def body() -> None:
            authorization = self._api.authorization(pass_id)
            try:
                if wanted:
                    self._api.registrar.register(
                        device=phone.identifier,
                        pass_id=pass_id,
                        authorization=authorization,
                        push_token=push_token,
                        now=self._scheduler.clock(),
                    )
                else:
                    self._api.registrar.unregister(
                        device=phone.identifier, pass_id=pass_id, authorization=authorization
                    )
            except UnauthorizedError:
                self._scheduler.step()
                phone.wanted.discard(pass_id)
            self._scheduler.step()
            arrived[0] = True

        def ended(crashed: bool) -> None:  # noqa: FBT001
            phone.calling.discard(pass_id)
            if arrived[0] and not crashed and pass_id in self._pipeline.items:
                phone.registered_tokens[pass_id] = push_token if wanted else None

        self._scheduler.start("register" if wanted else "unregister", body, ended, API_TIMEOUT_SECONDS)

    def _asks(self, phone: Phone) -> None:
        """An empty push arrived: list and download the changed passes; failed calls are repeated."""
        phone.asking, phone.push_received = True, False
        done = [False]

        def body() -> None:
            writes = self._pipeline.writes
            if (
                phone.tag is not None
                and not self._scheduler.calm
                and self._scheduler.random.random() < self._scheduler.rates.rare
            ):
                phone.tag = str(int(self._scheduler.now) + 10**6)  # a damaged tag
            listing = self._api.list_changed(phone, phone.tag)
            self._scheduler.step()
            if listing is not None:
                phone.tag = str(listing.last_updated)
                self.handed_out.append(HandedOut(phone, phone.tag, writes))
                named = {PassId(PASS_TYPE, serial_number) for serial_number in listing.serial_numbers}
                phone.to_fetch |= named & phone.wanted
            for pass_id in sorted(phone.to_fetch):
                newer = self._api.download(phone, pass_id, since=phone.last_modified.get(pass_id))
                self._scheduler.step()
                if newer is not None and pass_id in phone.wanted:
                    phone.content[pass_id], phone.last_modified[pass_id] = newer
                    if not self._scheduler.calm and self._scheduler.random.random() < self._scheduler.rates.chase:
                        self._pipeline.writes_a_pass(pass_id)
                phone.to_fetch.discard(pass_id)
            done[0] = True

        def ended(_: bool) -> None:  # noqa: FBT001
            phone.asking = False
            phone.push_received = phone.push_received or not done[0]

        self._scheduler.start("ask", body, ended, API_TIMEOUT_SECONDS)
