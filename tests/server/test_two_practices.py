"""Two practices on one server: every role of one names every id of the other in every place of everything it may say.

No answer and no frame may hold a byte of the other practice, the answer must be what an id gets that nothing has, and
the other practice must afterwards be what it was. The rows stand in `naming.py`, and must cover the table of operations
and the messages of the contract.
"""

from __future__ import annotations

import os
import string
import typing
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import msgspec
import pytest

from rapport_protocol.codec import CLIENT_CODECS, BodyCodec
from rapport_protocol.device_lists import SignedDeviceList
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from rapport_protocol.meeting import Appointments, AppointmentView, PutAppointments
from rapport_protocol.messages import (
    Accepted,
    Auth,
    Call,
    CaughtUp,
    Challenge,
    ClientMessage,
    CloseCode,
    Direct,
    Office,
    Post,
    Presence,
    Renew,
    Room,
    ServerMessage,
    Signal,
    Token,
    Void,
)
from rapport_protocol.requests import OPERATIONS, DeviceLists, DeviceListUpdate, OfficePublish, OfficeView, Role
from rapport_protocol.signed import AuthTranscript, Outer
from rapport_server.adapters.store.memory import MemoryStore
from rapport_server.adapters.store.postgres import PostgresStore
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.ports import Clock, Store
from tests.server.contracts.postgres_databases import Databases
from tests.server.device import SOON_S, Closed, Device, connected, opened
from tests.server.empty_stores import put_empty_store
from tests.server.furnished import Practice, Resident, furnish, nobody, to_oneself
from tests.server.naming import ASKED, SAID, Asked, Put, id_fields
from tests.server.node import HeldClock, Node, bearer, running

TAKEN = {
    ("account.register", "account"): "account",
    ("account.register", "device"): "device",
    ("devices.update", "device"): "device",
    ("linking.open", "link"): "link",
    ("invite.create", "invite"): "invite",
}
"""Where the asker makes an id up that must be free on the whole server. One that is taken is refused alike, in the own
practice and elsewhere."""
KNOWING_IS_ENOUGH = {
    ("invite.view", "invite"): "invite",
    ("linking.answer", "link"): "link",
    ("linking.state", "link"): "link",
}
"""Ids that are secrets, made to be handed to somebody who has no account: whoever knows one is answered."""

KIND_OF = {
    **dict.fromkeys(("account", "accounts", "checkpointed", "removed", "changed", "client", "members"), "account"),
    **dict.fromkeys(("device", "devices", "revoked", "signer", "sender"), "device"),
    **dict.fromkeys(("id", "ids", "parked", "ref", "message", "call"), "message"),
    **dict.fromkeys(("appointment", "appointments", "series"), "appointment"),
    **{place: place for place in ("conv", "invite", "link", "claim")},
}
"""What a place is for."""

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture(
    params=[
        "memory",
        pytest.param("sqlite", marks=pytest.mark.long),
        pytest.param("postgresql", marks=pytest.mark.nodes),
    ]
)
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Clock], Store]:
    """Opens an empty store."""
    if request.param == "memory":
        return MemoryStore
    if request.param == "sqlite":
        put_empty_store(tmp_path / "rapport.db")
        return lambda clock: SqliteStore(tmp_path / "rapport.db", clock)
    databases: Databases = request.getfixturevalue("databases")
    database = request.getfixturevalue("database")
    return lambda clock: PostgresStore(databases.url(database), clock)


@pytest.fixture
async def node(open_store: Callable[[Clock], Store]) -> AsyncIterator[Node]:
    clock = HeldClock()
    async with running(clock=clock, store=open_store(clock)) as node:
        yield node


def test_every_operation_names_its_ids() -> None:
    assert set(ASKED) == set(OPERATIONS)
    for operation in OPERATIONS.values():
        of_path = {name for _, name, _, _ in string.Formatter().parse(operation.path) if name}
        of_body = id_fields(operation.request) if operation.request else set()
        assert of_path | of_body <= set(ASKED[operation.name].places), operation.name


def test_every_message_names_its_ids() -> None:
    assert set(SAID) == set(typing.get_args(ClientMessage))
    for kind, spoken in SAID.items():
        assert spoken is None or id_fields(kind) <= set(spoken.places), kind


async def ask(node: Node, operation: str, who: Resident | None, asked: Asked) -> Answer:
    """One request as it is, answered to the byte; only the date is left out of the headers."""
    row = OPERATIONS[operation]
    headers = {"Accept": "application/msgpack", "Content-Type": "application/msgpack"}
    if who is not None:
        headers["Authorization"] = f"Bearer {bearer(who.person.token)}"
    path = row.path.format(**{name: ident.hex() for name, ident in asked.path.items()}) + asked.query
    content = None if asked.body is None else BodyCodec.encode(asked.body, json=False)
    async with node.http.request(row.method, node.base + path, data=content, headers=headers) as response:
        said = {name: text for name, text in response.headers.items() if name != "Date"}
        return response.status, said, await response.read()


async def try_one(node: Node, operation: str, who: Resident, put: Put) -> Answer:
    """Asks with these places filled; the asker takes note of what has changed for him."""
    if operation == "account.register":
        inviter = who.peer if who.person.role is Role.CLIENT else who.person
        fresh = inviter.invite(Role.CLIENT)
        await node.ask("invite.create", inviter, fresh.request())
        who = replace(who, opened=fresh)
    if operation == "room.link" and who.person.role is not Role.CLIENT:  # an appointment has eight at most
        asked = ASKED["appointment.put"].make(who, {})
        assert isinstance(asked.body, PutAppointments)
        await node.ask("appointment.put", who.person, asked.body)
        fresh_one = asked.body.appointments[0].appointment
        linked = ASKED[operation].make(who, {"appointment": fresh_one, **put})
        return masked(await ask(node, operation, who, linked), fresh_one)
    asked = ASKED[operation].make(who, put)
    answer = await ask(node, operation, who if OPERATIONS[operation].roles else None, asked)
    if answer[0] == 200 and isinstance(asked.body, DeviceListUpdate):
        who.person.lists.append(SignedDeviceList.parse(asked.body.list))
        assert answer[2] == BodyCodec.encode(DeviceLists([asked.body.list]), json=False)
        return 200, {}, b"the list that was brought"
    if answer[0] == 200 and isinstance(asked.body, OfficePublish):
        assert answer[2] == BodyCodec.encode(OfficeView(asked.body.document, node.clock.now_ms()), json=False)
        return 200, {}, b"the document that was brought"
    if answer[0] == 200 and isinstance(asked.body, PutAppointments):
        (view,) = msgspec.msgpack.decode(answer[2], type=Appointments).appointments
        assert view == AppointmentView(asked.body.appointments[0], who.person.account)
        return 200, {}, b"the appointment that was put"
    return answer


def masked(answer: Answer, ident: bytes) -> Answer:
    """An answer without the id that was asked with."""
    status, headers, body = answer
    return status, headers, body.replace(ident, b"-" * 16)


@pytest.mark.parametrize("role", Role)
async def test_operations(node: Node, role: Role) -> None:
    foreign = await furnish(node)
    own = await furnish(node)
    who, before = own.residents[role], await snapshot(node, foreign)
    for _ in range(3):  # the peer's one-time keys end: from here on all claims are answered by the same key
        await try_one(node, "prekeys.claim", who, {})
    # Last: an id that is given to something new is not absent any more, and is listed as one's own.
    making = {operation for operation, _ in TAKEN} | {"appointment.put"}
    for operation in sorted(ASKED, key=lambda name: 2 if name in making else name == "room.link"):
        answer = await try_one(node, operation, who, {})
        assert not foreign.shown_in(answer[2]), operation
        for place in ASKED[operation].places:
            absent = os.urandom(16)
            nothing = masked(await try_one(node, operation, who, {place: absent}), absent)
            for kind, idents in foreign_ids(node, foreign, role, place).items():
                if KNOWING_IS_ENOUGH.get((operation, place)) == kind:
                    continue
                like = nothing
                if TAKEN.get((operation, place)) == kind and nothing[0] != 403:
                    taken = getattr(other_than(own, role).named, kind)
                    like = masked(await try_one(node, operation, who, {place: taken}), taken)
                    assert like[0] == 409
                for ident in not_used_yet(operation, place, idents):
                    answer = await try_one(node, operation, who, {place: ident})
                    assert masked(answer, ident) == like, (operation, place, kind)
                    assert not foreign.shown_in(answer[2], ident), (operation, place, kind)
    assert await snapshot(node, foreign) == before


def foreign_ids(node: Node, foreign: Practice, role: Role, place: str) -> dict[str, list[bytes]]:
    """All ids of the other practice by kind, those of other kinds than the place is for included.

    On disk only one of the place's kind, of a different resident for each role that asks: what is looked up does not
    depend on the store, and all stores keep the same contract.
    """
    if isinstance(node.store, MemoryStore):
        return foreign.ids()
    return {KIND_OF[place]: foreign.ids(role)[KIND_OF[place]]}


def not_used_yet(operation: str, place: str, idents: list[bytes]) -> list[bytes]:
    """All of them; where an id becomes a new device's or a revoked one's, one that is not used so in another place."""
    if operation == "devices.update" and len(idents) > 1:
        return {"device": idents[1:2], "revoked": idents[2:3]}.get(place, idents)
    return idents[:1] if operation == "account.register" else idents


def other_than(practice: Practice, role: Role) -> Resident:
    return practice.residents[Role.THERAPIST if role is Role.OWNER else Role.OWNER]


async def snapshot(node: Node, practice: Practice) -> list[object]:
    """Everything that the residents of a practice can see, and all that waits for them."""
    seen: list[object] = []
    for resident in practice.residents.values():
        for name, operation in OPERATIONS.items():
            if operation.method == "GET" or name in ("messages.fetch", "messages.receipts"):
                seen.append(await ask(node, name, resident, ASKED[name].make(resident, {})))
        async with connected(node, resident.person, caught_up=False) as device:
            while not isinstance(message := await device.hear_any(), CaughtUp):
                seen.append(message)
    return seen


class Listener:
    """Keeps every frame that comes to a device, until it is closed."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.frames: list[bytes] = []

    async def hear(self) -> ServerMessage:
        message = await self.device.ws.receive(SOON_S)
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise Closed(self.device.ws.close_code)
        self.frames.append(message.data)
        return self.device.codec.decode(message.data)

    async def until_through(self) -> list[bytes]:
        """What has come since the last time, once everything said before is answered."""
        barrier = to_oneself(self.device)
        await self.device.say(barrier)
        own = Outer.parse(barrier.outer).id
        while True:
            message = await self.hear()
            if isinstance(message, Accepted) and message.id == own:
                heard, self.frames = self.frames[:-1], []
                return heard


@asynccontextmanager
async def listening(node: Node, practice: Practice) -> AsyncIterator[dict[Role, Listener]]:
    """All residents, connected."""
    async with AsyncExitStack() as stack:
        yield {
            role: Listener(await stack.enter_async_context(connected(node, resident.person)))
            for role, resident in practice.residents.items()
        }


def comparable(frames: list[bytes], *idents: bytes) -> list[bytes]:
    """Frames without what was asked with, and without the place of what was accepted."""
    said = []
    for frame in frames:
        message = CLIENT_CODECS[SUBPROTOCOL_MSGPACK].decode(frame)
        if isinstance(message, Presence | Office) and message.account not in idents:
            continue  # who is there, and whose office is open, is told when it changes: no answer to this
        if isinstance(message, Room) and message.room.appointment not in idents:
            continue  # so is a waiting room
        if isinstance(message, Accepted):
            frame = msgspec.msgpack.encode(msgspec.structs.replace(message, seq=min(message.seq, 1)))
        for ident in idents:
            frame = frame.replace(ident, b"-" * 16)
        said.append(frame)
    return said


async def said(
    listener: Listener, who: Resident, kind: type[ClientMessage], put: Put, foreign: Practice
) -> list[bytes]:
    """Says one message with these places filled; what comes back before anything said later is answered."""
    spoken = SAID[kind]
    assert spoken is not None
    message = spoken.make(who, put, listener.device.node.clock.now_ms())
    await listener.device.say(message)
    heard = await listener.until_through()
    for frame in heard:
        assert not foreign.shown_in(frame, *put.values()), (kind, put)
    if not isinstance(message, Post | Direct):
        return comparable(heard, *put.values())
    outer = Outer.parse(message.outer)
    await listener.device.say(Void(outer.conv, outer.id))  # a refused one would block the next
    return comparable(heard, outer.id, *put.values())


@pytest.mark.parametrize("role", Role)
async def test_messages(node: Node, role: Role) -> None:
    foreign = await furnish(node)
    before = await snapshot(node, foreign)
    async with listening(node, foreign) as theirs:
        # Posts, directs, and those of calls in practices of their own: what one has taken is not absent for another.
        for kinds in ({Direct}, {Call}, set(SAID) - {Direct, Call, Auth}):
            own = await furnish(node)
            async with listening(node, own) as ours:
                for kind in kinds:
                    await say_everything(ours[role], own.residents[role], kind, foreign, role)
                await everything_is_through(ours, own.residents[role], role)
            for other in theirs.values():
                await other.device.say(Renew())
                while not isinstance(await other.hear(), Token):
                    pass
                assert not any(map(own.shown_in, other.frames)), other.frames
    assert await snapshot(node, foreign) == before


async def say_everything(
    listener: Listener, who: Resident, kind: type[ClientMessage], foreign: Practice, role: Role
) -> None:
    spoken = SAID[kind]
    assert spoken is not None
    await said(listener, who, kind, {}, foreign)
    for place in spoken.places:
        nothing = await said(listener, who, kind, {place: os.urandom(16)}, foreign)
        for what, idents in foreign_ids(listener.device.node, foreign, role, place).items():
            for ident in idents:
                assert await said(listener, who, kind, {place: ident}, foreign) == nothing, (kind, place, what)


async def everything_is_through(ours: Mapping[Role, Listener], who: Resident, role: Role) -> None:
    """Waits until a signal has come to the peer that was said after all others: they wait in one queue."""
    spoken = SAID[Signal]
    assert spoken is not None
    last = spoken.make(who, {"ref": os.urandom(16)}, ours[role].device.node.clock.now_ms())
    await ours[role].device.say(last)
    peer = next(listener for listener in ours.values() if listener.device.person is who.peer)
    while await peer.hear() != last:
        pass


async def test_signing_in(node: Node) -> None:
    foreign, own = await furnish(node), await furnish(node)
    absent = nobody()
    for who in own.residents.values():
        nothing = await attempt(node, who, absent.account, absent.device)
        assert nothing == ([], CloseCode.AUTH_FAILED)
        for other in foreign.residents.values():
            for account in (who.named.account, other.named.account, absent.account):
                for device in (who.named.device, other.named.device, absent.device):
                    if (account, device) != (who.named.account, who.named.device):
                        assert await attempt(node, who, account, device) == nothing


async def attempt(node: Node, who: Resident, account: bytes, device: bytes) -> tuple[list[bytes], int | None]:
    """Tries to sign in as somebody else, by the own key: all frames after the challenge, and the close code."""
    async with opened(node, who.person) as stranger:
        listener = Listener(stranger)
        challenge = await listener.hear()
        assert isinstance(challenge, Challenge)
        transcript = AuthTranscript(
            node.base, challenge.server_id, challenge.conn, challenge.nonce, os.urandom(32), AccountId(account),
            DeviceId(device), 7, challenge.server_time_ms,
        )  # fmt: skip
        signature = transcript.sign(who.person.secrets.signing_key())
        await stranger.say(Auth(AccountId(account), DeviceId(device), node.base, transcript.client_nonce, 7, signature))
        with pytest.raises(Closed) as closed:
            while True:
                await listener.hear()
        return listener.frames[1:], closed.value.code
