"""One world: the shop, the people and the weather of one seed, from opening to the last check."""

import asyncio
import contextvars
import functools
import random
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import orjson

from catalog_svc.settings import CatalogSettings
from chassis.ids import Uuid7
from chassis.telemetry import Metrics
from order_svc.settings import OrderSettings
from payment_svc.providers.signatures import HEADER, sign
from payment_svc.settings import PaymentSettings
from tests.simulation.asgi import Answer, Call
from tests.simulation.broker import SimBroker
from tests.simulation.customers import Customer
from tests.simulation.faults import Dice
from tests.simulation.operators import Operator
from tests.simulation.person import Person
from tests.simulation.processes import SERVICES, WEBHOOK_SECRET, Process, UnansweredError
from tests.simulation.provider import SimProvider
from tests.simulation.stores import disk
from tests.simulation.story import Story
from tests.simulation.virtual_time import VirtualClock, VirtualLoop
from tests.support.tokens import TokenMint

NAMES: Final = ("anne", "bert", "cora", "dirk", "ella")


@dataclass(frozen=True)
class Settings:
    """The services' own, with deadlines that a world can see pass."""

    catalog: CatalogSettings
    order: OrderSettings
    payment: PaymentSettings


@functools.cache
def settings(stock: int, payment: int, hold: int) -> Settings:
    return Settings(
        CatalogSettings.model_validate({"reservation_ttl_seconds": hold, "expiry_every_seconds": 4}),
        OrderSettings.model_validate(
            {"stock_timeout_seconds": stock, "payment_timeout_seconds": payment, "sweep_seconds": 3}
        ),
        PaymentSettings.model_validate(
            {"webhook_secrets": WEBHOOK_SECRET, "sweep_seconds": 3, "hear_of_order_seconds": 0.1}
        ),
    )


@functools.cache
def mint() -> TokenMint:
    return TokenMint()


@functools.cache
def metrics() -> dict[str, Metrics]:
    """Counted and never looked at; kept because making them anew takes long."""
    return {service: Metrics() for service in SERVICES}


class World:
    """What one seed makes. `findings` are the sentences that must not be there at the end."""

    def __init__(self, seed: int, loop: VirtualLoop) -> None:
        self.dice = Dice.of_seed(seed)
        self.clock = VirtualClock(loop)
        self.story = Story(lambda: self.clock.seconds)
        self.ids = Uuid7(self.clock, random.Random(seed + 1_000_003))
        self.mint = mint()
        self.metrics = metrics()
        self.findings: list[str] = []
        rng = self.dice.rng
        self.settings = settings(rng.choice((20, 60)), rng.choice((30, 90)), rng.choice((60, 180)))
        self.skus = [f"BOOK-{number}" for number in range(1, rng.choice((2, 3, 4)))]
        self.broker = SimBroker(self.dice, self.story, self.clock)
        self.provider = SimProvider(self.dice, self.story, self._post_notice)
        for service in SERVICES:
            disk(service).wipe()
            disk(service).connection.execute(_KNOW_KEY, _key_row(self.mint))
        self.processes = {service: Process(self, service) for service in SERVICES}
        self.operator = Operator(self)
        self.customers = [Customer(self, name) for name in NAMES[: rng.randint(2, len(NAMES))]]
        self.people: list[Person] = [self.operator, *self.customers]
        self._background: dict[asyncio.Task[Any], None] = {}
        self._notices = 0
        self.closing = False

    # What people and processes ask of it.

    async def serve(self, request: Call) -> Answer:
        """Sent to the service whose path it is, as the edge does."""
        service = request.path.split("/")[1].split("?")[0].removesuffix("s")
        return await self.processes[service].serve(request.to)

    def judge(self, who: str, what: str, answer: Answer, order_id: str | None) -> None:
        """Look at every answer: some are never right."""
        if answer.status == 500 and "error at a failpoint" not in self.dice.hits:
            self.found(f"{who} {what}: 500, {answer.body.decode()} order {order_id}")
        if answer.status in {401, 403}:
            self.found(f"{who} {what}: {answer.status}")

    def found(self, finding: str) -> None:
        self.findings.append(finding)
        self.story.tell("FINDING", finding, *self.story.orders_in([finding]))

    def buried(self, process: Process) -> None:
        """A process is gone; somebody starts it again, a while later."""
        if not self.closing:
            self.background(self._start_again(process.service, self.dice.seconds(30.0)))

    def background(self, work: Coroutine[Any, Any, None]) -> None:
        """Something of the world's own: no process that dies takes it along."""
        task = asyncio.get_running_loop().create_task(work, context=contextvars.Context())
        self._background[task] = None
        task.add_done_callback(lambda done: self._background.pop(done, None))

    # From opening to rest.

    async def live(self) -> None:
        """Everything, in order; the checks come after."""
        self.background(self.broker.pass_time())
        weather, self.dice.rates = self.dice.rates, {}
        for process in self.processes.values():
            await process.start()
        await self.operator.fill_the_shelves()
        await self.quiet()
        self.story.tell("weather", ", ".join(sorted(weather)) or "fair")
        self.dice.rates = weather
        trouble = asyncio.get_running_loop().create_task(self._weather())
        await asyncio.gather(
            self.operator.work(self.dice.rng.randint(2, 8)),
            *(customer.shop(self.dice.rng.randint(1, 3)) for customer in self.customers),
        )
        trouble.cancel()
        await self._heal()

    async def quiet(self) -> None:
        """Wait until nothing is in a queue, an outbox or on its way to the provider."""
        for _ in range(2_000):
            await asyncio.sleep(0.5)
            if self.at_rest():
                return
            due = self.broker.next_due()
            if due is not None and self.dice.calm and not self._working():
                self.clock.jump(max(0.0, (due - self.clock.now()).total_seconds()))
        self.found("the shop does not come to rest")

    def at_rest(self) -> bool:
        pending = (disk(service).count(_UNSENT) for service in SERVICES)
        return self.broker.idle() and not any(pending) and not disk("payment").count(_UNASKED)

    def _working(self) -> bool:
        """Whether something is under way that needs no delay to be over."""
        return any(self.broker.ready(f"{s}.inbox") or self.broker.unsettled(f"{s}.inbox") for s in SERVICES)

    async def _heal(self) -> None:
        """Fair weather from now on: everything is up and reachable, and open questions are asked until answered."""
        self.story.tell("weather", "clears up")
        self.dice.calm = True
        self.broker.unblock()
        self.broker.reconnect()
        for _ in range(100):
            if all(process.open for process in self.processes.values()):
                break
            await asyncio.sleep(1)
        for person in self.people:
            for intent in person.intents:
                if intent.open:
                    await person.insist(intent, 40)

    async def rest(self) -> None:
        """Until every deadline has passed and every answer is in."""
        for _ in range(4):
            await self.quiet()
            self.clock.jump(100)
            self.story.tell("clock", "jumps 100 s")
            await asyncio.sleep(_SWEEPS_SECONDS)
            for (id,) in disk("order").connection.execute(_OVERDUE, [self.clock.now().isoformat(" ")]).fetchall():
                self.found(f"order {UUID(id)} waits on after its deadline")
        await self.quiet()

    # Weather.

    async def _weather(self) -> None:
        while True:
            await asyncio.sleep(1.0 + self.dice.seconds(10.0))
            rolls, rng = self.dice.rolls, self.dice.rng
            service = rng.choice(SERVICES)
            process = self.processes[service]
            if process.open and rolls("kill"):
                process.kill("is killed")
            elif process.open and rolls("restart"):
                self.background(process.stop())
            elif rolls("cut off"):
                whom = rng.choice((service, None))
                self.story.tell("broker", f"cuts off {whom or 'everybody'}")
                self.broker.disconnect(whom)
                self.background(self._later(self.dice.seconds(30.0), "lets everybody in", self.broker.reconnect))
            elif self.broker.blocked_since is None and rolls("block"):
                self.story.tell("broker", "takes no publishes (alarm)")
                self.broker.block()
                self.background(self._later(self.dice.seconds(30.0), "takes publishes again", self.broker.unblock))
            elif rolls("clock jump"):
                seconds = rng.choice((2, 21, 31, 65, 95))
                self.story.tell("clock", f"jumps {seconds} s")
                self.clock.jump(seconds)

    async def _later(self, seconds: float, text: str, action: Any) -> None:
        await asyncio.sleep(seconds)
        if not self.dice.calm:
            self.story.tell("broker", text)
            action()

    async def _start_again(self, service: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        process = self.processes[service] = Process(self, service)
        await process.start()

    # Webhooks.

    def _post_notice(self, payment_id: UUID) -> None:
        """The provider sends a notice, once or twice, now or later."""
        self._notices += 1
        document = {"id": f"n{self._notices}", "type": "payment.updated", "data": {"payment_id": str(payment_id)}}
        for _ in range(self.dice.rng.choice((1, 1, 2))):
            self.background(self._notify(orjson.dumps(document), self.dice.seconds(20.0)))

    async def _notify(self, body: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds)
        header = sign(body, WEBHOOK_SECRET, int(self.clock.now().timestamp()))
        request = Call("POST", "/payments/webhooks/simulated", body, {HEADER.lower().replace("-", "_"): header})
        try:
            answer = await self.serve(request)
        except UnansweredError:
            return
        self.story.tell(
            "provider", f"sends notice {orjson.loads(body)['id']}: {answer.status} {answer.body.decode()[:40]}"
        )
        if answer.status >= 400 and answer.status != 503:
            self.judge("provider", "sends a notice", answer, None)


def _key_row(mint: TokenMint) -> tuple[str, ...]:
    """As if auth_svc's event had come long ago."""
    event = mint.published
    return (event.kid, event.public_key, event.not_before.isoformat(" "), event.expires_at.isoformat(" "))


_KNOW_KEY: Final = "INSERT INTO token_keys (kid, public_key, not_before, expires_at) VALUES (?, ?, ?, ?)"
_SWEEPS_SECONDS: Final = 8.0
"""In which every sweep has run at least once."""

_OVERDUE: Final = "SELECT id FROM orders WHERE status IN ('pending', 'awaiting_payment') AND deadline_at < ?"
_UNSENT: Final = "SELECT count(*) FROM outbox WHERE published_at IS NULL AND parked_at IS NULL"
_UNASKED: Final = "SELECT count(*) FROM provider_operations WHERE state = 'pending'"
