"""After a restore: rows of appointments that the server lacks are put again by devices of their host, telling nobody.

A row goes up by one version at a time, so it is put until it has the version of the sealed post. Several devices may do
that at once: a conflict only says that another one was faster.

Source: docs/protocol.md, chapter 22 and section 12.9.
"""

from rapport.engine.appointments.appointment_rows import take_views
from rapport.engine.appointments.appointments import APPOINTMENTS, AppointmentRow, marked, rows_wanted
from rapport.engine.conversations import accounts_of
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Call, Turn
from rapport.engine.vault.upkeep import in_grace
from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import AppointmentId
from rapport_protocol.meeting import Appointments, AppointmentTimes, PutAppointments

__all__ = ["again_answered", "again_call", "again_refused", "bring_back"]


def bring_back(turn: Turn) -> None:
    """The server has just shown its rows: those of ours that a restored server lacks are put again."""
    if not in_grace(turn):
        return
    for conv, _ in list(CONVERSATIONS.list(turn.tx)):
        for key, row in list(APPOINTMENTS.list(turn.tx, conv, above=turn.now_ms)):
            if _lacks(turn, AppointmentId(key), row):
                errands.plan(turn, ErrandKind.APPOINTMENT_AGAIN, key)


def _held(row: AppointmentRow) -> int:
    """The version that the server has, 0 = none."""
    return row.said.times.version if row.said is not None else 0


def _lacks(turn: Turn, appointment: AppointmentId, row: AppointmentRow) -> bool:
    """One that is cancelled and unknown there matters to nobody."""
    ours = row.host == turn.me.account and row.start_ms > turn.now_ms and not marked(turn, appointment)
    return ours and _held(row) < row.version and (row.said is not None or not row.cancelled)


def again_call(turn: Turn, errand: Errand) -> Call | None:
    """Asks for the next version of a row, with what was sealed last."""
    appointment = AppointmentId(errand.subject)
    row = APPOINTMENTS.get(turn.tx, appointment)
    conversation = CONVERSATIONS.get(turn.tx, row.conv) if row is not None else None
    if row is None or conversation is None or not _lacks(turn, appointment, row):
        errands.drop(turn, errand.kind, errand.subject)
        return None
    times = AppointmentTimes(
        appointment, row.conv, _held(row) + 1, row.start_ms, row.minutes, row.modality, row.zone,
        b"".join(sorted(accounts_of(turn, conversation))), row.series, row.moved_from_ms, row.cancelled,
    )  # fmt: skip
    return Call(errand.key, "appointment.put", PutAppointments([times]))


def again_answered(turn: Turn, errand: Errand, answer: Appointments) -> None:
    """The row is one version further; the next one follows if it is not there yet."""
    errands.drop(turn, errand.kind, errand.subject)
    take_views(turn, answer.appointments)
    row = APPOINTMENTS.get(turn.tx, errand.subject)
    if row is not None and _lacks(turn, AppointmentId(errand.subject), row):
        errands.plan(turn, ErrandKind.APPOINTMENT_AGAIN, errand.subject)


def again_refused(turn: Turn, errand: Errand, refusal: Rejected) -> None:
    """Somebody was faster; or the conversation itself is not back yet, and it is tried again later."""
    if refusal.code is ErrorCode.CONFLICT:
        errands.drop(turn, errand.kind, errand.subject)
        rows_wanted(turn)
    else:
        errands.postpone(turn, errand)
