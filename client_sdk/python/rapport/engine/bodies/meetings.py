"""What bodies say about meeting: calls, appointments, words at the door of a waiting room.

    call.offer       {media, description or nil, appointment or nil}   a bubble with the ring flag; its id is the call's
    call.description {call, kind, sdp, restart}      direct, with a step of the call
    call.accepted    {call}                          control; an own device has answered
    call.declined    {call, busy}                    control; an own device has refused
    call.summary     {call, began, ended, reason}    control; how long it was, by a device that was in it
    call.mode        {call, mode, why}               direct; the sender's side now shows video, audio or text alone
    ice              {call, candidates, last}        signal; all candidates of the sender so far
    appointment      {...}                           a bubble; an appointment or a series was made, moved or cancelled
    appointment.late {appointment, minutes, words}   control, host; it begins so much later
    room.words       {appointment, act, words}       control, host; what goes with declining or sending back

Source: docs/protocol.md, chapters 20, 22 and 23.
"""

from typing import Annotated, Final

from msgspec import Meta, Struct

from rapport.engine.vault.unshown import Unshown
from rapport.ports import Description
from rapport_protocol.ids import AppointmentId, MessageId
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.meeting import SERIES_MOST

__all__ = [
    "APPOINTMENT_NOTE_BYTES",
    "APPOINTMENT_TITLE_BYTES",
    "WORDS_BYTES",
    "AppointmentContent",
    "AppointmentLate",
    "CallAccepted",
    "CallDeclined",
    "CallDescription",
    "CallMode",
    "CallOffer",
    "CallSummary",
    "Description",
    "Occurrence",
    "RoomWords",
]

APPOINTMENT_TITLE_BYTES: Final = 200
"""Longest title of an appointment, bytes of UTF-8."""
APPOINTMENT_NOTE_BYTES: Final = 2_000
"""Longest note to an appointment, bytes of UTF-8."""
WORDS_BYTES: Final = 500
"""Longest words at a door, bytes of UTF-8."""

_Id = Annotated[MessageId, Meta(min_length=16, max_length=16)]
_Appointment = Annotated[AppointmentId, Meta(min_length=16, max_length=16)]
_Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_Words = Annotated[str, Meta(max_length=WORDS_BYTES)]
_Media = Annotated[str, Meta(pattern=r"^(audio|video)\Z")]


class CallOffer(Unshown, frozen=True):
    """We call. media: `video` or `audio`. description: nil when the other side is to describe first (20.3).

    appointment: the one that somebody is admitted to by this call.
    """

    media: _Media
    description: Description | None = None
    appointment: _Appointment | None = None


class CallDescription(Unshown, frozen=True):
    """What our side of the connection is. restart: after a change of networks, with the same fingerprint."""

    call: _Id
    description: Description
    restart: bool = False


class CallAccepted(Struct, frozen=True):
    """This device has answered the call."""

    call: _Id


class CallDeclined(Struct, frozen=True):
    """This device has refused the call. busy: it was in another one."""

    call: _Id
    busy: bool = False


class CallSummary(Struct, frozen=True):
    """An answered call is over. began, ended: milliseconds; reason: an `EndReason`."""

    call: _Id
    began: _Uint
    ended: _Uint
    reason: Annotated[str, Meta(max_length=16)]


class CallMode(Struct, frozen=True):
    """What the sender's side sends from now on: `video`, `audio` or `text`; why: `network` or `person`."""

    call: _Id
    mode: Annotated[str, Meta(pattern=r"^(video|audio|text)\Z")]
    why: Annotated[str, Meta(pattern=r"^(network|person)\Z")]


class Occurrence(Struct, frozen=True, array_like=True):
    """One appointment of a series."""

    appointment: _Appointment
    start: _Uint


class AppointmentContent(Unshown, frozen=True):
    """Appointments as their host has agreed them, whole: the truth for people. The server's row is held against it.

    occurrences: one, or those of a series. version, minutes, modality, zone: as in `AppointmentTimes`, of all of them.
    moved_from: the start before this move, 0 = none.
    """

    occurrences: Annotated[tuple[Occurrence, ...], Meta(min_length=1, max_length=SERIES_MOST)]
    version: _Uint
    minutes: _Uint
    modality: Annotated[str, Meta(max_length=16)]
    zone: Annotated[str, Meta(max_length=64)]
    title: Annotated[str, Meta(max_length=APPOINTMENT_TITLE_BYTES)] = ""
    note: Annotated[str, Meta(max_length=APPOINTMENT_NOTE_BYTES)] = ""
    series: _Appointment | None = None
    moved_from: _Uint = 0
    cancelled: bool = False


class AppointmentLate(Unshown, frozen=True):
    """The host begins so many minutes later, and says so in their own words; 0 = not late (any more)."""

    appointment: _Appointment
    minutes: Annotated[int, Meta(ge=0, le=120)]
    words: _Words = ""


class RoomWords(Unshown, frozen=True):
    """What the host says to somebody whom they decline, send back or remove. act: which of these."""

    appointment: _Appointment
    act: Annotated[str, Meta(max_length=16)]
    words: _Words
