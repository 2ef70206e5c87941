"""The shell of appointments: looks up what the rules need, writes by compare-and-swap, tells devices, reminds.

A reminder is written together with its notices and the timer of the next one. So whoever dies on the way leaves a timer
that is still due, and two nodes that fire the same one remind once.
"""

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, AppointmentId, PracticeId
from rapport_protocol.meeting import (
    APPOINTMENT_PAGE,
    AppointmentOutcome,
    Calendar,
    CalendarFeed,
    PutAppointments,
    Reached,
)
from rapport_protocol.meeting import Appointments as AppointmentsAnswer
from rapport_protocol.messages import NoticeKind
from rapport_protocol.reminders import Reminder
from rapport_protocol.signed import http_token_hash
from rapport_server.hints import wakes
from rapport_server.meetings import (
    AppointmentChange,
    AppointmentDirectory,
    AppointmentRecord,
    CalendarDirectory,
    MeetingNotice,
    RoomLinkDirectory,
)
from rapport_server.membership_chains import not_found
from rapport_server.ports import Bus, Clock, ConversationDirectory
from rapport_server.records import Principal
from rapport_server.services.appointments.calendar_file import CANCEL, PUBLISH, calendar_file
from rapport_server.services.appointments.rules import (
    counted,
    due_reminder,
    may_test_now,
    new_members,
    planned,
    reached,
    reminded,
    said,
    viewed,
)

__all__ = ["CALENDAR_PATH", "TO_COME_MOST", "Appointments", "AppointmentsStore", "RemindBy"]

TO_COME_MOST: Final = 4096
"""Most appointments of one account that have not begun: ten a day for a year."""
CALENDAR_PATH: Final = "/v1/calendar/{token}.ics"
FEED_BEFORE_MS: Final = 30 * 86_400_000
FEED_AHEAD_MS: Final = 366 * 86_400_000
"""What a feed shows of the past and of the future."""
TRIES: Final = 16
"""How often a write is tried that found another one before it; each round somebody else got through."""

RemindBy = Callable[[AppointmentRecord], Awaitable[None]]
"""Owes a push to everybody on an appointment whose reminder is about to be given. Raises Rejected(UNAVAILABLE)."""
Moved = Callable[[PracticeId, AppointmentId], None]
"""Told of every appointment that was written: its room may look different."""


class AppointmentsStore(AppointmentDirectory, CalendarDirectory, RoomLinkDirectory, ConversationDirectory, Protocol):
    """What appointments need of the store."""


class Appointments:
    """Appointments of this node. `fire` is called by timers."""

    def __init__(self, store: AppointmentsStore, bus: Bus, clock: Clock, remind_by: RemindBy, moved: Moved) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._remind_by = remind_by
        self._moved = moved
        self.reminded = 0
        """Reminders that this node has given, since the start."""

    # --- what hosts ask -----------------------------------------------------------------------------------------------

    async def put(self, who: Principal, request: PutAppointments) -> AppointmentsAnswer:
        """Makes, moves or cancels: all of them or none. The same request again is answered alike.

        Raises Rejected: NOT_FOUND (a conversation or an appointment that is not the asker's), CONFLICT, BAD_TIME,
        RULE_BROKEN, TOO_MANY.
        """
        names = [asked.appointment for asked in request.appointments]
        if len(set(names)) < len(names) or len({asked.conv for asked in request.appointments}) > 1:
            raise Rejected(ErrorCode.RULE_BROKEN, "different appointments of one conversation")
        for _ in range(TRIES):
            standing = await self._store.appointments_by_id(who.practice, names)
            now = self._clock.now_ms()
            await self._check_people(who, request, standing)
            changes = [
                AppointmentChange(
                    standing.get(asked.appointment), planned(standing.get(asked.appointment), asked, who, now)
                )
                for asked in request.appointments
            ]
            new = [change for change in changes if change.after is not change.before]
            await self._check_room_for(who, new, now)
            if await self._write(who.practice, new, now):
                return self._answer([change.after for change in changes])
        raise Rejected(ErrorCode.CONFLICT, "somebody else is changing them")

    async def _check_people(
        self, who: Principal, request: PutAppointments, standing: dict[AppointmentId, AppointmentRecord]
    ) -> None:
        """Who is new must be in the conversation, and so must be whoever makes or changes something in it."""
        if {record.host for record in standing.values()} - {who.account}:
            raise not_found()
        new = set[AccountId]()
        for asked in request.appointments:
            new |= new_members(standing.get(asked.appointment), asked)
        conv = next((record.conv for record in standing.values()), request.appointments[0].conv)
        conversation = await self._store.conversation(who.practice, conv)
        if conversation is None or who.account not in conversation.members:
            raise not_found()
        if not new <= set(conversation.members):
            raise Rejected(ErrorCode.RULE_BROKEN, "members are of the conversation")

    async def _check_room_for(self, who: Principal, changes: list[AppointmentChange], now: int) -> None:
        """What is new counts, and what had begun and is to come again."""
        count = sum(before is None or before.start_ms < now <= after.start_ms for before, after in changes)
        if count and await self._store.count_appointments(who.practice, who.account, now) + count > TO_COME_MOST:
            raise Rejected(ErrorCode.TOO_MANY, "too many appointments to come")

    async def outcome(
        self, who: Principal, appointment: AppointmentId, request: AppointmentOutcome
    ) -> AppointmentsAnswer:
        """The host's word of how it went. Raises Rejected: NOT_FOUND, RULE_BROKEN, BAD_TIME."""

        def change(record: AppointmentRecord) -> AppointmentRecord:
            if record.host != who.account:
                raise not_found()
            return said(record, request.outcome, request.minutes_held, self._clock.now_ms())

        return self._answer([await self._change(who.practice, appointment, change)])

    # --- what everybody asks ------------------------------------------------------------------------------------------

    async def listed(self, who: Principal, from_ms: int, to_ms: int) -> AppointmentsAnswer:
        """The asker's, by start, 256 at most."""
        return self._answer(await self._store.appointments(who.practice, who.account, from_ms, to_ms, APPOINTMENT_PAGE))

    async def reached(self, who: Principal, appointment: AppointmentId, request: Reached) -> AppointmentsAnswer:
        """A device has taken a reminder; the others are told. Raises Rejected(NOT_FOUND)."""
        standing = await self._within(who.practice, appointment)
        if standing is None or who.account not in standing.members:
            raise not_found()

        def change(record: AppointmentRecord) -> AppointmentRecord:
            if who.account not in record.members:
                raise not_found()
            return reached(record, who.account, request.minutes)

        return self._answer([await self._change(who.practice, appointment, change)])

    async def calendar(self, who: Principal, appointment: AppointmentId) -> Calendar:
        """One as a file. Raises Rejected(NOT_FOUND)."""
        record = await self._store.appointment(who.practice, appointment)
        if record is None or who.account not in record.members:
            raise not_found()
        method = CANCEL if record.cancelled else PUBLISH
        return Calendar(await asyncio.to_thread(calendar_file, [record], method, self._clock.now_ms()))

    async def may_test(self, who: Principal, appointment: AppointmentId) -> None:
        """Whether this device may test itself for an appointment now. Raises Rejected(NOT_FOUND) where it may not."""
        record = await self._within(who.practice, appointment)
        now = self._clock.now_ms()
        if record is None or not may_test_now(record, now):
            raise not_found()
        if who.account not in record.members and not await self._store.opened_link(
            who.practice, appointment, who.account, who.device, now
        ):
            raise not_found()

    # --- feeds --------------------------------------------------------------------------------------------------------

    async def feed(self, who: Principal) -> CalendarFeed:
        """A new address of the asker's feed; the one before is void."""
        token = secrets.token_bytes(32)
        await self._store.put_feed(who.practice, who.account, http_token_hash(token), self._clock.now_ms())
        return CalendarFeed(CALENDAR_PATH.format(token=base64.urlsafe_b64encode(token).rstrip(b"=").decode()))

    async def end_feed(self, who: Principal) -> CalendarFeed:
        """There is no feed any more."""
        await self._store.put_feed(who.practice, who.account, None, self._clock.now_ms())
        return CalendarFeed("")

    async def feed_file(self, token: str) -> bytes:
        """What a calendar program reads. Raises Rejected(NOT_FOUND) for what is no address of a feed."""
        try:
            name = base64.b64decode(token + "=", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            name = b""
        whose = await self._store.owner_of_feed(http_token_hash(name)) if len(name) == 32 else None
        if whose is None:
            raise not_found()
        now = self._clock.now_ms()
        spans = (max(0, now - FEED_BEFORE_MS), now), (now, now + FEED_AHEAD_MS)  # so that no past cuts what is to come
        records = [each for span in spans for each in await self._store.appointments(*whose, *span, TO_COME_MOST)]
        return await asyncio.to_thread(calendar_file, records, PUBLISH, now)

    # --- what time and rooms bring ------------------------------------------------------------------------------------

    async def fire(self, key: bytes) -> None:
        """The timer of an appointment (its key: practice and appointment) is due. Idempotent.

        Raises Rejected(UNAVAILABLE) when the store does not answer; then it fires again.
        """
        practice, name = PracticeId(key[:ID_BYTES]), AppointmentId(key[ID_BYTES:])
        while True:
            record, now = await self._store.appointment(practice, name), self._clock.now_ms()
            if record is None or not 0 < record.next_ms <= now:
                return
            minutes = due_reminder(record, now)
            after = reminded(record, minutes)
            people = record.within(await self._store.conversation(practice, record.conv))
            if minutes:
                await self._remind_by(people)  # before it is given: whoever dies in between leaves both to the next
            about = Reminder(name, minutes, record.start_ms).encode()
            told = [MeetingNotice(record.conv, people.members, NoticeKind.APPOINTMENT_REMINDER, about)]
            change = AppointmentChange(record, after)
            woken = await self._store.write_appointments(practice, [change], told if minutes else [], now)
            if woken is None:
                continue  # somebody has changed it meanwhile
            self._bus.publish(*wakes(woken))
            self.reminded += minutes > 0
            return

    async def close(
        self, practice: PracticeId, appointment: AppointmentId, start_ms: int, *, held: bool, minutes: int
    ) -> None:
        """Its room has closed for good. Idempotent. Raises Rejected(UNAVAILABLE)."""
        try:
            await self._change(
                practice, appointment, lambda record: counted(record, start_ms, held=held, minutes=minutes)
            )
        except Rejected as refused:
            if refused.code is not ErrorCode.NOT_FOUND:
                raise

    async def _within(self, practice: PracticeId, appointment: AppointmentId) -> AppointmentRecord | None:
        """One with those of its members who are still in its conversation."""
        record = await self._store.appointment(practice, appointment)
        return record and record.within(await self._store.conversation(practice, record.conv))

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _change(
        self,
        practice: PracticeId,
        appointment: AppointmentId,
        change: Callable[[AppointmentRecord], AppointmentRecord],
    ) -> AppointmentRecord:
        """Changes one, as often as somebody else was first. Raises Rejected(NOT_FOUND), and what `change` raises."""
        for _ in range(TRIES):
            record = await self._store.appointment(practice, appointment)
            if record is None:
                raise not_found()
            after = change(record)
            if after is record or await self._write(practice, [AppointmentChange(record, after)], self._clock.now_ms()):
                return after
        raise Rejected(ErrorCode.BUSY, "somebody else is changing it")

    async def _write(self, practice: PracticeId, changes: list[AppointmentChange], now: int) -> bool:
        """Writes and tells all members. False: one of them was changed meanwhile."""
        if not changes:
            return True
        told = [
            MeetingNotice(
                after.conv,
                tuple(sorted({*after.members, *(() if before is None else before.members)})),
                NoticeKind.APPOINTMENT,
                after.id,
            )
            for before, after in changes
        ]
        woken = await self._store.write_appointments(practice, changes, told, now)
        if woken is None:
            return False
        self._bus.publish(*wakes(list(dict.fromkeys(woken))))
        for change in changes:
            self._moved(practice, change.after.id)
        return True

    def _answer(self, records: list[AppointmentRecord]) -> AppointmentsAnswer:
        return AppointmentsAnswer([viewed(record) for record in records], self._clock.now_ms())
