"""One device of somebody with the Python SDK, and everything it was shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from msgspec.structs import replace

import rapport
from rapport import (
    ConnectionState,
    Conversation,
    ConversationId,
    Event,
    LogEntry,
    MessageReceived,
    SecurityKind,
    Status,
)
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.calling import CallMedia, CallMissed, CallRinging
from rapport.engine.calls import calling_out
from rapport.engine.calls.call_rows import CALLS
from rapport.engine.calls.calls_at_work import view_of_call
from rapport.engine.contacts import newest_list
from rapport.engine.joining.registration import load_me
from rapport.engine.listeners import Listener
from rapport.engine.vault.outgoing import OUTBOX, SENT
from rapport.engine.vault.records import CHAINS, CONVERSATIONS, ME, MESSAGES, SEEN
from rapport.engine.vault.turn import Me, Turn
from rapport.ports import Description
from rapport_protocol.calls.device_events import Accept, HangUp
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import AccountId, AppointmentId, MessageId
from rapport_protocol.office.status import OfficeStatus
from rapport_protocol.urgent import Rung

if TYPE_CHECKING:
    from tests.malicious.stage import Stage

__all__ = ["WITHIN_S", "Agreed", "Alarm", "Door", "Person", "Standing"]

WITHIN_S = 60.0
T = TypeVar("T")


class Standing(Struct, frozen=True):
    """Where the membership chain of a conversation stands. head: the last entry's hash."""

    epoch: int
    head: bytes


class Door(Struct, frozen=True):
    """How an office is shown. version: of the newest signed hours that were ever held."""

    confirmed: bool
    version: int
    status: OfficeStatus | None


class Alarm(Struct, frozen=True):
    """How something urgent is shown. confirmed: its rung says so; silent: the server has not said what it has tried."""

    seen_by: AccountId | None
    confirmed: bool
    silent: bool


class CallSeen(Struct, frozen=True):
    """A call as it is shown. elsewhere: answered on another device, they say; outcome: in the conversation."""

    phase: str
    elsewhere: bool
    described: bool
    outcome: str


def described(kind: str, fingerprint: str) -> Description:
    """What media would say."""
    return Description(kind, f"v=0\r\na=fingerprint:sha-256 {fingerprint}\r\na=ice-ufrag:{fingerprint[:2]}\r\n")


class Agreed(Struct, frozen=True):
    """An appointment as it is shown. differs: the program says that the server has something else."""

    start_ms: int
    minutes: int
    cancelled: bool
    members: frozenset[AccountId]
    differs: bool


class Person:
    """One device of somebody, and everything it was shown."""

    def __init__(self, stage: Stage, name: str, vault: Path) -> None:
        self.stage, self.name, self.vault = stage, name, vault
        self.client = rapport.Client(vault, clock=stage.clock)
        self.events: list[Event] = []
        self.said: list[MessageId] = []
        self._changed = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    async def enter(self, link: str) -> None:
        """Registers by a link; the program is not started yet."""
        await rapport.join(link, vault=self.vault, name=self.name, clock=self.stage.clock)

    async def link_to(self, owner: Person, label: str) -> None:
        """Becomes another device of somebody's account; the program is not started yet."""
        offer = await owner.offer()
        joined = asyncio.create_task(offer.joined())
        async with rapport.link_device(offer.url, vault=self.vault, label=label) as linking:
            await joined
            async with asyncio.TaskGroup() as both:
                both.create_task(offer.confirm(linking.digits))
                both.create_task(linking.finished())

    async def offer(self) -> Any:
        """Offers to link a device: url, joined(), confirm(digits)."""
        return await self.client.link()

    async def open(self) -> None:
        """Starts the program over the vault."""
        self.client = rapport.Client(self.vault, clock=self.stage.clock)
        await self.client.__aenter__()
        self._task = asyncio.create_task(self._listen(self.client.events()))

    async def close(self) -> None:
        """Ends it."""
        if self._task is not None:
            await self.client.__aexit__(None, None, None)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def reopen(self, base: str) -> None:
        """Starts the program again, which now takes this for the server's address."""
        await self.close()
        vault = await SqliteVault.open(self.vault)
        me = await vault.run(load_me)
        assert me is not None
        moved = replace(me, base=base)
        await vault.run(lambda tx: ME.put(tx, b"", moved))
        await vault.close()
        await self.open()

    async def _listen(self, events: Listener) -> None:
        async for event in events:
            async with self._changed:
                self.events.append(event)
                self._changed.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until it holds; looked at after every event."""
        async with asyncio.timeout(WITHIN_S), self._changed:
            await self._changed.wait_for(holds)

    async def turns_until(self, holds: Callable[[], bool]) -> None:
        """The same for what no event tells: looked at after every turn of the engine."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                await self.turn()

    async def turn(self) -> None:
        """One turn in which nothing is done: everything before it has been worked through."""
        await self.do(lambda turn: None)

    async def wait_until(self, state: ConnectionState) -> None:
        """Waits until the connection stands there."""
        await self.client.wait_until(state, WITHIN_S)

    async def is_cut_off(self, losses: int) -> None:
        """Waits until its connection has ended, of which it may have made a new one by now. losses: as of before."""
        await self.until(lambda: self.losses > losses or self.client.state is not ConnectionState.CONNECTED)

    @property
    def connections(self) -> int:
        """How often a connection was made."""
        return sum(state is ConnectionState.CONNECTED for state in self._states())

    @property
    def losses(self) -> int:
        """How often it was said that there is none."""
        return sum(state is not ConnectionState.CONNECTED for state in self._states())

    def _states(self) -> list[ConnectionState]:
        return [event.state for event in self.events if isinstance(event, rapport.ConnectionChanged)]

    @property
    def talk(self) -> Conversation:
        """The conversation with whomever there is."""
        return self.client.conversations()[0]

    def read(self) -> list[str]:
        """Texts of others in the order they were shown."""
        return [event.message.text for event in self.events if isinstance(event, MessageReceived)]

    async def texts(self, conv: ConversationId | None = None) -> list[str]:
        """Everything that stands in a conversation."""
        talk = self.talk if conv is None else self.client.conversation(conv)
        return [message.text for message in await talk.history()]

    async def say(self, text: str, to: ConversationId | None = None) -> rapport.Message:
        """Writes; the text must never be seen by the server."""
        assert len(text) >= 8, "a search for it would find it by accident"
        self.stage.texts.append(text)
        talk = self.talk if to is None else self.client.conversation(to)
        message = await talk.send_text(text)
        self.said.append(message.id)
        return message

    def status_of(self, message: MessageId) -> Status:
        """How far a message of theirs has come."""
        told = [e.status for e in self.events if isinstance(e, rapport.MessageStatus) and e.id == message]
        return told[-1] if told else Status.QUEUED

    async def hears(self, text: str) -> None:
        """Waits until the text is shown, at once or in the place of a placeholder."""
        await self.until(lambda: any(text == getattr(getattr(e, "message", None), "text", None) for e in self.events))

    async def noticed(self, kind: SecurityKind) -> None:
        """Waits for a security event."""
        await self.until(
            lambda: any(isinstance(event, rapport.SecurityEvent) and event.kind is kind for event in self.events)
        )

    async def log(self) -> list[LogEntry]:
        return await self.client.security_log(1_000)

    async def office_of(self, account: AccountId) -> Door:
        """What is shown of somebody's office now."""
        shown = self.client.office.of(account)
        return Door(shown.confirmed, shown.version, shown.state.status if shown.state is not None else None)

    async def promise(self) -> AccountId | None:
        """Who would answer a text that is written now by a promised time; None: nobody has promised."""
        promised = self.talk.promise()
        return promised.by if promised is not None else None

    async def cry(self, text: str) -> MessageId:
        """Writes something urgent."""
        self.stage.texts.append(text)
        return (await self.talk.send_text(text, urgent=True)).id

    async def urgency(self, message: MessageId) -> Alarm:
        """What is shown of something urgent."""
        shown = self.talk.urgency(message)
        assert shown is not None
        return Alarm(shown.seen_by, shown.rung is Rung.CONFIRMED, shown.silent)

    # --- calls: what media would say is made up -----------------------------------------------------------------------

    async def offers(self, conv: ConversationId) -> MessageId:
        """Calls the other one there."""
        return await self.do(
            lambda turn: calling_out.offer_call(turn, conv, CallMedia.VIDEO, described("offer", "cc:cc"))
        )

    async def picks_up(self, call: MessageId) -> None:
        """Accepts a call; media describe themselves at once."""
        await self.do(lambda turn: calling_out.happens(turn, call, Accept()))
        await self.do(lambda turn: calling_out.our_description(turn, call, described("answer", "dd:dd")))

    async def hangs_up(self, call: MessageId) -> None:
        """Ends a call, or takes it back."""
        await self.do(lambda turn: calling_out.happens(turn, call, HangUp()))

    async def call_seen(self, call: MessageId) -> CallSeen:
        """What is shown of a call."""
        row = await self.do(lambda turn: CALLS.get(turn.tx, call))
        notes = [message.call for message in await self.talk.history() if message.id == call]
        outcome = notes[0].outcome.value if notes and notes[0] is not None else ""
        if row is None:
            return CallSeen("ended", elsewhere=False, described=False, outcome=outcome)
        view = view_of_call(row)
        return CallSeen(view.phase.value, view.answered_elsewhere, row.theirs is not None, outcome)

    @property
    def rung(self) -> list[MessageId]:
        """Calls that it has rung for."""
        return [event.call for event in self.events if isinstance(event, CallRinging)]

    @property
    def missed(self) -> list[MessageId]:
        """Calls that were said to be missed."""
        return [event.call for event in self.events if isinstance(event, CallMissed)]

    async def agreed(self) -> list[Agreed]:
        """What is shown of appointments, by their start."""
        return [
            Agreed(each.start_ms, each.minutes, each.cancelled, each.members, each.differs)
            for each in self.client.appointments.list()
        ]

    async def knock(self, appointment: AppointmentId) -> None:
        """Waits at its door from now on, until the program ends."""
        await self.client.waiting_room.knock(appointment)

    async def room_state(self, appointment: AppointmentId) -> str:
        """How they stand at the door, as the server says it; "" while it has not."""
        room = self.client.waiting_room.of(appointment)
        mine = room.person(self.client.account) if room is not None else None
        return mine.state if mine is not None else ""

    async def let_in(self, appointment: AppointmentId) -> MessageId | None:
        """The call by which the host lets them in: that this program would accept without asking."""
        return self.client._running.rooms.places.admitted(appointment)

    async def do(self, step: Callable[[Turn], T]) -> T:
        """A step of this device's engine: what a malicious or compromised program of theirs could do."""
        return await self.client._running.do(step)

    async def me(self) -> Me:
        """This device's secrets: what its thief has, or its owner who means harm."""
        return self.client._running.core.me

    async def keys(self) -> list[bytes]:
        """Every message key K that this device holds."""
        return await self.do(_keys)

    async def own_head(self) -> SignedDeviceList:
        """The newest device list of its account."""
        return await self.do(lambda turn: newest_list(turn, turn.me.account))

    async def membership(self, conv: ConversationId) -> Standing:
        """Where a conversation's chain stands for this device."""
        state = await self.do(lambda turn: CONVERSATIONS.need(turn.tx, conv).membership)
        assert state is not None
        return Standing(state.epoch, state.head)

    async def forget(self, conv: ConversationId) -> None:
        """As a device that has just been linked: nothing of the conversation is here."""

        def forget(turn: Turn) -> None:
            for key in [key for key, _ in MESSAGES.list(turn.tx, conv)]:
                MESSAGES.delete(turn.tx, key)
                SEEN.delete(turn.tx, key)

        await self.do(forget)

    async def safety_number(self, account: AccountId) -> str:
        """Of somebody's pinned identity and our own."""
        return self.client.safety_number(account)


def _keys(turn: Turn) -> list[bytes]:
    """Every message key K that a device holds."""
    kept = [sent.key for _, sent in SENT.list(turn.tx)] + [chain.key for _, chain in CHAINS.list(turn.tx)]
    waiting = [post.sealed.key for _, post in OUTBOX.list(turn.tx) if post.sealed is not None]
    return [key for key in kept + waiting if key]
