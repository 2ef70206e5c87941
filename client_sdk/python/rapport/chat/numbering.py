"""Numbers by which commands name messages: 1 is the newest. They stand still while a command is being typed."""

from collections.abc import Mapping, Sequence
from typing import Final

from rapport.chat.commands import numbered
from rapport.events import Message
from rapport_protocol.ids import MessageId

__all__ = ["NUMBERED_MOST", "Numbers"]

NUMBERED_MOST: Final = 99
"""As many as two cells can number; older messages are answered from where they are quoted."""


class Numbers:
    """Given when a command that names messages is begun, kept until it is done, whatever arrives meanwhile."""

    def __init__(self) -> None:
        self._given: dict[MessageId, int] = {}

    @property
    def shown(self) -> Mapping[MessageId, int]:
        """Number by message; empty while no such command is typed."""
        return self._given

    def typed(self, line: str, messages: Sequence[Message]) -> None:
        """The line as it is typed so far."""
        if not numbered(line):
            self._given = {}
        elif not self._given:
            newest = reversed(messages[-NUMBERED_MOST:])
            self._given = {message.id: number for number, message in enumerate(newest, 1)}
