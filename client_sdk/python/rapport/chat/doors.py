"""Commands at the door of an appointment: `/knock`, `/leave` of a guest; `/room`, `/admit`, `/decline` of its host."""

from collections.abc import Awaitable, Callable
from typing import Final

from rapport.calling import CallMedia
from rapport.chat.appointment_words import room_lines, when, with_whom
from rapport.chat.appointments import appointment_named
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.media import SENT_INSTEAD, terminal_media
from rapport.chat.moments import now
from rapport.meeting import Appointment, Room, RoomPerson
from rapport_protocol.ids import AppointmentId, ConversationId
from rapport_protocol.meeting import Modality
from rapport_protocol.rooms.states import OPENS_BEFORE_MS, DoorState, PersonState

__all__ = ["DOORS"]

_HERE: Final = frozenset(
    {PersonState.CHECKING, PersonState.WAITING, PersonState.DISCONNECTED, PersonState.ADMITTING, PersonState.IN_ROOM}
)
_WAITS: Final = frozenset({PersonState.WAITING, PersonState.DISCONNECTED})


# --- guests -----------------------------------------------------------------------------------------------------------


async def _knock(face: Face, rest: str) -> None:
    if rest.startswith(("http://", "https://")):
        url, _, passcode = rest.partition(" ")
        appointment: AppointmentId = await face.client.waiting_room.use_link(url, passcode.strip())
    else:
        appointment = _with_door(appointment_named(face, rest)[0]).id
    known = face.client.appointments.of(appointment)
    if known is not None and known.mine:
        raise Misuse("It is your own door: /room shows who waits, /enter opens it.")
    if face.place is not None and face.place.appointment != appointment:
        await face.place.leave()
    face.place = await face.client.waiting_room.knock(appointment)
    room = face.place.room
    if room is not None and room.door is DoorState.CLOSED and room.opens_ms > now():
        zone = known.zone if known is not None else "UTC"
        face.tell(f"The door opens {when(room.opens_ms, now(), zone)}. You will be in front of it; /leave goes away.")
        return
    face.tell("You wait at the door. Your place is kept while this program runs; /leave gives it up.")


def _with_door(appointment: Appointment) -> Appointment:
    if appointment.modality in {Modality.PHONE, Modality.IN_PERSON}:
        raise Misuse("That appointment is not here: there is no door to knock at.")
    if appointment.cancelled:
        raise Misuse("That appointment is cancelled.")
    return appointment


async def _leave(face: Face, rest: str) -> None:
    if rest:
        raise Misuse("/leave stands alone: you do not wait any more, or are not in your room any more.")
    if face.place is not None:
        place, face.place = face.place, None
        await place.leave()
        face.tell("You do not wait any more.")
        return
    for room in face.client.waiting_room.all():
        if room.as_host:
            await face.client.waiting_room.leave(room.appointment)
            face.tell("You are out of the room. Who waits goes on waiting.")
            return
    raise Misuse("You are at no door.")


# --- hosts ------------------------------------------------------------------------------------------------------------


def _our_room(face: Face, rest: str = "") -> tuple[Appointment, Room]:
    """The room of the named or next appointment of ours. Misuse when there is none that could be looked at."""
    appointment = _with_door(appointment_named(face, rest, mine=True)[0])
    if not appointment.mine:
        raise Misuse("That is not your door; /knock says that you are here.")
    room = face.client.waiting_room.of(appointment.id)
    if room is None:
        opens = when(appointment.start_ms - OPENS_BEFORE_MS, now(), appointment.zone)
        raise Misuse(f"Nothing is known of that door now; it opens {opens}.")
    return appointment, room


async def _room(face: Face, rest: str) -> None:
    word, _, more = rest.partition(" ")
    if word == "link":
        appointment, _ = appointment_named(face, "", mine=True)
        url = await face.client.waiting_room.make_link(_with_door(appointment).id, more.strip())
        code = " They need the passcode too; tell it over another way." if more else ""
        face.sheet(
            "Join link", f"One device may wait at your door with it, until an hour after the end.{code}\n\n{url}"
        )
        return
    appointment, room = _our_room(face, rest)
    lines = room_lines(room, face.names)
    face.sheet(f"Appointment with {with_whom(appointment, face.client.account, face.names)}", "\n".join(lines))


async def _enter(face: Face, rest: str) -> None:
    appointment, _ = appointment_named(face, rest, mine=True)
    room = await face.client.waiting_room.enter(_with_door(appointment).id)
    face.tell(" ".join(["You are in.", *room_lines(room, face.names)]))


def _person(face: Face, room: Room, rest: str, among: frozenset[PersonState]) -> tuple[RoomPerson, str]:
    """Who is meant, by the beginning of a name, else the only one there; and what stands behind the name."""
    there = [person for person in room.people if person.state in among]
    name, _, more = rest.partition(" ")
    named = [each for each in there if name and face.names.of(each.account).casefold().startswith(name.casefold())]
    if len(named) == 1:
        return named[0], more.strip()
    if len(there) == 1:
        return there[0], rest
    if not there:
        raise Misuse("Nobody is there.")
    raise Misuse(f"Name one of: {', '.join(face.names.of(each.account) for each in there)}.")


async def _admit(face: Face, rest: str) -> None:
    """Letting in by voice or video is the host's call, which needs a program with media."""
    appointment, room = _our_room(face)
    media = terminal_media() if appointment.modality != Modality.CHAT else None
    person, said = _person(face, room, rest, _WAITS)
    name = face.names.of(person.account)
    if not person.expected and said != "sure":
        answer = await face.ask(f"{name} is not on this appointment. Let them in all the same? Type their name.")
        if answer.casefold() != name.casefold():
            raise Misuse("Nobody was let in.")
    conversation = _with(face, person) if media is not None else None
    call = await face.client.waiting_room.admit(appointment.id, person.account, sure=not person.expected)
    if media is None or conversation is None:
        face.tell(f"{name} is let in: write to each other.")
        return
    sort = CallMedia.AUDIO if appointment.modality == Modality.AUDIO else CallMedia.VIDEO
    await face.client.calls.offer(conversation, endpoint=media, media=sort, appointment=appointment.id, id=call)
    face.tell(f"{name} is called in: {SENT_INSTEAD}. Write to each other; /hangup ends the call.")


def _with(face: Face, person: RoomPerson) -> ConversationId:
    """Where the two can call each other. Misuse when they cannot."""
    pair = {face.client.account, person.account}
    for conversation in face.client.conversations():
        if {member.account for member in conversation.members} == pair:
            return conversation.id
    raise Misuse("You have no conversation with them alone, in which you could call them.")


def _deciding(
    act: Callable[[Face, Appointment, RoomPerson, str], Awaitable[Room]], told: str
) -> Callable[[Face, str], Awaitable[None]]:
    async def run(face: Face, rest: str) -> None:
        appointment, room = _our_room(face)
        person, words = _person(face, room, rest, _HERE)
        await act(face, appointment, person, words)
        face.tell(told.replace("{name}", face.names.of(person.account)))

    return run


_decline = _deciding(
    lambda face, appointment, person, words: face.client.waiting_room.decline(appointment.id, person.account, words),
    "{name} is told that you cannot let them in now.",
)
_send_back = _deciding(
    lambda face, appointment, person, words: face.client.waiting_room.send_back(appointment.id, person.account, words),
    "{name} waits again.",
)
_remove = _deciding(
    lambda face, appointment, person, words: face.client.waiting_room.remove(appointment.id, person.account, words),
    "{name} is out and cannot knock at this door again.",
)


async def _lock(face: Face, rest: str) -> None:
    appointment, room = _our_room(face, rest)
    await (face.client.waiting_room.unlock if room.locked else face.client.waiting_room.lock)(appointment.id)
    face.tell("Unlocked: people may knock again." if room.locked else "Locked: nobody new may knock. /lock unlocks it.")


DOORS: Final = (
    Command("knock", "/knock [N, link]", "you are here: wait at the door of your appointment", _knock),
    Command("leave", "/leave", "you do not wait any more; a host: you are out of the room", _leave),
    Command("enter", "/enter [N]", "a host: you are in; people may wait at your door", _enter),
    Command("room", "/room [N, link]", "a host: who waits; link makes one into the waiting room", _room),
    Command("admit", "/admit [name]", "let somebody in; a call shows them a test picture", _admit),
    Command("decline", "/decline [name] [words]", "not now", _decline),
    Command("sendback", "/sendback [name] [words]", "out of the room, to wait again", _send_back),
    Command("remove", "/remove [name] [words]", "out of the room for good", _remove),
    Command("lock", "/lock", "nobody new may knock; again: they may", _lock),
)
