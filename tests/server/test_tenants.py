"""Who may do what.

Every operation of the table, asked by every role about its own things, about those of others and about nothing. The
matrix is made from the table, so that a new operation without a row here fails. The answer about somebody else's thing
must be, to the byte, the answer about a thing that does not exist.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

import msgspec
import pytest
import pytest_asyncio

from rapport_protocol.ids import (
    AccountId,
    AppointmentId,
    ClaimId,
    ConversationId,
    DeviceId,
    ItemId,
    LinkId,
    MessageId,
    RoomLinkId,
)
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
from rapport_protocol.membership_entries import (
    Checkpoint,
    ConversationKind,
    Genesis,
    Leave,
    MemberRole,
    SignedEntry,
)
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import (
    OPERATIONS,
    Appended,
    AppendEntry,
    Claim,
    Claimed,
    CreateInvite,
    DeviceListUpdate,
    Fetch,
    LinkOpen,
    LinkStep,
    OfficePublish,
    Operation,
    PrekeyUpload,
    PushSubscription,
    Receipts,
    Role,
    UrgentSeen,
)
from tests.server.node import Node, Refused, bearer, running
from tests.server.people import Opened, Person, prekeys_of


@dataclass
class Target:
    """A conversation and one of its members, as somebody who asks would name them."""

    conv: ConversationId
    account: AccountId
    device: DeviceId
    chain: list[SignedEntry]
    aik: bytes
    appointment: AppointmentId = field(default_factory=lambda: AppointmentId(os.urandom(16)))


def of(person: Person, opened: Opened, joined: SignedEntry) -> Target:
    return Target(opened.conv, person.account, person.device, [*opened.entries, joined], person.aik.public)


def nothing(now: int) -> Target:
    """Ids that nobody has, with a chain that nobody holds."""
    ghost = Person(Role.OWNER, now)
    opened = ghost.invite(Role.CLIENT)
    return Target(opened.conv, ghost.account, ghost.device, opened.entries, ghost.aik.public)


Asking = Callable[[Person, Target], dict[str, object]]


def _entry(who: Person, target: Target) -> SignedEntry:
    """A checkpoint of oneself at the end of the target's chain: what every member may append at any time."""
    return who.sign(target.conv, target.chain[-1], Checkpoint(who.account, 1, who.lists[0].hash))


def _invite_into(who: Person, target: Target) -> CreateInvite:
    return who.invite_into(target.conv, target.chain, Role.CLIENT).request(1)


ASKING: dict[str, Asking] = {
    "devices.lists": lambda who, target: {"account": target.account},
    "devices.update": lambda who, target: {"body": DeviceListUpdate(_list_of(who, target))},
    "prekeys.upload": lambda who, target: {"body": _prekeys(who, target)},
    "prekeys.claim": lambda who, target: {"body": Claim(ClaimId(os.urandom(16)), [target.device])},
    "linking.open": lambda who, target: {"body": LinkOpen(LinkId(os.urandom(16)), bytes(32))},
    "linking.step": lambda who, target: {"link": target.account, "body": LinkStep(2, b"e" * 32)},
    "invite.create": lambda who, target: {"body": _invite_into(who, target)},
    "conversation.list": lambda who, target: {},
    "membership.append": lambda who, target: {"conv": target.conv, "body": AppendEntry(_entry(who, target).encoded)},
    "membership.chain": lambda who, target: {"conv": target.conv},
    "conversation.devices": lambda who, target: {"conv": target.conv},
    "archive.page": lambda who, target: {"conv": target.conv},
    "messages.fetch": lambda who, target: {"conv": target.conv, "body": Fetch([ItemId(os.urandom(16))])},
    "messages.receipts": lambda who, target: {"conv": target.conv, "body": Receipts([MessageId(os.urandom(16))])},
    "office.publish": lambda who, target: {"body": OfficePublish(_office(who, target))},
    "office.document": lambda who, target: {"account": target.account},
    "office.holidays": lambda who, target: {"query": "?country=GB&year=2026"},
    "push.state": lambda who, target: {},
    "push.subscribe": lambda who, target: {"body": PushSubscription("", b"", b"")},
    "appointment.put": lambda who, target: {"body": PutAppointments([_times(who, target)])},
    "appointment.list": lambda who, target: {},
    "appointment.outcome": lambda who, target: {
        "appointment": target.appointment,
        "body": AppointmentOutcome(Outcome.NO_SHOW, 0),
    },
    "appointment.reached": lambda who, target: {"appointment": target.appointment, "body": Reached(10)},
    "appointment.calendar": lambda who, target: {"appointment": target.appointment},
    "calendar.feed": lambda who, target: {},
    "calendar.end": lambda who, target: {},
    "room.view": lambda who, target: {"appointment": target.appointment},
    "room.knock": lambda who, target: {"appointment": target.appointment, "body": Knock(KnockStep.WAITING)},
    "room.act": lambda who, target: {"appointment": target.appointment, "body": HostAct(RoomAct.ENTER)},
    "room.link": lambda who, target: {"appointment": target.appointment, "body": _link(who)},
    "room.use_link": lambda who, target: {"link": target.appointment, "body": RoomLinkUse(bytes(32))},
    "room.end_link": lambda who, target: {"link": target.appointment},
    "urgent.seen": lambda who, target: {"body": UrgentSeen(MessageId(os.urandom(16)), target.account)},
    "turn.credentials": lambda who, target: {"body": TurnWanted(MessageId(os.urandom(16)))},
}

SILENT = {
    "prekeys.claim",
    "conversation.list",
    "prekeys.upload",
    "linking.open",
    "office.holidays",
    "appointment.list",
    "calendar.feed",
    "calendar.end",
    "push.state",
    "push.subscribe",
}
"""Operations that name no thing whose absence could be told: claims leave out what they do not answer."""

FOR_ONESELF = {"devices.update", "office.publish"}
"""Operations on the asker's own account: naming another one is forbidden, whoever's it is."""
SIGNED_IN = [operation for operation in OPERATIONS.values() if operation.roles]


def _times(who: Person, target: Target) -> AppointmentTimes:
    """A new appointment in the target's conversation, with whoever is there."""
    members = b"".join(sorted({who.account, target.account}))
    new = AppointmentId(os.urandom(16))
    return AppointmentTimes(new, target.conv, 1, who.now + 7_200_000, 50, Modality.VIDEO, "Europe/London", members)


def _link(who: Person) -> RoomLink:
    return RoomLink(RoomLinkId(os.urandom(16)), bytes(32), 0, who.now + 3_600_000)


def _office(who: Person, target: Target) -> bytes:
    """The own office hours, or some for an account that is not the asker's."""
    key, hours = who.secrets.signing_key(), OfficeHours("Europe/London")
    document = OfficeDocument.make(target.account, who.device, key, hours, version=1, issued_ms=who.now)
    return document.encode()


def _list_of(who: Person, target: Target) -> bytes:
    """The own newest list again, or a list for an account that is not the asker's."""
    if target.account == who.account:
        return who.lists[-1].encoded
    content = msgspec.structs.replace(who.lists[0].content, account=target.account)
    return content.sign(who.aik).encoded


def _prekeys(who: Person, target: Target) -> PrekeyUpload:
    mine = prekeys_of(who.secrets, who.now, one_time=1, first_id=100)
    return PrekeyUpload(mine.signed, mine.last_resort, mine.one_time)


def test_the_matrix_covers_the_table() -> None:
    assert {operation.name for operation in SIGNED_IN} == set(ASKING)


@dataclass
class House:
    """A practice with all roles: owner and therapist in one pair, therapist and client in another."""

    people: dict[Role, Person]
    own: dict[Role, Target]
    others: dict[Role, Target]


async def house(node: Node) -> House:
    owner, therapist, met = await node.pair(Role.THERAPIST)
    _, client, with_client = await node.pair(Role.CLIENT, therapist)
    _, other, elsewhere = await node.pair(Role.CLIENT, owner)
    for person in (owner, therapist, client, other):
        await node.ask("linking.open", person, LinkOpen(LinkId(person.account), bytes(32)))
        await node.ask("linking.answer", None, LinkStep(1, b"n" * 32), link=person.account)
    theirs = of(therapist, met, therapist.join(met))
    clients = of(client, with_client, client.join(with_client))
    third = of(other, elsewhere, other.join(elsewhere))
    for host, target in ((owner, theirs), (therapist, clients), (owner, third)):
        times = msgspec.structs.replace(_times(host, target), appointment=target.appointment)
        await node.ask("appointment.put", host, PutAppointments([times]))
    return House(
        {Role.OWNER: owner, Role.THERAPIST: therapist, Role.CLIENT: client},
        {Role.OWNER: theirs, Role.THERAPIST: clients, Role.CLIENT: clients},
        {Role.OWNER: clients, Role.THERAPIST: third, Role.CLIENT: third},
    )


async def outcome(node: Node, operation: Operation, who: Person | None, target: Target, as_if: Person) -> object:
    """The answer, or status and problem of the refusal."""
    asking = ASKING[operation.name](as_if, target)
    try:
        return await node.ask(operation.name, who, **asking)  # type: ignore[arg-type]
    except Refused as refused:
        return refused.status, refused.problem


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def neighbours() -> AsyncIterator[tuple[Node, House, House]]:
    """A node with two practices, for all tests of those who ask for what is not theirs: that changes nothing."""
    async with running() as node:
        yield node, await house(node), await house(node)


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("operation", SIGNED_IN, ids=lambda operation: operation.name)
async def test_absent_and_not_yours_look_alike(
    neighbours: tuple[Node, House, House], operation: Operation, role: Role
) -> None:
    node, practice, foreign = neighbours
    who = practice.people[role]
    targets = {
        "nothing": nothing(node.clock.now_ms()),
        "another conversation of the practice": practice.others[role],
        "another practice": foreign.own[role],
    }
    found = {what: await outcome(node, operation, who, target, who) for what, target in targets.items()}
    if operation.name == "prekeys.claim":
        assert set(map(repr, found.values())) == {repr(Claimed([]))}
    elif operation.name in SILENT:
        return
    elif role not in operation.roles or operation.name in FOR_ONESELF:
        assert {answer[0] for answer in found.values()} == {403}  # type: ignore[index]
    else:
        assert found["nothing"][0] == 404  # type: ignore[index]
    assert len({repr(answer) for answer in found.values()}) == 1, found


@pytest.mark.parametrize("operation", SIGNED_IN, ids=lambda operation: operation.name)
async def test_own_things_are_answered_to_whom_the_table_names(operation: Operation) -> None:
    async with running() as node:
        practice = await house(node)
        for role, who in practice.people.items():
            answer = await outcome(node, operation, who, practice.own[role], who)
            if role not in operation.roles:
                assert answer[0] == 403  # type: ignore[index]
            elif operation.name == "invite.create":
                assert (answer[0], answer[1].code) == (422, "rule_broken"), "a pair is frozen at two"  # type: ignore[index]
            elif operation.name == "devices.update":
                update = DeviceListUpdate(who.lists[-1].encoded)
                assert isinstance(await node.ask("devices.update", who, update), operation.response)
            elif operation.name == "office.publish":
                mine = OfficePublish(_office(who, replace(practice.own[role], account=who.account)))
                assert isinstance(await node.ask("office.publish", who, mine), operation.response)
            elif operation.name in ("appointment.outcome", "room.knock") and role is not Role.CLIENT:
                code = "bad_time" if operation.name == "appointment.outcome" else "rule_broken"
                assert (answer[0], answer[1].code) == (422, code), "not begun yet; its host enters"  # type: ignore[index]
            elif operation.name in ("urgent.seen", "turn.credentials", "room.use_link", "room.end_link"):
                # Nothing urgent was written, nobody calls: test_urgent and test_turn have what is found.
                assert answer[0] == 404  # type: ignore[index]
            elif operation.name == "linking.step":
                step = LinkStep(2, b"e" * 32)
                assert isinstance(await node.ask("linking.step", who, step, link=who.account), operation.response)
            elif operation.name == "membership.append" and role is Role.CLIENT:
                # The therapist's entry has moved the chain of their conversation on.
                assert (answer[0], answer[1].code) == (409, "epoch_stale")  # type: ignore[index]
            else:
                assert isinstance(answer, operation.response), (role, answer)


@pytest.mark.parametrize("operation", SIGNED_IN, ids=lambda operation: operation.name)
async def test_nobody_is_answered_without_a_token(operation: Operation) -> None:
    async with running() as node:
        owner, _, opened = await node.pair()
        target = Target(opened.conv, owner.account, owner.device, opened.entries, owner.aik.public)
        answers = []
        for proof in ("", "Bearer", "Basic " + "A" * 43, "Bearer " + "A" * 43, "Bearer " + "é" * 43):
            header = {"Authorization": proof} if proof else {}
            with pytest.raises(Refused) as refused:
                await node.ask(operation.name, None, headers=header, **ASKING[operation.name](owner, target))  # type: ignore[arg-type]
            answers.append((refused.value.status, refused.value.headers["WWW-Authenticate"], refused.value.problem))
        with pytest.raises(Refused) as refused:
            valid = {"Authorization": f"Basic {bearer(owner.token)}"}
            await node.ask(operation.name, None, headers=valid, **ASKING[operation.name](owner, target))  # type: ignore[arg-type]
        answers.append((refused.value.status, refused.value.headers["WWW-Authenticate"], refused.value.problem))
        node.clock.pass_ms(3_600_001)
        with pytest.raises(Refused) as refused:
            await node.ask(operation.name, owner, **ASKING[operation.name](owner, target))  # type: ignore[arg-type]
        answers.append((refused.value.status, refused.value.headers["WWW-Authenticate"], refused.value.problem))
        assert len(set(map(repr, answers))) == 1, answers
        assert answers[0][0] == 401


async def test_a_foreign_invite_does_not_open_the_own_practice() -> None:
    async with running() as node:
        foreign_owner = await node.owner()
        opened = foreign_owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", foreign_owner, opened.request())
        _, client, _ = await node.pair()
        entry = client.join(opened)
        with pytest.raises(Refused) as refused:
            await node.ask("membership.append", client, AppendEntry(entry.encoded), conv=opened.conv)
        assert refused.value.status == 404


async def test_roles_are_given_downwards_only() -> None:
    async with running() as node:
        owner, therapist, _ = await node.pair(Role.THERAPIST)
        _, client, _ = await node.pair(Role.CLIENT, therapist)
        for who, role, code in (
            (therapist, Role.OWNER, "forbidden"),
            (client, Role.CLIENT, "forbidden"),
            (owner, Role.OWNER, "forbidden"),
        ):
            with pytest.raises(Refused) as refused:
                await node.ask("invite.create", who, who.invite(role).request())
            assert refused.value.problem.code == code
        pretender = therapist.invite(Role.CLIENT)
        genesis = Genesis(ConversationKind.PAIR, MemberRole.OWNER, os.urandom(16), therapist.aik.public)
        fields = msgspec.structs.replace(pretender.entries[0].fields, action=genesis)
        unnamed = msgspec.structs.replace(fields, conv=ConversationId(bytes(16)))
        first = msgspec.structs.replace(fields, conv=unnamed.conversation_id()).sign(therapist.secrets.signing_key())
        with pytest.raises(Refused) as refused:
            await node.ask(
                "invite.create", therapist, therapist.invite_into(first.fields.conv, [first], Role.CLIENT).request()
            )
        assert refused.value.problem.code == "rule_broken", "nobody names himself owner in a genesis"


async def test_an_entry_is_appended_by_the_device_that_signed_it() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        joined = client.join(opened)
        entry = client.sign(opened.conv, joined, Checkpoint(client.account, 1, client.lists[0].hash))
        with pytest.raises(Refused) as refused:
            await node.ask("membership.append", owner, AppendEntry(entry.encoded), conv=opened.conv)
        assert refused.value.problem.code == "forbidden"
        appended = await node.ask("membership.append", client, AppendEntry(entry.encoded), conv=opened.conv)
        assert appended == Appended(4, node.clock.now_ms())


async def test_a_member_who_left_is_nobody() -> None:
    async with running() as node:
        owner = await node.owner()
        opened = owner.invite(Role.CLIENT, ConversationKind.GROUP)
        await node.ask("invite.create", owner, opened.request())
        client = await node.guest(opened)
        joined = client.join(opened)
        left = client.sign(opened.conv, joined, Leave())
        first = await node.ask("membership.append", client, AppendEntry(left.encoded), conv=opened.conv)
        again = await node.ask("membership.append", client, AppendEntry(left.encoded), conv=opened.conv)
        assert again == first, "a lost answer to the last word does not look like a failure"
        for operation in ("membership.chain", "conversation.devices", "archive.page"):
            with pytest.raises(Refused) as refused:
                await node.ask(operation, client, conv=opened.conv)
            assert refused.value.status == 404
