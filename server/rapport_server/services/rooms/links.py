"""Join links: capabilities into one waiting room, bound to the first device that says their secret.

Fetching the page of a link says nothing to the server: the secret stands in the fragment. So previews use nothing up.

Source: docs/protocol.md, section 23.2.
"""

import asyncio
import hmac
from typing import Final, Protocol

from nacl import pwhash
from nacl.exceptions import InvalidkeyError

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AppointmentId, RoomLinkId
from rapport_protocol.meeting import RoomLink, RoomLinkOpened, RoomLinkUse
from rapport_protocol.rooms.links import link_hash
from rapport_server.meetings import (
    HOST_ROLES,
    LINKS_MOST,
    PASSCODE_TRIES,
    AppointmentDirectory,
    AppointmentRecord,
    RoomLinkDirectory,
    RoomLinkRecord,
)
from rapport_server.membership_chains import not_found
from rapport_server.ports import Clock, ConversationDirectory
from rapport_server.records import Principal

__all__ = ["HASHING_MOST", "LIVES_AFTER_MS", "LinksStore", "RoomLinks"]

LIVES_AFTER_MS: Final = 86_400_000
"""A link ends at most so long after the appointment should end."""
HASHING_MOST: Final = 2
"""Passcodes that are hashed at a time: each takes a core some 60 ms and 64 MiB."""
_OPS: Final = pwhash.argon2id.OPSLIMIT_INTERACTIVE
_MEMORY: Final = pwhash.argon2id.MEMLIMIT_INTERACTIVE


class LinksStore(AppointmentDirectory, RoomLinkDirectory, ConversationDirectory, Protocol):
    """What links need of the store."""


class RoomLinks:
    """Join links of this server's waiting rooms."""

    def __init__(self, store: LinksStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._hashing = asyncio.Semaphore(HASHING_MOST)

    async def make(self, who: Principal, appointment: AppointmentId, asked: RoomLink) -> RoomLinkOpened:
        """A new link, by the host of the appointment. The same request again is answered alike.

        Raises Rejected: NOT_FOUND, RULE_BROKEN (no room, times that do not fit), CONFLICT, TOO_MANY.
        """
        record = await self._store.appointment(who.practice, appointment)
        if record is None or record.host != who.account or not await self._is_on(who, record):
            raise not_found()
        if not record.has_room:
            raise Rejected(ErrorCode.RULE_BROKEN, "this appointment has no waiting room")
        now = self._clock.now_ms()
        if not max(now, asked.not_before_ms) < asked.expires_ms <= record.end_ms + LIVES_AFTER_MS:
            raise Rejected(ErrorCode.RULE_BROKEN, "a link ends in the future, within a day of the appointment's end")
        passcode = await self._hashed(asked.passcode) if asked.passcode else b""
        link = RoomLinkRecord(
            who.practice,
            RoomLinkId(asked.link),
            appointment,
            asked.secret_hash,
            passcode,
            asked.not_before_ms,
            asked.expires_ms,
        )
        await self._store.add_room_link(link, LINKS_MOST, now)
        return _opened(record)

    async def end(self, who: Principal, link: RoomLinkId) -> RoomLinkOpened:
        """By the host of the appointment: nobody gets in by it from now on, nor who has opened it. Idempotent.

        Raises Rejected(NOT_FOUND).
        """
        found = await self._store.room_link(who.practice, link)
        record = None if found is None else await self._store.appointment(who.practice, found.appointment)
        if record is None or record.host != who.account:
            raise not_found()
        await self._store.end_room_link(who.practice, link, self._clock.now_ms())
        return _opened(record)

    async def use(self, who: Principal, link: RoomLinkId, asked: RoomLinkUse) -> RoomLinkOpened:
        """A device says the secret, and may knock from then on. A host of the appointment just looks where it leads.

        Raises Rejected(NOT_FOUND), alike for a link that is not there, not yet or not any more, for another device's,
        for a wrong secret, and for a passcode that is wrong or was tried too often.
        """
        found, now = await self._store.room_link(who.practice, link), self._clock.now_ms()
        known = bytes(32) if found is None else found.secret_hash
        right = hmac.compare_digest(known, link_hash(asked.secret))
        if found is None or not right or not found.not_before_ms <= now < found.expires_ms:
            raise not_found()
        record = await self._store.appointment(who.practice, found.appointment)
        mine = (found.account, found.device) == (who.account, who.device)
        if record is not None and who.role in HOST_ROLES and await self._is_on(who, record):
            return _opened(record)
        if record is None or not (mine or found.device is None):
            raise not_found()
        if not mine:
            if found.passcode:
                await self._check_passcode(found, asked.passcode)
            bound = await self._store.bind_room_link(
                who.practice, link, who.account, who.device, give_back=bool(found.passcode)
            )
            if not bound:
                raise not_found()
        return _opened(record)

    async def _is_on(self, who: Principal, record: AppointmentRecord) -> bool:
        """Whether somebody is on the appointment, and still in its conversation."""
        return who.account in record.within(await self._store.conversation(who.practice, record.conv)).members

    async def _check_passcode(self, found: RoomLinkRecord, passcode: str) -> None:
        """Counts the try first, so that many at the same time are no more than five. Raises Rejected(NOT_FOUND)."""
        if not await self._store.spend_try(found.practice, found.link, PASSCODE_TRIES):
            raise not_found()
        async with self._hashing:
            right = await asyncio.to_thread(_matches, found.passcode, passcode.encode())
        if not right:
            raise not_found()

    async def _hashed(self, passcode: str) -> bytes:
        async with self._hashing:
            return await asyncio.to_thread(pwhash.argon2id.str, passcode.encode(), _OPS, _MEMORY)


def _matches(hashed: bytes, passcode: bytes) -> bool:
    try:
        return bool(pwhash.argon2id.verify(hashed, passcode))
    except InvalidkeyError:
        return False


def _opened(record: AppointmentRecord) -> RoomLinkOpened:
    return RoomLinkOpened(record.id, record.start_ms, record.minutes)
