"""Appointments and doors, in words: as they stand in the conversation, in lists, and when something happens."""

from datetime import datetime, tzinfo
from typing import Final

import rapport
from rapport.chat.moments import DAY_NAMES, city, date_words, wall, zone_of
from rapport.chat.names import Names
from rapport.chat.words import clock
from rapport.events import Message
from rapport.meeting import (
    Admitted,
    Appointment,
    AppointmentRefused,
    AppointmentReminder,
    AppointmentSaid,
    Room,
    RoomChanged,
    RoomPerson,
)
from rapport.terminal import printable
from rapport_protocol.appointments import Closed, Conflict
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AccountId, AppointmentId
from rapport_protocol.meeting import Modality, Outcome, RoomAct
from rapport_protocol.rooms.states import DoorState, PersonState

__all__ = ["DoorTeller", "appointment_body", "appointment_line", "room_lines", "warning_words", "when", "with_whom"]

_HOW: Final = {
    Modality.VIDEO: "by video",
    Modality.AUDIO: "by voice",
    Modality.CHAT: "in writing",
    Modality.PHONE: "on the phone",
    Modality.IN_PERSON: "in person",
}
_ACTS: Final = {"made": "made an appointment", "moved": "moved an appointment", "cancelled": "cancelled an appointment"}
_DOORS: Final = {
    DoorState.CLOSED: "The door is closed",
    DoorState.OPEN_NO_HOST: "The door is open; nobody is in yet",
    DoorState.HOST_PRESENT: "The host is in",
    DoorState.IN_SESSION: "People are in",
    DoorState.GRACE: "It is over; the door is open for a little while",
}
_STATES: Final = {
    PersonState.INVITED: "not there",
    PersonState.CHECKING: "testing devices",
    PersonState.WAITING: "waiting",
    PersonState.DISCONNECTED: "waiting, not connected now",
    PersonState.ADMITTING: "being let in",
    PersonState.IN_ROOM: "in the room",
    PersonState.LEFT: "has left",
    PersonState.DECLINED: "was declined",
    PersonState.GAVE_UP: "has gone",
    PersonState.EXPIRED: "was not heard of any more",
    PersonState.REMOVED: "was removed",
}


def when(at_ms: int, seen_ms: int, zone: str, reader: tzinfo | None = None) -> str:
    """Tue 1 December 15:00, by the reader's clock, and in brackets by that of the zone where it differs.

    seen_ms: the year is named where it is another one than then.
    """
    here, theirs = wall(at_ms, reader), zone_of(zone)
    told = _dated(here, wall(seen_ms, reader))
    if theirs is None or wall(at_ms, theirs).utcoffset() == here.utcoffset():
        return told
    there = wall(at_ms, theirs)
    shown = f"{there:%H:%M}" if there.date() == here.date() else _dated(there, wall(seen_ms, theirs))
    return f"{told} ({shown} in {city(zone)})"


def _dated(then: datetime, seen: datetime) -> str:
    return f"{DAY_NAMES[then.weekday()]} {date_words(then.date(), seen.date())} {then:%H:%M}"


def _how(modality: str) -> str:
    return _HOW.get(Modality(modality), modality) if modality in set(Modality) else "in another way"


# --- in the conversation ----------------------------------------------------------------------------------------------


def appointment_body(message: Message, name: str, *, own: bool) -> str:
    """What a message of kind `appointment` says."""
    said = message.appointment
    if said is None:
        return f"{name} sent something about an appointment that this program cannot show yet."
    who = "You have" if own else f"{name} has"
    lines = [f"{who} {_ACTS.get(said.act, _ACTS['made'])}: {_told(said, message.at_ms)}."]
    if said.moved_from_ms and said.act == "moved":
        lines.append(f"Before, it was {when(said.moved_from_ms, message.at_ms, said.zone)}.")
    lines += [printable(text) for text in (said.title, said.note) if text]
    return "\n".join(lines)


def _told(said: AppointmentSaid, seen_ms: int) -> str:
    several = f", {said.count} times, every week" if said.count > 1 else ""
    return f"{when(said.start_ms, seen_ms, said.zone)}, {said.minutes} minutes, {_how(said.modality)}{several}"


# --- in lists ---------------------------------------------------------------------------------------------------------


def with_whom(appointment: Appointment, own: AccountId, names: Names) -> str:
    """The others of an appointment."""
    return names.list(account for account in sorted(appointment.members) if account != own)


def appointment_line(appointment: Appointment, own: AccountId, names: Names, now_ms: int) -> str:
    """One appointment, with everything that one has to know about it now."""
    first = (
        f"{when(appointment.start_ms, now_ms, appointment.zone)}, {appointment.minutes} minutes, "
        f"{_how(appointment.modality)}, with {with_whom(appointment, own, names)}"
    )
    notes = ["cancelled"] if appointment.cancelled else []
    notes += ["not at the server yet"] if appointment.pending else []
    notes += [f"begins {appointment.late_minutes} minutes later"] if appointment.late_minutes else []
    others = appointment.members - {own}
    if appointment.start_ms > now_ms and others and others <= appointment.reached:
        notes.append("the reminder has reached their device, says the server")
    if appointment.outcome == Outcome.COMPLETED:
        notes.append(f"took place, {appointment.minutes_held} minutes")
    elif appointment.outcome == Outcome.NO_SHOW:
        notes.append("did not take place")
    lines = [first + (f" ({'; '.join(notes)})" if notes else "")]
    lines += [f"   {printable(appointment.title)}"] if appointment.title else []
    lines += [f"   {printable(appointment.late_words)}"] if appointment.late_words else []
    if appointment.differs:
        lines.append(
            "   The server has something else about this appointment. What stands here is what its host sealed."
        )
    return "\n".join(lines)


def warning_words(found: "tuple[Conflict | Closed, ...]", seen_ms: int, zone: str) -> str:
    """What speaks against a time, "" for nothing."""
    said = []
    for each in found:
        if isinstance(each, Conflict):
            said.append(f"You have another appointment then, {when(each.start_ms, seen_ms, zone)}.")
        else:
            said.append("Your office is not open then.")
    return " ".join(dict.fromkeys(said))


def room_lines(room: Room, names: Names) -> list[str]:
    """A room for its host."""
    lines = [f"{_DOORS[room.door]}{', and locked' if room.locked else ''}."]
    for person in room.people:
        since = f" since {clock(person.since_ms)}" if person.since_ms else ""
        strange = "" if person.expected else ", not on this appointment"
        lines.append(f"{names.of(person.account)}: {_STATES[person.state]}{since}{strange}")
    return lines


# --- when something happens -------------------------------------------------------------------------------------------


class DoorTeller:
    """Says once what happens at doors and with appointments. It remembers what it has said of each room last."""

    def __init__(self, client: rapport.Client, names: Names) -> None:
        self._client = client
        self._names = names
        self._said: dict[tuple[AppointmentId, AccountId], str] = {}

    def words(self, event: object, now_ms: int) -> str:
        """A sentence about the event, "" for nothing."""
        match event:
            case AppointmentReminder(appointment, minutes, start_ms):
                return self._reminded(appointment, minutes, start_ms, now_ms)
            case AppointmentRefused(_, _, code):
                why = "another device of yours was faster" if code == ErrorCode.CONFLICT else "it will not have it"
                return f"The server did not take your change of an appointment: {why}. It stands as before."
            case Admitted(_, appointment):
                return f"{self._host(appointment)} lets you in now."
            case RoomChanged(appointment):
                return self._at_the_door(appointment)
            case _:
                return ""

    def _host(self, appointment: AppointmentId) -> str:
        known = self._client.appointments.of(appointment)
        return self._names.of(known.host) if known is not None else "The host"

    def _reminded(self, appointment: AppointmentId, minutes: int, start_ms: int, now_ms: int) -> str:
        known = self._client.appointments.of(appointment)
        if known is None:
            return ""
        whom = with_whom(known, self._client.account, self._names)
        soon = " /knock when you are ready." if minutes < 60 and known.host != self._client.account else ""
        return f"Your appointment with {whom}: {when(start_ms, now_ms, known.zone)}, {_how(known.modality)}.{soon}"

    def _at_the_door(self, appointment: AppointmentId) -> str:
        room = self._client.waiting_room.of(appointment)
        if room is None:
            return ""
        told = [self._new(room, person) for person in room.people]
        return " ".join(words for words in told if words)

    def _new(self, room: Room, person: RoomPerson) -> str:
        is_us = person.account == self._client.account
        words = self._us(room, person) if is_us else self._them(person)
        key = (room.appointment, person.account)
        if self._said.get(key, "") == words:
            return ""
        self._said[key] = words
        return words

    def _them(self, person: RoomPerson) -> str:
        name = self._names.of(person.account)
        if person.state is PersonState.WAITING:
            strange = "" if person.expected else " They are not on this appointment."
            return f"{name} waits at your door since {clock(person.since_ms)}: /admit or /decline.{strange}"
        if person.state is PersonState.DISCONNECTED:
            return f"{name}, who waits at your door, is not connected at the moment."
        return ""

    def _us(self, room: Room, person: RoomPerson) -> str:
        """What the host has decided about us; "come in" is said by their sealed call alone."""
        word = room.word
        said = f" {printable(word.words)}" if word is not None and word.words else ""
        match person.state:
            case PersonState.DECLINED:
                return f"{self._host(room.appointment)} cannot let you in now.{said}"
            case PersonState.REMOVED:
                return f"{self._host(room.appointment)} has ended your visit.{said}"
            case PersonState.WAITING if word is not None and word.act == RoomAct.SEND_BACK:
                return f"{self._host(room.appointment)} asks you to wait again.{said}"
            case PersonState.WAITING if room.door is DoorState.OPEN_NO_HOST:
                return f"You wait. {self._host(room.appointment)} is not there yet."
            case PersonState.WAITING:
                return f"You wait. {self._host(room.appointment)} is there and knows."
            case _:
                return ""
