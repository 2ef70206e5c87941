"""The door and the clock in words: whether somebody is there, and by when they answer. Pure.

Every sentence follows from signed hours and the time, or says that it does not.
"""

from datetime import tzinfo
from typing import Final

from rapport.agreements import AutomaticAnswer, OfficeShown, Promised, Waiting
from rapport.chat.moments import date_words, in_zone, moment, wall, zone_of
from rapport_protocol.office.status import OfficeState, OfficeStatus

__all__ = ["automatic_words", "composer_words", "door_words", "missed_words", "promise_words", "waiting_words"]

UNCONFIRMED: Final = "Hours not confirmed"
_HELP_NOW: Final = "If it can't wait, /crisis has numbers that answer at once."


def door_words(shown: OfficeShown, now_ms: int, reader: tzinfo | None = None) -> str:
    """Open until 17:00, Closed — opens Mon 09:00, On leave until 4 January; in both zones where they differ."""
    if not shown.confirmed or shown.state is None or shown.hours is None:
        return UNCONFIRMED
    state, zone = shown.state, shown.hours.zone
    match state.status:
        case OfficeStatus.CLOSED:
            opens = state.next_open_ms
            return "Closed" if opens is None else f"Closed — opens {in_zone(opens, now_ms, zone, reader)}"
        case OfficeStatus.ON_LEAVE:
            return f"On leave{_last_day(state, now_ms, zone)}"
        case _:
            until = "" if state.until_ms is None else f" until {in_zone(state.until_ms, now_ms, zone, reader)}"
            return f"{_HERE[state.status]}{until}"


_HERE: Final = {
    OfficeStatus.OPEN: "Open",
    OfficeStatus.IN_SESSION: "In an appointment",
    OfficeStatus.AWAY: "Away",
}


def _last_day(state: OfficeState, now_ms: int, zone: str) -> str:
    """The last day of a leave, which ends with that day in the therapist's zone."""
    theirs = zone_of(zone)
    if state.until_ms is None or theirs is None:
        return ""
    last, today = (wall(at_ms, theirs).date() for at_ms in (state.until_ms - 1, now_ms))
    return f" until {date_words(last, today)}"


def promise_words(name: str, due_ms: int, now_ms: int, zone: str, reader: tzinfo | None = None) -> str:
    """Dana will answer by Tue 15:00."""
    return f"{name} will answer by {in_zone(due_ms, now_ms, zone, reader)}"


def composer_words(
    shown: OfficeShown, promised: Promised | None, name: str, by: str, now_ms: int, reader: tzinfo | None = None
) -> str:
    """What stands where a client writes: the door if it is not open, and the promise. by: who answers, by name.

    "" when nothing is promised and the door is open; that hours are not confirmed is said once, without a promise.
    """
    if not shown.confirmed or shown.state is None or shown.hours is None:
        return f"{UNCONFIRMED}: nobody can say by when {name} answers." if shown.version else ""
    door = {
        OfficeStatus.OPEN: "",
        OfficeStatus.IN_SESSION: "In an appointment.",
        OfficeStatus.AWAY: "Away.",
        OfficeStatus.CLOSED: "Closed now.",
        OfficeStatus.ON_LEAVE: f"On leave{_last_day(shown.state, now_ms, shown.hours.zone)}.",
    }[shown.state.status]
    if promised is not None and promised.by != shown.account:
        due = in_zone(promised.due_ms, now_ms, shown.hours.zone, reader)
        return f"{door} A message to {by} will be answered by {due}"
    if promised is not None:
        return f"{door} {promise_words(by, promised.due_ms, now_ms, shown.hours.zone, reader)}".strip()
    opens = shown.state.next_open_ms
    if shown.state.status is OfficeStatus.OPEN or opens is None:
        return door
    return f"{door} Opens {in_zone(opens, now_ms, shown.hours.zone, reader)}."


def missed_words(name: str, waiting: Waiting, now_ms: int, reader: tzinfo | None = None) -> str:
    """To the client: what did not happen, and what can be done."""
    if waiting.due_ms is None:
        return ""
    done = "You have asked for an appointment." if waiting.slot_wanted else "/slot asks for an appointment instead."
    was = "as promised" if not waiting.extended else "as said when more time was needed"
    return f"{name} has not answered by {moment(waiting.due_ms, now_ms, reader)} {was}. {done} {_HELP_NOW}"


def waiting_words(waiting: Waiting, now_ms: int, reader: tzinfo | None = None) -> str:
    """To the therapist: since when, by when, what else."""
    notes = [f"since {moment(waiting.since_ms, now_ms, reader)}"]
    if waiting.due_ms is not None:
        due = moment(waiting.due_ms, now_ms, reader)
        notes.append(f"was due {due}" if waiting.missed else f"by {due}")
    else:
        notes.append("nothing promised")
    notes += ["more time asked for"] if waiting.extended else []
    notes += ["would rather have an appointment"] if waiting.slot_wanted else []
    notes += ["urgent"] if waiting.urgent else []
    return ", ".join(notes)


def automatic_words(name: str, answer: AutomaticAnswer, zone: str, reader: tzinfo | None = None) -> str:
    """What the client is shown in the therapist's name, marked as what it is."""
    door = {
        OfficeStatus.OPEN: "The office is open",
        OfficeStatus.IN_SESSION: f"{name} is in an appointment",
        OfficeStatus.AWAY: f"{name} is away",
        OfficeStatus.CLOSED: "The office is closed",
        OfficeStatus.ON_LEAVE: f"{name} is on leave",
    }[answer.state.status]
    sentences = [door]
    if answer.next_open_ms is not None:
        sentences[0] += f" and opens {in_zone(answer.next_open_ms, answer.at_ms, zone, reader)}"
    if answer.due_ms is not None:
        sentences.append(promise_words(name, answer.due_ms, answer.at_ms, zone, reader))
    return f"Automatic: {'. '.join(sentences)}."
