"""The notice `call_missed`, which the server makes when a call has ended and nobody had answered it.

    about = call16 ‖ caller acct16 ‖ reason u8 ‖ at u64        41 B        reason: 1 missed, 2 cancelled, 3 busy

Source: docs/protocol.md, section 20.1.
"""

from typing import Final, Self

from msgspec import Struct

from rapport_protocol.calls.arbiter import EndReason
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.signed import Reader, exact, u64

__all__ = ["CallMissed"]

_REASONS: Final = {1: EndReason.MISSED, 2: EndReason.CANCELLED, 3: EndReason.BUSY}
_NUMBERS: Final = {reason: number for number, reason in _REASONS.items()}


class CallMissed(Struct, frozen=True):
    """Nobody has answered a call. at_ms: when it ended."""

    call: MessageId
    caller: AccountId
    reason: EndReason
    at_ms: int

    def encode(self) -> bytes:
        """The 41 bytes. ValueError for a reason that is no miss."""
        if self.reason not in _NUMBERS:
            raise ValueError("reason")
        number = bytes((_NUMBERS[self.reason],))
        return exact(self.call, 16) + exact(self.caller, 16) + number + u64(self.at_ms)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Reads 41 bytes. FormatError, also for a reason that is not known."""
        read = Reader(source, "missed call")
        call, caller, number, at_ms = MessageId(read.take(16)), AccountId(read.take(16)), read.u8(), read.u64()
        read.end()
        reason = _REASONS.get(number)
        if reason is None:
            raise FormatError("missed call: reason")
        return cls(call, caller, reason, at_ms)
