"""What the screen shows, as plain values: events in, state out. Knows no terminal, no clock and no client."""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from rapport.chat.look import Look
from rapport.chat.names import Names
from rapport.chat.notices import notice_words
from rapport.events import (
    ConnectionChanged,
    ConversationChanged,
    Event,
    IdentityChanged,
    Member,
    Message,
    MessageChanged,
    MessageReceived,
    MessageRemoved,
    MessageStatus,
    Placeholder,
    PlaceholderRemoved,
    Status,
    Typing,
)
from rapport_protocol.connection import ConnectionState
from rapport_protocol.ids import AccountId, ConversationId, MessageId

__all__ = ["TYPING_MS", "Model", "Notice", "Row", "Thread"]

TYPING_MS: Final = 5_000
"""How long "is writing" stands after the last sign of it."""
_NOTICES_MOST: Final = 20
"""Notices that wait to be read; the log holds all of them."""


class Row(Struct, frozen=True):
    """One line of the list of conversations.

    unread: messages of others not yet marked as read. there: that the other person is there, in words, or "".
    """

    id: ConversationId
    title: str
    unread: int
    muted: bool = False
    there: str = ""


class Notice(Struct, frozen=True):
    """Something that a person must be told once: calm, in whole sentences, there until they put it away.

    undecided: whose changed identity it is about, while that waits for a decision.
    """

    text: str
    undecided: AccountId | None = None


class Thread:
    """The open conversation as far as it was loaded: messages oldest first, queued ones at the end."""

    def __init__(
        self, conv: ConversationId, page: Sequence[Message], *, unread: int = 0, complete: bool = False
    ) -> None:
        self.conv = conv
        self.messages = list(page)
        self.version = 0
        """Grows with every change of the messages."""
        self.complete = complete
        """Nothing older exists here."""
        self.new_from = self._first_unread(unread)
        """Where the line "new" stands: before the first message that was unread at opening."""

    def _first_unread(self, unread: int) -> MessageId | None:
        others = [message for message in self.messages if message.status is Status.RECEIVED]
        return others[-unread].id if 0 < unread <= len(others) else others[0].id if unread and others else None

    def find(self, ident: MessageId) -> Message | None:
        """The message, if it is loaded."""
        return next((message for message in reversed(self.messages) if message.id == ident), None)

    def put(self, message: Message) -> None:
        """Shows a message in its place, instead of what stood there under its id."""
        self.version += 1
        at = self._index(message.id)
        if at is not None and (self.messages[at].seq == message.seq):
            self.messages[at] = message
            return
        if at is not None:
            del self.messages[at]
        self.messages.insert(self._place(message.seq), message)

    def move(self, ident: MessageId, status: Status, seq: int) -> None:
        """One of our own has come further; once accepted it stands where the server put it."""
        message = self.find(ident)
        if message is not None:
            self.put(replace(message, status=status, seq=seq or message.seq))

    def remove(self, ident: MessageId) -> None:
        """It stands here no longer; no error when it did not."""
        self.version += 1
        at = self._index(ident)
        if at is not None:
            del self.messages[at]

    def older(self, page: Sequence[Message]) -> None:
        """Puts a page of older messages before those that are loaded; an empty one says that there are none."""
        self.version += 1
        self.complete = not page
        held = {message.id for message in self.messages}
        self.messages[:0] = [message for message in page if message.id not in held]

    def merge(self, page: Sequence[Message], *, whole: bool = False) -> None:
        """The newest page read anew: from its first message on, everything is as it says.

        whole: there is nothing before it.
        """
        self.version += 1
        at = self._index(page[0].id) if page and not whole else None
        self.complete = whole
        self.messages[at or 0 :] = page

    def _index(self, ident: MessageId) -> int | None:
        found = (at for at in range(len(self.messages) - 1, -1, -1) if self.messages[at].id == ident)
        return next(found, None)

    def _place(self, seq: int) -> int:
        at = len(self.messages)
        while seq and at and (self.messages[at - 1].seq > seq or _waits(self.messages[at - 1])):
            at -= 1
        return at


def _waits(message: Message) -> bool:
    return message.seq == 0 and message.status in (Status.QUEUED, Status.FAILED)


class Model:
    """Everything that is on the screen but the text being written."""

    def __init__(self, own: AccountId) -> None:
        self.own = own
        self.names = Names(own)
        self.rows: list[Row] = []
        self.thread: Thread | None = None
        self.members: tuple[Member, ...] = ()
        """Of the open conversation."""
        self.look = Look()
        """The door and the clock of the open conversation."""
        self.subtitle = ""
        """What is known of the open conversation's people, beside its title."""
        self.state = ConnectionState.IDLE
        self.lost_ms: int | None = None
        """When the connection went, None before the first."""
        self.notices: list[Notice] = []
        self._typing: dict[tuple[ConversationId, AccountId], int] = {}

    @property
    def here(self) -> ConversationId | None:
        """The open conversation."""
        return self.thread.conv if self.thread else None

    @property
    def title(self) -> str:
        """What the open conversation is called."""
        return self.names.list(member.account for member in self.members) if self.thread else "Rapport"

    @property
    def queued(self) -> int:
        """Own messages of the open conversation that wait here for the server."""
        return sum(message.status is Status.QUEUED for message in self.thread.messages) if self.thread else 0

    def typing(self, now_ms: int) -> list[AccountId]:
        """Who is writing in the open conversation now."""
        return [account for (conv, account), end in self._typing.items() if conv == self.here and end > now_ms]

    def notify(self, text: str, undecided: AccountId | None = None) -> None:
        """Puts a notice behind those that wait; one that waits already is not said twice."""
        if text and all(notice.text != text for notice in self.notices):
            self.notices = [*self.notices, Notice(text, undecided)][-_NOTICES_MOST:]

    def settle(self, account: AccountId) -> None:
        """It is decided about somebody's changed identity: that notice says what is no longer so."""
        self.notices = [notice for notice in self.notices if notice.undecided != account]

    def withdraw(self, text: str) -> None:
        """What a notice says is no longer so."""
        self.notices = [notice for notice in self.notices if notice.text != text]

    def put_away(self) -> bool:
        """The person has read the foremost notice. False when there was none."""
        found, self.notices = bool(self.notices), self.notices[1:]
        return found

    def open(self, thread: Thread, members: Iterable[Member]) -> None:
        """Another conversation is in front now."""
        self.thread = thread
        self.members = tuple(members)
        self.names.learn(self.members)

    def show_rows(self, rows: Iterable[Row]) -> None:
        """The list of conversations as it stands."""
        self.rows = list(rows)

    def apply(self, event: Event, now_ms: int) -> bool:
        """Takes an event in. True when the newest page of the open conversation must be read anew."""
        match event:
            case MessageReceived(conv, message) | MessageChanged(conv, message):
                self._typing.pop((conv, message.account), None)
                self._put(conv, message, new=isinstance(event, MessageReceived))
                self.notify(notice_words(event, self.names))
            case MessageStatus(conv, ident, status, seq) if self.thread and conv == self.here:
                self.thread.move(ident, status, seq)
            case Placeholder(conv) | ConversationChanged(conv):
                return conv == self.here
            case PlaceholderRemoved(conv, ident) if self.thread and conv == self.here:
                self.thread.remove(ident)
            case Typing(conv, account):
                self._typing = {key: end for key, end in self._typing.items() if end > now_ms}
                self._typing[conv, account] = now_ms + TYPING_MS
            case ConnectionChanged(state):
                self._connection(state, now_ms)
            case MessageRemoved(conv, ident) if self.thread and conv == self.here:
                self.thread.remove(ident)
            case _:  # names, marks and counts are asked of the client whenever the screen is drawn
                undecided = event.account if isinstance(event, IdentityChanged) else None
                self.notify(notice_words(event, self.names), undecided)
        return False

    def _put(self, conv: ConversationId, message: Message, *, new: bool) -> None:
        if self.thread is None or conv != self.here:
            return
        if new and self.thread.new_from is None and message.account != self.own:
            self.thread.new_from = message.id
        self.thread.put(message)

    def _connection(self, state: ConnectionState, now_ms: int) -> None:
        if state is ConnectionState.CONNECTED:
            self.lost_ms = None
        elif self.state is ConnectionState.CONNECTED:
            self.lost_ms = now_ms
        self.state = state
