"""The notice `appointment_reminder`, which the server makes before an appointment begins.

    about = appointment16 ‖ minutes u16 ‖ start u64        26 B

Source: docs/protocol.md, chapter 22.
"""

from typing import Final, Self

from msgspec import Struct

from rapport_protocol.ids import AppointmentId
from rapport_protocol.signed import Reader, exact, u16, u64

__all__ = ["REMINDERS", "Reminder"]

REMINDERS: Final = (1_440, 10)
"""When people are reminded, minutes before the start."""


class Reminder(Struct, frozen=True):
    """An appointment begins in so many minutes. start_ms: by the server's row; what is shown is the sealed one."""

    appointment: AppointmentId
    minutes: int
    start_ms: int

    def encode(self) -> bytes:
        """The 26 bytes."""
        return exact(self.appointment, 16) + u16(self.minutes) + u64(self.start_ms)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Reads 26 bytes. FormatError."""
        read = Reader(source, "reminder")
        appointment, minutes, start_ms = AppointmentId(read.take(16)), read.u16(), read.u64()
        read.end()
        return cls(appointment, minutes, start_ms)
