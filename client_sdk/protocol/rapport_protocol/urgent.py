"""What the server reports of an urgent message: how far up the ladder it has come. The server's word, never proof.

    about of a notice `urgent`        = msg16 ‖ rung u8 ‖ at_ms u64 ‖ next_ms u64                      33 B
    about of a notice `urgent_cover`  = msg16 ‖ client acct16 ‖ therapist acct16 ‖ at_ms u64           56 B

That a person has seen it is said by the sealed `urgent.seen` alone.

Source: docs/protocol.md, chapter 17.
"""

from enum import IntEnum
from typing import Final, Self

from msgspec import Struct

from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.signed import Reader, exact, u64

__all__ = ["AGAIN_MS", "COVER_MS", "END_MS", "RUNNING_MOST", "SILENT_MS", "CoverAsked", "Report", "Rung", "next_after"]

AGAIN_MS: Final = 5 * 60_000
"""After so long without a confirmation the therapist's devices are told once more."""
COVER_MS: Final = 15 * 60_000
"""After so long the colleague who covers is asked."""
END_MS: Final = 30 * 60_000
"""After so long the server has done what it can: it says that nobody has confirmed."""
SILENT_MS: Final = 2 * 60_000
"""A report that is so much overdue does not come: the server is silent."""
RUNNING_MOST: Final = 3
"""Most urgent messages of one client that the server tells of at a time; further ones share the oldest one's rungs."""


class Rung(IntEnum):
    """How far it has come, in this order; one may be skipped."""

    STORED = 0
    """The server has it."""
    TOLD = 1
    """A device of the therapist has taken it, or a push service has."""
    ASKED_AGAIN = 2
    """The therapist's devices were told once more."""
    COVER_ASKED = 3
    """The colleague who covers was told."""
    NO_COVER = 4
    """There is no colleague who could be asked."""
    ENDED = 5
    """Nobody has confirmed it, and nothing more follows."""
    CONFIRMED = 6
    """Somebody has told the server that a person has seen it; nothing more follows. Shown only if sealed as well."""


class Report(Struct, frozen=True):
    """An urgent message has come to a rung. at_ms: when; next_ms: when the next one follows, 0 = none does."""

    message: MessageId
    rung: Rung
    at_ms: int
    next_ms: int

    def encode(self) -> bytes:
        """The 33 bytes."""
        return exact(self.message, 16) + bytes((self.rung,)) + u64(self.at_ms) + u64(self.next_ms)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Reads 33 bytes. FormatError, also for a rung that is not known."""
        read = Reader(source, "urgent report")
        message, rung, at_ms, next_ms = MessageId(read.take(16)), read.u8(), read.u64(), read.u64()
        read.end()
        if rung > max(Rung):
            raise FormatError("urgent report: rung")
        return cls(message, Rung(rung), at_ms, next_ms)


class CoverAsked(Struct, frozen=True):
    """The reader is asked for an urgent message that `client` wrote to `therapist`, and cannot read it."""

    message: MessageId
    client: AccountId
    therapist: AccountId
    at_ms: int

    def encode(self) -> bytes:
        """The 56 bytes."""
        return exact(self.message, 16) + exact(self.client, 16) + exact(self.therapist, 16) + u64(self.at_ms)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Reads 56 bytes. FormatError."""
        read = Reader(source, "cover asked")
        asked = cls(MessageId(read.take(16)), AccountId(read.take(16)), AccountId(read.take(16)), read.u64())
        read.end()
        return asked


def next_after(rung: Rung, accepted_ms: int, rung_ms: int) -> int:
    """When a rung follows this one, which began at rung_ms; 0 = none does. May be past: then it follows at once.

    The end alone waits its time after the colleague was asked, however late that was.
    """
    if rung in (Rung.STORED, Rung.TOLD):
        return accepted_ms + AGAIN_MS
    if rung is Rung.ASKED_AGAIN:
        return accepted_ms + COVER_MS
    if rung in (Rung.COVER_ASKED, Rung.NO_COVER):
        return max(accepted_ms + COVER_MS, rung_ms) + END_MS - COVER_MS
    return 0
