"""What every operation and every message of a device names, and how to name something else there.

A row holds the places in which an id stands, and makes the request with any of them filled by an id that the asker was
not given; everything else in it is the asker's own and in order.
"""

from __future__ import annotations

import itertools
import os
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from rapport.crypto.identity import DeviceSecrets, next_list
from rapport_protocol import ids
from rapport_protocol.calls.arbiter import CallStep
from rapport_protocol.device_lists import IDENTITY_KEY, DeviceEntry
from rapport_protocol.ids import DeviceId
from rapport_protocol.meeting import (
    AppointmentOutcome,
    AppointmentTimes,
    HostAct,
    Knock,
    KnockStep,
    Modality,
    Outcome,
    PutAppointments,
    Reached,
    RoomAct,
    RoomLink,
    RoomLinkUse,
    TurnWanted,
)
from rapport_protocol.membership_entries import Action, ChangeRole, Checkpoint, Invite, Join, MemberRole, Remove
from rapport_protocol.messages import (
    Ack,
    AckItem,
    Auth,
    Call,
    ClientMessage,
    Direct,
    Ping,
    Pong,
    Post,
    PresenceState,
    Present,
    Renew,
    Signal,
    Void,
    Watch,
    WatchOffice,
    WatchRoom,
)
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import (
    AppendEntry,
    Claim,
    CreateInvite,
    DeviceListUpdate,
    Fetch,
    LinkOpen,
    LinkStep,
    OfficePublish,
    PrekeyUpload,
    PushSubscription,
    Receipts,
    Register,
    ReturnedLists,
    Role,
    UrgentSeen,
)
from rapport_protocol.signed import MessageClass, MessageFlags, Outer, SignalFields
from tests.server.furnished import Resident
from tests.server.node import START_MS
from tests.server.people import Person, prekeys_of

__all__ = ["ASKED", "SAID", "Asked", "Put", "id_fields"]

Put = Mapping[str, bytes]
"""Place -> the id to name there."""
KINDS = {getattr(ids, name) for name in ids.__all__ if name.endswith("Id")}


@dataclass(frozen=True)
class Asked:
    """One HTTP request: ids of the path, body, query."""

    path: dict[str, bytes] = field(default_factory=dict)
    body: msgspec.Struct | None = None
    query: str = ""


@dataclass(frozen=True)
class Row:
    """places: where an id stands. make: the request of a resident with these places filled otherwise."""

    places: tuple[str, ...]
    make: Callable[[Resident, Put], Asked]


def id_fields(kind: object) -> set[str]:
    """The fields of a message or body that hold ids, those of its parts included."""
    found: set[str] = set()
    for part in typing.get_args(kind):
        found |= id_fields(part)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for name, hint in typing.get_type_hints(kind, include_extras=True).items():
            if _holds_id(hint):
                found.add(name)
            found |= id_fields(hint)
    return found


def _holds_id(hint: object) -> bool:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return False
    return hint in KINDS or any(_holds_id(part) for part in typing.get_args(hint))


# --- HTTP -------------------------------------------------------------------------------------------------------------


def _path(kind: str, query: str = "") -> Row:
    return Row((kind,), lambda who, put: Asked({kind: put.get(kind, getattr(who.named, kind))}, query=query))


def _register(who: Resident, put: Put) -> Asked:
    """Somebody new, by the open invite of the resident's."""
    new = Person(Role.CLIENT, who.person.now)
    made = DeviceSecrets.make(ids.AccountId(put.get("account", new.account)), new.aik.public, os.urandom, new.now)
    device = DeviceId(put.get("device", new.device))
    entry = DeviceEntry.make(made.account, made.aik, device, made.signing_key(), made.entry().dik, new.now)
    new.secrets = msgspec.structs.replace(made, device=device, selfsig=entry.selfsig)
    content = msgspec.structs.replace(new.lists[0].content, account=made.account, devices=(entry,))
    new.lists = [content.sign(new.aik)]
    secret = who.opened.secret
    action = Join(ids.InviteId(put.get("invite", secret.id)), new.aik.public, new.lists[0].hash)
    previous = who.opened.entries[-1]
    conv = ids.ConversationId(put.get("conv", who.opened.conv))
    join = new.sign(conv, previous, action, secret).encoded
    return Asked(body=Register(new.lists[0].encoded, prekeys_of(new.secrets, new.now, one_time=1), join))


def _list(who: Resident, put: Put) -> DeviceListUpdate:
    """The next list of the resident's account, in which another device takes the place of the one added before."""
    person = who.person
    more = Person(person.role, person.now)
    made = DeviceSecrets.make(person.account, person.aik.public, os.urandom, person.now)
    device = DeviceId(put.get("device", more.device))
    entry = DeviceEntry.make(made.account, made.aik, device, made.signing_key(), made.entry().dik, person.now)
    earlier = tuple(entry.device for entry in person.lists[-1].content.devices if entry.device != person.device)
    content = next_list(person.lists[-1], (entry,), earlier, (IDENTITY_KEY, person.aik), person.now).content
    revoked = content.revoked + ((DeviceId(put["revoked"]),) if "revoked" in put else ())
    account = ids.AccountId(put.get("account", person.account))
    content = msgspec.structs.replace(content, account=account, revoked=revoked)
    if "signer" in put:
        content = msgspec.structs.replace(content, signer=DeviceId(put["signer"]))
    secrets = msgspec.structs.replace(made, device=device, selfsig=entry.selfsig)
    return DeviceListUpdate(content.sign(person.aik).encoded, prekeys_of(secrets, person.now, one_time=1))


def _restore(who: Resident, put: Put) -> Asked:
    person = who.person
    account = ids.AccountId(put.get("account", person.account))
    device = DeviceId(put.get("device", person.device))
    lists = ReturnedLists(device, [person.lists[-1].encoded], prekeys_of(person.secrets, person.now, one_time=1))
    return Asked({"account": account}, lists)


def _entry(who: Resident, put: Put, action: Action) -> bytes:
    """The next entry of the resident's conversation."""
    conv = ids.ConversationId(put.get("conv", who.named.conv))
    secret = who.opened.secret if isinstance(action, Join) else None
    fields = who.person.sign(conv, who.last, action, secret).fields
    account, device = put.get("account", fields.account), put.get("device", fields.device)
    fields = msgspec.structs.replace(fields, account=ids.AccountId(account), device=DeviceId(device))
    return fields.sign(who.person.secrets.signing_key(), secret.signing_key() if secret else None).encoded


def _append(who: Resident, put: Put) -> Asked:
    person = who.person
    action: Action = Checkpoint(ids.AccountId(put.get("checkpointed", person.account)), 9, bytes(32))
    if "removed" in put:
        action = Remove(ids.AccountId(put["removed"]))
    elif "changed" in put:
        action = ChangeRole(ids.AccountId(put["changed"]), MemberRole.CLIENT)
    elif "invite" in put:
        action = Join(ids.InviteId(put["invite"]), person.aik.public, person.lists[-1].hash)
    return Asked({"conv": put.get("conv", who.named.conv)}, AppendEntry(_entry(who, put, action)))


def _invite(who: Resident, put: Put) -> Asked:
    """Into a conversation that exists, or, for all other places, with a conversation of its own."""
    person, secret = who.person, who.opened.secret
    action = Invite(
        ids.InviteId(put.get("invite", os.urandom(16))),
        secret.signing_key().public,
        MemberRole.CLIENT,
        person.now + 1000,
    )
    if "conv" in put:
        return Asked(body=CreateInvite([_entry(who, put, action)], b"card"))
    opened = person.invite(Role.CLIENT)
    fields = person.sign(opened.conv, opened.entries[0], action).fields
    fields = msgspec.structs.replace(
        fields,
        account=ids.AccountId(put.get("account", person.account)),
        device=DeviceId(put.get("device", person.device)),
    )
    entry = fields.sign(person.secrets.signing_key())
    return Asked(body=CreateInvite([opened.entries[0].encoded, entry.encoded], b"card"))


def _claim(who: Resident, put: Put) -> Asked:
    device = DeviceId(put.get("devices", who.peer.device))
    return Asked(body=Claim(ids.ClaimId(put.get("claim", os.urandom(16))), [device]))


def _step(step: int) -> Row:
    def make(who: Resident, put: Put) -> Asked:
        return Asked({"link": put.get("link", who.named.link)}, LinkStep(step, b"e" * 32))

    return Row(("link",), make)


def _about_messages(body: Callable[[list[typing.Any]], msgspec.Struct]) -> Row:
    def make(who: Resident, put: Put) -> Asked:
        return Asked({"conv": put.get("conv", who.named.conv)}, body([put.get("ids", who.named.message)]))

    return Row(("conv", "ids"), make)


def _office(who: Resident, put: Put) -> Asked:
    """The next document of the resident's office hours.

    Whoever it names as cover is looked up when somebody is asked, and not here.
    """
    person = who.person
    document = OfficeDocument.make(
        ids.AccountId(put.get("account", person.account)),
        DeviceId(put.get("device", person.device)),
        person.secrets.signing_key(),
        OfficeHours("Europe/London"),
        version=next(_versions),
        issued_ms=person.now,
    )
    return Asked(body=OfficePublish(document.encode()))


_versions = itertools.count(2)


def _turn(who: Resident, put: Put) -> Asked:
    if "appointment" in put:
        return Asked(body=TurnWanted(appointment=ids.AppointmentId(put["appointment"])))
    return Asked(body=TurnWanted(ids.MessageId(put.get("call", who.named.message))))


def _seen(who: Resident, put: Put) -> Asked:
    message, client = put.get("message", who.named.message), put.get("client", who.peer.account)
    return Asked(body=UrgentSeen(ids.MessageId(message), ids.AccountId(client)))


def _put(who: Resident, put: Put) -> Asked:
    """A new appointment with the peer; for a place, with something else there."""
    person, peer = who.person, who.peer
    times = AppointmentTimes(
        ids.AppointmentId(put.get("appointment", os.urandom(16))),
        ids.ConversationId(put.get("conv", who.named.conv)),
        1,
        person.now + 86_400_000,
        50,
        Modality.VIDEO,
        "Europe/London",
        b"".join(sorted((person.account, put.get("members", peer.account)))),
        ids.AppointmentId(put["series"]) if "series" in put else None,
    )
    return Asked(body=PutAppointments([times]))


def _of_appointment(body: Callable[[Put], msgspec.Struct | None], *places: str) -> Row:
    def make(who: Resident, put: Put) -> Asked:
        return Asked({"appointment": put.get("appointment", who.named.appointment)}, body(put))

    return Row(("appointment", *places), make)


def _knock(put: Put) -> Knock:
    return Knock(KnockStep.WAITING, 1, ids.RoomLinkId(put["link"]) if "link" in put else None)


def _act(put: Put) -> HostAct:
    """A host who enters, or lets somebody in."""
    account = ids.AccountId(put["account"]) if "account" in put else None
    call = ids.MessageId(put["call"]) if "call" in put else None
    return HostAct(RoomAct.ADMIT if account else RoomAct.ENTER, 0, account, call)


def _link(put: Put) -> RoomLink:
    return RoomLink(ids.RoomLinkId(put.get("link", os.urandom(16))), bytes(32), 0, START_MS + 86_400_000)


def _use_link(who: Resident, put: Put) -> Asked:
    return Asked({"link": put.get("link", who.named.room_link)}, RoomLinkUse(bytes(32)))


ASKED: Mapping[str, Row] = {
    "invite.view": _path("invite"),
    "account.register": Row(("account", "device", "conv", "invite"), _register),
    "devices.lists": _path("account", "?from=1"),
    "devices.update": Row(("account", "device", "revoked", "signer"), lambda who, put: Asked(body=_list(who, put))),
    "devices.restore": Row(("account", "device"), _restore),
    "prekeys.upload": Row((), lambda who, put: Asked(body=PrekeyUpload())),
    "prekeys.claim": Row(("claim", "devices"), _claim),
    "linking.open": Row(
        ("link",), lambda who, put: Asked(body=LinkOpen(ids.LinkId(put.get("link", who.named.link)), bytes(32)))
    ),
    "linking.step": _step(2),
    "linking.answer": _step(1),
    "linking.state": _path("link"),
    "invite.create": Row(("conv", "invite", "account", "device"), _invite),
    "conversation.list": Row((), lambda who, put: Asked()),
    "membership.append": Row(("conv", "account", "device", "checkpointed", "removed", "changed", "invite"), _append),
    "membership.chain": _path("conv", "?above=0"),
    "conversation.devices": _path("conv"),
    "archive.page": _path("conv", "?from=0"),
    "messages.fetch": _about_messages(Fetch),
    "messages.receipts": _about_messages(Receipts),
    "office.publish": Row(("account", "device"), _office),
    "office.document": _path("account"),
    "office.holidays": Row((), lambda who, put: Asked(query="?country=GB&year=2026")),
    "push.state": Row((), lambda who, put: Asked()),
    "push.subscribe": Row(
        (), lambda who, put: Asked(body=PushSubscription("https://push.example/1", b"\x04" + bytes(64), bytes(16)))
    ),
    "appointment.put": Row(("appointment", "conv", "members", "series"), _put),
    "appointment.list": Row((), lambda who, put: Asked(query="?from=0")),
    "appointment.outcome": _of_appointment(lambda put: AppointmentOutcome(Outcome.NO_SHOW, 0)),
    "appointment.reached": _of_appointment(lambda put: Reached(10)),
    "appointment.calendar": _of_appointment(lambda put: None),
    "calendar.feed": Row((), lambda who, put: Asked()),
    "calendar.end": Row((), lambda who, put: Asked()),
    "room.view": _of_appointment(lambda put: None),
    "room.knock": _of_appointment(_knock, "link"),
    "room.act": _of_appointment(_act, "account", "call"),
    "room.link": _of_appointment(_link, "link"),
    "room.use_link": Row(("link",), _use_link),
    "room.end_link": Row(("link",), lambda who, put: Asked({"link": put.get("link", who.named.room_link)})),
    "urgent.seen": Row(("message", "client"), _seen),
    "turn.credentials": Row(("call", "appointment"), _turn),
}
"""By the name of the operation."""


# --- the stream -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Spoken:
    """places: where an id stands. make: the message of a resident's device at this time, these places filled."""

    places: tuple[str, ...]
    make: Callable[[Resident, Put, int], ClientMessage]


def _outer(who: Resident, put: Put, now: int, kind: MessageClass) -> bytes:
    return Outer(
        ids.ConversationId(put.get("conv", who.named.conv)),
        3,
        ids.AccountId(put.get("account", who.person.account)),
        DeviceId(put.get("sender", who.person.device)),
        ids.MessageId(put.get("id", os.urandom(16))),
        now,
        kind,
        MessageFlags.NONE,
        now + 1000 if kind is MessageClass.DIRECT else 0,
        bytes(32),
    ).encode()


_KEY = b"\x01" + bytes(194)


def _post(who: Resident, put: Put, now: int) -> Post:
    outer = _outer(who, put, now, MessageClass.POST)
    return Post(outer, bytes(24), b"c" * 272, put.get("devices", who.peer.device), _KEY)


def _direct(who: Resident, put: Put, now: int) -> Direct:
    outer = _outer(who, put, now, MessageClass.DIRECT)
    return Direct(outer, b"", b"", DeviceId(put.get("device", who.peer.device)), _KEY)


def _call(who: Resident, put: Put, now: int) -> Call:
    return Call(ids.MessageId(put.get("call", who.named.message)), CallStep.DESCRIBE, _direct(who, put, now))


def _signal(who: Resident, put: Put, now: int) -> Signal:
    fields = SignalFields(
        ids.ConversationId(put.get("conv", who.named.conv)),
        3,
        ids.AccountId(put.get("account", who.person.account)),
        DeviceId(put.get("sender", who.person.device)),
        ids.MessageId(put.get("ref", bytes(16))),
        1,
        now,
    )
    return Signal(fields.encode() + bytes(24 + 272))


def _ack(who: Resident, put: Put, now: int) -> Ack:
    ok = [AckItem(ids.ItemId(put["id"]), b"e" * 149)] if "id" in put else []
    return Ack(ok, [ids.ItemId(put["parked"])] if "parked" in put else [])


def _void(who: Resident, put: Put, now: int) -> Void:
    conv = ids.ConversationId(put.get("conv", who.named.conv))
    return Void(conv, ids.MessageId(put.get("id", who.named.message)))


SAID: Mapping[type[ClientMessage], Spoken | None] = {
    Auth: None,
    Renew: Spoken((), lambda who, put, now: Renew()),
    Ping: Spoken((), lambda who, put, now: Ping()),
    Pong: Spoken((), lambda who, put, now: Pong()),
    Call: Spoken(("call", "conv", "account", "sender", "id", "device"), _call),
    Post: Spoken(("conv", "account", "sender", "id", "devices"), _post),
    Direct: Spoken(("conv", "account", "sender", "id", "device"), _direct),
    Signal: Spoken(("conv", "account", "sender", "ref"), _signal),
    Void: Spoken(("conv", "id"), _void),
    Ack: Spoken(("id", "parked"), _ack),
    Present: Spoken((), lambda who, put, now: Present(PresenceState.AWAY)),
    Watch: Spoken(("accounts",), lambda who, put, now: Watch(put.get("accounts", who.peer.account))),
    WatchRoom: Spoken(
        ("appointments",), lambda who, put, now: WatchRoom(put.get("appointments", who.named.appointment))
    ),
    WatchOffice: Spoken(("accounts",), lambda who, put, now: WatchOffice(put.get("accounts", who.peer.account))),
}
"""By the message's type. Nothing for `Auth`, which is said by nobody yet: it has a test of its own."""
