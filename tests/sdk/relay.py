"""The real server's services over the in-memory store, without sockets, and devices that drive the real engine turn by
turn.
"""

from __future__ import annotations

import asyncio
import random as seeded
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from rapport.adapters.vault_memory import CrashPoint, MemoryStorage, MemoryVault
from rapport.crypto.invites import OwnerLink, open_card, parse_link
from rapport.engine import agenda, arrivals, sign_in
from rapport.engine.composing import write_text
from rapport.engine.core import Core, Step
from rapport.engine.joining import inviting, registration
from rapport.engine.shown.showing import history
from rapport.engine.vault.turn import Call, Me, Turn
from rapport.events import Event, Message, MessageReceived
from rapport.ports import Transaction
from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS
from rapport_protocol.errors import FormatError, Rejected, RemoteError
from rapport_protocol.ids import ConversationId, DeviceId, PracticeId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Ack, Direct, Post, ServerMessage, Signal, Void
from rapport_protocol.messages import Call as SaidOfCall
from rapport_protocol.requests import OPERATIONS, InviteView, Registered, Role
from rapport_protocol.signed import owner_token_hash
from rapport_server.adapters.local_bus import LocalBus
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.calling import CALL_TIMER
from rapport_server.claim_limits import ClaimLimits
from rapport_server.doors.http.handlers import HANDLERS, Asked, Services
from rapport_server.hints import Addressed, CallMoved, Hint, RoomMoved
from rapport_server.live_hour import LiveHour
from rapport_server.meetings import APPOINTMENT_TIMER, ROOM_TIMER
from rapport_server.rates import Rates
from rapport_server.records import URGENT_TIMER
from rapport_server.services.accounts import Accounts
from rapport_server.services.calls import Calls, Waking
from rapport_server.services.calls import Relay as TurnRelay
from rapport_server.services.calls import Turn as RelayedMedia
from rapport_server.services.conversations import Conversations
from rapport_server.services.history import History
from rapport_server.services.invites import Invites
from rapport_server.services.keys import Keys
from rapport_server.services.linking import Linking
from rapport_server.services.messaging import Delivery, Link, Messaging
from rapport_server.services.notifying import Notifying, OwedPushes
from rapport_server.services.office import Publishing
from rapport_server.services.sign_in import SignIn
from rapport_server.services.signals import Signals
from rapport_server.services.timers import DueTimers
from rapport_server.services.urgent import Urgent

ORIGIN = "http://127.0.0.1:8080"
START_MS = 1_900_000_000_000
_IN = CLIENT_CODECS[SUBPROTOCOL_MSGPACK]
_OUT = SERVER_CODECS[SUBPROTOCOL_MSGPACK]

T = TypeVar("T")


class HandClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    def forward(self, ms: int) -> None:
        self.ms += ms


def seeded_random(seed: int) -> Callable[[int], bytes]:
    return seeded.Random(seed).randbytes


class Wire:
    """One connection's socket as the services see it: frames are encoded and decoded as on a real one."""

    congested = False

    def __init__(self) -> None:
        self.inbox: deque[ServerMessage] = deque()
        self.closed: int | None = None

    def send(self, message: ServerMessage) -> None:
        self.send_frame(_OUT.encode(message))

    def send_frame(self, frame: bytes) -> None:
        self.inbox.append(_IN.decode(frame))

    def close(self, code: int) -> None:
        self.closed = code


class Relay:
    """The server: real services, real store contract, no sockets, no rate limits."""

    def __init__(self, store: Callable[[HandClock], MemoryStore] = MemoryStore) -> None:
        self.clock = HandClock()
        self.store = store(self.clock)
        self.bus = LocalBus()
        rates = Rates({}, self.clock)
        random = seeded_random(7)
        self.sign_in = SignIn(self.store, self.clock, random, [ORIGIN])
        self.urgent = Urgent(self.store, self.bus, self.clock)
        self.delivery = Delivery(self.store, self.store, self.bus, self.urgent.acknowledged)
        notifying = Notifying(self.store, self.store, self.store, self.bus, self.clock, None, None)
        owed = OwedPushes(self.store, notifying, self.clock)
        self.hour = LiveHour(self.store, self.bus, self.clock, rates, owed, self._connected)
        waking = Waking(self.store, self.clock, owed, self._connected)
        self.broker = Calls(self.store, self.delivery, self.bus, self.clock, rates, waking, self.hour.rooms.call_moved)
        timers = {
            URGENT_TIMER: self.urgent.fire,
            CALL_TIMER: self.broker.fire,
            APPOINTMENT_TIMER: self.hour.appointments.fire,
            ROOM_TIMER: self.hour.rooms.fire,
        }
        self.due = DueTimers(self.store, self.store, self.bus, self.clock, timers)
        self.messaging = Messaging(self.store, self.delivery.deliver, self.clock, rates, self.due.soon, self.broker)
        self.signals = Signals(self.store, self.bus, self.clock, rates, self.delivery.say)
        self.bus.subscribe(self._take, self.delivery.look_again)
        self.services = Services(
            Accounts(self.store, self.bus, self.clock),
            Invites(self.store, self.store, self.bus, self.clock),
            Keys(self.store, self.bus, self.clock, ClaimLimits(self.clock)),
            Conversations(self.store, self.bus, self.clock),
            History(self.store),
            Linking(self.store, self.clock),
            Publishing(self.store, self.clock, lambda _, __: None),
            self.urgent,
            notifying,
            RelayedMedia(self.store, self.clock, rates, TurnRelay((), b"", 60, True), self.hour.appointments.may_test),
            self.hour.appointments,
            self.hour.rooms,
            self.hour.links,
        )
        self.calls: list[str] = []

    async def _connected(self, device: DeviceId) -> bool:
        return self.delivery.has(device)

    def _take(self, hint: Hint) -> None:
        if isinstance(hint, Addressed):
            self.delivery.take(hint)
        elif isinstance(hint, CallMoved):
            self.broker.take(hint)
        elif isinstance(hint, RoomMoved):
            self.hour.take(hint)

    async def start(self) -> str:
        """Starts the store and makes a practice; returns the owner link."""
        await self.store.start()
        await self.bus.start()
        await self.sign_in.start()
        token = b"\x05" * 32
        await self.store.create_practice(PracticeId(b"\x01" * 16), owner_token_hash(token), self.clock.now_ms())
        return OwnerLink(ORIGIN, token, self.sign_in.server_id).encode()

    async def close(self) -> None:
        await self.delivery.stop()
        await self.bus.close()
        await self.store.close()

    async def call(
        self,
        operation: str,
        body: Struct | None = None,
        *,
        path: Mapping[str, bytes] | None = None,
        query: Mapping[str, int | str] | None = None,
        token: bytes | None = None,
    ) -> Any:
        """An HTTP operation, past the door; bodies go through the codec."""
        row = OPERATIONS[operation]
        self.calls.append(operation)
        principal = await self.sign_in.principal_of(token) if row.roles and token else None
        if row.roles and (principal is None or principal.role not in row.roles):
            raise Rejected(FormatError().code)
        if row.request is not None:
            body = msgspec.msgpack.decode(msgspec.msgpack.encode(body), type=row.request)
        asked = Asked(principal, dict(path or {}), {key: str(value) for key, value in (query or {}).items()}, body)
        try:
            given = await HANDLERS[operation](self.services, asked)
        except RemoteError as problem:
            raise problem if isinstance(problem, Rejected) else Rejected(problem.code, problem.detail) from None
        return msgspec.msgpack.decode(msgspec.msgpack.encode(given), type=row.response)

    async def fire_due(self) -> None:
        """Fires what is due now, as the task of a node does."""
        await self.settle()
        await self.urgent.catch_up()
        await self.due.fire_due()
        await self.settle()

    async def settle(self) -> None:
        """Lets everything that is queued in the loop happen: the store reports and the bus wakes with `call_soon`."""
        for _ in range(12):
            await asyncio.sleep(0)


class Device:
    """A device: the real engine over a vault in memory, its effects carried out by hand."""

    def __init__(self, relay: Relay, seed: int) -> None:
        self.relay = relay
        self.storage = MemoryStorage()
        self.vault = MemoryVault(self.storage)
        self.random = seeded_random(seed)
        self.core: Core | None = None
        self.wire: Wire | None = None
        self.link: Link | None = None
        self.token: bytes | None = None
        self.calls: deque[Call] = deque()
        self.events: list[Event] = []
        self.wake_ms: int | None = None
        self.hold_outgoing = False
        self.outgoing: deque[Any] = deque()
        self._crash: tuple[int, CrashPoint] | None = None

    # --- turns --------------------------------------------------------------------------------------------------------

    @property
    def me(self) -> Me:
        assert self.core is not None
        return self.core.me

    def turn(self, *steps: Step) -> list[Any]:
        """One turn: committed, then its effects are queued (sends go out at once)."""
        core = self.core
        assert core is not None
        self._arm()
        done = self.vault.run_now(lambda tx: core.perform(tx, self.relay.clock.now_ms(), steps, core.flight))
        self.wake_ms = done.wake_ms
        self.events += done.turn.events
        self.calls += done.turn.calls
        for message in [*done.turn.sends, *done.turn.ack_frames()]:
            self.hand_over(message)
        if not self.hold_outgoing:
            self.send_all()
        return done.results

    def crash_after_commits(self, commits: int, point: CrashPoint) -> None:
        """Lets the process end at its n-th writing transaction from now, counted from 0."""
        self._crash = (self.storage.rev + commits, point)

    def disarm(self) -> None:
        """No crash after all."""
        self._crash = None
        self.vault.crash_next = None

    def _arm(self) -> None:
        if self._crash is not None and self.storage.rev >= self._crash[0]:
            self.vault.crash_next, self._crash = self._crash[1], None

    def do(self, step: Callable[[Turn], T]) -> T:
        """One step; what it raises is raised."""
        result = self.turn(step)[0]
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    def look(self, step: Callable[[Transaction], T]) -> T:
        return self.vault.run_now(step)

    def hand_over(self, message: Any) -> None:
        """The engine is done with it: it waits until the socket takes it."""
        self.outgoing.append(message)

    def send_all(self) -> None:
        while self.outgoing:
            self.send_one(self.outgoing.popleft())

    def send_one(self, message: Any) -> None:
        """Gives one message to the server, if there is a connection."""
        if self.link is None:
            return
        messaging, message = self.relay.messaging, _OUT.decode(_IN.encode(message))
        match message:
            case Post():
                messaging.post(self.link, message)
            case Direct():
                messaging.direct(self.link, message)
            case Ack():
                messaging.ack(self.link, message)
            case Void():
                messaging.void(self.link, message)
            case Signal():
                self.relay.signals.offer(self.link, message)
            case SaidOfCall():
                self.relay.broker.say(self.link, message)

    # --- life ---------------------------------------------------------------------------------------------------------

    async def join(self, link: str, name: str) -> None:
        """Registers as `rapport.join` does, without its retries."""
        parsed = parse_link(link)
        now = self.relay.clock.now_ms()
        prepare: Callable[[Turn], Any]
        if isinstance(parsed, OwnerLink):
            me = registration.new_me(parsed.base, parsed.server_id, self.random, now)
            prepare = partial(registration.prepare_owner, link=parsed, name=name)
        else:
            view: InviteView = await self.relay.call("invite.view", path={"invite": parsed.secret.id})
            server_id = open_card(parsed.secret, view.card).server_id
            me = registration.new_me(parsed.base, server_id, self.random, now)
            prepare = partial(registration.prepare_invitee, link=parsed, view=view, name=name)
        register = self.vault.run_now(lambda tx: prepare(Turn(tx, me, now, self.random)))
        answer: Registered = await self.relay.call("account.register", register)
        me = self.vault.run_now(lambda tx: registration.registered(Turn(tx, me, now, self.random), answer))
        self.core = Core(me, self.random)

    def restart(self) -> None:
        """The process ends and starts again over the same storage."""
        self.drop_connection()
        self.vault.release()
        self.outgoing.clear()
        self.calls.clear()
        self.vault = MemoryVault(self.storage)
        me = self.vault.run_now(registration.load_me)
        assert me is not None
        self.core = Core(me, self.random)

    async def connect(self) -> None:
        """Signs in, as a real device does."""
        assert self.core is not None
        challenge = self.relay.sign_in.challenge()
        state = self.do(sign_in.prepare)
        proof = sign_in.prove(self.me, challenge, ORIGIN, state.rev, self.random)
        signed = await self.relay.sign_in.answer(challenge, proof.auth)
        sign_in.check_hello(self.me, proof, signed.hello)
        self.token = signed.hello.http_token
        self.wire = Wire()
        self.link = self.relay.delivery.open(signed.principal, self.wire)
        self.core.connected()
        self.turn(lambda turn: sign_in.signed_in(turn, signed.hello, state))

    def drop_connection(self) -> None:
        """The socket breaks; what was on its way in either direction is lost."""
        if self.link is not None:
            self.relay.delivery.close(self.link)
        self.link = self.wire = None
        self.outgoing.clear()
        self.calls.clear()
        if self.core is not None:
            self.core.disconnected()

    # --- effects ------------------------------------------------------------------------------------------------------

    async def perform_call(self, call: Call) -> None:
        """One HTTP call and the turn of its answer."""
        assert self.core is not None
        step: Step
        if self.link is not None:  # the shell renews it on the stream
            self.token = await self.relay.sign_in.renew(self.link.principal)
        try:
            answer = await self.relay.call(
                call.operation, call.body, path=call.path, query=call.query, token=self.token
            )
        except Rejected as refusal:
            refused = refusal
            step = self.core.finished(call, lambda turn: agenda.refused(turn, call, refused))
        else:
            step = self.core.finished(call, lambda turn: agenda.answered(turn, call, answer))
        self.do(step)

    def take(self, *messages: ServerMessage) -> None:
        """One turn over these messages, a moment after the last one."""
        self.relay.clock.forward(1)
        core = self.core
        assert core is not None
        if core.flight is not None:
            flight = core.flight
            self.do(lambda turn: arrivals.receive(turn, flight, messages))

    async def pump(self) -> bool:
        """Takes what has come and makes the calls that are due; False if there was nothing."""
        await self.relay.settle()
        messages = list(self.wire.inbox) if self.wire else []
        if self.wire:
            self.wire.inbox.clear()
        if messages:
            self.take(*messages)
        elif self.calls:
            await self.perform_call(self.calls.popleft())
        elif self.wake_ms is not None and self.wake_ms <= self.relay.clock.now_ms():
            self.turn()
        else:
            return False
        return True

    # --- what tests ask -----------------------------------------------------------------------------------------------

    def say(self, conv: ConversationId, text: str) -> Message:
        return self.do(lambda turn: write_text(turn, conv, text, None))

    def shown(self, conv: ConversationId) -> list[Message]:
        return self.look(lambda tx: history(tx, conv, None, 0))

    def texts(self, conv: ConversationId) -> list[str]:
        return [message.text for message in self.shown(conv)]

    def received(self) -> list[str]:
        return [event.message.text for event in self.events if isinstance(event, MessageReceived)]


async def quiet(*devices: Device) -> None:
    """Until nothing moves any more at the present time."""
    for _ in range(10_000):
        moved = [await device.pump() for device in devices]
        if not any(moved):
            await devices[0].relay.settle()
            if not any(device.wire and device.wire.inbox for device in devices):
                return
    raise AssertionError("the devices never come to rest")


async def later(ms: int, *devices: Device) -> None:
    """Time passes; errands and timers become due on the way."""
    relay = devices[0].relay
    end = relay.clock.now_ms() + ms
    while True:
        await quiet(*devices)
        wakes = [device.wake_ms for device in devices if device.wake_ms is not None]
        now = relay.clock.now_ms()
        step = min([wake for wake in wakes if wake > now], default=end)
        if step > end or now >= end:
            relay.clock.ms = end
            for device in devices:
                device.turn()
            await quiet(*devices)
            return
        relay.clock.ms = step
        for device in devices:
            device.turn()


class Pair:
    """A therapist and a client in one conversation, both connected and at rest."""

    relay: Relay
    dana: Device
    kim: Device
    conv: ConversationId

    @classmethod
    async def start(cls, device: type[Device] = Device) -> Pair:
        pair = cls()
        pair.relay = Relay()
        owner_link = await pair.relay.start()
        pair.dana, pair.kim = device(pair.relay, 1), device(pair.relay, 2)
        await pair.dana.join(owner_link, "Dana")
        await pair.dana.connect()
        invite = pair.dana.do(lambda turn: inviting.new_invite(turn, Role.CLIENT, "Welcome."))
        await quiet(pair.dana)
        link, conv = pair.dana.do(lambda turn: inviting.invite_link(turn, invite))
        pair.conv = ConversationId(conv)
        await pair.kim.join(link, "Kim")
        await pair.kim.connect()
        await quiet(pair.dana, pair.kim)
        return pair

    async def close(self) -> None:
        await self.relay.close()
