"""A practice that lives: three roles, conversations, posts read and unread, an open invite, links, claims.

Everything that it stores carries its mark, and everything that has an id is listed, so that a single byte of it in
front of another practice is recognised.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from rapport_protocol.ids import (
    AccountId,
    AppointmentId,
    ClaimId,
    ConversationId,
    DeviceId,
    InviteId,
    LinkId,
    MessageId,
    RoomLinkId,
)
from rapport_protocol.meeting import AppointmentTimes, HostAct, Knock, Modality, PutAppointments, RoomLink
from rapport_protocol.membership_entries import SignedEntry
from rapport_protocol.messages import Deliver, Post
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Claim, Claimed, LinkOpen, LinkStep, OfficePublish, Role
from rapport_protocol.signed import MessageFlags, Outer, self_conversation
from tests.server.device import Device, connected
from tests.server.node import Node
from tests.server.people import Opened, Person

__all__ = ["Named", "Practice", "Resident", "furnish", "moved_in", "nobody", "to_oneself"]


class Named(msgspec.Struct, frozen=True):
    """One id of each kind, as a request would name them. They belong to one person, or to nobody."""

    account: AccountId
    device: DeviceId
    conv: ConversationId
    message: MessageId
    invite: InviteId
    link: LinkId
    claim: ClaimId
    appointment: AppointmentId
    room_link: RoomLinkId

    def ids(self) -> Mapping[str, bytes]:
        """Kind -> id."""
        return {name: getattr(self, name) for name in self.__struct_fields__}


def nobody() -> Named:
    """Ids that nothing has."""
    return Named(*(os.urandom(16) for _ in Named.__struct_fields__))  # type: ignore[arg-type]


@dataclass
class Resident:
    """A person of a practice, who talks with `peer` in `named.conv`, whose chain ends with `last`."""

    person: Person
    peer: Person
    last: SignedEntry
    named: Named
    opened: Opened
    """An invite of a conversation of the person's own (of the inviter's, for a client) that nobody has used."""


@dataclass
class Practice:
    """All of one practice. secrets: every byte string that nobody outside may ever be shown."""

    mark: bytes
    residents: dict[Role, Resident] = field(default_factory=dict)
    secrets: set[bytes] = field(default_factory=set)

    def ids(self, of: Role | None = None) -> dict[str, list[bytes]]:
        """Kind -> every id of that kind, of all residents or of one."""
        named = [resident.named.ids() for role, resident in self.residents.items() if of in (None, role)]
        return {kind: sorted({ids[kind] for ids in named}) for kind in named[0]}

    def shown_in(self, answer: bytes, beside: bytes = b"") -> list[str]:
        """What of this practice stands in somebody's bytes; `beside`: what he has said himself."""
        return [secret.hex() for secret in self.secrets if secret != beside and secret in answer]


def marked_post(device: Device, conv: ConversationId, to: list[DeviceId], mark: bytes, **how: object) -> Post:
    """A post of which everything that is sealed is the mark, over and over."""
    post = device.post(conv, to, ct=mark * 17, entry=(mark * 10)[:149], **how)  # type: ignore[arg-type]
    keys = (b"\x01" + (mark * 13)[:194]) * len(to)
    return msgspec.structs.replace(post, nonce=(mark * 2)[:24], keys=keys)


async def furnish(node: Node) -> Practice:
    """Makes a practice whose owner leads a therapist, who has a client."""
    practice = Practice(mark=os.urandom(16))
    owner, therapist, first = await node.pair(Role.THERAPIST)
    _, client, second = await node.pair(Role.CLIENT, therapist)
    people = {Role.OWNER: owner, Role.THERAPIST: therapist, Role.CLIENT: client}
    meetings = {Role.OWNER: (therapist, first), Role.THERAPIST: (client, second), Role.CLIENT: (therapist, second)}
    for role, person in people.items():
        peer, met = meetings[role]
        joined = (client if met is second else therapist).join(met)
        inviter = therapist if role is Role.CLIENT else person
        resident = await moved_in(node, person, peer, inviter, met.conv, joined, practice.mark)
        practice.residents[role] = resident
        named, opened = resident.named, resident.opened
        practice.secrets |= {*named.ids().values(), self_conversation(person.account), person.aik.public}
        practice.secrets |= {person.token, person.secrets.signing_key().public, opened.conv, joined.encoded[:64]}
        practice.secrets |= {entry.id for entry in (*met.entries, *opened.entries, joined)}
    for role in (Role.OWNER, Role.THERAPIST):
        document = await _open_office(node, practice.residents[role])
        practice.secrets |= {document.signature, document.rules}
    practice.secrets |= {practice.mark, (await node.signed_in(owner)).practice}
    return practice


async def moved_in(
    node: Node, person: Person, peer: Person, inviter: Person, conv: ConversationId, joined: SignedEntry, mark: bytes
) -> Resident:
    """Somebody who talks with the peer and meets them soon; inviter: who opens the invite that nobody has used."""
    opened = inviter.invite(Role.CLIENT)
    opened.card = mark * 3
    await node.ask("invite.create", inviter, opened.request())
    named = await _use(node, person, peer, conv, mark, opened)
    return Resident(person, peer, joined, await _meet(node, person, peer, named, mark), opened)


async def _open_office(node: Node, resident: Resident) -> OfficeDocument:
    """Office hours that nobody else has: the peer covers."""
    who = resident.person
    hours = OfficeHours("Europe/London", cover=resident.peer.account)
    document = OfficeDocument.make(
        who.account, who.device, who.secrets.signing_key(), hours, version=1, issued_ms=node.clock.now_ms()
    )
    await node.ask("office.publish", who, OfficePublish(document.encode()))
    return document


async def _use(node: Node, person: Person, peer: Person, conv: ConversationId, mark: bytes, opened: Opened) -> Named:
    """The person links, claims and writes: two posts, of which the peer reads the first; the other one is a call."""
    link, claim = LinkId(os.urandom(16)), ClaimId(os.urandom(16))
    await node.ask("linking.open", person, LinkOpen(link, mark * 2))
    await node.ask("linking.answer", None, LinkStep(1, mark * 2), link=link)
    claimed = await node.ask("prekeys.claim", person, Claim(claim, [peer.device]))
    assert isinstance(claimed, Claimed)
    assert claimed.bundles
    async with connected(node, person) as sender, connected(node, peer) as reader:
        until = node.clock.now_ms() + 45_000
        read = marked_post(sender, conv, [peer.device], mark)
        unread = marked_post(sender, conv, [peer.device], mark, flags=MessageFlags.RING, act_until_ms=until)
        for post in (read, unread):
            await sender.accepted(post)
        delivered = [await reader.skip_to(Deliver) for _ in range(2)]
        await reader.acknowledge(delivered[0], entry=(mark * 10)[:149])
        # What the store takes after it is answered after it: then the first one is read for good.
        await reader.accepted(to_oneself(reader))
    message = Outer.parse(unread.outer).id
    meeting, room_link = AppointmentId(os.urandom(16)), RoomLinkId(os.urandom(16))
    return Named(person.account, person.device, conv, message, opened.secret.id, link, claim, meeting, room_link)


async def _meet(node: Node, person: Person, peer: Person, named: Named, mark: bytes) -> Named:
    """The person and the peer have an appointment soon: one of them waits at its door, and it has a join link."""
    host, guest = (peer, person) if person.role is Role.CLIENT else (person, peer)
    soon_ms = node.clock.now_ms() + 300_000
    members = b"".join(sorted((host.account, guest.account)))
    times = AppointmentTimes(
        named.appointment, named.conv, 1, soon_ms, 50, Modality.VIDEO, "Europe/London", members, named.appointment
    )
    await node.ask("appointment.put", host, PutAppointments([times]))
    link = RoomLink(named.room_link, mark * 2, 0, soon_ms + 3_600_000)
    await node.ask("room.link", host, link, appointment=named.appointment)
    await node.ask("room.knock", guest, Knock("waiting", 7), appointment=named.appointment)
    await node.ask("room.act", host, HostAct("seen"), appointment=named.appointment)
    return named


def to_oneself(device: Device) -> Post:
    """A post that goes to nobody else: whatever the device has said before is through once it is answered."""
    return device.post(self_conversation(device.person.account), [], epoch=0, entry=b"e" * 149)
