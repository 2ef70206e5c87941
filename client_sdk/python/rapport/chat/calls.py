"""Commands about calls: `/calls`, `/call here`, `/hangup`, and `/decline` while it rings.

A terminal answers none: it has no sound. What it can do is hold a call whose device has to go, for a while.
"""

from typing import Final

from rapport.chat.call_words import call_line
from rapport.chat.doors import DOORS
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.media import SENT_INSTEAD, terminal_media
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["CALLS"]


_AT_THE_DOOR: Final = next(command for command in DOORS if command.name == "decline")


async def _calls(face: Face, _: str) -> None:
    lines = [call_line(view, face.names) for view in face.client.calls.live()]
    face.sheet("Calls", "\n".join(lines) or "Nobody calls. Earlier calls stand in their conversations.")


async def _decline(face: Face, rest: str) -> None:
    """A call that rings comes before the door: it is louder."""
    ringing = [view for view in face.client.calls.live() if view.can_answer]
    if not ringing or rest:
        await _AT_THE_DOOR.run(face, rest)
        return
    await face.client.calls.open(ringing[0].id).decline()
    face.tell(f"Declined. {face.names.of(ringing[0].with_account)} is told.")


async def _here(face: Face, rest: str) -> None:
    """To a therapist whose phone runs out of power the call need not end."""
    if rest != "here":
        raise Misuse("/call here takes a call over from another of your devices. Calling somebody begins in a browser.")
    there = [view for view in face.client.calls.live() if view.phase is DevicePhase.ELSEWHERE]
    if not there:
        raise Misuse("None of your other devices is in a call.")
    name = face.names.of(there[0].with_account)
    try:
        await face.client.calls.open(there[0].id).take_over(terminal_media())
    except LocalError as refusal:
        if refusal.code is not ErrorCode.CONFLICT:
            raise
        raise Misuse(f"None of your other devices is in a call with {name} yet.") from None
    face.tell(f"The call with {name} comes here: {SENT_INSTEAD}. /hangup ends it.")


async def _hang_up(face: Face, _: str) -> None:
    live = face.client.calls.current
    if live is None:
        raise Misuse("This terminal is in no call. A call on another of your devices ends there.")
    name = face.names.of(live.view.with_account)
    await live.hang_up()
    face.tell(f"The call with {name} is over.")


CALLS: Final = (
    Command("calls", "/calls", "who calls now", _calls),
    Command("call", "/call here", "takes a call over from another of your devices", _here),
    Command("hangup", "/hangup", "ends the call that this terminal is in", _hang_up),
    Command("decline", "/decline [name] [words]", "a call that rings; at the door: not now", _decline),
)
