"""Somebody with a token, who remembers every answer, and what they want done once."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.simulation.asgi import Answer, Call, call
from tests.simulation.processes import UnansweredError

if TYPE_CHECKING:
    from tests.simulation.world import World

_TOKEN_SECONDS: Final = 400.0


@dataclass
class Intent:
    """Something a client wants done once, under one idempotency key, and all it was told about it."""

    who: str
    what: str
    key: str
    call: Call
    order_id: str | None = None
    answers: list[Answer] = field(default_factory=list)
    unclear: bool = False
    """Whether the last try left it open if it happened."""

    @property
    def done(self) -> Answer | None:
        """The first success."""
        return next((answer for answer in self.answers if answer.status == 201), None)

    @property
    def open(self) -> bool:
        """Whether the client cannot know if it happened."""
        return self.unclear and self.done is None


class Person:
    """Sends requests, over a line that loses some of them."""

    def __init__(self, world: "World", name: str, role: str) -> None:
        self.world = world
        self.name = name
        self.role = role
        self.user_id = world.ids.new()
        self.intents: list[Intent] = []
        self._token = ""
        self._token_from = -_TOKEN_SECONDS
        self._keys = 0

    @property
    def headers(self) -> dict[str, str]:
        now = self.world.clock.seconds
        if now - self._token_from >= _TOKEN_SECONDS:
            issued = self.world.clock.now().timestamp()
            claims = self.world.mint.claims(self.user_id, roles=(self.role,), now=issued)
            self._token, self._token_from = self.world.mint.sign(claims), now
        return {"authorization": f"Bearer {self._token}"}

    def key(self) -> str:
        self._keys += 1
        return f"{self.name}-{self._keys}"

    def intend(self, what: str, key: str, path: str, body: object, order_id: str | None = None) -> Intent:
        """Something new to be done once; not sent yet."""
        intent = Intent(self.name, f"{what} ({key})", key, call("POST", path, body, idempotency_key=key), order_id)
        self.intents.append(intent)
        return intent

    async def ask(self, request: Call, what: str, order_id: str | None = None) -> Answer:
        """Send a request once.

        Raises:
            UnansweredError: it, or its answer, did not arrive.
        """
        rolls, tell = self.world.dice.rolls, self.world.story.tell
        if rolls("request lost"):
            tell(self.name, f"{what}: lost on the way", order_id)
            raise UnansweredError("lost")
        await asyncio.sleep(self.world.dice.seconds(0.05))
        signed = Call(request.method, request.path, request.body, {**request.headers, **self.headers})
        try:
            answer = await self.world.serve(signed)
        except UnansweredError as error:
            tell(self.name, f"{what}: {error}", order_id)
            raise
        told = f"{what}: {answer.status} {_gist(answer)}"
        if rolls("answer lost"):
            tell(self.name, f"{told}, which is lost on the way back", order_id)
            raise UnansweredError("lost")
        tell(self.name, told, order_id)
        self.world.judge(self.name, what, answer, order_id)
        return answer

    async def try_(self, request: Call, what: str, order_id: str | None = None) -> Answer | None:
        """Once, whatever comes of it; None if no answer does."""
        try:
            return await self.ask(request, what, order_id)
        except UnansweredError:
            return None

    async def send(self, intent: Intent) -> None:
        """Once more, with the same key."""
        answer = await self.try_(intent.call, intent.what, intent.order_id)
        if answer is None:
            intent.unclear = True
            return
        intent.answers.append(answer)
        intent.unclear = answer.status >= 500 or answer.code == "idempotency-in-progress"
        if answer.status == 201 and intent.order_id is None:
            intent.order_id = answer.json["id"]
            self.world.story.name(answer.json["id"], f"order {intent.key}")
            self.world.story.tell(self.name, f"{intent.what} is {answer.json['id']}", answer.json["id"])

    async def insist(self, intent: Intent, tries: int) -> Answer | None:
        """Send it until there is a clear answer, at most so often; the answer, if it is a success."""
        for _ in range(tries):
            await self.send(intent)
            if not intent.open:
                break
            await asyncio.sleep(0.2 + self.world.dice.seconds(4.0))
        return intent.done

    async def look(self, path: str) -> Any:
        """A document that must be there to see."""
        answer = await self.world.serve(call("GET", path, **self.headers))
        if answer.status != 200:
            raise AssertionError(f"{self.name} gets {answer.status} from {path}: {answer.body.decode()}")
        return answer.json


def _gist(answer: Answer) -> str:
    if answer.status >= 400:
        return answer.code
    document = answer.json if answer.body else {}
    repeated = " (repeated)" if "idempotent-replayed" in answer.headers else ""
    return f"{document.get('status', '')}{repeated}"
