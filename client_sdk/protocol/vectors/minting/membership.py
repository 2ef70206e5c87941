"""Chapter 3: membership chains."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from minting.base import T0, Stream, case, plain, refused
from minting.cast import ANN, BEN, CARL, CROWD, DANA, Person, lookup
from rapport.crypto.invites import InviteSecret
from rapport_protocol.membership import MembershipState, advance, begin
from rapport_protocol.membership_entries import (
    Action,
    ChangeRole,
    Checkpoint,
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    Join,
    Leave,
    MemberRole,
    Op,
    Remove,
    SignedEntry,
    genesis_fields,
)

__all__ = ["Chain", "membership"]


class Chain:
    """A conversation that Dana opens; builds entries on its head."""

    def __init__(self, kind: ConversationKind) -> None:
        self.random = Stream(f"membership {kind.name}")
        self.entries: list[SignedEntry] = []
        self.now = T0 + 1000
        genesis = Genesis(kind, MemberRole.THERAPIST, self.random(16), DANA.aik.public)
        fields = genesis_fields(genesis, DANA.account, DANA.devices[0].device, 1, self.now)
        self.add(fields.sign(DANA.devices[0].signing_key()))
        self.conv = fields.conv

    def add(self, entry: SignedEntry) -> None:
        """Append an entry that must be valid."""
        self.state: MembershipState = advance(self.state, entry, lookup) if self.entries else begin(entry, lookup)
        self.entries.append(entry)

    def fields(self, who: Person, action: Action, *, device: int = 0, version: int | None = None) -> EntryFields:
        """The next entry, unsigned."""
        self.now += 1000
        return EntryFields(
            self.conv,
            self.state.epoch + 1,
            self.state.head,
            who.account,
            who.devices[device].device,
            version or who.lists[-1].version,
            action,
            self.now,
        )

    def by(self, who: Person, action: Action, *, device: int = 0, version: int | None = None) -> SignedEntry:
        """The next entry, signed by a device."""
        return self.fields(who, action, device=device, version=version).sign(who.devices[device].signing_key())

    def invite(self, role: MemberRole = MemberRole.CLIENT) -> tuple[InviteSecret, Invite]:
        """A new invite's secret and the action that makes it known."""
        secret = InviteSecret.make(self.random)
        return secret, Invite(secret.id, secret.signing_key().public, role, self.now + 86_400_000)

    def join(self, who: Person, secret: InviteSecret, **changes: object) -> SignedEntry:
        """The join entry of an account with one device list."""
        action = Join(secret.id, who.aik.public, who.lists[-1].hash)
        fields = msgspec.structs.replace(self.fields(who, action), **changes)
        return fields.sign(who.devices[0].signing_key(), secret.signing_key())


def _state(state: MembershipState) -> dict[str, Any]:
    members = [
        {"account": m.account, "role": m.role, "aik": m.aik, "joined_epoch": m.joined_epoch} for m in state.members
    ]
    floors = sorted((floor.account, floor.version) for floor in state.floors)
    opened = [{"invite": i.invite, "ipk": i.ipk, "role": i.role, "expires_ms": i.expires_ms} for i in state.invites]
    found: dict[str, Any] = plain(
        {"epoch": state.epoch, "head": state.head, "members": members, "invites": opened, "floors": floors}
    )
    return found


def _told(chain: Chain, name: str, operation: Op) -> dict[str, Any]:
    """The last entry of a chain, field by field, with the state after it."""
    entry = chain.entries[-1]
    return case(
        name,
        kind="entry",
        op=operation,
        fields=entry.fields,
        args=entry.fields.action.encode(),
        signed_bytes=entry.signed_bytes,
        encoded=entry.encoded,
        hash=entry.hash,
        state=_state(chain.state),
    )


def membership() -> list[dict[str, Any]]:
    """A pair chain, a group chain with every operation, and entries that must be refused."""
    lists = [held.encoded for person in (DANA, BEN, ANN, CARL, *CROWD) for held in person.lists]
    cases = [case("device lists that the entries name", kind="lists", lists=lists)]
    pair = Chain(ConversationKind.PAIR)
    cases.append(_told(pair, "pair: genesis", Op.GENESIS))
    secret, invite = pair.invite()
    pair.add(pair.by(DANA, invite, version=2))
    cases.append(_told(pair, "pair: invite", Op.INVITE))
    refusals = _pair_alone_refusals(pair, secret)
    pair.add(pair.join(BEN, secret))
    cases.append(_told(pair, "pair: join", Op.JOIN))
    refusals += _pair_refusals(pair, secret)
    cases += refusals
    group = Chain(ConversationKind.GROUP)
    cases.append(_told(group, "group: genesis", Op.GENESIS))
    for person, role in ((BEN, MemberRole.CLIENT), (ANN, MemberRole.THERAPIST)):
        secret, invite = group.invite(role=role)
        group.add(group.by(DANA, invite, version=3, device=1))
        cases.append(_told(group, f"group: invite {person.name}", Op.INVITE))
        group.add(group.join(person, secret))
        cases.append(_told(group, f"group: join {person.name}", Op.JOIN))
    secret, invite = group.invite()
    group.add(group.by(DANA, invite, version=3, device=1))
    cases.append(_told(group, "group: invite by the device that is removed next", Op.INVITE))
    group.add(group.by(ANN, Checkpoint(DANA.account, 4, DANA.lists[3].hash)))
    cases.append(_told(group, "group: checkpoint closes that device's invite", Op.CHECKPOINT))
    cases += _group_refusals(group, secret)
    for name, operation, who, action in (
        ("group: role", Op.ROLE, DANA, ChangeRole(BEN.account, MemberRole.THERAPIST)),
        ("group: leave", Op.LEAVE, ANN, Leave()),
        ("group: remove", Op.REMOVE, BEN, Remove(DANA.account)),
    ):
        group.add(group.by(who, action))
        cases.append(_told(group, name, operation))
    last = group.by(DANA, Leave())
    cases.append(_refusal(group, "removed member acts", last, "not_member"))
    cases += _genesis_refusals(group.entries[0]) + _crowded() + _group_limits()
    return cases + _malformed(group.entries[0].encoded, last.encoded)


def _genesis_refusals(good: SignedEntry) -> list[dict[str, Any]]:
    """First entries that open no chain."""
    replace, key = msgspec.structs.replace, DANA.devices[0].signing_key()
    genesis = Genesis(ConversationKind.GROUP, MemberRole.CLIENT, bytes(16), DANA.aik.public)
    device = DANA.devices[0].device
    other_aik = replace(genesis, role=MemberRole.THERAPIST, aik=BEN.aik.public)
    made = [
        ("first entry is none", replace(good.fields, action=Leave()).sign(key), "genesis"),
        ("epoch 2", replace(good.fields, epoch=2).sign(key), "wrong_epoch"),
        ("a predecessor", replace(good.fields, prev_hash=b"\x01" * 32).sign(key), "wrong_previous"),
        ("another conversation id", replace(good.fields, conv=bytes(16)).sign(key), "wrong_conversation"),
        ("by a client", genesis_fields(genesis, DANA.account, device, 1, T0).sign(key), "wrong_role"),
        ("another AIK", genesis_fields(other_aik, DANA.account, device, 1, T0).sign(key), "wrong_identity"),
        ("another key", good.fields.sign(BEN.devices[0].signing_key()), "invalid_signature"),
    ]
    return [
        case(
            f"genesis: {name}",
            kind="refused",
            chain=[],
            entry=entry.encoded,
            verdict=refused(expected, partial(begin, entry, lookup)),
        )
        for name, entry, expected in made
    ]


def _crowded() -> list[dict[str, Any]]:
    """A group of twenty, and one with 32 open invites."""
    full = Chain(ConversationKind.GROUP)
    for person in CROWD:
        secret, invite = full.invite()
        full.add(full.by(DANA, invite))
        full.add(full.join(person, secret))
    secret, invite = full.invite()
    full.add(full.by(DANA, invite))
    cases = [_refusal(full, "group: twenty-first member", full.join(BEN, secret), "too_many_members")]
    inviting = Chain(ConversationKind.GROUP)
    for _ in range(32):
        inviting.add(inviting.by(DANA, inviting.invite()[1]))
    entry = inviting.by(DANA, inviting.invite()[1])
    return [*cases, _refusal(inviting, "group: thirty-third open invite", entry, "too_many_invites")]


def _group_limits() -> list[dict[str, Any]]:
    """Dana alone leads; nobody else has acted."""
    group = Chain(ConversationKind.GROUP)
    secret, invite = group.invite()
    group.add(group.by(DANA, invite))
    other_aik = group.fields(BEN, Join(secret.id, ANN.aik.public, BEN.lists[0].hash)).sign(
        BEN.devices[0].signing_key(), secret.signing_key()
    )
    cases = [_refusal(group, "group: join with another AIK", other_aik, "wrong_identity")]
    group.add(group.join(BEN, secret))
    made: list[tuple[str, Action, str]] = [
        ("last admin leaves", Leave(), "last_admin"),
        ("last admin becomes a client", ChangeRole(DANA.account, MemberRole.CLIENT), "last_admin"),
        ("checkpoint of a stranger", Checkpoint(ANN.account, 1, ANN.lists[0].hash), "not_member"),
        ("checkpoint below the floor", Checkpoint(DANA.account, 2, DANA.lists[1].hash), "list_backwards"),
        ("checkpoint of an unknown list", Checkpoint(BEN.account, 2, BEN.lists[0].hash), "list_unknown"),
    ]
    return cases + [
        _refusal(group, f"group: {name}", group.by(DANA, action), expected) for name, action, expected in made
    ]


def _malformed(genesis: bytes, leave: bytes) -> list[dict[str, Any]]:
    """Entries that cannot be read. The operation stands at byte 96, the length of its arguments after it."""
    made = [
        ("operation 8", leave[:96] + b"\x08" + leave[97:], "unsupported"),
        ("operation 0", leave[:96] + b"\x00" + leave[97:], "unsupported"),
        ("genesis of kind 3", genesis[:101] + b"\x03" + genesis[102:], "unsupported"),
        ("genesis with role 4", genesis[:102] + b"\x04" + genesis[103:], "unsupported"),
        ("leave with an argument", leave[:97] + b"\x00\x00\x00\x01\x00" + leave[101:], "bad_format"),
        ("remove without an argument", leave[:96] + b"\x04" + leave[97:], "bad_format"),
        ("join without its second signature", leave[:96] + b"\x03" + leave[97:], "bad_format"),
        ("arguments above 1,024 bytes", leave[:97] + b"\x00\x00\x04\x01" + bytes(1025) + leave[101:], "bad_format"),
        ("epoch 2^53", leave[:16] + (2**53).to_bytes(8, "big") + leave[24:], "bad_format"),
        ("cut short", leave[:-1], "bad_format"),
        ("with trailing bytes", leave + b"\x00", "bad_format"),
        ("empty", b"", "bad_format"),
    ]
    return [
        case(
            name,
            kind="refused",
            chain=[],
            entry=bytes_,
            verdict=refused(expected, partial(SignedEntry.parse, bytes_)),
        )
        for name, bytes_, expected in made
    ]


def _refusal(chain: Chain, name: str, entry: SignedEntry, expected: str) -> dict[str, Any]:
    state = chain.state
    found = refused(expected, lambda: advance(state, SignedEntry.parse(entry.encoded), lookup))
    before = [held.encoded for held in chain.entries]
    return case(name, kind="refused", chain=before, entry=entry.encoded, verdict=found)


def _pair_alone_refusals(pair: Chain, secret: InviteSecret) -> list[dict[str, Any]]:
    """While the creator is alone and one invite is open."""
    other, unused = pair.invite()
    replace = msgspec.structs.replace
    late = pair.state.invites[0].expires_ms + 1
    key = DANA.devices[0].signing_key()
    next_fields = pair.fields(DANA, unused, version=2)
    twice = replace(unused, invite=secret.id)
    wrong_isk = pair.fields(BEN, Join(secret.id, BEN.aik.public, BEN.lists[0].hash)).sign(
        BEN.devices[0].signing_key(), other.signing_key()
    )
    wrong_hash = pair.fields(BEN, Join(secret.id, BEN.aik.public, ANN.lists[0].hash)).sign(
        BEN.devices[0].signing_key(), secret.signing_key()
    )
    own_join = pair.fields(DANA, Join(secret.id, DANA.aik.public, DANA.lists[3].hash)).sign(key, secret.signing_key())
    genesis = Genesis(ConversationKind.PAIR, MemberRole.THERAPIST, bytes(16), DANA.aik.public)
    month = T0 + 30 * 86_400_000
    made: list[tuple[str, Callable[[], SignedEntry], str]] = [
        ("join with an unknown invite", partial(pair.join, BEN, other), "invite_unknown"),
        ("join under another invite key", lambda: wrong_isk, "invalid_signature"),
        ("join after the invite's end", partial(pair.join, BEN, secret, ts_ms=late), "invite_expired"),
        ("join with another list's hash", lambda: wrong_hash, "wrong_identity"),
        ("creator joins by the own invite", lambda: own_join, "already_member"),
        ("join under a list nobody has", partial(pair.join, BEN, secret, list_version=3), "list_unknown"),
        ("wrong epoch", lambda: replace(next_fields, epoch=4).sign(key), "wrong_epoch"),
        ("wrong previous hash", lambda: replace(next_fields, prev_hash=bytes(32)).sign(key), "wrong_previous"),
        (
            "another conversation",
            lambda: replace(next_fields, conv=Chain(ConversationKind.GROUP).conv).sign(key),
            "wrong_conversation",
        ),
        ("genesis again", partial(pair.by, DANA, genesis), "genesis"),
        ("older device list than before", partial(pair.by, DANA, unused, version=1), "list_backwards"),
        ("device not in the named list", partial(pair.by, DANA, unused, device=2, version=2), "device_unlisted"),
        ("signed by another key", lambda: next_fields.sign(BEN.devices[0].signing_key()), "invalid_signature"),
        ("stranger invites", partial(pair.by, BEN, unused), "not_member"),
        ("invite id open already", partial(pair.by, DANA, twice, version=2), "invite_taken"),
        ("invite for too long", partial(pair.by, DANA, replace(unused, expires_ms=month)), "invite_life"),
        ("invite that has ended", partial(pair.by, DANA, replace(unused, expires_ms=T0)), "invite_life"),
        ("invite for an owner", partial(pair.by, DANA, replace(unused, role=MemberRole.OWNER)), "wrong_role"),
        ("leave a pair", partial(pair.by, DANA, Leave()), "pair_frozen"),
    ]
    return [_refusal(pair, f"pair: {name}", make(), expected) for name, make, expected in made]


def _pair_refusals(pair: Chain, secret: InviteSecret) -> list[dict[str, Any]]:
    """Once two have joined."""
    _, another = pair.invite()
    own = Checkpoint(BEN.account, 1, BEN.lists[0].hash)
    dana = Checkpoint(DANA.account, 4, DANA.lists[3].hash)
    return [
        _refusal(pair, "pair: invite a third", pair.by(DANA, another), "pair_frozen"),
        _refusal(pair, "pair: join with the used invite", pair.join(ANN, secret), "pair_frozen"),
        _refusal(pair, "pair: remove", pair.by(DANA, Remove(BEN.account)), "pair_frozen"),
        _refusal(pair, "pair: own checkpoint is allowed", pair.by(BEN, own), "ok"),
        _refusal(pair, "pair: client's checkpoint of another account", pair.by(BEN, dana), "not_admin"),
        _refusal(
            pair,
            "pair: checkpoint with another hash",
            pair.by(DANA, Checkpoint(BEN.account, 1, DANA.lists[3].hash)),
            "wrong_identity",
        ),
    ]


def _group_refusals(group: Chain, closed: InviteSecret) -> list[dict[str, Any]]:
    """In the group of Dana (therapist, list 4 by checkpoint), Ben (client) and Ann (therapist)."""
    _, invite = group.invite()
    made = [
        ("below the checkpoint", group.by(DANA, invite, version=3, device=1), "list_backwards"),
        ("join with the closed invite", group.join(CARL, closed), "invite_unknown"),
        ("client invites", group.by(BEN, invite), "not_admin"),
        ("client removes", group.by(BEN, Remove(ANN.account)), "not_admin"),
        ("remove a stranger", group.by(DANA, Remove(DANA.devices[0].account[::-1])), "not_member"),  # type: ignore[arg-type]
        ("promote to owner", group.by(DANA, ChangeRole(BEN.account, MemberRole.OWNER)), "wrong_role"),
    ]
    return [_refusal(group, f"group: {name}", entry, expected) for name, entry, expected in made]
