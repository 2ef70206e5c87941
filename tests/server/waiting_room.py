"""Everything that somebody may try who was not let in, in any order, while an hour goes on beside them.

    python -m tests.server.waiting_room --steps 5000 --seed 7

Whoever is not admitted, of the practice or of another one, with a used link or a bound one, asks every operation of the
table and says every message of the contract, with the ids of everybody in every place. Beside them a host and a client
meet: knock, are let in, call, leave. No answer and no frame may give the others TURN credentials beyond those of the
test before an appointment, nor a byte of a description, a key, a person in the room or a call; and nothing of the hour
may change by what they do.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import msgspec

from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.codec import BodyCodec
from rapport_protocol.ids import AccountId, AppointmentId, MessageId, RoomLinkId, split_ids
from rapport_protocol.meeting import (
    AppointmentOutcome,
    AppointmentTimes,
    HostAct,
    Knock,
    KnockStep,
    Outcome,
    PutAppointments,
    Reached,
    RoomAct,
    RoomLinkUse,
    TurnCredentials,
    TurnWanted,
)
from rapport_protocol.messages import (
    Auth,
    Call,
    ClientMessage,
    Direct,
    Failure,
    ServerMessage,
    WatchRoom,
)
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import OPERATIONS, OfficePublish, Role
from rapport_protocol.signed import MessageClass, MessageFlags
from rapport_server.config import RateLimits, Turn
from rapport_server.meetings import RoomRecord, meeting_key
from rapport_server.records import Principal
from tests.server.device import SOON_S, Closed, Device, connected
from tests.server.furnished import Resident, furnish, moved_in
from tests.server.meeting import MINUTE_MS, Hour, later, put, times
from tests.server.naming import ASKED, SAID, Asked
from tests.server.node import GENEROUS, Node, Refused, bearer, running
from tests.server.people import Opened

__all__ = ["Leak", "Walk", "walk"]

TESTED_MS = 120_000
"""Credentials for the test of devices come once in two minutes."""
NEAR = sorted(name for name in OPERATIONS if name.partition(".")[0] in {"turn", "appointment", "room"})
"""What an hour is made of is asked as often as everything else together."""
STORED = {
    "account.register": ("account", "device", "conv", "invite"),
    "devices.update": ("account", "device", "revoked", "signer"),
    "devices.restore": ("account", "device"),
    "linking.open": ("link",),
    "invite.create": ("invite", "account", "device"),
    "membership.append": ("checkpointed", "removed", "changed", "invite"),
    "office.publish": ("account", "device"),
    "appointment.put": ("appointment", "series"),
    "room.link": ("link",),
    "room.knock": ("link",),
    "prekeys.claim": ("claim",),
    "Post": ("id", "devices"),
    "Direct": ("id", "device"),
    "Signal": ("ref",),
}
"""Where an id becomes the name of something that belongs to whoever names it, and may be told to them later."""
TRACED = 200
"""Characters of a step in the way to a leak."""
RENEWED_EVERY = 40
"""Steps after which everybody gets a new token."""


class Leak(AssertionError):
    """Somebody got what is not theirs. The message names actor, step and kind, and the way there."""


@dataclass
class Actor:
    """Somebody who tries. may_see: accounts whose ids are no secret to them; guest: by a join link into the hour."""

    name: str
    resident: Resident
    who: Principal
    device: Device
    may_see: set[bytes]
    guest: bool = False
    own: set[bytes] = field(default_factory=set)
    """Appointments that they are on, or have a link into."""
    tested_ms: int = -TESTED_MS
    heard: list[bytes] = field(default_factory=list)

    async def hear(self) -> ServerMessage:
        message = await self.device.ws.receive(SOON_S)
        if message.type is not aiohttp.WSMsgType.BINARY:
            raise Closed(self.device.ws.close_code)
        self.heard.append(message.data)
        return self.device.codec.decode(message.data)

    async def until_through(self) -> list[bytes]:
        """Everything that has come until what was said last is through: steps are answered in the order of posts."""
        nothing = MessageId(os.urandom(16))
        await self.device.say(Call(nothing, CallStep.KEEP))
        while True:
            message = await self.hear()
            if isinstance(message, Failure) and message.re == nothing:
                heard, self.heard = self.heard[:-1], []
                return heard


class Walk:
    """One walk. Every choice comes from the seed; ids do not, and need not."""

    def __init__(self, node: Node, seed: int) -> None:
        self.node = node
        self.random = random.Random(seed)
        self.actors: list[Actor] = []
        self.hour: Hour
        self.host: Device
        self.guest: Device
        self.call: MessageId | None = None
        self.mark = os.urandom(16)
        """Stands in everything that is sealed within the hour."""
        self.secrets: dict[bytes, str] = {}
        """What nobody outside may be shown, and what it is."""
        self.known: list[bytes] = []
        """Ids that everybody has heard of, and may name."""
        self.link, self.link_secret = RoomLinkId(b""), b""
        self.trace: list[str] = []
        self.done: Counter[str] = Counter()

    # --- the hour itself ----------------------------------------------------------------------------------------------

    async def new_hour(self) -> None:
        """The next appointment of host and guest, with a link that another client has opened."""
        host, guest, opened = self.hour.host, self.hour.guest, self.hour.opened
        appointment = times(self.node, opened, host, guest, in_ms=MINUTE_MS, minutes=10)
        await put(self.node, host, appointment)
        self.hour = Hour(self.node, host, guest, opened, appointment)
        self.link, self.link_secret = await self.hour.link()
        for actor in self.actors:
            if actor.guest:
                await self.hour.use(actor.resident.person, self.link, self.link_secret)
                actor.own.add(self.hour.id)
        self.known += [self.hour.id, self.link]
        self.call = None

    async def goes_on(self) -> None:
        """Host and guest do something, or time passes."""
        what = self.random.choice(
            ["knock", "knock", "leave", "enter", "admit", "admit", "offer", "accept", "decline", "hangup", "send_back",
             "remove", "lock", "unlock", "admit_all", "time", "time", "describe", "relay"]
        )  # fmt: skip
        self.trace.append(f"the hour: {what}")
        hour, account = self.hour, self.hour.guest.account
        if what in ("knock", "leave"):
            await hour.knock(step=KnockStep.WAITING if what == "knock" else KnockStep.LEAVE)
        elif what == "time":
            await later(self.node, self.random.choice((1_000, 9_000, 26_000)), *self.people)
            if self.node.clock.now_ms() > hour.times.start_ms + 30 * MINUTE_MS:
                await self.new_hour()
        elif what == "admit":
            self.call = MessageId(os.urandom(16))
            self.known.append(self.call)
            await self.quietly(hour.admit(self.call))
        elif what == "relay":
            await self.guest_relays()
        elif what == "offer" and self.call is not None:
            await self.offers(self.call)
        elif what in ("accept", "hangup", "describe") and self.call is not None:
            await self.steps(CallStep(what))
        elif what in ("decline", "send_back", "remove"):
            if what != "remove" or self.random.random() < 0.1:
                await self.quietly(hour.act(RoomAct(what), account))
        elif what in ("enter", "lock", "unlock", "admit_all"):
            await hour.act(RoomAct(what))
        await self.node.app._parts.hour.rooms.catch_up()

    @property
    def people(self) -> list[Any]:
        return [self.hour.host, self.hour.guest, *(actor.resident.person for actor in self.actors)]

    @staticmethod
    async def quietly(asking: Any) -> None:
        """A host may be refused; that is not what is looked at here."""
        with suppress(Refused):
            await asking

    async def guest_relays(self) -> None:
        """The guest asks for the relay: theirs for a call only while the host's lives."""
        if self.call is None:
            return
        call = await self.node.store.call(self.practice, self.call)
        try:
            await self.node.ask("turn.credentials", self.hour.guest, TurnWanted(call=self.call))
        except Refused:
            return
        if call is None or not call.is_live:
            raise Leak("the guest got credentials for a call that does not live\n" + "\n".join(self.trace[-12:]))

    async def offers(self, call: MessageId) -> None:
        post = self.host.post(
            self.hour.opened.conv, [self.hour.guest.device], message=call, ct=self.mark * 17, flags=MessageFlags.RING,
            act_until_ms=self.node.clock.now_ms() + 45_000,
        )  # fmt: skip
        await self.host.say(msgspec.structs.replace(post, keys=b"\x01" + (self.mark * 13)[:194]))
        await _through(self.host)

    async def steps(self, step: CallStep) -> None:
        """The guest says a step, with a sealed description."""
        outer = self.guest.outer(
            self.hour.opened.conv, kind=MessageClass.DIRECT, act_until_ms=self.node.clock.now_ms() + 60_000
        )
        sealed = Direct(outer.encode(), b"", b"", self.hour.host.device, b"\x01" + (self.mark * 13)[:194])
        await self.guest.say(Call(MessageId(self.call or b""), step, None if step is CallStep.HANGUP else sealed))
        await _through(self.guest)

    # --- what others try ----------------------------------------------------------------------------------------------

    async def tries(self) -> None:
        """Somebody who is not admitted asks or says something."""
        actor = self.random.choice(self.actors)
        # What time alone has brought is no work of theirs.
        await self.node.app._parts.hour.rooms.fire(meeting_key(self.practice, self.hour.id))
        before = await self.standing()
        try:
            await (self.asks(actor) if self.random.random() < 0.7 else self.says(actor))
        except Closed:  # who removes their own device is out
            self.actors.remove(actor)
        after = await self.standing()
        if before != after:
            raise self.leak(actor, "the hour was changed", "")

    async def standing(self) -> object:
        """The hour as it is in the store; guests by links may come and go."""
        store, practice = self.node.store, self.practice
        room = await store.room(practice, self.hour.id)
        own = _of(room or RoomRecord(practice, self.hour.id, self.hour.times.start_ms), self.hour.guest.account)
        call = None if self.call is None else await store.call(practice, self.call)
        return await store.appointment(practice, self.hour.id), own, call

    async def asks(self, actor: Actor) -> None:
        """One HTTP operation, with anybody's ids in any place."""
        operation = self.random.choice(NEAR if self.random.random() < 0.5 else sorted(OPERATIONS))
        asked = self.own_way(actor, operation)
        if asked is None:
            row = ASKED[operation]
            places = [place for place in row.places if self.random.random() < 0.6]
            asked = row.make(actor.resident, {place: self.id_for(operation, place) for place in places})
        self.trace.append(f"{actor.name}: {operation} {asked}"[:TRACED])
        self.done[operation] += 1
        row_ = OPERATIONS[operation]
        headers = {
            "Accept": "application/msgpack",
            "Content-Type": "application/msgpack",
            "Authorization": f"Bearer {bearer(actor.resident.person.token)}",
        }
        path = row_.path.format(**{name: ident.hex() for name, ident in asked.path.items()}) + asked.query
        content = None if asked.body is None else BodyCodec.encode(asked.body, json=False)
        async with self.node.http.request(row_.method, self.node.base + path, data=content, headers=headers) as answer:
            body = await answer.read()
        said = (content or b"") + b"".join(asked.path.values())
        self.look(actor, body, said)
        if answer.status == 200:
            await self.answered(actor, operation, asked, body)

    def own_way(self, actor: Actor, operation: str) -> Asked | None:
        """Bodies that a row of the table does not make: acts, steps, another one's version, a link that was used."""
        pick, room = self.random.choice, {"appointment": bytes(self.any_appointment())}
        account = pick([None, self.hour.guest.account, actor.who.account, AccountId(self.any_id())])
        match operation:
            case "room.knock":
                return Asked(room, Knock(pick(list(KnockStep)), 1, pick([None, RoomLinkId(self.any_id()), self.link])))
            case "room.act":
                call = pick([None, self.call, MessageId(self.any_id())])
                return Asked(room, HostAct(pick(list(RoomAct)), pick([0, 1, 99]), account, call, pick([True, False])))
            case "room.use_link":
                secret = pick([self.link_secret, bytes(32)])
                return Asked({"link": pick([self.any_id(), self.link])}, RoomLinkUse(secret, pick(["", "1234"])))
            case "turn.credentials":
                about = pick([(self.call, None), (None, self.any_appointment()), (self.any_id(), None)])
                return Asked(body=TurnWanted(*about))  # type: ignore[arg-type]
            case "appointment.put" if self.random.random() < 0.5:
                moved: AppointmentTimes = msgspec.structs.replace(
                    self.hour.times, version=2, cancelled=pick([True, False])
                )
                return Asked(body=PutAppointments([moved]))
            case "appointment.outcome":
                return Asked(room, AppointmentOutcome(Outcome.NO_SHOW, 0))
            case "appointment.reached":
                return Asked(room, Reached(pick([10, 1440])))
            case "room.view" | "appointment.calendar":
                return Asked(room)
        return None

    async def says(self, actor: Actor) -> None:
        """One message of a device, with anybody's ids in any place."""
        kinds = [kind for kind in SAID if kind is not Auth]
        kind: type[ClientMessage] = self.random.choice(sorted(kinds, key=lambda each: each.__name__))
        spoken = SAID[kind]
        assert spoken is not None
        if kind is WatchRoom:
            message: ClientMessage = WatchRoom(self.hour.id + self.any_appointment())
        elif kind is Call:
            message = Call(MessageId(self.call or self.any_id()), self.random.choice(list(CallStep)))
        else:
            places = {place: self.id_for(kind.__name__, place) for place in spoken.places if self.random.random() < 0.6}
            message = spoken.make(actor.resident, places, self.node.clock.now_ms())
        self.trace.append(f"{actor.name} says {message}"[:TRACED])
        self.done[kind.__name__] += 1
        await actor.device.say(message)
        said = actor.device.codec.encode(message)
        for frame in await actor.until_through():
            self.look(actor, frame, said)

    def any_id(self) -> bytes:
        return self.random.choice(self.known) if self.random.random() < 0.9 else os.urandom(16)

    def id_for(self, what: str, place: str) -> bytes:
        """An id for a place; where it becomes the name of something of the actor's own, none that is a secret here."""
        found = self.any_id()
        if place not in STORED.get(what, ()):
            return found
        return os.urandom(16) if found in self.secrets or found == self.call else found

    def any_appointment(self) -> AppointmentId:
        elsewhere = [actor.resident.named.appointment for actor in self.actors]
        return AppointmentId(self.random.choice([self.hour.id] * len(elsewhere) + [*elsewhere, self.any_id()]))

    # --- what must not be ---------------------------------------------------------------------------------------------

    def look(self, actor: Actor, given: bytes, said: bytes) -> None:
        """Nothing in these bytes is another one's, but for what the actor has just said."""
        for secret, what in self.secrets.items():
            if secret in given and secret not in said and secret not in actor.may_see:
                raise self.leak(actor, what, f"in {given.hex()}")
        call = bytes(self.call or b"")
        if call and call in given and call not in said:
            raise self.leak(actor, "a call", f"in {given.hex()}")

    async def answered(self, actor: Actor, operation: str, asked: Asked, body: bytes) -> None:
        """An answer that was no refusal: of this hour only what a guest by a link may ask, and no credentials."""
        if isinstance(asked.body, PutAppointments):
            for each in asked.body.appointments:
                for member in self.actors:
                    if member.who.account in split_ids(each.members):
                        member.own.add(each.appointment)
        about = asked.path.get("appointment") or getattr(asked.body, "appointment", None)
        by_link = {"room.view", "room.knock", "turn.credentials"}
        if about is not None and (about not in actor.own or (about == self.hour.id and operation not in by_link)):
            raise self.leak(actor, f"an answer to {operation}", "")
        if operation == "turn.credentials" and isinstance(asked.body, TurnWanted):
            now = self.node.clock.now_ms()
            given = msgspec.msgpack.decode(body, type=TurnCredentials)
            if asked.body.call is not None:
                raise self.leak(actor, "credentials for a call", "")
            if given.until_ms > now + 60_000 or now < actor.tested_ms + TESTED_MS:
                raise self.leak(actor, "credentials beyond the test", "")
            actor.tested_ms = now

    def leak(self, actor: Actor, what: str, secret: str) -> Leak:
        return Leak(f"{actor.name} got {what} {secret}\n" + "\n".join(self.trace[-12:]))

    @property
    def practice(self) -> Any:
        return self.actors[0].who.practice


async def _through(device: Device) -> None:
    """Waits until everything that the device has said is committed: steps are answered in the order of posts."""
    nothing = MessageId(os.urandom(16))
    await device.say(Call(nothing, CallStep.KEEP))
    while not (isinstance(message := await device.hear_any(), Failure) and message.re == nothing):
        pass


def _of(room: RoomRecord, account: bytes) -> object:
    """What of a room is the hour's own; the rest is how guests by links come and go."""
    own = [(each.account, each.person, each.link) for each in room.people if each.account == account]
    hosts = {host.account for host in room.hosts}
    return room.start_ms, room.locked, room.closed, room.been, room.emptied_ms, hosts, own


@asynccontextmanager
async def walk(seed: int) -> AsyncIterator[Walk]:
    """A server with two practices, an hour, and everybody who will try."""
    rates = msgspec.structs.replace(GENEROUS, turn_test=RateLimits().turn_test)
    turn = Turn(urls=["turn:turn.example.org:3478"], secret="s" * 32)
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running(rates, turn=turn))
        going = Walk(node, seed)
        ours, theirs = await furnish(node), await furnish(node)
        host, client = ours.residents[Role.THERAPIST], ours.residents[Role.CLIENT]
        opened = Opened(host.opened.secret, host.named.conv, [])
        going.hour = Hour(node, host.person, client.person, opened, times(node, opened, host.person, client.person))
        await _close_office(node, host)
        others = [await _another(node, host, going.mark) for _ in range(2)]
        known_host = {host.person.account, host.person.device}
        for name, resident, may_see in (
            ("another client", others[0], known_host),
            ("a client with a link", others[1], known_host),
            ("the owner", ours.residents[Role.OWNER], known_host),
            ("a foreign client", theirs.residents[Role.CLIENT], set[bytes]()),
            ("a foreign therapist", theirs.residents[Role.THERAPIST], set[bytes]()),
        ):
            device = await stack.enter_async_context(connected(node, resident.person))
            who = await node.signed_in(resident.person)
            going.actors.append(Actor(name, resident, who, device, may_see, guest=name == "a client with a link"))
        going.host = await stack.enter_async_context(connected(node, host.person))
        going.guest = await stack.enter_async_context(connected(node, client.person))
        guest = client.person
        going.secrets = {
            guest.account: "somebody in the room", guest.device: "a device in the room", going.mark: "something sealed",
            guest.secrets.signing_key().public: "a key of somebody in the room", host.named.conv: "their conversation",
            host.person.account: "the host", host.person.device: "the host's device",
            others[1].person.account: "a guest of the room",
        }  # fmt: skip
        for actor in going.actors:
            actor.may_see |= {actor.who.account, actor.who.device}
            person, residents = actor.resident.person, [*ours.residents.values(), *theirs.residents.values(), *others]
            theirs_too = [each for each in residents if person in (each.person, each.peer)]
            actor.own |= {each.named.appointment for each in theirs_too}
        for resident in (host, client, *(actor.resident for actor in going.actors)):
            ids = resident.named.ids()
            # Whoever knows the id of an open invite or a link is answered, and is meant to be.
            going.known += [ident for kind, ident in ids.items() if kind not in ("invite", "link")]
        await going.new_hour()
        yield going


async def _close_office(node: Node, host: Resident) -> None:
    """Hours that name nobody: those of `furnish` tell every client who covers."""
    who = host.person
    document = OfficeDocument.make(
        who.account, who.device, who.secrets.signing_key(), OfficeHours("UTC"), version=2, issued_ms=node.clock.now_ms()
    )
    await node.ask("office.publish", who, OfficePublish(document.encode()))


async def _another(node: Node, host: Resident, mark: bytes) -> Resident:
    """One more client of the host's, with an appointment of their own."""
    _, person, met = await node.pair(Role.CLIENT, host.person)
    return await moved_in(node, person, host.person, host.person, met.conv, person.join(met), mark[::-1])


async def go(steps: int, seed: int) -> Counter[str]:
    """Walks so many steps; returns how often what was tried. Raises Leak."""
    async with walk(seed) as going:
        for step in range(steps):
            if step % RENEWED_EVERY == 0:
                for person in going.people:
                    await going.node.signed_in(person)
            await (going.goes_on() if going.random.random() < 0.35 else going.tries())
        return going.done


def main(arguments: list[str]) -> int:
    """Walks; prints what was tried as JSON, or the leak. Exit code 0 if there was none."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.waiting_room")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args(arguments)
    try:
        done = asyncio.run(go(chosen.steps, chosen.seed))
    except Leak as leak:
        sys.stdout.write(f"{leak}\n")
        return 1
    sys.stdout.write(
        json.dumps({"steps": chosen.steps, "seed": chosen.seed, "tried": sum(done.values()), "kinds": len(done)}) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
