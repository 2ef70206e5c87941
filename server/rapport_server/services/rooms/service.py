"""The shell of waiting rooms: looks up what the rules need, writes by compare-and-swap, alerts hosts, tells watchers.

Whatever happens to a room goes through `_change`: what time has brought meanwhile first, then the event. A room's next
moment is a durable timer, so that any node takes it up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Final, Protocol

import structlog

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ID_BYTES, AccountId, AppointmentId, MessageId, PracticeId, RoomLinkId
from rapport_protocol.meeting import HostAct, Knock, RoomView
from rapport_server.calling import Calls
from rapport_server.meetings import (
    HOST_ROLES,
    AppointmentDirectory,
    AppointmentRecord,
    RoomDirectory,
    RoomLinkDirectory,
    RoomRecord,
)
from rapport_server.membership_chains import not_found
from rapport_server.ports import Clock, ConversationDirectory
from rapport_server.records import Principal
from rapport_server.services.rooms.rules import (
    acted,
    alert_stands,
    asks_for_alert,
    called,
    calls_in,
    claim,
    knocked,
    minutes_together,
    passed,
    settled,
    standing,
    viewed,
    was_opened,
)

__all__ = ["Alert", "Close", "Rooms", "RoomsStore"]

TRIES: Final = 32
"""How often a write is tried that found another one before it; each round somebody else got through."""
CALLS_MOST: Final = 4096
"""Most calls that have changed and whose rooms have not been looked at; what is beyond is found by the room's timer."""
LOOKED_UP_AT_ONCE: Final = 200
"""Calls whose people the store is asked for at a time."""
OPEN_KNOWN_S: Final = 30.0
"""Seconds after which the store is asked again whether there is any room: while there is none, calls cost nothing."""
RETRY_S: Final = 1.0
"""Seconds after which the store is asked again."""

Alert = Callable[[RoomRecord, list[AccountId]], Awaitable[None]]
"""Owes these hosts a push about somebody who waits. Waits for nobody outside; never raises."""
Moved = Callable[[PracticeId, AppointmentId], None]
"""Told of every room that looks different."""

_log = structlog.get_logger("rapport.rooms")


class Close(Protocol):
    """Keeps how an appointment went."""

    def __call__(
        self, practice: PracticeId, appointment: AppointmentId, start_ms: int, *, held: bool, minutes: int
    ) -> Awaitable[None]:
        """Its room has closed for good. Idempotent. Raises Rejected(UNAVAILABLE)."""


class RoomsStore(AppointmentDirectory, RoomDirectory, RoomLinkDirectory, ConversationDirectory, Calls, Protocol):
    """What rooms need of the store."""


Change = Callable[[AppointmentRecord, RoomRecord, int], RoomRecord]
"""What happens to a room at a time; may raise Rejected, and nothing has happened then."""


class Rooms:
    """Waiting rooms of this node. `run` owns what follows on calls, `fire` is called by timers."""

    def __init__(self, store: RoomsStore, clock: Clock, close: Close, alert: Alert, moved: Moved) -> None:
        self._store = store
        self._clock = clock
        self._close = close
        self._alert = alert
        self._moved = moved
        self._called: dict[tuple[PracticeId, MessageId], CallRecord] = {}
        self._work = asyncio.Event()
        self._turn = asyncio.Lock()
        self._open = True
        self._noted = 0
        self._asked_s = -OPEN_KNOWN_S
        self.admitted = 0
        self.alerted = 0
        """Acts of letting somebody in, and alerts to hosts, at this node since the start."""

    # --- what people ask ----------------------------------------------------------------------------------------------

    async def view(self, who: Principal, appointment: AppointmentId) -> RoomView:
        """The room as the asker may see it. Raises Rejected(NOT_FOUND)."""
        record = await self._appointment(who.practice, appointment)
        seen_by = await self._seen_by(who, record, None)
        room = await self._store.room(who.practice, appointment)
        return viewed(record, room, seen_by, self._clock.now_ms())

    async def knock(self, who: Principal, appointment: AppointmentId, knock: Knock) -> RoomView:
        """Somebody is in front of the door. Raises Rejected: NOT_FOUND, RULE_BROKEN (its host, an unknown word)."""
        record = await self._appointment(who.practice, appointment)
        await self._seen_by(who, record, knock.link)
        if who.account == record.host:
            raise Rejected(ErrorCode.RULE_BROKEN, "its host enters")
        link = None if who.account in record.members else await self._link(who, appointment, knock.link)

        def change(appointment: AppointmentRecord, room: RoomRecord, now_ms: int) -> RoomRecord:
            if who.account not in appointment.members and link is None:
                raise not_found()  # taken off it meanwhile
            return knocked(appointment, room, who, knock, link, now_ms)

        record, room = await self._change(who.practice, appointment, change)
        return viewed(record, room, who.account, self._clock.now_ms())

    async def act(self, who: Principal, appointment: AppointmentId, act: HostAct) -> RoomView:
        """A host does something. Raises Rejected: NOT_FOUND, CONFLICT, RULE_BROKEN."""

        def change(appointment: AppointmentRecord, room: RoomRecord, now_ms: int) -> RoomRecord:
            if who.account not in appointment.members or who.role not in HOST_ROLES:
                raise not_found()
            return acted(appointment, room, who, act, now_ms)

        record, room = await self._change(who.practice, appointment, change)
        self.admitted += act.act in {"admit", "admit_all"}
        return viewed(record, room, None, self._clock.now_ms())

    async def _seen_by(self, who: Principal, record: AppointmentRecord, link: RoomLinkId | None) -> AccountId | None:
        """Whom the asker sees there: None = everybody. Raises Rejected(NOT_FOUND) for who has nothing to do with it."""
        if who.account not in record.members and await self._link(who, record.id, link) is None:
            raise not_found()
        return None if who.account in record.members and who.role in HOST_ROLES else who.account

    async def _link(self, who: Principal, appointment: AppointmentId, link: RoomLinkId | None) -> RoomLinkId | None:
        """The link that has let this device in, None without one. link: the one that they name, if they name one."""
        now = self._clock.now_ms()
        if link is None:
            return await self._store.opened_link(who.practice, appointment, who.account, who.device, now)
        found = await self._store.room_link(who.practice, link)
        if found is None or found.appointment != appointment or now >= found.expires_ms:
            return None
        return link if (found.account, found.device) == (who.account, who.device) else None

    # --- what calls and time bring ------------------------------------------------------------------------------------

    def call_moved(self, practice: PracticeId, call: CallRecord) -> None:
        """A call has changed. Returns at once; never raises."""
        if len(self._called) < CALLS_MOST and (self._open or self._asks_again()):
            self._called[practice, call.id] = call
            self._work.set()  # many of one turn of the loop are looked up together

    async def run(self) -> None:
        """Takes up what calls mean for rooms, until cancelled."""
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self.catch_up()
            except Rejected as refused:  # what is left is taken up later
                _log.warning("rooms cannot be looked up", error=refused.code.value)
                await asyncio.sleep(RETRY_S)
                self._work.set()

    async def catch_up(self) -> None:
        """Takes up every call that has changed so far. Raises Rejected(UNAVAILABLE); the rest is taken up later."""
        async with self._turn:  # whoever asks for it finds everything taken up afterwards
            await self._catch_up()

    async def _catch_up(self) -> None:
        if not await self._may_be_open():
            self._called.clear()
            return
        called, self._called = self._called, {}
        try:
            for practice in {practice for practice, _ in called}:
                theirs = [call for (where, _), call in called.items() if where == practice]
                for start in range(0, len(theirs), LOOKED_UP_AT_ONCE):
                    await self._take_up_all(practice, theirs[start : start + LOOKED_UP_AT_ONCE])
        except Rejected:
            self._called = called | self._called  # twice is harmless, and what came meanwhile is newer
            raise

    async def _may_be_open(self) -> bool:
        """Whether there is a room that a call may be about; what is known is up to half a minute old."""
        if self._asks_again():
            self._asked_s, noted = self._clock.monotonic(), self._noted
            found = await self._store.any_room()
            self._open = found or noted != self._noted  # what was written meanwhile counts
        return self._open

    def _asks_again(self) -> bool:
        return self._clock.monotonic() >= self._asked_s + OPEN_KNOWN_S

    def note_open(self) -> None:
        """A room was written, here or at another node, or that may have been missed: calls are looked at."""
        self._open = True
        self._noted += 1

    async def _take_up_all(self, practice: PracticeId, calls: list[CallRecord]) -> None:
        rooms = await self._store.rooms_of(practice, {call.callee for call in calls})
        for call in calls:
            names = rooms.get(call.callee, [])
            appointment = names[0] if len(names) == 1 else await self._room_of(practice, call, names)
            if appointment is not None:
                await self._take_up(practice, appointment, call)

    async def _room_of(
        self, practice: PracticeId, call: CallRecord, names: Collection[AppointmentId]
    ) -> AppointmentId | None:
        """Which of these rooms, where its callee has come to, a call is one of."""
        claims: list[tuple[tuple[int, ...], AppointmentId]] = []
        for name in names:
            record, room = await self._store.appointment(practice, name), await self._store.room(practice, name)
            if record is None or room is None:
                continue
            now = self._clock.now_ms()
            theirs = claim(record, passed(record, standing(record, room), now), call, now)
            if theirs is not None:
                claims.append((theirs, name))
        return max(claims)[1] if claims else None

    async def _take_up(self, practice: PracticeId, appointment: AppointmentId, call: CallRecord) -> None:
        def change(appointment: AppointmentRecord, room: RoomRecord, now_ms: int) -> RoomRecord:
            return called(appointment, room, call, now_ms)

        try:
            await self._change(practice, appointment, change)
        except Rejected as refused:
            if refused.code is ErrorCode.UNAVAILABLE:
                raise
            _log.warning("call not taken up", error=refused.code.value)
        except Exception as problem:  # one bad row must not end the node
            _log.warning("call not taken up", error=type(problem).__name__)

    async def fire(self, key: bytes) -> None:
        """The timer of a room (its key: practice and appointment) is due. Idempotent.

        Raises Rejected(UNAVAILABLE) when the store does not answer; then it fires again.
        """
        practice, appointment = PracticeId(key[:ID_BYTES]), AppointmentId(key[ID_BYTES:])
        room = await self._store.room(practice, appointment)
        if room is None:
            return
        calls = {call: await self._store.call(practice, call) for call in calls_in(room)}
        try:
            await self._change(practice, appointment, lambda _appointment, room, _now_ms: room, calls)
        except Rejected as refused:
            if refused.code is not ErrorCode.NOT_FOUND:
                raise

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _appointment(self, practice: PracticeId, appointment: AppointmentId) -> AppointmentRecord:
        """The appointment with those of its members who are still in its conversation. Raises Rejected(NOT_FOUND)."""
        record = await self._store.appointment(practice, appointment)
        if record is None:
            raise not_found()
        return record.within(await self._store.conversation(practice, record.conv))

    async def _change(
        self,
        practice: PracticeId,
        appointment: AppointmentId,
        change: Change,
        calls: Mapping[MessageId, CallRecord | None] | None = None,
    ) -> tuple[AppointmentRecord, RoomRecord]:
        """Lets something happen, as often as somebody else was first. calls: known to a timer, see `passed`.

        Raises Rejected(NOT_FOUND) without such an appointment, and what `change` raises.
        """
        for _ in range(TRIES):
            record = await self._appointment(practice, appointment)
            before = await self._store.room(practice, appointment)
            now = self._clock.now_ms()
            room = passed(record, standing(record, before), now, calls)
            room = passed(record, change(record, room, now), now)
            after = settled(record, before, room, now, fires=calls is not None)
            if after is None:
                return record, room
            if after.closed and not (before is not None and before.closed) and was_opened(after):
                held, minutes = minutes_together(after)
                await self._close(practice, appointment, after.start_ms, held=held, minutes=minutes)
            if await self._store.write_room(before, after):
                self.note_open()
                await self._tell(record, before, after)
                return record, after
        raise Rejected(ErrorCode.BUSY, "somebody else is changing it")

    async def _tell(self, record: AppointmentRecord, before: RoomRecord | None, after: RoomRecord) -> None:
        if before is None or before.version != after.version:
            self._moved(record.practice, record.id)
        if asks_for_alert(before, after):
            self.alerted += 1
            await self._alert(after, await self._hosts(record))

    async def alert_stands(
        self, practice: PracticeId, host: AccountId, appointment: AppointmentId, since_ms: int
    ) -> bool:
        """Whether a host who was alerted still has reason to come. Raises Rejected(UNAVAILABLE)."""
        try:
            record = await self._appointment(practice, appointment)
        except Rejected as refused:
            if refused.code is ErrorCode.NOT_FOUND:
                return False
            raise
        if host not in record.members:
            return False
        return alert_stands(await self._store.room(practice, appointment), since_ms)

    async def _hosts(self, record: AppointmentRecord) -> list[AccountId]:
        """Every therapist or owner on the appointment; its host alone when that cannot be looked up now."""
        try:
            found = await self._store.contacts(record.practice, record.members[:1])
        except Rejected:
            return [account for account in record.members if account == record.host]
        roles = {contact.account: contact.role for contacts in found.values() for contact in contacts}
        return [account for account in record.members if roles.get(account) in HOST_ROLES]
