"""A plain conversation in a terminal: what is typed is sent, what arrives is shown, commands begin with a slash."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Final

import rapport
from rapport.events import (
    CaughtUp,
    ConnectionChanged,
    Event,
    MemberJoined,
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageStatus,
    Placeholder,
    ProfileChanged,
    SecurityEvent,
    Status,
    StorageProblem,
)
from rapport.terminal import printable
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.requests import Role

__all__ = ["Chat"]

_HELP: Final = """\
Type a line and press Enter to send it. Messages have numbers; without one, a command means your last message.
  /reply N text      answer message N
  /edit [N] text     change a message of yours
  /delete [N]        take a message of yours back
  /react [N] sign    react to a message; without a sign, take the reaction back
  /history [count]   earlier messages
  /people            conversations you have; /open N goes to one
  /invite [role] [welcome]   make a link for a client (or: therapist); it works once, for seven days
  /read              tell the other side that you have read everything
  /quit              leave; what is queued is sent the next time"""
_HISTORY: Final = 20
_MARKS: Final = {
    Status.QUEUED: "queued",
    Status.SENT: "sent",
    Status.DELIVERED: "delivered",
    Status.READ: "read",
    Status.FAILED: "NOT SENT, and it never will be",
}
_INDENT: Final = "       | "


class Chat:
    """One person's chat. `lines` is what they type, `show` prints one piece of text with its line end.

    Messages get numbers as they are shown, so that commands can name them.
    """

    def __init__(self, client: "rapport.Client", lines: AsyncIterable[str], show: Callable[[str], None]) -> None:
        self._client = client
        self._lines = lines
        self._show = show
        self._here: ConversationId | None = None
        self._numbers: dict[MessageId, int] = {}
        self._ids: list[MessageId] = []
        self._marks: dict[MessageId, Status] = {}
        self._names: dict[AccountId, str] = {}
        self._commands: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "reply": self._reply,
            "edit": self._edit,
            "delete": self._delete,
            "react": self._react,
            "history": self._history,
            "people": self._people,
            "open": self._open,
            "invite": self._invite,
            "read": self._read,
        }
