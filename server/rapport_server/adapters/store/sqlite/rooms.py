"""Waiting rooms and join links in a SQLite store."""

from collections.abc import Collection

from rapport_protocol.ids import AccountId, AppointmentId, DeviceId, PracticeId, RoomLinkId
from rapport_server.adapters.store.sql import rooms
from rapport_server.adapters.store.sqlite.part import StorePart
from rapport_server.meetings import RoomLinkRecord, RoomRecord

__all__ = ["SqliteRooms"]


class SqliteRooms(StorePart):
    """The ports RoomDirectory and RoomLinkDirectory."""

    async def room(self, practice: PracticeId, appointment: AppointmentId) -> RoomRecord | None:
        """See RoomDirectory.room."""
        return await self._read(rooms.room, practice, appointment)

    async def rooms_of(
        self, practice: PracticeId, accounts: Collection[AccountId]
    ) -> dict[AccountId, list[AppointmentId]]:
        """See RoomDirectory.rooms_of."""
        return await self._read(rooms.rooms_of, practice, accounts)

    async def any_room(self) -> bool:
        """See RoomDirectory.any_room."""
        return await self._read(rooms.any_room)

    async def write_room(self, before: RoomRecord | None, after: RoomRecord) -> bool:
        """See RoomDirectory.write_room."""
        return await self._write(lambda tx: rooms.write_room(tx, before, after))

    async def add_room_link(self, link: RoomLinkRecord, most: int, now: int) -> bool:
        """See RoomLinkDirectory.add_room_link."""
        return await self._write(lambda tx: rooms.add_room_link(tx, link, most, now))

    async def end_room_link(self, practice: PracticeId, link: RoomLinkId, now: int) -> None:
        """See RoomLinkDirectory.end_room_link."""
        await self._write(lambda tx: rooms.end_room_link(tx, practice, link, now))

    async def room_link(self, practice: PracticeId, link: RoomLinkId) -> RoomLinkRecord | None:
        """See RoomLinkDirectory.room_link."""
        return await self._read(rooms.room_link, practice, link)

    async def opened_link(
        self, practice: PracticeId, appointment: AppointmentId, account: AccountId, device: DeviceId, now: int
    ) -> RoomLinkId | None:
        """See RoomLinkDirectory.opened_link."""
        return await self._read(rooms.opened_link, practice, appointment, account, device, now)

    async def spend_try(self, practice: PracticeId, link: RoomLinkId, most: int) -> bool:
        """See RoomLinkDirectory.spend_try."""
        return await self._write(lambda tx: rooms.spend_try(tx, practice, link, most))

    async def bind_room_link(
        self, practice: PracticeId, link: RoomLinkId, account: AccountId, device: DeviceId, *, give_back: bool
    ) -> bool:
        """See RoomLinkDirectory.bind_room_link."""
        return await self._write(
            lambda tx: rooms.bind_room_link(tx, practice, link, account, device, give_back=give_back)
        )
