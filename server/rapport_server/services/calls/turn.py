"""Credentials of the relay (TURN), for people in a call and for the test before an appointment.

The relay checks them when an address is allocated, by a secret that it shares with this server (coturn, REST API).
Source: docs/protocol.md, chapter 21.
"""

import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from msgspec import Struct

from rapport_protocol.calls.arbiter import CallPhase, CallRecord, Party, expired, party
from rapport_protocol.calls.relay import opaque_name
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AppointmentId, MessageId
from rapport_protocol.meeting import TurnCredentials, TurnWanted
from rapport_protocol.requests import Role
from rapport_server.calling import Calls
from rapport_server.membership_chains import not_found
from rapport_server.ports import AccountDirectory, Clock, ConversationDirectory
from rapport_server.rates import Rates
from rapport_server.records import Principal

__all__ = ["TEST_S", "Relay", "Turn", "TurnStore"]

TEST_S: Final = 60
"""Life of credentials for the test before an appointment, seconds."""
MayTest = Callable[[Principal, AppointmentId], Awaitable[None]]
"""Whether somebody may test their devices for an appointment now. Raises Rejected(NOT_FOUND)."""


class TurnStore(Calls, AccountDirectory, ConversationDirectory, Protocol):
    """What credentials need of the store."""


class Relay(Struct, frozen=True):
    """The practice's relay. urls: of RFC 7065, none = there is none; life_s: of credentials, seconds."""

    urls: tuple[str, ...] = ()
    secret: bytes = b""
    life_s: int = 600
    relay_only: bool = True

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Relay({len(self.urls)})"


class Turn:
    """Gives credentials to whoever may have them now; everybody else is answered alike, `not_found`."""

    def __init__(self, store: TurnStore, clock: Clock, rates: Rates, relay: Relay, may_test: MayTest) -> None:
        self._store = store
        self._clock = clock
        self._rates = rates
        self._relay = relay
        self._may_test = may_test
        self.given = 0
        """Credentials since the start."""

    async def credentials(self, who: Principal, wanted: TurnWanted) -> TurnCredentials:
        """See chapter 21.

        Raises Rejected: BAD_FORMAT unless exactly one thing is named, NOT_FOUND to everybody who may not, RATE_LIMITED
        for another test within two minutes.
        """
        if (wanted.call is None) is (wanted.appointment is None):
            raise Rejected(ErrorCode.BAD_FORMAT, "either a call or an appointment")
        if wanted.call is not None:
            await self._require_call(who, wanted.call)
            return await self._made(who, wanted.call, self._relay.life_s)
        about = AppointmentId(wanted.appointment or b"")
        await self._may_test(who, about)
        wait_ms = self._rates.allow("turn_test", who.practice + who.account)
        if wait_ms:
            raise Rejected(ErrorCode.RATE_LIMITED, "the devices were just tested", wait_ms)
        return await self._made(who, about, TEST_S)

    async def _require_call(self, who: Principal, name: MessageId) -> None:
        """Raises Rejected(NOT_FOUND) unless the device may send media in this call now."""
        call = await self._store.call(who.practice, name)
        if call is None or not _may_relay(expired(call, self._clock.now_ms()), who):
            raise not_found()
        conversation = await self._store.conversation(who.practice, call.conv)
        if conversation is None or who.account not in conversation.members:
            raise not_found()

    async def _made(self, who: Principal, about: bytes, life_s: int) -> TurnCredentials:
        relay = self._relay
        until_s = self._clock.now_ms() // 1000 + life_s
        name = f"{until_s}:{opaque_name(await self._store.server_seed(), who.practice, who.account, about)}"
        credential = base64.b64encode(hmac.digest(relay.secret, name.encode(), "sha1")).decode() if relay.urls else ""
        self.given += 1
        return TurnCredentials(
            list(relay.urls), name if relay.urls else "", credential, until_s * 1000, relay.relay_only
        )


def _may_relay(call: CallRecord, who: Principal) -> bool:
    """The devices in a call that lives; while it rings the callee's, and a therapist's or owner's that calls."""
    speaker = party(call, who.account, who.device)
    if not call.is_live or speaker not in (Party.CALLER, Party.CALLEE):
        return False
    return speaker is Party.CALLEE or who.role is not Role.CLIENT or call.phase is not CallPhase.RINGING
