"""An `appointment` as it stands in its conversation: kept with its message, shown as what was done."""

import msgspec

from rapport.engine.bodies.content import as_map
from rapport.engine.bodies.meetings import AppointmentContent
from rapport.meeting import AppointmentSaid

__all__ = ["content_bytes", "parse_said", "said_of"]


def content_bytes(content: AppointmentContent) -> bytes:
    """The content as it is kept with its message."""
    return msgspec.msgpack.encode(as_map(content))


def parse_said(said: bytes) -> AppointmentSaid | None:
    """What a kept message says; None if it is of another version of this program."""
    try:
        return said_of(msgspec.msgpack.decode(said, type=AppointmentContent))
    except msgspec.DecodeError:
        return None


def said_of(content: AppointmentContent) -> AppointmentSaid:
    """What an `appointment` says, for the conversation."""
    act = "cancelled" if content.cancelled else "moved" if content.version > 1 else "made"
    first = content.occurrences[0]
    return AppointmentSaid(
        act, first.appointment, first.start, len(content.occurrences), content.minutes, content.modality, content.zone,
        content.title, content.note, content.moved_from,
    )  # fmt: skip
