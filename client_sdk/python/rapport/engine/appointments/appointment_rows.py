"""What the server says of appointments: its rows, its notices, and that a reminder has reached this device.

    notice appointment, a sealed post, an answer      ─> the rows are asked for, page by page
    notice appointment_reminder                       ─> the person is reminded; the server is told that it has come

Source: docs/protocol.md, chapter 22.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from rapport.engine.appointments.appointments import (
    APPOINTMENTS,
    ASKING,
    LOOKED_AHEAD_MS,
    LOOKED_BACK_MS,
    Asking,
    note_said,
    rows_wanted,
)
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Call, Turn
from rapport.meeting import AppointmentReminder
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import ID_BYTES, AppointmentId
from rapport_protocol.meeting import APPOINTMENT_PAGE, Appointments, AppointmentView, Reached
from rapport_protocol.messages import Notice, NoticeKind
from rapport_protocol.reminders import REMINDERS, Reminder
from rapport_protocol.signed import u16

__all__ = ["reached_call", "reached_told", "rows_answered", "rows_call", "take_notice", "take_views"]


def rows_call(turn: Turn, errand: Errand) -> Call:
    """Asks for the next page."""
    asking = ASKING.get(turn.tx, b"") or Asking()
    if not asking.from_ms:
        asking = Asking(asking.wanted, asking.wanted, max(turn.now_ms - LOOKED_BACK_MS, 1))
    ASKING.put(turn.tx, b"", asking)
    query = {"from": asking.from_ms, "to": turn.now_ms + LOOKED_AHEAD_MS}
    return Call(errand.key, "appointment.list", query=query)


def rows_answered(turn: Turn, errand: Errand, call: Call, answer: Appointments) -> None:
    """A page has come. What it should hold and does not is missing there."""
    views = answer.appointments[:APPOINTMENT_PAGE]
    since_ms, until_ms = call.query["from"], call.query["to"]
    last_ms = max((view.times.start_ms for view in views), default=0)
    more = len(views) == APPOINTMENT_PAGE and last_ms > since_ms
    asking = ASKING.get(turn.tx, b"") or Asking()
    missed_ms = _miss(turn, {view.times.appointment for view in views}, since_ms, last_ms if more else until_ms)
    again_ms = _sooner(asking.again_ms, take_views(turn, views), missed_ms)
    errands.drop(turn, errand.kind, errand.subject)
    if more:
        ASKING.put(turn.tx, b"", replace(asking, from_ms=last_ms, again_ms=again_ms))
        errands.plan(turn, ErrandKind.APPOINTMENTS)
        return
    ASKING.put(turn.tx, b"", Asking(asking.wanted, asking.asked))
    if asking.wanted > asking.asked:
        errands.plan(turn, ErrandKind.APPOINTMENTS)
    elif again_ms:
        errands.plan(turn, ErrandKind.APPOINTMENTS, due_ms=turn.now_ms + again_ms)


def take_views(turn: Turn, views: Iterable[AppointmentView]) -> int:
    """The server shows these rows. Returns after how many milliseconds to look again, 0 = no need."""
    return _sooner(*(note_said(turn, view.times.appointment, view) for view in views))


def _miss(turn: Turn, shown: set[AppointmentId], since_ms: int, until_ms: int) -> int:
    """The same for those that should have been among what was shown, by their sealed start."""
    missing = [
        AppointmentId(key)
        for conv, _ in list(CONVERSATIONS.list(turn.tx))
        for key, _row in APPOINTMENTS.list(turn.tx, conv, above=since_ms - 1, below=until_ms)
        if key not in shown
    ]
    return _sooner(*(note_said(turn, each, None) for each in missing))


def _sooner(*waits_ms: int) -> int:
    return min((wait_ms for wait_ms in waits_ms if wait_ms), default=0)


# --- notices ----------------------------------------------------------------------------------------------------------


def take_notice(turn: Turn, notice: Notice) -> None:
    """A notice `appointment` or `appointment_reminder`. Malformed ones, and those about unknown ids, are ignored."""
    if notice.kind == NoticeKind.APPOINTMENT:
        if len(notice.about) == ID_BYTES:
            rows_wanted(turn)
        return
    try:
        reminder = Reminder.parse(notice.about)
    except FormatError:
        return
    row = APPOINTMENTS.get(turn.tx, reminder.appointment)
    if row is None or row.cancelled or row.start_ms != reminder.start_ms or row.start_ms <= turn.now_ms:
        return  # of another time than was sealed, or too late
    errands.plan(turn, ErrandKind.APPOINTMENT_REACHED, reminder.appointment + u16(reminder.minutes))
    sooner = [minutes for minutes in REMINDERS if minutes < reminder.minutes]
    if not any(row.start_ms - minutes * 60_000 <= turn.now_ms for minutes in sooner):  # that one comes too
        turn.show(AppointmentReminder(reminder.appointment, reminder.minutes, row.start_ms))


def reached_call(_turn: Turn, errand: Errand) -> Call:
    """Tells the server that this device has taken a reminder."""
    appointment, minutes = errand.subject[:ID_BYTES], int.from_bytes(errand.subject[ID_BYTES:], "big")
    return Call(errand.key, "appointment.reached", Reached(minutes), path={"appointment": appointment})


def reached_told(turn: Turn, errand: Errand) -> None:
    """The server knows, or the appointment is not what it was: nothing is left to be said."""
    errands.drop(turn, errand.kind, errand.subject)
