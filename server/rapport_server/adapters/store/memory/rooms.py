"""Waiting rooms and join links in memory."""

from collections.abc import Collection
from dataclasses import replace

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId, RoomLinkId
from rapport_server.adapters.store.memory.state import MemoryState
from rapport_server.meetings import ROOM_KEPT_MS, ROOM_TIMER, RoomLinkRecord, RoomRecord, meeting_key
from rapport_server.records import Timer

__all__ = ["MemoryRooms"]


class MemoryRooms(MemoryState):
    """The ports RoomDirectory and RoomLinkDirectory."""

    async def room(self, practice: PracticeId, appointment: AppointmentId) -> RoomRecord | None:
        """See RoomDirectory.room."""
        return self._rooms.get((practice, appointment))

    async def rooms_of(
        self, practice: PracticeId, accounts: Collection[AccountId]
    ) -> dict[AccountId, list[AppointmentId]]:
        """See RoomDirectory.rooms_of."""
        found: dict[AccountId, list[AppointmentId]] = {}
        for (where, name), record in sorted(self._rooms.items(), key=lambda each: each[0]):
            for visitor in record.people if where == practice and not record.closed else ():
                if visitor.account in accounts:
                    found.setdefault(visitor.account, []).append(name)
        return found

    async def any_room(self) -> bool:
        """See RoomDirectory.any_room."""
        return any(not record.closed for record in self._rooms.values())

    async def write_room(self, before: RoomRecord | None, after: RoomRecord) -> bool:
        """See RoomDirectory.write_room."""
        key = after.practice, after.appointment
        standing = self._rooms.get(key)
        if (before and before.change) != (standing and standing.change):
            return False
        self._rooms[key] = after
        timer = ROOM_TIMER, meeting_key(*key)
        if after.next_ms:
            self._timers[timer] = Timer(after.next_ms, *timer), 0
        else:
            self._timers.pop(timer, None)
        return True

    async def add_room_link(self, link: RoomLinkRecord, most: int, now: int) -> bool:
        """See RoomLinkDirectory.add_room_link."""
        standing = self._room_links.get((link.practice, link.link))
        if standing is not None:
            asked = (link.appointment, link.secret_hash, link.not_before_ms, link.expires_ms)
            stands = (standing.appointment, standing.secret_hash, standing.not_before_ms, standing.expires_ms)
            if asked != stands or bool(link.passcode) != bool(standing.passcode):
                raise Rejected(ErrorCode.CONFLICT, "another link has this id")
            return False
        theirs = link.practice, link.appointment
        lasting = [each for each in self._room_links.values() if now < each.expires_ms]
        if sum((each.practice, each.appointment) == theirs for each in lasting) >= most:
            raise Rejected(ErrorCode.TOO_MANY, "the appointment has as many links as it may have")
        self._room_links[link.practice, link.link] = replace(link, account=None, device=None, tries=0)
        return True

    async def end_room_link(self, practice: PracticeId, link: RoomLinkId, now: int) -> None:
        """See RoomLinkDirectory.end_room_link."""
        standing = self._room_links.get((practice, link))
        if standing is not None:
            self._room_links[practice, link] = replace(standing, expires_ms=min(standing.expires_ms, now))

    async def room_link(self, practice: PracticeId, link: RoomLinkId) -> RoomLinkRecord | None:
        """See RoomLinkDirectory.room_link."""
        return self._room_links.get((practice, link))

    async def opened_link(
        self, practice: PracticeId, appointment: AppointmentId, account: AccountId, device: DeviceId, now: int
    ) -> RoomLinkId | None:
        """See RoomLinkDirectory.opened_link."""
        found = (
            each.link
            for each in self._room_links.values()
            if (each.practice, each.appointment) == (practice, appointment)
            and (each.account, each.device) == (account, device)
            and now < each.expires_ms
        )
        return min(found, default=None)

    async def spend_try(self, practice: PracticeId, link: RoomLinkId, most: int) -> bool:
        """See RoomLinkDirectory.spend_try."""
        standing = self._room_links.get((practice, link))
        if standing is None or standing.tries >= most:
            return False
        self._room_links[practice, link] = replace(standing, tries=standing.tries + 1)
        return True

    async def bind_room_link(
        self, practice: PracticeId, link: RoomLinkId, account: AccountId, device: DeviceId, *, give_back: bool
    ) -> bool:
        """See RoomLinkDirectory.bind_room_link."""
        standing = self._room_links.get((practice, link))
        if standing is None or (standing.account, standing.device) not in ((None, None), (account, device)):
            return False
        tries = standing.tries - 1 if give_back else standing.tries
        self._room_links[practice, link] = replace(standing, account=account, device=device, tries=tries)
        return True

    def _forget_rooms(self, now: int) -> None:
        """A week after the last change of a room that nothing is due for, and after the expiry of a link."""
        since = now - ROOM_KEPT_MS
        self._rooms = {
            key: record for key, record in self._rooms.items() if record.next_ms or record.changed_ms > since
        }
        self._room_links = {key: link for key, link in self._room_links.items() if link.expires_ms > since}
