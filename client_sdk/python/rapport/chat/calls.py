"""Commands about calls: `/calls`, and `/decline` while it rings. A terminal answers none: it has no sound."""

from typing import Final

from rapport.chat.call_words import call_line
from rapport.chat.doors import DOORS
from rapport.chat.face import Command, Face

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


CALLS: Final = (
    Command("calls", "/calls", "who calls now", _calls),
    Command("decline", "/decline [name] [words]", "a call that rings; at the door: not now", _decline),
)
