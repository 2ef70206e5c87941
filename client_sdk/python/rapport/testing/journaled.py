"""A client of the SDK that keeps a journal of everything that happens to it: what player processes are made of."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import rapport
from rapport.conversation import HISTORY_MOST
from rapport.events import (
    Event,
    MemberJoined,
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageStatus,
    Placeholder,
    SecurityEvent,
    Status,
)
from rapport.testing.history import Entry
from rapport.testing.journal import Journal
from rapport_protocol.ids import AppointmentId, ConversationId

__all__ = ["JournaledClient"]

_ACCEPTED: Final = frozenset({Status.SENT, Status.DELIVERED, Status.READ})
_NO_TEXTS: Final = frozenset({MessageKind.APPOINTMENT, MessageKind.CALL})
"""What stands in a conversation without anybody having written it: nobody's journal says that it was sent."""
_LOOK_AGAIN_S: Final = 0.1
"""History comes back without a word to the host; it is looked at this often."""


class JournaledClient:
    """One device, its journal, and what has happened to it. `follow` runs in a task of the caller's.

    before: what the journal holds already, of a device that was closed and is opened again.
    """

    def __init__(self, sdk: rapport.Client, journal: Journal, before: Sequence[Entry] = ()) -> None:
        self.sdk = sdk
        self.journal = journal
        self._events = sdk.events()  # from here on, before anything can have happened
        self._news = asyncio.Condition()
        self._sent, self._answered, self._heard = (
            {bytes.fromhex(entry.id) for entry in before if entry.kind == kind} for kind in ("invoke", "ack", "shown")
        )
        self.conversations = [ConversationId(bytes.fromhex(entry.conv)) for entry in before if entry.kind == "member"]
        self.places: dict[AppointmentId, rapport.Place] = {}
        """Doors at which it waits."""
        self.halted = asyncio.Event()
        """Set when the flow must end."""

    async def follow(self) -> None:
        """Writes down what the SDK says, until cancelled or the client is closed."""
        async for event in self._events:
            self._note(event)
            async with self._news:
                self._news.notify_all()

    def _note(self, event: Event) -> None:
        match event:
            case MessageReceived(_, message) if message.kind in _NO_TEXTS:
                pass
            case MessageReceived(conversation, message):
                self.journal.recv(conversation, message.id, message.seq)
                self._shown(message)
            case Placeholder(conversation, ident):
                self.journal.recv(conversation, ident, 0)
            case MessageChanged(_, message) if message.id not in self._sent and message.kind not in _NO_TEXTS:
                self._shown(message)  # a placeholder that has healed; what was shown before is not written down again
            case MessageStatus(conversation, ident, status, seq) if status in _ACCEPTED and ident in self._sent:
                if ident not in self._answered:
                    self.journal.ack(conversation, ident, seq)
                    self._answered.add(ident)
            case MemberJoined(conversation):
                self.belong(conversation)
            case SecurityEvent(kind) if not kind.is_hint:
                self.journal.alarm(kind)
            case _:
                pass

    def _shown(self, message: Message) -> None:
        if message.placeholder is None and message.id not in self._heard:
            self.journal.shown(message.conversation, message.id, message.seq, message.text)
            self._heard.add(message.id)

    def belong(self, conversation: ConversationId) -> None:
        """This is where it talks from now on; everything accepted there must be shown here."""
        if conversation not in self.conversations:
            self.conversations.append(conversation)
            self.journal.member(conversation)

    async def say(self, text: str) -> None:
        """Queues one text; journaled when it is safe in the vault."""
        conversation = self.conversations[-1]
        message = await self.sdk.conversation(conversation).send_text(text)
        self._sent.add(message.id)
        self.journal.invoke(conversation, message.id, text)

    async def meet(self, count: int) -> None:
        """Waits until so many conversations have another member."""
        await self._until(lambda: len(self.conversations) >= count)

    async def answered(self, count: int) -> None:
        """Waits until so many sends were accepted."""
        await self._until(lambda: len(self._answered) >= count)

    async def settle(self, heard: int) -> None:
        """Waits until nothing is unanswered and so many messages of other devices were shown."""
        await self._until(lambda: self._sent <= self._answered and len(self._heard) >= heard)

    async def becomes(self, condition: Callable[[], bool]) -> None:
        """Waits until it is so; looked at with every event."""
        await self._until(condition)

    async def _until(self, condition: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(condition)

    async def read_back(self, heard: int) -> None:
        """Of a device that was just linked: waits until so much history is there, and writes down what it shows."""
        while True:
            for conversation in self.sdk.conversations():
                if len(conversation.members) > 1:
                    self.belong(conversation.id)
            found = [message for conv in self.conversations for message in await self._history(conv)]
            if self.conversations and len(found) >= heard:
                break
            await asyncio.sleep(_LOOK_AGAIN_S)
        for message in found:
            self.journal.recv(message.conversation, message.id, message.seq)
            self._shown(message)

    async def _history(self, conversation: ConversationId) -> list[Message]:
        messages = await self.sdk.conversation(conversation).history(limit=HISTORY_MOST)
        return [
            message
            for message in messages
            if message.seq and message.placeholder is None and message.kind not in _NO_TEXTS
        ]

    async def flow(self, text: str, rate: float) -> int:
        """Queues numbered texts at a rate per second until `halted`; how many. What was late is caught up with."""
        loop = asyncio.get_running_loop()
        begin, number = loop.time(), 0
        while not self.halted.is_set():
            await self.say(f"{text} {number}")
            number += 1
            with suppress(TimeoutError):
                async with asyncio.timeout_at(begin + number / rate):
                    await self.halted.wait()
        return number
