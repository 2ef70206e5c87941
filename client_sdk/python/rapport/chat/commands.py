"""What is typed: a message, or a command that begins with a slash. Every answer is a sentence; none ends the chat."""

from difflib import get_close_matches
from typing import Final

import rapport
from rapport.chat.answering import ANSWERING
from rapport.chat.appointments import APPOINTMENTS
from rapport.chat.calls import CALLS
from rapport.chat.cards import CARDS, show_crisis
from rapport.chat.columns import two_columns
from rapport.chat.covers import COVERS
from rapport.chat.devices import DEVICES
from rapport.chat.doors import DOORS
from rapport.chat.face import Command, Face, Misuse
from rapport.chat.hours_text import problem_words
from rapport.chat.keeping import KEEPING
from rapport.chat.offices import OFFICES
from rapport.chat.talking import TALKING, write
from rapport.chat.trusting import TRUSTING
from rapport.terminal import printable
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.office.rules import HoursRefused

__all__ = ["COMMANDS", "numbered", "obey", "refusal_words"]

_REFUSALS: Final = {
    ErrorCode.TOO_LARGE: "That is too long. Nothing was sent; shorten it and try again.",
    ErrorCode.FORBIDDEN: "That is not yours to change.",
    ErrorCode.NOT_FOUND: "That is not here any more.",
    ErrorCode.UNAVAILABLE: "The server did not answer, so nothing was changed. Try again once there is a connection.",
}
"""What a person can make of the commonest refusals; others are told as they come."""
_OWN_WORDS: Final = frozenset({ErrorCode.CONFLICT, ErrorCode.EXPIRED, ErrorCode.INVALID_SIGNATURE})
"""Our own refusals of these codes say in words what is the matter."""


async def _help(face: Face, rest: str) -> None:
    if rest.casefold() == "now":
        await show_crisis(face, "")
        return
    rows = [(command.usage, command.summary) for command in COMMANDS.values()]
    face.sheet("Help", lambda width: f"{face.help_intro}\n\n{two_columns(rows, width)}")


async def _quit(face: Face, _: str) -> None:
    face.leave("")


COMMANDS: Final = {
    command.name: command
    for command in (
        Command("help", "/help", "this list", _help),
        *CARDS[1:],
        *TALKING,
        *OFFICES,
        *ANSWERING,
        *APPOINTMENTS,
        *DOORS,
        *CALLS,
        *CARDS[:1],
        *COVERS,
        *KEEPING,
        *TRUSTING,
        *DEVICES,
        Command("quit", "/quit", "leave; what is queued goes out the next time", _quit),
    )
}
"""Every command by its name, in the order in which /help lists them."""


def numbered(line: str) -> bool:
    """Whether what is typed so far is a command that names messages by number."""
    command = COMMANDS.get(line[1:].split(" ", 1)[0]) if line.startswith("/") else None
    return command is not None and command.numbered


async def obey(face: Face, line: str) -> bool:
    """Does what was typed; what cannot be done is told in a sentence, and False.

    Two slashes send a text that begins with one.
    """
    line = line.strip()
    if not line:
        return True
    try:
        if not line.startswith("/") or line.startswith("//"):
            await write(face, line.removeprefix("/"))
            return True
        name, _, rest = line[1:].partition(" ")
        command = COMMANDS.get(name.lower())
        if command is None:
            raise Misuse(_unknown(name))
        await command.run(face, rest.strip())
        return True
    except Misuse as misuse:
        face.tell(str(misuse))
    except rapport.RapportError as refusal:
        face.tell(refusal_words(refusal))
    return False


def _unknown(name: str) -> str:
    near = get_close_matches(name.lower(), COMMANDS, n=1)
    guess = f" Did you mean /{near[0]}?" if near else ""
    return f"There is no command /{printable(name)}.{guess} /help lists them."


def refusal_words(refusal: rapport.RapportError) -> str:
    """What did not work and what became of it."""
    if isinstance(refusal, rapport.VaultProblem):
        return f"That did not work: {refusal.detail}. Nothing was changed."
    if isinstance(refusal, HoursRefused):
        return f"That does not work: {problem_words(refusal.problems)}"
    if isinstance(refusal, LocalError) and refusal.detail and refusal.code in _OWN_WORDS:
        return f"That did not work: {refusal.detail}."
    return _REFUSALS.get(refusal.code, f"That did not work: {refusal}")
