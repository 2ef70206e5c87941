"""What happens to a room and to the people at its door. Pure: a record, what is done, a time; the record afterwards.

What a person may do stands in the tables of `rapport_protocol.rooms`; here is who does it, to whom, and what follows
for the room: its version, alerts, who was in it and for how long, and when time brings something next.

Source: docs/protocol.md, section 23.1.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from msgspec.structs import replace as _replace

from rapport_protocol.calls.arbiter import CallPhase, CallRecord
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, DeviceId, MessageId, RoomLinkId
from rapport_protocol.meeting import HostAct, Knock, KnockStep, Modality, RoomAct, RoomPerson, RoomView
from rapport_protocol.rooms.door import Door, closes_ms, door_changes_ms, door_state, may_knock, opens_ms
from rapport_protocol.rooms.person import HAS_PLACE, Person, PersonEvent, due, step
from rapport_protocol.rooms.states import ALERTS_MS, TICKET_MS, UNHEARD_MS, DoorState, PersonState
from rapport_server.meetings import AppointmentRecord, HostHere, RoomRecord, Visitor
from rapport_server.membership_chains import not_found
from rapport_server.records import Principal

__all__ = [
    "HOSTS_MOST",
    "acted",
    "alert_stands",
    "asks_for_alert",
    "called",
    "calls_in",
    "claim",
    "door_of",
    "knocked",
    "minutes_together",
    "passed",
    "settled",
    "standing",
    "view_changes_ms",
    "viewed",
    "was_opened",
]

HOSTS_MOST: Final = 16
"""Most devices of hosts that are remembered as being in a room."""
AGAIN_MS: Final = 1_000
"""A timer that has fired is not due again before: whatever stands still must not keep a node busy."""
LOOK_EVERY_MS: Final = 60_000
"""So often it is looked whether the calls of those in the room still live: their end may not have been told."""
ALERTS_APART_MS: Final = 60_000
"""Without an act of a host, at least so long between two alerts."""
_BY_CALL: Final = frozenset({Modality.VIDEO, Modality.AUDIO})
_ON_PERSON: Final = {
    RoomAct.ADMIT: PersonEvent.ADMIT,
    RoomAct.DECLINE: PersonEvent.DECLINE,
    RoomAct.SEND_BACK: PersonEvent.SEND_BACK,
    RoomAct.REMOVE: PersonEvent.REMOVE,
}
_KNOCKS: Final = {
    KnockStep.CHECKING: PersonEvent.CHECK,
    KnockStep.WAITING: PersonEvent.WAIT,
    KnockStep.LEAVE: PersonEvent.LEAVE,
}


# --- how it stands ----------------------------------------------------------------------------------------------------


def standing(appointment: AppointmentRecord, room: RoomRecord | None) -> RoomRecord:
    """The room of this start: a new one if nobody has come, or if the appointment has moved since they did.

    After a move everybody is invited anew, but who was removed. One that closed with a cancellation is open again once
    that is taken back.
    """
    if room is None:
        return RoomRecord(appointment.practice, appointment.id, appointment.start_ms)
    if room.start_ms == appointment.start_ms:
        return replace(room, closed=False) if _has_room_again(appointment, room) else room
    people = tuple(
        each
        if each.person.state is PersonState.REMOVED
        else replace(each, person=Person(PersonState.INVITED, each.person.device, changed_ms=each.person.changed_ms))
        for each in room.people
    )
    fresh = RoomRecord(room.practice, room.appointment, appointment.start_ms, room.version, people=people)
    return replace(fresh, change=room.change, next_ms=room.next_ms)


def _has_room_again(appointment: AppointmentRecord, room: RoomRecord) -> bool:
    """Whether it was closed before its time, by an appointment without a room: it was cancelled, or met elsewhere."""
    closes = closes_ms(Door(appointment.start_ms, appointment.end_ms, emptied_ms=room.emptied_ms))
    return room.closed and appointment.has_room and room.changed_ms < closes


def door_of(appointment: AppointmentRecord, room: RoomRecord | None) -> Door:
    """The facts that the state of the door follows from."""
    room = standing(appointment, room)
    return Door(
        start_ms=appointment.start_ms,
        end_ms=appointment.end_ms,
        exists=appointment.has_room and not room.closed,
        host_heard_ms=max((host.heard_ms for host in room.hosts), default=0),
        guests=sum(each.person.state is PersonState.IN_ROOM for each in room.people),
        emptied_ms=room.emptied_ms,
    )


def viewed(appointment: AppointmentRecord, room: RoomRecord | None, of: AccountId | None, now_ms: int) -> RoomView:
    """As somebody may see it. of: who; nobody else is shown to them. None: a host, who sees everybody.

    The version that others see is their own: the room's grows whenever somebody comes or goes.
    """
    room = standing(appointment, room)
    door = door_of(appointment, room)
    people = [
        RoomPerson(
            each.account,
            each.person.device,
            each.person.state,
            each.person.since_ms,
            each.account in appointment.members,
            each.person.checks,
            each.person.call,
        )
        for each in room.people
        if of is None or each.account == of
    ]
    state = door_state(door, now_ms)
    own = None if of is None else room.visitor(of)
    version = room.version if of is None else 0 if own is None else own.person.changed_ms
    return RoomView(appointment.id, version, state, opens_ms(door), room.locked, people)


def was_opened(room: RoomRecord) -> bool:
    """Whether anybody came to it since its start was agreed, or was in it."""
    away = (PersonState.INVITED, PersonState.REMOVED)
    return bool(room.been) or any(each.person.state not in away for each in room.people)


def view_changes_ms(appointment: AppointmentRecord, room: RoomRecord | None, now_ms: int) -> int:
    """When time alone changes what people see of the door, 0 = never."""
    return door_changes_ms(door_of(appointment, room), now_ms)


def _is_open(appointment: AppointmentRecord, room: RoomRecord, now_ms: int) -> bool:
    return door_state(door_of(appointment, room), now_ms) is not DoorState.CLOSED


def minutes_together(room: RoomRecord) -> tuple[bool, int]:
    """Whether two or more had been in it, and the minutes that two or more were in it together."""
    return len(room.been) >= 2, round(room.together_ms / 60_000)


# --- what people do ---------------------------------------------------------------------------------------------------


def knocked(
    appointment: AppointmentRecord,
    room: RoomRecord,
    who: Principal,
    knock: Knock,
    link: RoomLinkId | None,
    now_ms: int,
) -> RoomRecord:
    """After somebody in front of the door has said something; the same room where it changes nothing.

    link: by which they came, None for those on the appointment. Raises Rejected(RULE_BROKEN) for an unknown word.
    """
    try:
        event = _KNOCKS[KnockStep(knock.step)]
    except ValueError:
        raise Rejected(ErrorCode.RULE_BROKEN, "unknown word at the door") from None
    known = room.visitor(who.account)
    person = Person(PersonState.INVITED, who.device) if known is None else known.person
    door = door_state(door_of(appointment, room), now_ms)
    if event is not PersonEvent.LEAVE and not may_knock(door, locked=room.locked, has_place=person.state in HAS_PLACE):
        return room
    after = step(person, event, now_ms, device=who.device, checks=knock.checks)
    if after is None:
        return room
    if known is None:
        return _with(room, Visitor(who.account, after, 0, link))
    return _with(room, replace(known, person=after, link=link))


def acted(appointment: AppointmentRecord, room: RoomRecord, who: Principal, act: HostAct, now_ms: int) -> RoomRecord:
    """After an act of a host; the same room where it changes nothing.

    Raises Rejected: NOT_FOUND (nobody of that account has come), CONFLICT (they have changed since the host looked),
    RULE_BROKEN (unknown act, no account, no call, not on the appointment and not `sure`).
    """
    try:
        named = RoomAct(act.act)
    except ValueError:
        raise Rejected(ErrorCode.RULE_BROKEN, "unknown act") from None
    if not _is_open(appointment, room, now_ms):
        return room
    here = HostHere(who.account, who.device, now_ms)
    others = tuple(host for host in room.hosts if (host.account, host.device) != (who.account, who.device))
    if named is RoomAct.ENTER:
        return replace(room, hosts=_hosts(others, here))
    if named is RoomAct.LEAVE:
        return replace(room, hosts=others)
    after = room
    if named in (RoomAct.LOCK, RoomAct.UNLOCK):
        after = replace(room, locked=named is RoomAct.LOCK)
    elif named is RoomAct.ADMIT_ALL:
        for each in room.people:
            if each.account in appointment.members and each.person.state is PersonState.WAITING:
                after = _admitted(appointment, after, each, None, now_ms)
    elif named is not RoomAct.SEEN:
        after = _acted_on(appointment, room, named, act, now_ms)
    if named in (RoomAct.ADMIT, RoomAct.ADMIT_ALL):  # who lets people in is there
        after = replace(after, hosts=_hosts(others, here))
    return replace(after, seen_ms=now_ms, alert_ms=0, alerts=0)


def _hosts(others: tuple[HostHere, ...], here: HostHere) -> tuple[HostHere, ...]:
    return (*sorted(others, key=lambda host: host.heard_ms)[-(HOSTS_MOST - 1) :], here)


def _acted_on(
    appointment: AppointmentRecord, room: RoomRecord, named: RoomAct, act: HostAct, now_ms: int
) -> RoomRecord:
    if act.account is None:
        raise Rejected(ErrorCode.RULE_BROKEN, "whom it is about")
    visitor = room.visitor(AccountId(act.account))
    if visitor is None:
        raise not_found()
    if named is RoomAct.ADMIT:
        if visitor.account not in appointment.members and not act.sure:
            raise Rejected(ErrorCode.RULE_BROKEN, "not on this appointment: say that you are sure")
        if appointment.modality in _BY_CALL and act.call is None:
            raise Rejected(ErrorCode.RULE_BROKEN, "admitting names the call")
    by_call = named is RoomAct.ADMIT and appointment.modality in _BY_CALL
    call = act.call if by_call else None  # where people write to each other a call that is named means nothing
    after = step(visitor.person, _ON_PERSON[named], now_ms, call=call)
    if after is None or (after == visitor.person and after.call == call):
        return room  # the same act again, or too late: nothing to do
    if (act.version and act.version < visitor.changed) or after == visitor.person:
        raise Rejected(ErrorCode.CONFLICT, "they are not as you saw them")
    if named is RoomAct.ADMIT:
        return _admitted(appointment, room, visitor, call, now_ms)
    return _with(room, replace(visitor, person=after))


def _admitted(
    appointment: AppointmentRecord, room: RoomRecord, visitor: Visitor, call: MessageId | None, now_ms: int
) -> RoomRecord:
    """Waits for the host's call; where people write to each other there is none, and they are in."""
    after = step(visitor.person, PersonEvent.ADMIT, now_ms, call=call)
    if after is not None and appointment.modality not in _BY_CALL:
        after = step(after, PersonEvent.CALL_ACCEPTED, now_ms)
        after = after and _replace(after, heard_ms=now_ms)
    return room if after is None else _with(room, replace(visitor, person=after))


def _with(room: RoomRecord, visitor: Visitor) -> RoomRecord:
    others = [each for each in room.people if each.account != visitor.account]
    return replace(room, people=tuple(sorted((*others, visitor), key=lambda each: each.account)))


# --- calls ------------------------------------------------------------------------------------------------------------


def calls_in(room: RoomRecord) -> list[MessageId]:
    """The calls of those who are let in or are in the room."""
    states = (PersonState.ADMITTING, PersonState.IN_ROOM)
    return [each.person.call for each in room.people if each.person.state in states and each.person.call is not None]


def called(appointment: AppointmentRecord, room: RoomRecord, call: CallRecord, now_ms: int) -> RoomRecord:
    """After a call has changed; the same room if it is nobody's in it.

    A call is theirs if a host has named it, or, while none is named, if a host who is in the room calls them. Where
    somebody is in several rooms see `claim`.
    """
    visitor = room.visitor(call.callee)
    if visitor is None or claim(appointment, room, call, now_ms) is None:
        return room
    person = visitor.person
    if person.state in (PersonState.WAITING, PersonState.DISCONNECTED) and _is_answered(call):
        person = step(person, PersonEvent.ADMIT, now_ms, call=call.id) or person  # it came later than ten seconds
    after = _followed(person, call, now_ms)
    return room if after == visitor.person else _back(_with(room, replace(visitor, person=after)), visitor, now_ms)


def claim(appointment: AppointmentRecord, room: RoomRecord, call: CallRecord, now_ms: int) -> tuple[int, ...] | None:
    """How much a call is one of this room; None: not at all. Of several rooms the greatest has it, and no other.

    Where it is named, or an admission still without a call is to be its; where its caller is in the room; where people
    wait, rather than one that they have left; where they were heard of last.
    """
    visitor = room.visitor(call.callee)
    here = call.caller in {host.account for host in room.hosts}
    is_host = call.caller in appointment.members and (here or call.caller == appointment.host)
    if visitor is None or not is_host or not _is_open(appointment, room, now_ms):
        return None
    person = visitor.person
    named = person.call == call.id
    admitted = person.state is PersonState.ADMITTING and person.call is None
    waits = person.state in (PersonState.WAITING, PersonState.DISCONNECTED)
    return named, admitted, here, waits, person.heard_ms


def _is_answered(call: CallRecord) -> bool:
    return call.phase in (CallPhase.ACCEPTED, CallPhase.CONNECTED)


def _followed(person: Person, call: CallRecord, now_ms: int) -> Person:
    """What the state of their call makes of somebody."""
    if _is_answered(call):
        event = PersonEvent.CALL_ACCEPTED
    else:
        event = PersonEvent.CALL_OFFERED if call.is_live else PersonEvent.CALL_ENDED
    return step(person, event, now_ms, call=call.id) or person


# --- what time brings -------------------------------------------------------------------------------------------------


def passed(
    appointment: AppointmentRecord,
    room: RoomRecord,
    now_ms: int,
    calls: Mapping[MessageId, CallRecord | None] | None = None,
) -> RoomRecord:
    """After so much time: who is not heard of any more, whose call has not come, a door that has closed.

    calls: those of `calls_in`, None for one that is not there; without it nothing that depends on calls happens.
    """
    if room.closed:
        return room
    heard = tuple(host for host in room.hosts if now_ms < host.heard_ms + UNHEARD_MS)
    if heard != room.hosts:
        last_ms = max(host.heard_ms for host in room.hosts) + UNHEARD_MS
        room = _accounted(replace(room, hosts=heard), min(last_ms, now_ms))
    for visitor in room.people:
        after = _later(visitor.person, now_ms, calls)
        if _has_gone(after, now_ms):
            after = step(after, PersonEvent.LEAVE, now_ms) or after
        if after != visitor.person:
            room = _back(_with(room, replace(visitor, person=after)), visitor, now_ms)
    if room.change and (now_ms >= opens_ms(door_of(appointment, room)) or appointment.cancelled):
        room = _accounted(room, now_ms)
        if not _is_open(appointment, room, now_ms):
            for visitor in room.people:
                after = step(visitor.person, PersonEvent.CLOSED, now_ms) or visitor.person
                room = _with(room, replace(visitor, person=after))
            room = replace(_accounted(replace(room, hosts=()), now_ms), closed=True, locked=False)
    return room


def _back(room: RoomRecord, before: Visitor, now_ms: int) -> RoomRecord:
    """Of an admission that came to nothing hosts are alerted as of somebody who comes: nobody has seen them since."""
    after = room.visitor(before.account)
    if after is None or (before.person.state, after.person.state) != (PersonState.ADMITTING, PersonState.WAITING):
        return room
    return replace(room, seen_ms=min(room.seen_ms, after.person.since_ms - 1), alert_ms=now_ms, alerts=0)


def _later(person: Person, now_ms: int, calls: Mapping[MessageId, CallRecord | None] | None) -> Person:
    if person.call is not None and calls is not None and person.call in calls:
        call = calls[person.call]
        if call is not None:
            person = _followed(person, call, now_ms)
        elif person.state is PersonState.IN_ROOM:
            person = step(person, PersonEvent.CALL_ENDED, now_ms, call=person.call) or person
    while (next_one := due(person)) is not None and next_one[0] <= now_ms:
        if next_one[1] is PersonEvent.NO_CALL and calls is None:
            break
        after = step(person, next_one[1], now_ms)
        if after is None or after == person:
            break
        person = after
    return person


def _has_gone(person: Person, now_ms: int) -> bool:
    """Somebody who is in without a call says so every ten seconds."""
    return person.state is PersonState.IN_ROOM and person.call is None and person.heard_ms + TICKET_MS <= now_ms


def settled(
    appointment: AppointmentRecord,
    before: RoomRecord | None,
    room: RoomRecord,
    now_ms: int,
    *,
    fires: bool = False,
) -> RoomRecord | None:
    """The record to be written in place of `before`: with its version, alerts and next moment. None: nothing changed.

    fires: its timer is due, and has to be set again even if nothing else has changed.
    """
    first = standing(appointment, before)
    room = _alerted(_accounted(room, now_ms), now_ms)
    same = room == first and (before is None or before.start_ms == room.start_ms)
    if same and not (fires and before is not None and before.next_ms):
        return None
    known = {each.account: each.person for each in first.people}
    changed = {
        each.account
        for each in room.people
        if each.account not in known or _shown(known[each.account]) != _shown(each.person)
    }
    outside = (room.locked, room.closed, bool(room.hosts), room.start_ms)
    moved = outside != (first.locked, first.closed, bool(first.hosts), 0 if before is None else before.start_ms)
    version = first.version + (1 if changed or moved else 0)
    people = tuple(
        replace(each, changed=version, person=_newer(each.person, known.get(each.account), now_ms))
        if each.account in changed
        else each
        for each in room.people
    )
    room = replace(room, people=people, version=version, changed_ms=now_ms, change=first.change + 1)
    next_ms = _next_ms(appointment, room, now_ms)
    if fires and next_ms:
        next_ms = max(next_ms, now_ms + AGAIN_MS)
    return replace(room, next_ms=next_ms)


def _shown(person: Person) -> tuple[PersonState, DeviceId, int, int, MessageId | None]:
    return person.state, person.device, person.since_ms, person.checks, person.call


def _newer(person: Person, before: Person | None, now_ms: int) -> Person:
    """With a time of its last change that is later than the one before, whatever the clocks of two nodes say."""
    return _replace(person, changed_ms=max(now_ms, 0 if before is None else before.changed_ms + 1))


def _accounted(room: RoomRecord, now_ms: int) -> RoomRecord:
    """Who has been in the room, how long two or more were, and when the last guest left: hosts hold no door open."""
    inside = {host.account for host in room.hosts}
    inside |= {each.account for each in room.people if each.person.state is PersonState.IN_ROOM}
    been = tuple(sorted({*room.been, *inside}))
    since, together_ms = room.together_since_ms, room.together_ms
    if len(inside) >= 2:
        since = since or now_ms
    elif since:
        together_ms, since = together_ms + now_ms - since, 0
    guests = any(each.person.state is PersonState.IN_ROOM for each in room.people)
    had_guests = any(each.account in been for each in room.people)
    emptied_ms = 0 if guests or not had_guests else room.emptied_ms or now_ms
    return replace(room, been=been, together_ms=together_ms, together_since_ms=since, emptied_ms=emptied_ms)


def _alerted(room: RoomRecord, now_ms: int) -> RoomRecord:
    """Hosts are alerted from when somebody comes to wait until an act of a host, or until nobody waits.

    Whoever comes when all alerts were given begins them anew. Without an act of a host between them two alerts are a
    minute apart at least: coming and going does not flood anybody.
    """
    unseen = _unseen(room)
    last_ms = room.alert_ms + ALERTS_MS[room.alerts - 1] if room.alerts else room.alert_ms - ALERTS_APART_MS
    if not unseen:
        return room if room.alert_ms and now_ms < last_ms + ALERTS_APART_MS else replace(room, alert_ms=0, alerts=0)
    if not room.alert_ms:
        room = replace(room, alert_ms=min(unseen), alerts=0)
    elif room.alerts == len(ALERTS_MS) and max(unseen) > last_ms:
        room = replace(room, alert_ms=max(*unseen, last_ms + ALERTS_APART_MS), alerts=0)
    while room.alerts < len(ALERTS_MS) and room.alert_ms + ALERTS_MS[room.alerts] <= now_ms:
        room = replace(room, alerts=room.alerts + 1)
    return room


def _unseen(room: RoomRecord) -> list[int]:
    """Since when those wait who came after the last act of a host."""
    places = (PersonState.WAITING, PersonState.DISCONNECTED)
    waiting = (each.person.since_ms for each in room.people if each.person.state in places)
    return [since_ms for since_ms in waiting if since_ms > room.seen_ms]


def alert_stands(room: RoomRecord | None, since_ms: int) -> bool:
    """Whether hosts who were alerted since then still have reason to come: somebody waits, and none of them acted."""
    return room is not None and not room.closed and room.alert_ms == since_ms and bool(_unseen(room))


def asks_for_alert(before: RoomRecord | None, after: RoomRecord) -> bool:
    """Whether hosts are to be alerted once this is written."""
    if before is None or before.alert_ms != after.alert_ms:
        return after.alerts > 0
    return after.alerts > before.alerts


def _next_ms(appointment: AppointmentRecord, room: RoomRecord, now_ms: int) -> int:
    if room.closed:
        return 0
    times = [host.heard_ms + UNHEARD_MS for host in room.hosts]
    times += [next_one[0] for each in room.people if (next_one := due(each.person)) is not None]
    if calls_in(room):
        times.append(now_ms + LOOK_EVERY_MS)
    inside = (each.person for each in room.people if each.person.state is PersonState.IN_ROOM)
    times += [person.heard_ms + TICKET_MS for person in inside if person.call is None]
    if room.alert_ms and room.alerts < len(ALERTS_MS):
        times.append(room.alert_ms + ALERTS_MS[room.alerts])
    changes = door_changes_ms(door_of(appointment, room), now_ms)
    return min([*times, changes] if changes else times, default=0)
