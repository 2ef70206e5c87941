"""What commands need of the face they are typed at: the full screen or plain lines. Both are a `Face`."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from msgspec import Struct

import rapport
from rapport.chat.names import Names
from rapport.events import Message
from rapport.waiting_room import Place
from rapport_protocol.ids import MessageId
from rapport_protocol.office.hours import OfficeHours

__all__ = ["Command", "Face", "Misuse"]


class Misuse(Exception):
    """A command that cannot be carried out as typed; the text is a sentence that says how to type it."""


class Face(Protocol):
    """The person's side of a command."""

    client: rapport.Client
    names: Names
    hours_draft: OfficeHours | None
    """Own hours that are being edited and are not published; None = none are."""
    place: Place | None
    """The place that this person keeps at a door; None = none."""
    help_intro: str
    """How one writes at this face, in front of the list of commands."""

    def tell(self, text: str) -> None:
        """Says one or two sentences. The text is ours: what was received is made printable before."""

    def sheet(self, title: str, text: str | Callable[[int], str], picture: Sequence[str] = ()) -> None:
        """Shows a longer answer to be read at leisure.

        text: perhaps made for the width of the screen. picture: lines of equal width, drawn as they are under it.
        """

    async def ask(self, question: str) -> str:
        """The person's answer in one line, without spaces around it. Misuse when they turn away instead."""

    def here(self) -> rapport.Conversation:
        """The open conversation. Misuse when there is none."""

    async def enter(self, conversation: rapport.Conversation) -> None:
        """Opens a conversation."""

    def message(self, number: int) -> MessageId:
        """The message that carries this number. Misuse when none does."""

    def newest(self, *, own: bool) -> MessageId:
        """The newest message of ours, or of somebody else. Misuse when there is none."""

    def show(self, message: Message) -> None:
        """Shows a message of the open conversation that a command has written or changed."""

    def leave(self, words: str) -> None:
        """Ends the program; the words, if any, stand there afterwards."""


class Command(Struct, frozen=True):
    """One command: how it is typed, what it does, and the doing. run gets what was typed behind its name."""

    name: str
    usage: str
    summary: str
    run: Callable[[Face, str], Awaitable[None]]
    numbered: bool = False
    """It names a message by its number, so numbers are shown while it is typed."""
