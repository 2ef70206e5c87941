"""Appointments, feeds, waiting rooms and join links in a store: written by compare-and-swap, with what is theirs."""

from dataclasses import replace

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AppointmentId, ConversationId, MessageId, RoomLinkId
from rapport_protocol.meeting import Modality
from rapport_protocol.messages import NoticeKind
from rapport_protocol.rooms.person import Person as Guest
from rapport_protocol.rooms.states import PersonState
from rapport_server.meetings import (
    APPOINTMENT_TIMER,
    ROOM_TIMER,
    AppointmentChange,
    AppointmentRecord,
    HostHere,
    MeetingNotice,
    RoomLinkRecord,
    RoomRecord,
    Visitor,
    meeting_key,
)
from rapport_server.ports import Store
from rapport_server.records import Timer
from tests.server.contracts.world import DAY_MS, Person, World

__all__ = ["AppointmentContract", "RoomContract", "RoomLinkContract", "appointment_of", "live_through_a_meeting"]

MINUTE_MS = 60_000


def appointment_of(
    world: World, host: Person, guest: Person, conv: ConversationId, start_ms: int | None = None
) -> AppointmentRecord:
    """An appointment of two people, to be written."""
    start = world.clock.now + DAY_MS if start_ms is None else start_ms
    members = tuple(sorted((host.account, guest.account)))
    return AppointmentRecord(
        host.practice,
        AppointmentId(world.fresh()),
        conv,
        host.account,
        1,
        start,
        50,
        Modality.VIDEO,
        "Europe/Berlin",
        members,
        AppointmentId(world.fresh()),
        next_ms=start - 10 * MINUTE_MS,
    )


async def written(world: World, *records: AppointmentRecord) -> None:
    """They are new, and nobody is told."""
    changes = [AppointmentChange(None, record) for record in records]
    assert await world.store.write_appointments(records[0].practice, changes, [], world.clock.now) == []


def room_of(record: AppointmentRecord, host: Person, guest: Person, now: int) -> RoomRecord:
    """A room with a host in it, and somebody who waits."""
    waiting = Guest(PersonState.WAITING, guest.devices[0], now, now + 1, 7, None, 0, now)
    return RoomRecord(
        record.practice,
        record.id,
        record.start_ms,
        3,
        locked=True,
        hosts=(HostHere(host.account, host.devices[0], now),),
        people=(Visitor(guest.account, waiting, 2, None),),
        been=(host.account,),
        emptied_ms=4,
        together_ms=5,
        together_since_ms=6,
        seen_ms=7,
        alert_ms=now,
        alerts=1,
        next_ms=now + MINUTE_MS,
        changed_ms=now,
        change=1,
    )


def link_into(world: World, record: AppointmentRecord, passcode: bytes = b"") -> RoomLinkRecord:
    """A join link, to be added."""
    expires = record.start_ms + DAY_MS
    return RoomLinkRecord(
        record.practice, RoomLinkId(world.fresh()), record.id, world.fresh() * 2, passcode, 1, expires
    )


async def live_through_a_meeting(world: World, host: Person, guest: Person, conv: ConversationId) -> AppointmentRecord:
    """One row of everything that meeting has."""
    record = appointment_of(world, host, guest, conv)
    await written(world, record)
    await world.store.write_room(None, room_of(record, host, guest, world.clock.now))
    await world.store.add_room_link(link_into(world, record), 8, world.clock.now)
    await world.store.put_feed(host.practice, host.account, world.fresh() * 2, world.clock.now)
    return record


class AppointmentContract:
    """The ports AppointmentDirectory and CalendarDirectory."""

    async def test_an_appointment_comes_with_its_notice_and_timer(self, world: World) -> None:
        owner, client, conv = await world.pair()
        tablet = await world.add_device(client)
        await world.settle(client)
        record = appointment_of(world, owner, client, conv)
        told = MeetingNotice(conv, record.members, NoticeKind.APPOINTMENT, record.id)
        change = AppointmentChange(None, record)
        woken = await world.store.write_appointments(owner.practice, [change], [told], world.clock.now)
        assert sorted(woken or []) == sorted([*owner.devices, *client.devices])
        assert tablet in (woken or [])
        assert await world.store.appointment(owner.practice, record.id) == record
        for who in (owner.on(), client.on(0), client.on(1)):
            notice = (await world.notices(who))[-1]
            assert (notice.conv, notice.seq, notice.kind, notice.about) == (conv, 0, "appointment", record.id)
        timer = Timer(record.next_ms, APPOINTMENT_TIMER, meeting_key(owner.practice, record.id))
        assert await world.store.claim_timers(record.next_ms, 1, 9) == [timer]

    async def test_everything_of_a_record_comes_back(self, world: World) -> None:
        owner, client, conv = await world.pair()
        first = appointment_of(world, owner, client, conv)
        await written(world, first)
        second = replace(
            first, version=2, start_ms=first.start_ms + 1, minutes=10, modality="chat", zone="UTC", series=None,
            moved_from_ms=first.start_ms, cancelled=True, reminded=1440, reached=(client.account,), outcome="completed",
            minutes_held=49, outcome_said=True, next_ms=0, change=2,
        )  # fmt: skip
        change = AppointmentChange(first, second)
        assert await world.store.write_appointments(owner.practice, [change], [], world.clock.now) == []
        assert await world.store.appointment(owner.practice, first.id) == second
        assert await world.store.claim_timers(first.next_ms, 1, 9) == [], "its timer went"

    async def test_all_are_written_or_none(self, world: World) -> None:
        owner, client, conv = await world.pair()
        one, other, new = (appointment_of(world, owner, client, conv) for _ in range(3))
        await written(world, one, other)
        moved = replace(one, version=2, change=2)
        stale = AppointmentChange(replace(other, change=7), replace(other, version=9, change=8))
        store, now = world.store, world.clock.now
        notice = MeetingNotice(conv, one.members, NoticeKind.APPOINTMENT, one.id)
        for refused in (
            [AppointmentChange(one, moved), stale],
            [AppointmentChange(None, new), stale],
            [AppointmentChange(None, new), AppointmentChange(None, one)],
            [AppointmentChange(new, replace(new, change=2)), AppointmentChange(one, moved)],
        ):
            assert await store.write_appointments(owner.practice, refused, [notice], now) is None
        found = await store.appointments_by_id(owner.practice, [one.id, other.id, new.id])
        assert found == {one.id: one, other.id: other}
        assert await world.notices(owner.on()) == []
        both = [AppointmentChange(one, moved), AppointmentChange(None, new)]
        assert await store.write_appointments(owner.practice, both, [], now) == []
        assert await store.appointment(owner.practice, one.id) == moved
        assert await store.write_appointments(owner.practice, both, [], now) is None, "once"

    async def test_they_are_listed_by_start_for_their_members(self, world: World) -> None:
        owner, client, conv = await world.pair()
        other, theirs = await world.client(owner)
        base = world.clock.now + DAY_MS
        mine = [appointment_of(world, owner, client, conv, base + place) for place in (3, 1, 2)]
        same = appointment_of(world, owner, client, conv, base + 2)
        foreign = appointment_of(world, owner, other, theirs, base + 2)
        await written(world, *mine, same, foreign)
        listed = world.store.appointments
        in_order = sorted([*mine, same], key=lambda record: (record.start_ms, record.id))
        assert await listed(client.practice, client.account, 0, base + 9, 99) == in_order
        assert await listed(client.practice, client.account, base + 1, base + 3, 99) == in_order[:3]
        assert await listed(client.practice, client.account, 0, base + 9, 2) == in_order[:2]
        assert await listed(other.practice, other.account, 0, base + 9, 99) == [foreign]
        assert len(await listed(owner.practice, owner.account, 0, base + 9, 99)) == 5
        assert await world.store.count_appointments(client.practice, client.account, base + 2) == 3
        moved = replace(mine[0], start_ms=base + 8, version=2, change=2)
        await world.store.write_appointments(owner.practice, [AppointmentChange(mine[0], moved)], [], world.clock.now)
        assert (await listed(client.practice, client.account, base + 4, base + 9, 99)) == [moved]

    async def test_no_practice_sees_or_changes_those_of_another(self, world: World) -> None:
        owner, client, conv = await world.pair()
        stranger = await world.owner()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        store, now = world.store, world.clock.now
        assert await store.appointment(stranger.practice, record.id) is None
        assert await store.appointments_by_id(stranger.practice, [record.id]) == {}
        assert await store.appointments(stranger.practice, owner.account, 0, now + 9 * DAY_MS, 9) == []
        forged = replace(record, practice=stranger.practice, version=2, change=2)
        assert (
            await store.write_appointments(
                stranger.practice, [AppointmentChange(replace(record, practice=stranger.practice), forged)], [], now
            )
            is None
        )
        own = replace(record, practice=stranger.practice)
        assert await store.write_appointments(stranger.practice, [AppointmentChange(None, own)], [], now) == []
        assert await store.appointment(owner.practice, record.id) == record

    async def test_an_appointment_is_forgotten_half_a_year_after_it_began(self, world: World) -> None:
        owner, client, conv = await world.pair()
        gone, due = [appointment_of(world, owner, client, conv) for _ in range(2)]
        later = replace(appointment_of(world, owner, client, conv, gone.start_ms + 1), next_ms=0)
        await written(world, replace(gone, next_ms=0), due, later)
        store, listed = world.store, (owner.practice, owner.account, 0, gone.start_ms + DAY_MS, 9)
        await store.sweep(gone.start_ms + 180 * DAY_MS - 1)
        assert len(await store.appointments(*listed)) == 3
        await store.sweep(gone.start_ms + 180 * DAY_MS)
        assert await store.appointments(*listed) == [due, later], "something is due for the one"
        assert await store.appointment(owner.practice, gone.id) is None
        assert await store.write_appointments(owner.practice, [AppointmentChange(None, gone)], [], 0) == []

    async def test_a_feed_is_found_by_its_token_until_another_takes_its_place(self, world: World) -> None:
        owner, client, _ = await world.pair()
        store, first, second = world.store, world.fresh() * 2, world.fresh() * 2
        await store.put_feed(owner.practice, owner.account, first, 1)
        await store.put_feed(client.practice, client.account, second, 1)
        assert await store.owner_of_feed(first) == (owner.practice, owner.account)
        assert await store.owner_of_feed(second) == (client.practice, client.account)
        third = world.fresh() * 2
        await store.put_feed(owner.practice, owner.account, third, 2)
        assert await store.owner_of_feed(first) is None
        assert await store.owner_of_feed(third) == (owner.practice, owner.account)
        for _ in range(2):
            await store.put_feed(owner.practice, owner.account, None, 3)
        assert await store.owner_of_feed(third) is None
        assert await store.owner_of_feed(second) is not None
        with pytest.raises(Rejected) as refused:
            await store.put_feed((await world.owner()).practice, owner.account, first, 1)
        assert refused.value.code is ErrorCode.NOT_FOUND


class RoomContract:
    """The port RoomDirectory."""

    async def test_a_room_comes_back_whole_and_brings_its_timer(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        room = room_of(record, owner, client, world.clock.now)
        assert await world.store.room(owner.practice, record.id) is None
        assert await world.store.write_room(None, room)
        assert await world.store.room(owner.practice, record.id) == room
        assert await world.store.write_room(None, room) is False, "another node was first"
        key = meeting_key(owner.practice, record.id)
        assert await world.store.claim_timers(room.next_ms, 1, 9) == [Timer(room.next_ms, ROOM_TIMER, key)]
        person = replace(
            room.people[0], link=RoomLinkId(world.fresh()), changed=4,
            person=Guest(PersonState.ADMITTING, client.devices[0], 1, 2, 3, MessageId(world.fresh()), 9, 10),
        )  # fmt: skip
        newcomer = Visitor(owner.account, Guest(PersonState.CHECKING, owner.devices[0]), 4)
        people = tuple(sorted((person, newcomer), key=lambda each: each.account))
        after = replace(room, version=4, closed=True, locked=False, hosts=(), people=people, next_ms=0, change=2)
        assert await world.store.write_room(room, after)
        assert await world.store.room(owner.practice, record.id) == after
        assert await world.store.claim_timers(world.clock.now + DAY_MS, 1, 9) != [Timer(room.next_ms, ROOM_TIMER, key)]
        assert await world.store.write_room(room, replace(after, change=3)) is False
        assert await world.store.room(owner.practice, record.id) == after

    async def test_the_rooms_of_somebody_are_those_that_are_not_closed(self, world: World) -> None:
        owner, client, conv = await world.pair()
        one, other = (appointment_of(world, owner, client, conv) for _ in range(2))
        await written(world, one, other)
        for record in (one, other):
            await world.store.write_room(None, room_of(record, owner, client, world.clock.now))
        store = world.store
        asked = [client.account, owner.account]
        assert await store.rooms_of(client.practice, asked) == {client.account: sorted((one.id, other.id))}
        assert await store.rooms_of(client.practice, asked[1:]) == {}, "hosts have not come to the door"
        assert await store.any_room()
        standing = await store.room(client.practice, one.id)
        assert standing is not None
        await store.write_room(standing, replace(standing, closed=True, change=2))
        assert await store.rooms_of(client.practice, asked) == {client.account: [other.id]}
        assert await store.rooms_of((await world.owner()).practice, asked) == {}
        standing = await store.room(client.practice, other.id)
        assert standing is not None
        await store.write_room(standing, replace(standing, closed=True, change=2))
        assert not await store.any_room()

    async def test_no_practice_sees_or_writes_the_room_of_another(self, world: World) -> None:
        owner, client, conv = await world.pair()
        stranger = await world.owner()
        record = await live_through_a_meeting(world, owner, client, conv)
        room = await world.store.room(owner.practice, record.id)
        assert room is not None
        assert await world.store.room(stranger.practice, record.id) is None
        forged = replace(room, practice=stranger.practice)
        assert await world.store.write_room(forged, replace(forged, locked=False, change=2)) is False
        assert await world.store.room(owner.practice, record.id) == room

    async def test_a_room_is_forgotten_a_week_after_its_last_change(self, world: World) -> None:
        owner, client, conv = await world.pair()
        gone, waiting = [await live_through_a_meeting(world, owner, client, conv) for _ in range(2)]
        room = await world.store.room(owner.practice, gone.id)
        assert room is not None
        now = world.clock.now
        await world.store.write_room(room, replace(room, closed=True, next_ms=0, change=2))
        await world.store.sweep(now + 7 * DAY_MS - 1)
        assert await world.store.room(owner.practice, gone.id) is not None
        await world.store.sweep(now + 7 * DAY_MS)
        assert await world.store.room(owner.practice, gone.id) is None
        rooms = await world.store.rooms_of(client.practice, [client.account])
        assert rooms == {client.account: [waiting.id]}, "something is due there"
        assert await world.store.write_room(None, replace(room, change=1)), "somebody may come again"


async def standing(store: Store, link: RoomLinkRecord) -> RoomLinkRecord:
    """A link as it is now."""
    found = await store.room_link(link.practice, link.link)
    assert found is not None
    return found


class RoomLinkContract:
    """The port RoomLinkDirectory."""

    async def test_a_link_is_added_once_and_an_appointment_has_so_many(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record, other = (appointment_of(world, owner, client, conv) for _ in range(2))
        await written(world, record, other)
        link = link_into(world, record, b"$argon2id$")
        assert await world.store.add_room_link(link, 2, world.clock.now)
        assert await world.store.add_room_link(replace(link, passcode=b"$argon2id$again"), 2, world.clock.now) is False
        assert await standing(world.store, link) == link
        for changed in ({"secret_hash": bytes(32)}, {"expires_ms": 9}, {"passcode": b""}, {"appointment": other.id}):
            with pytest.raises(Rejected) as refused:
                await world.store.add_room_link(replace(link, **changed), 2, world.clock.now)
            assert refused.value.code is ErrorCode.CONFLICT
        assert await world.store.add_room_link(link_into(world, record), 2, world.clock.now)
        with pytest.raises(Rejected) as refused:
            await world.store.add_room_link(link_into(world, record), 2, world.clock.now)
        assert refused.value.code is ErrorCode.TOO_MANY
        assert await world.store.add_room_link(link_into(world, other), 2, world.clock.now)
        assert await world.store.add_room_link(link_into(world, record), 1, link.expires_ms), (
            "expired ones do not count"
        )

    async def test_a_link_that_is_ended_has_expired_then_and_does_not_come_back(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        link, other, now = link_into(world, record), link_into(world, record), world.clock.now
        store, here, device = world.store, (client.practice, link.link), client.devices[0]
        for each in (link, other):
            await store.add_room_link(each, 2, now)
        await store.bind_room_link(*here, client.account, device, give_back=False)
        await store.end_room_link((await world.owner()).practice, link.link, now)
        assert (await standing(store, link)).expires_ms == link.expires_ms, "not by another practice"
        for later in (0, 5):
            await store.end_room_link(*here, now + later)
        ended = await standing(store, link)
        assert (ended.expires_ms, ended.device) == (now, device)
        assert await store.opened_link(client.practice, record.id, client.account, device, now) is None
        assert await standing(store, other) == other
        with pytest.raises(Rejected) as refused:
            await store.add_room_link(link, 2, now)
        assert refused.value.code is ErrorCode.CONFLICT
        await store.end_room_link(client.practice, RoomLinkId(world.fresh()), now)

    async def test_the_first_device_is_bound_and_no_other(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        link = link_into(world, record)
        await world.store.add_room_link(link, 8, world.clock.now)
        store, here, device = world.store, (client.practice, link.link), client.devices[0]
        assert await store.bind_room_link(*here, client.account, device, give_back=False)
        assert await store.bind_room_link(*here, client.account, device, give_back=False), "the same one again"
        assert not await store.bind_room_link(*here, owner.account, owner.devices[0], give_back=False)
        bound = await standing(store, link)
        assert (bound.account, bound.device, bound.tries) == (client.account, device, 0)
        opened = (client.practice, record.id, client.account, device)
        assert await store.opened_link(*opened, link.expires_ms - 1) == link.link
        assert await store.opened_link(*opened, link.expires_ms) is None
        assert await store.opened_link(client.practice, record.id, owner.account, device, 0) is None
        assert await store.opened_link((await world.owner()).practice, *opened[1:], 0) is None

    async def test_tries_are_counted_and_end(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        link, other = link_into(world, record, b"$"), link_into(world, record, b"$")
        for each in (link, other):
            await world.store.add_room_link(each, 8, world.clock.now)
        store, here = world.store, (client.practice, link.link)
        assert [await store.spend_try(*here, 2) for _ in range(3)] == [True, True, False]
        assert (await standing(store, other)).tries == 0
        assert await store.bind_room_link(*here, client.account, client.devices[0], give_back=True)
        assert (await standing(store, link)).tries == 1
        assert not await store.spend_try((await world.owner()).practice, link.link, 9)

    async def test_no_practice_sees_or_binds_the_link_of_another(self, world: World) -> None:
        owner, client, conv = await world.pair()
        stranger = await world.owner()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        link = link_into(world, record)
        await world.store.add_room_link(link, 8, world.clock.now)
        store = world.store
        assert await store.room_link(stranger.practice, link.link) is None
        assert not await store.bind_room_link(
            stranger.practice, link.link, stranger.account, stranger.devices[0], give_back=False
        )
        assert await standing(store, link) == link

    async def test_a_link_is_forgotten_a_week_after_it_expired(self, world: World) -> None:
        owner, client, conv = await world.pair()
        record = appointment_of(world, owner, client, conv)
        await written(world, record)
        link = link_into(world, record)
        await world.store.add_room_link(link, 8, world.clock.now)
        await world.store.sweep(link.expires_ms + 7 * DAY_MS - 1)
        assert await world.store.room_link(owner.practice, link.link) is not None
        await world.store.sweep(link.expires_ms + 7 * DAY_MS)
        assert await world.store.room_link(owner.practice, link.link) is None
