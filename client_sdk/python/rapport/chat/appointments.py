"""Commands about appointments: `/appointments`, `/plan`, `/move`, `/cancel`, `/late`."""

import asyncio
import re
from datetime import tzinfo
from pathlib import Path
from typing import Final

import rapport
from rapport.chat.appointment_words import appointment_line, warning_words, when, with_whom
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.moments import instant_of, machine_zone, now, zone_of
from rapport.meeting import Appointment
from rapport_protocol.meeting import MINUTES_LEAST, MINUTES_MOST, SERIES_MOST, Modality, Outcome

__all__ = ["APPOINTMENTS", "appointment_named", "read_move", "to_come"]

_DAY_MS: Final = 86_400_000
_PLAN_HOW: Final = (
    "/plan 2026-12-01 15:00 50 video, then perhaps: weekly 8, and a title. Also: /plan Tue 15:00 50 phone. "
    "Ways to meet: video, audio, chat, phone, in_person."
)
_MOVE_HOW: Final = (
    "/move [N] 2026-12-08 15:00 [minutes]: another time for an appointment of yours; N as in /appointments."
)
_TIME: Final = r"(?P<when>(?:\S+\s+)?\d{1,2}:\d{2})"
_PLAN: Final = re.compile(
    _TIME + r"\s+(?P<minutes>\d{1,6})\s+(?P<modality>[a-z_]+)(?:\s+weekly\s+(?P<weekly>\d{1,3}))?(?:\s+(?P<title>.+))?$"
)
_MOVE: Final = re.compile(_TIME + r"(?:\s+(?P<minutes>\d{1,4}))?$")
_NUMBERED: Final = re.compile(r"(?P<number>\d{1,3})(?:\s+(?P<rest>.*))?$")


def _zone(face: Face) -> str:
    """The zone in which times are typed: that of our hours, else this machine's."""
    hours = face.client.office.mine.hours
    return hours.zone if hours is not None else machine_zone()


def to_come(client: rapport.Client, now_ms: int) -> list[Appointment]:
    """Appointments that are not over, and those of the last day; their places in the list are the numbers."""
    return client.appointments.list(now_ms - _DAY_MS)


def appointment_named(face: Face, rest: str, *, mine: bool = False) -> tuple[Appointment, str]:
    """The appointment of a leading number, else the next one with the people of the open conversation; and the rest.

    mine: that we are the host of. Misuse when there is none.
    """
    now_ms, numbered = now(), _NUMBERED.match(rest)
    shown = to_come(face.client, now_ms)
    if numbered is not None and 1 <= int(numbered["number"]) <= len(shown):
        return shown[int(numbered["number"]) - 1], (numbered["rest"] or "").strip()
    here = face.here().id
    for each in shown:
        if each.conversation == here and each.end_ms > now_ms and not each.cancelled and (each.mine or not mine):
            return each, rest
    raise Misuse("There is no such appointment; /appointments lists them with their numbers.")


# --- looking ----------------------------------------------------------------------------------------------------------


async def _appointments(face: Face, rest: str) -> None:
    word, _, more = rest.partition(" ")
    if word in _DEEDS:
        await _DEEDS[word](face, more.strip())
        return
    if rest:
        raise Misuse("/appointments, or: /appointments feed, feed off, file N NAME.ics, outcome N completed 50.")
    now_ms = now()
    lines = [
        f"{number}  {appointment_line(each, face.client.account, face.names, now_ms)}"
        for number, each in enumerate(to_come(face.client, now_ms), 1)
    ]
    empty = "There is no appointment to come."
    if face.client.role is not rapport.Role.CLIENT:
        empty += " /plan makes one in the open conversation."
    face.sheet("Appointments", "\n".join(lines) or empty)


async def _feed(face: Face, rest: str) -> None:
    if rest == "off":
        await face.client.appointments.end_feed()
        face.tell("The address leads nowhere any more.")
        return
    url = await face.client.appointments.feed()
    face.sheet(
        "Calendar address",
        f"{url}\n\nA calendar program shows your appointments from it: times alone, no names. Whoever has the address "
        "sees them. It voids an earlier one; /appointments feed off voids it.",
    )


async def _file(face: Face, rest: str) -> None:
    appointment, name = appointment_named(face, rest)
    if not name:
        raise Misuse("/appointments file N NAME.ics writes one for your calendar.")
    content = await face.client.appointments.calendar(appointment.id)
    try:
        await asyncio.to_thread(Path(name).write_bytes, content)
    except OSError as problem:
        raise Misuse(f"The file could not be written: {problem.strerror}.") from None
    face.tell("Written. It says when, and nothing else.")


async def _outcome(face: Face, rest: str) -> None:
    appointment, said = appointment_named(face, rest)
    word, _, minutes = said.partition(" ")
    if word not in {Outcome.COMPLETED, Outcome.NO_SHOW} or (minutes and not minutes.strip().isdecimal()):
        raise Misuse("/appointments outcome N completed 50, or: /appointments outcome N no_show.")
    changed = await face.client.appointments.set_outcome(appointment.id, Outcome(word), int(minutes or 0))
    face.tell(appointment_line(changed, face.client.account, face.names, now()))


_DEEDS: Final = {"feed": _feed, "file": _file, "outcome": _outcome}


# --- planning ---------------------------------------------------------------------------------------------------------


def _instant(text: str, face: Face) -> int | None:
    zone: tzinfo | None = zone_of(_zone(face))
    return instant_of(text, now(), zone)


async def _plan(face: Face, rest: str) -> None:
    if face.client.role is rapport.Role.CLIENT:
        raise Misuse("Therapists plan appointments. /slot says that you would like one.")
    found = _PLAN.match(rest)
    if found is None or found["modality"] not in set(Modality):
        raise Misuse(_PLAN_HOW)
    minutes, weekly = int(found["minutes"]), int(found["weekly"] or 1)
    start_ms = _instant(found["when"], face)
    if start_ms is None:
        raise Misuse("That is not a time to come. " + _PLAN_HOW)
    if not MINUTES_LEAST <= minutes <= MINUTES_MOST or not 1 <= weekly <= SERIES_MOST:
        raise Misuse(
            f"An appointment has {MINUTES_LEAST} to {MINUTES_MOST} minutes; a series at most {SERIES_MOST} weeks."
        )
    warned = warning_words(face.client.appointments.warnings(start_ms, minutes), now(), _zone(face))
    planned = await face.client.appointments.plan(
        face.here(), start_ms, minutes, Modality(found["modality"]),
        title=(found["title"] or "").strip(), weekly=weekly, zone=_zone(face),
    )  # fmt: skip
    first = planned[0]
    several = f", and {len(planned) - 1} more weeks" if len(planned) > 1 else ""
    whom = with_whom(first, face.client.account, face.names)
    face.tell(f"Planned with {whom}: {when(first.start_ms, now(), first.zone)}{several}. {warned}".strip())


def read_move(rest: str) -> tuple[str, str, int | None]:
    """What stands behind `/move`: a number or "", a time, and minutes if there are any. Misuse."""
    numbered = _NUMBERED.match(rest)
    behind = (numbered["rest"] or "") if numbered is not None else ""
    number, typed = (numbered["number"], behind) if numbered and _MOVE.match(behind) else ("", rest)
    found = _MOVE.match(typed)
    if found is None:
        raise Misuse(_MOVE_HOW)
    return number, found["when"], int(found["minutes"]) if found["minutes"] else None


async def _move(face: Face, rest: str) -> None:
    number, typed, minutes = read_move(rest)
    appointment, _ = appointment_named(face, number, mine=True)
    start_ms = instant_of(typed, now(), zone_of(appointment.zone))
    if start_ms is None:
        raise Misuse(_MOVE_HOW)
    minutes = minutes or appointment.minutes
    warned = warning_words(
        face.client.appointments.warnings(start_ms, minutes, appointment.id), now(), appointment.zone
    )
    moved = await face.client.appointments.move(appointment.id, start_ms, minutes)
    face.tell(f"Moved to {when(moved.start_ms, now(), moved.zone)}. {warned}".strip())


async def _cancel(face: Face, rest: str) -> None:
    appointment, words = appointment_named(face, rest, mine=True)
    answer = await face.ask(
        f"Cancel the appointment of {when(appointment.start_ms, now(), appointment.zone)} "
        f"with {with_whom(appointment, face.client.account, face.names)}? Type yes."
    )
    if answer.casefold() != "yes":
        raise Misuse("Nothing was changed.")
    await face.client.appointments.cancel(appointment.id, words)
    face.tell("Cancelled, and told to everybody on it.")


async def _late(face: Face, rest: str) -> None:
    found = re.match(r"(?P<minutes>\d{1,3})(?:\s+(?P<words>.+))?$", rest)
    if found is None:
        raise Misuse("/late 10 [words] says that you begin ten minutes later; /late 0 takes it back.")
    appointment, _ = appointment_named(face, "", mine=True)
    minutes = int(found["minutes"])
    await face.client.appointments.late(appointment.id, minutes, (found["words"] or "").strip())
    face.tell("Told." if minutes else "Told: you begin in time.")


APPOINTMENTS: Final = (
    Command("appointments", "/appointments", "what is to come; also: feed, file, outcome", _appointments),
    Command("plan", "/plan Tue 15:00 50 video", "a therapist: an appointment with the people here", _plan),
    Command("move", "/move [N] Wed 15:00", "another time for an appointment of yours", _move),
    Command("cancel", "/cancel [N] [words]", "an appointment of yours does not take place", _cancel),
    Command("late", "/late 10 [words]", "you begin that many minutes later", _late),
)
