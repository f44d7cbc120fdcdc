"""The load of a soak: carries out the steps of a plan with headless phones, pipelines and strangers."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack

import httpx

from chalicelib.core.identifiers import PassId
from infra.commands.publishing import SETTLE_SECONDS
from infra.local.phones import GaveUpError, HeadlessPhone, PhonePass, Phones
from infra.local.run import PASS_TYPE_IDENTIFIER, LocalRun
from tests.soak import ledger as accounts
from tests.soak.ledger import Ledger, Write
from tests.soak.plan import Plan, Step
from tests.soak.stage import SoakedStage

POPULAR = 4
"""The first passes, each of which many phones add."""
MOST_PHONES = 60
BROKEN_SECONDS = 4.0
SERVER_ERROR = 500
INVALID = 400


class Load:
    """The participants of a soak.

    Args:
        plan: what happens.
        stack: the local run.
        stage: its stage.
        ledger: records what happens.
        population: the phones.
        http: for invalid requests.
    """

    def __init__(
        self,
        plan: Plan,
        stack: LocalRun,
        stage: SoakedStage,
        ledger: Ledger,
        population: Phones,
        http: httpx.AsyncClient,
    ) -> None:
        self.plan = plan
        self.done: Counter[str] = Counter()
        self.unfinished: Counter[str] = Counter()
        """The steps that were cancelled because the soak had no more time for them."""
        self.answers: Counter[str] = Counter()
        """The answers to invalid requests by their first digit."""
        self.problems: list[str] = []
        self.faulty: Callable[[], bool] = lambda: False
        """Returns true if something fails now, or did shortly before."""
        run = secrets.token_hex(3).upper()
        self.passes = [PassId(PASS_TYPE_IDENTIFIER, f"SOAK-{run}-{number:02d}") for number in range(plan.passes)]
        self.unregistered: list[tuple[HeadlessPhone, PhonePass]] = []
        """Registrations that were given up; the phone tries again later."""
        self.unremoved: list[tuple[HeadlessPhone, PhonePass]] = []
        self._api_url = stack.api_url
        self._apns = stack.apns_control_url
        self._stage = stage
        self._ledger = ledger
        self._population = population
        self._http = http
        self._phones: list[HeadlessPhone] = []
        self._writing = {pass_id: asyncio.Lock() for pass_id in self.passes}
        self._acting: dict[str, asyncio.Lock] = {}
        self._designing = asyncio.Lock()
        self._actions: dict[str, Callable[[random.Random], Awaitable[object]]] = {
            "change a pass": self._change,
            "change a pass twice": self._change_twice,
            "change many passes": self._change_many,
            "write a pass unchanged": self._rewrite,
            "write an invalid item": self._write_invalid,
            "delete a pass": self._delete,
            "add a pass to a phone": self._add,
            "register again": self._register_again,
            "change a push token": self._change_token,
            "remove a pass from a phone": self._remove,
            "list": self._list,
            "download": self._download,
            "send an invalid request": self._send_invalid,
            "uninstall": self._uninstall,
            "publish a template": self._publish,
            "publish a template and notify": self._notify,
            "publish a broken template": self._break_template,
            "add an authentication key": lambda _: asyncio.to_thread(self._stage.adds_a_key),
            "renew the certificate": lambda _: asyncio.to_thread(self._stage.renews_the_certificate),
        }

    async def prepare(self) -> None:
        """Publish the template, write all passes for the first time, and have the first phones add some."""
        await asyncio.to_thread(self._stage.publishes)
        first = {pass_id: self._ledger.next_write() for pass_id in self.passes}
        await asyncio.to_thread(self._stage.puts_many, first)
        for pass_id, write in first.items():
            self._ledger.wrote(pass_id, write)
        choice, phones = random.Random(self.plan.seed), self.plan.phones  # noqa: S311 - no secret
        self._phones += [HeadlessPhone({}) for _ in range(phones)]
        async with asyncio.TaskGroup() as group:
            for number, pass_id in enumerate([*self.passes, *self.passes[:POPULAR] * (phones // 2)]):
                phone = self._phones[number] if number < phones else choice.choice(self._phones)
                group.create_task(self._add_to(phone, pass_id))

    async def carry_out(self, step: Step) -> None:
        """Carry out a step; what phones and strangers could not do is part of the soak."""
        self.done[step.kind] += 1
        try:
            await self._actions[step.kind](random.Random(step.number))  # noqa: S311 - no secret
        except GaveUpError:
            self.done[f"{step.kind}: given up"] += 1
        except asyncio.CancelledError:
            self.unfinished[step.kind] += 1
            raise

    async def finish(self) -> None:
        """Have phones register and unregister what they could not before."""
        await _each(
            self._register(phone, held)
            for phone, held in self.unregistered
            if self._ledger.held(phone, held.pass_id) is not None
        )
        await _each(
            self._population.unregister(phone, held)
            for phone, held in self.unremoved
            if self._ledger.held(phone, held.pass_id) is None
        )

    # ------------------------------------------------------------ pipelines

    def _pass(self, choice: random.Random) -> PassId:
        return choice.choice(self.passes[:POPULAR] if choice.random() < 0.2 else self.passes)

    async def _write(self, pass_id: PassId, carry_out: Callable[[PassId, Write], object], write: Write) -> None:
        await asyncio.to_thread(carry_out, pass_id, write)
        self._ledger.wrote(pass_id, write)

    async def _change(self, choice: random.Random) -> None:
        pass_id = self._pass(choice)
        how = choice.choice((self._stage.puts, self._stage.puts, self._stage.updates))
        async with self._writing[pass_id]:
            await self._write(pass_id, how, self._ledger.next_write())

    async def _change_twice(self, choice: random.Random) -> None:
        pass_id = self._pass(choice)
        async with self._writing[pass_id]:
            await self._write(pass_id, self._stage.puts, self._ledger.next_write())
            await asyncio.sleep(choice.uniform(0, 0.8))
            await self._write(pass_id, self._stage.puts, self._ledger.next_write())

    async def _change_many(self, choice: random.Random) -> None:
        chosen = sorted(choice.sample(self.passes, choice.randint(len(self.passes) // 5, len(self.passes) * 5 // 8)))
        async with AsyncExitStack() as held:
            for pass_id in chosen:
                await held.enter_async_context(self._writing[pass_id])
            writes = {pass_id: self._ledger.next_write() for pass_id in chosen}
            await asyncio.to_thread(self._stage.puts_many, writes)
            for pass_id, write in writes.items():
                self._ledger.wrote(pass_id, write)

    async def _rewrite(self, choice: random.Random) -> None:
        pass_id = self._pass(choice)
        async with self._writing[pass_id]:
            await asyncio.to_thread(self._stage.rewrites, pass_id, loaded=choice.getrandbits(16))

    async def _write_invalid(self, choice: random.Random) -> None:
        pass_id = choice.choice(self.passes[POPULAR:])
        async with self._writing[pass_id]:
            await self._write(pass_id, self._stage.puts, self._ledger.next_write(valid=False))

    async def _delete(self, choice: random.Random) -> None:
        pass_id = choice.choice(self.passes[POPULAR:])
        async with self._writing[pass_id]:
            await asyncio.to_thread(self._stage.deletes, pass_id)
            self._ledger.wrote(pass_id, self._ledger.next_write(deleted=True))

    # ------------------------------------------------------------ phones

    def _acts(self, phone: HeadlessPhone) -> asyncio.Lock:
        return self._acting.setdefault(phone.device_library_identifier, asyncio.Lock())

    def _phone(self, choice: random.Random) -> HeadlessPhone | None:
        return choice.choice(self._phones) if self._phones else None

    def _held(self, choice: random.Random) -> tuple[HeadlessPhone, PhonePass] | None:
        phone = self._phone(choice)
        held = list(phone.passes.get(PASS_TYPE_IDENTIFIER, {}).values()) if phone else []
        return (phone, choice.choice(held)) if phone and held else None

    async def _register(self, phone: HeadlessPhone, held: PhonePass) -> None:
        self._ledger.registers(phone)
        await self._population.register_pass(phone, held)

    async def _try_to_register(self, phone: HeadlessPhone, held: PhonePass) -> None:
        try:
            await self._register(phone, held)
        except GaveUpError:
            self.unregistered.append((phone, held))
            raise

    async def _add(self, choice: random.Random) -> None:
        """A person taps "Add": the phone downloads the pass and registers it."""
        pass_id = self._pass(choice)
        old = self._phone(choice) if choice.random() < 0.6 or len(self._phones) >= MOST_PHONES else None
        phone = old or HeadlessPhone({})
        if old is None:
            self._phones.append(phone)
        await self._add_to(phone, pass_id)

    async def _add_to(self, phone: HeadlessPhone, pass_id: PassId) -> None:
        async with self._acts(phone):
            uninstalled = phone not in self._phones  # while this waited for its turn
            if uninstalled or self._ledger.held(phone, pass_id) is not None:
                return
            self._ledger.adds(phone, pass_id)
            held = PhonePass(pass_id, self._stage.token(pass_id))
            try:
                await self._population.download(phone, held)
            except GaveUpError:
                self._ledger.ends(phone, pass_id, accounts.REMOVED)
                raise
            phone.passes.setdefault(PASS_TYPE_IDENTIFIER, {})[pass_id.serial_number] = held
            await self._try_to_register(phone, held)

    async def _register_again(self, choice: random.Random) -> None:
        if found := self._held(choice):
            async with self._acts(found[0]):
                if self._ledger.held(found[0], found[1].pass_id) is not None:
                    await self._try_to_register(*found)

    async def _change_token(self, choice: random.Random) -> None:
        """The phone gets another push token, and registers each of its passes with it."""
        if (phone := self._phone(choice)) is None:
            return
        async with self._acts(phone):
            await self._unregistered_at_apns(phone)
            phone.push_token = secrets.token_hex(32)
            passes = list(phone.passes.get(PASS_TYPE_IDENTIFIER, {}).values())
            await _each(self._try_to_register(phone, held) for held in passes)

    async def _remove(self, choice: random.Random) -> None:
        if (found := self._held(choice)) is None:
            return
        phone, held = found
        async with self._acts(phone):
            if phone.passes.get(PASS_TYPE_IDENTIFIER, {}).pop(held.pass_id.serial_number, None) is None:
                return
            self._ledger.ends(phone, held.pass_id, accounts.REMOVED)
            try:
                await self._population.unregister(phone, held)
            except GaveUpError:
                self.unremoved.append((phone, held))
                raise

    async def _list(self, choice: random.Random) -> None:
        if phone := self._phone(choice):
            self._population.update(phone, PASS_TYPE_IDENTIFIER)

    async def _download(self, choice: random.Random) -> None:
        if found := self._held(choice):
            await self._population.download(*found)

    async def _uninstall(self, choice: random.Random) -> None:
        """The device disappears without unregistering: APNs answers 410 from now on."""
        if (phone := self._phone(choice)) is None:
            return
        async with self._acts(phone):
            await self._unregistered_at_apns(phone)
            self._phones.remove(phone)
            for held in phone.passes.pop(PASS_TYPE_IDENTIFIER, {}).values():
                self._ledger.ends(phone, held.pass_id, accounts.UNINSTALLED)

    async def _unregistered_at_apns(self, phone: HeadlessPhone) -> None:
        answer = {"status": 410, "reason": "Unregistered", "timestamp": round(time.time() * 1000)}
        (await self._http.put(f"{self._apns}/tokens/{phone.push_token}", json=answer)).raise_for_status()

    # ------------------------------------------------------------ strangers

    async def _send_invalid(self, choice: random.Random) -> None:
        """No invalid request is carried out; while nothing fails, none is answered 5xx."""
        serial = self._pass(choice).serial_number
        device = choice.randbytes(8).hex()
        base = f"/v1/devices/{device}/registrations/{PASS_TYPE_IDENTIFIER}"
        wrong = {"Authorization": f"ApplePass {choice.randbytes(16).hex()}"}
        requests: list[tuple[str, str, dict[str, str], bytes]] = [
            ("GET", f"/v1/passes/{PASS_TYPE_IDENTIFIER}/{serial}", {}, b""),
            ("GET", f"/v1/passes/{PASS_TYPE_IDENTIFIER}/{serial}", wrong, b""),
            ("GET", f"/v1/passes/{PASS_TYPE_IDENTIFIER}/NONE-{device}", wrong, b""),
            ("GET", "/v1/passes/not.a.type/1", wrong, b""),
            ("POST", f"{base}/{serial}", wrong, b'{"pushToken": "00"}'),
            ("POST", f"{base}/{serial}", wrong, b"{" * choice.randint(1, 5000)),
            ("POST", f"{base}/{serial}", {}, choice.randbytes(100)),
            ("DELETE", f"{base}/{serial}", wrong, b""),
            ("POST", "/v1/log", {"Content-Type": "application/json"}, b'{"logs": 7}'),
            ("GET", f"/p/{choice.randbytes(30).hex()}", {}, b""),
            ("GET", f"/{choice.randbytes(5).hex()}", {}, b""),
            ("PUT", f"{base}/{serial}", wrong, b"x"),
        ]
        method, path, headers, body = choice.choice(requests)
        faulty = self.faulty()
        try:
            answer = await self._http.request(method, self._api_url + path, headers=headers, content=body)
        except httpx.TransportError as error:
            self.answers[type(error).__name__] += 1
            return
        self.answers[f"{answer.status_code // 100}xx"] += 1
        faulty = faulty or self.faulty()
        if answer.status_code < INVALID or (answer.status_code >= SERVER_ERROR and not faulty):
            self.problems.append(f"invalid {method} {path.replace(device, '...')[:80]}: {answer.status_code}")

    # ------------------------------------------------------------ templates

    async def _publish(self, _: random.Random) -> None:
        async with self._designing:
            await asyncio.to_thread(self._stage.publishes)

    async def _notify(self, _: random.Random) -> None:
        async with self._designing:
            revision = await asyncio.to_thread(self._stage.publishes)
            await asyncio.sleep(SETTLE_SECONDS)  # as `template push --notify` does
            async with AsyncExitStack() as held:
                for lock in self._writing.values():
                    await held.enter_async_context(lock)  # a PutItem would remove the touch again
                begun_at = time.time()
                await asyncio.to_thread(self._stage.touches)
                self._ledger.published(revision, at=begun_at)

    async def _break_template(self, choice: random.Random) -> None:
        """Publish a template without the field that all items have, and repair it some seconds later."""
        async with self._designing:
            await asyncio.to_thread(self._stage.publishes, broken=True)
            try:
                await asyncio.sleep(choice.uniform(1, BROKEN_SECONDS))
            finally:
                await asyncio.to_thread(self._stage.publishes)


async def _each(calls: Iterable[Awaitable[object]]) -> None:
    """Make calls one after the other, as Wallet does: one that is given up does not keep the others from being made.

    Raises:
        GaveUpError: a call was given up.
    """
    given_up: GaveUpError | None = None
    for call in calls:
        try:
            await call
        except GaveUpError as error:
            given_up = error
    if given_up is not None:
        raise given_up
