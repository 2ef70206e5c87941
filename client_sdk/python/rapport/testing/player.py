"""`python -m rapport.testing.player FOLDER`: clients that do what they are told on standard input and keep journals.

One JSON object per line comes in; one goes out for each when it is done, with the same `number`. Each client has its
vault in `FOLDER/<client>` and its journal in `FOLDER/<client>.jsonl`. Orders:

- join {client, link, name}: register with a link and connect
- invite {client, role} -> {link}: make a conversation and a link to it
- meet {client, count}: wait until so many conversations have another member; it talks in the newest of them
- say {client, texts}: queue texts, one after the other
- flow {client, text, rate} -> {sent}: queue numbered texts at a rate per second until told to halt
- halt {client}: end the flow
- answered {client, count}: wait until so many own sends were accepted
- settle {client, heard}: wait until every own send is accepted and `heard` messages of others were shown

It ends with its input.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

import rapport
from rapport.events import Event, MemberJoined, MessageReceived, MessageStatus, Placeholder, Status
from rapport.terminal import Lines
from rapport.testing.journal import Journal
from rapport_protocol.ids import ConversationId
from rapport_protocol.requests import Role

__all__ = ["Order", "Reply", "main"]

_CONNECTED_WITHIN_S: Final = 60.0
"""Seconds until a client is connected for the first time, also through a server's restart."""
_ACCEPTED: Final = frozenset({Status.SENT, Status.DELIVERED, Status.READ})


class Order(Struct, forbid_unknown_fields=True):
    """One line in; fields that an order does not have stay as they are."""

    number: int
    order: str
    client: str
    link: str = ""
    name: str = ""
    role: Role = Role.CLIENT
    texts: list[str] = []
    text: str = ""
    rate: float = 1.0
    count: int = 1
    heard: int = 0


class Reply(Struct, omit_defaults=True):
    """One line out. problem: why the order was not carried out, empty when it was."""

    number: int
    link: str = ""
    sent: int = 0
    problem: str = ""


class _Client:
    """One client of the SDK, its journal, and what has happened to it."""

    def __init__(self, sdk: rapport.Client, journal: Journal) -> None:
        self.sdk = sdk
        self._events = sdk.events()  # from here on, before anything can have happened
        self._journal = journal
        self._news = asyncio.Condition()
        self._sent: set[bytes] = set()
        self._answered: set[bytes] = set()
        self._heard: set[bytes] = set()
        self._conversations: list[ConversationId] = []
        self.halted = asyncio.Event()
        """Set when the flow must end."""

    async def follow(self) -> None:
        """Writes down what the SDK says, until cancelled."""
        async for event in self._events:
            self._note(event)
            async with self._news:
                self._news.notify_all()

    def _note(self, event: Event) -> None:
        match event:
            case MessageReceived(conversation, message):
                self._journal.recv(conversation, message.id, message.seq)
                if message.placeholder is None:
                    self._journal.shown(conversation, message.id, message.seq, message.text)
                    self._heard.add(message.id)
            case Placeholder(conversation, ident):
                self._journal.recv(conversation, ident, 0)
            case MessageStatus(conversation, ident, status, seq) if status in _ACCEPTED and ident not in self._answered:
                self._journal.ack(conversation, ident, seq)
                self._answered.add(ident)
            case MemberJoined(conversation):
                self.belong(conversation)
            case _:
                pass

    def belong(self, conversation: ConversationId) -> None:
        """This is where it talks from now on; everything accepted there must be shown here."""
        if conversation not in self._conversations:
            self._conversations.append(conversation)
            self._journal.member(conversation)

    async def say(self, text: str) -> None:
        """Queues one text; journaled when it is safe in the vault."""
        conversation = self._conversations[-1]
        message = await self.sdk.conversation(conversation).send_text(text)
        self._sent.add(message.id)
        self._journal.invoke(conversation, message.id, text)

    async def meet(self, count: int) -> None:
        """Waits until so many conversations have another member."""
        await self._until(lambda: len(self._conversations) >= count)

    async def answered(self, count: int) -> None:
        """Waits until so many sends were accepted."""
        await self._until(lambda: len(self._answered) >= count)

    async def settle(self, heard: int) -> None:
        """Waits until nothing is unanswered and so many messages of others were shown."""
        await self._until(lambda: self._sent <= self._answered and len(self._heard) >= heard)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(condition)


class _Player:
    """All clients of this process."""

    def __init__(self, folder: Path, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        self._folder = folder
        self._stack = stack
        self._group = group
        self._clients: dict[str, _Client] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, order: Order) -> None:
        """Begins to carry an order out, beside those that are under way."""
        self._tasks.append(self._group.create_task(self._obey(order)))

    def end(self) -> None:
        """Gives up what is under way; the clients close with the stack."""
        for task in self._tasks:
            task.cancel()

    async def _obey(self, order: Order) -> None:
        """Carries it out and answers it."""
        orders: dict[str, Callable[[Order], Awaitable[Reply]]] = {
            "join": self._join,
            "invite": self._invite,
            "meet": self._meet,
            "say": self._say,
            "flow": self._flow,
            "halt": self._halt,
            "answered": self._wait_for_answers,
            "settle": self._settle,
        }
        try:
            reply = await orders[order.order](order)
        except (rapport.RapportError, TimeoutError, KeyError) as problem:
            reply = Reply(order.number, problem=f"{type(problem).__name__} {problem}".strip())
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
        sys.stdout.buffer.flush()

    async def _join(self, order: Order) -> Reply:
        vault = self._folder / order.client
        await rapport.join(order.link, vault=vault, name=order.name or order.client)
        journal = self._stack.enter_context(Journal(self._folder / f"{order.client}.jsonl", order.client))
        sdk = await self._stack.enter_async_context(rapport.Client(vault=vault))
        client = self._clients[order.client] = _Client(sdk, journal)
        self._tasks.append(self._group.create_task(client.follow()))
        await sdk.wait_until(rapport.ConnectionState.CONNECTED, timeout_s=_CONNECTED_WITHIN_S)
        await sdk.caught_up()
        for conversation in sdk.conversations():
            if len(conversation.members) > 1:
                client.belong(conversation.id)
        return Reply(order.number)

    async def _invite(self, order: Order) -> Reply:
        return Reply(order.number, link=await self._clients[order.client].sdk.invite(role=order.role))

    async def _meet(self, order: Order) -> Reply:
        await self._clients[order.client].meet(order.count)
        return Reply(order.number)

    async def _say(self, order: Order) -> Reply:
        for text in order.texts:
            await self._clients[order.client].say(text)
        return Reply(order.number, sent=len(order.texts))

    async def _flow(self, order: Order) -> Reply:
        """Keeps to the clock: what was late is caught up with, so that the rate is the offered one."""
        loop, client = asyncio.get_running_loop(), self._clients[order.client]
        begin, number = loop.time(), 0
        while not client.halted.is_set():
            await client.say(f"{order.text} {number}")
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begin + number / order.rate):
                    await client.halted.wait()
        return Reply(order.number, sent=number)

    async def _halt(self, order: Order) -> Reply:
        self._clients[order.client].halted.set()
        return Reply(order.number)

    async def _wait_for_answers(self, order: Order) -> Reply:
        await self._clients[order.client].answered(order.count)
        return Reply(order.number)

    async def _settle(self, order: Order) -> Reply:
        await self._clients[order.client].settle(order.heard)
        return Reply(order.number)


async def main(folder: Path) -> None:
    """Obeys until the input ends, then closes its clients."""
    decoder = msgspec.json.Decoder(Order)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        player = _Player(folder, stack, group)
        async for line in Lines():
            player.start(decoder.decode(line))
        player.end()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
