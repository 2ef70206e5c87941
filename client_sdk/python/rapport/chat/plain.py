"""The chat in plain lines, for pipes, screen readers and terminals of any kind: printed downwards, nothing redrawn."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final

import rapport
from rapport.agreements import UrgencyChanged
from rapport.chat.appointment_words import DoorTeller, appointment_body
from rapport.chat.call_words import CallTeller, call_body
from rapport.chat.commands import obey
from rapport.chat.covers import told
from rapport.chat.face import Misuse
from rapport.chat.look import Look, look_of
from rapport.chat.moments import now
from rapport.chat.names import YOU, Names
from rapport.chat.notices import notice_words
from rapport.chat.urgent_words import alarm_words
from rapport.chat.words import COVER_WORDS, STATUS_WORDS, clock, cover_body, placeholder_words
from rapport.events import (
    ConnectionChanged,
    CoverChanged,
    Event,
    MemberJoined,
    Message,
    MessageChanged,
    MessageKind,
    MessageReceived,
    MessageStatus,
    Placeholder,
    ProfileChanged,
)
from rapport.terminal import printable
from rapport.waiting_room import Place
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.office.hours import OfficeHours

__all__ = ["PlainChat"]

_HISTORY: Final = 20
"""Messages that are shown at opening and by `/history` unless told otherwise: about a screen."""
_HISTORY_MOST: Final = 1_000
_RECENT: Final = 50
"""Shown messages under which something may still be said."""
_WIDTH: Final = 80
_INDENT: Final = "         | "


class PlainChat:
    """One person's chat, a `Face`.

    lines: what they type. show: prints one piece of text and ends the line. Messages get numbers as they are shown, so
    that commands can name them.
    """

    help_intro = (
        "Type a line and press Enter to send it. Messages have numbers; where one may be left out, a command means "
        "the newest message.\n/history [count] shows earlier messages."
    )

    def __init__(self, client: rapport.Client, lines: AsyncIterable[str], show: Callable[[str], None]) -> None:
        self.client = client
        self.names = Names(client.account)
        self._events = client.events()
        self._lines: AsyncIterator[str] = aiter(lines)
        self._show = show
        self._here: ConversationId | None = None
        self._shown: list[MessageId] = []
        self._own: MessageId | None = None
        self._other: MessageId | None = None
        self.hours_draft: OfficeHours | None = None
        """See Face."""
        self.place: Place | None = None
        """See Face."""
        self._doors = DoorTeller(client, self.names)
        self._calls = CallTeller(client, self.names)
        self._online: bool | None = None
        self._recent: deque[Message] = deque(maxlen=_RECENT)
        self._look = Look()
        self._left = False

    async def run(self) -> None:
        """Until `/quit` or the end of input."""
        self._learn_names()
        await self._choose()
        following = asyncio.create_task(self._follow())
        try:
            async for line in self._lines:
                await self._obey(line.strip())
                if self._left or following.done():
                    return
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def _obey(self, line: str) -> None:
        name, _, rest = line.partition(" ")
        if name != "/history":
            await obey(self, line)
        elif self._here is None:
            self.tell("There is nobody to talk to yet. /invite makes a link for somebody.")
        elif rest.strip() and not rest.strip().isdecimal():
            self.tell("/history [count], with how many messages to show.")
        else:
            await self._history(min(int(rest.strip() or _HISTORY), _HISTORY_MOST))

    # --- what commands need (Face) ------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """See Face."""
        self._show(text)

    def sheet(self, title: str, text: str | Callable[[int], str], picture: Sequence[str] = ()) -> None:
        """See Face."""
        words = text if isinstance(text, str) else text(_WIDTH)
        self._show("\n".join([f"--- {title} ---", words, *picture]))

    async def ask(self, question: str) -> str:
        """See Face."""
        self._show(question)
        answer = (await anext(self._lines, "")).strip()
        if not answer or answer.startswith("/"):
            raise Misuse("Nothing was changed.")
        return answer

    def here(self) -> rapport.Conversation:
        """See Face."""
        if self._here is None:
            raise Misuse("There is nobody to talk to yet. /invite makes a link for somebody.")
        return self.client.conversation(self._here)

    async def enter(self, conversation: rapport.Conversation) -> None:
        """See Face."""
        self._here, self._shown, self._own, self._other = conversation.id, [], None, None
        self._recent.clear()
        title = self._title(conversation)
        self._look = Look()
        door = self._looks().door
        self._show(f"--- {', '.join(part for part in (title, door) if part)} --- /help lists commands")
        await self._history(_HISTORY)
        self._tell_look(door=False)

    def message(self, number: int) -> MessageId:
        """See Face."""
        if not 1 <= number <= len(self._shown):
            raise Misuse(f"There is no message {number} here.")
        return self._shown[number - 1]

    def newest(self, *, own: bool) -> MessageId:
        """See Face."""
        found = self._own if own else self._other
        if found is None:
            whose = "You have not sent anything" if own else "Nobody has written anything"
            raise Misuse(f"{whose} here yet; name a message by its number.")
        return found

    def show(self, message: Message) -> None:
        """See Face."""
        self._show_message(message)
        self._tell_look()

    def leave(self, words: str) -> None:
        """See Face."""
        if words:
            self._show(words)
        self._left = True

    async def _history(self, count: int) -> None:
        for message in await self.here().history(limit=count):
            self._show_message(message)

    async def _choose(self) -> None:
        """Goes to the only conversation, or says what there is to choose from."""
        conversations = self.client.conversations()
        if len(conversations) == 1:
            await self.enter(conversations[0])
        elif conversations:
            self._show("You have several conversations; /open N goes to one.")
            await obey(self, "/people")
        else:
            self._show("There is nobody to talk to yet. /invite makes a link for somebody.")

    # --- the door and the clock ---------------------------------------------------------------------------------------

    def _looks(self) -> Look:
        return look_of(self.client, self.here(), self.names, [*self._recent], now())

    def _tell_look(self, *, door: bool = True) -> None:
        """Prints what is different now of the therapist's door, the promise, and under messages."""
        if self._here is None:
            return
        before, look = self._look, self._looks()
        self._look = look
        changed = [look.door] if door and look.door != before.door else []
        changed += [look.promise] if look.promise != before.promise else []
        for words in filter(None, changed):
            self._show(f"    ({words})")
        for ident, words in look.under.items():
            if words != before.under.get(ident):
                self._show("\n".join(f"    [{self._number(ident)}] {line}" for line in words.split("\n")))

    async def _tell_cover(self, request: bytes) -> None:
        with suppress(rapport.RapportError):
            self._show(f"    ({told(self, await self.client.cover.state(request))})")

    # --- what arrives -------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for event in self._events:
            self._note(event)
            self._note_trouble(self._doors.words(event, now()))
            self._note_trouble(self._calls.words(event))
            if self._calls.over(event):
                self._note_trouble("it rings no more")
            if isinstance(event, CoverChanged):
                await self._tell_cover(event.request)
            self._tell_look()

    def _note(self, event: Event) -> None:
        """Prints what a person wants to read; everything else shows itself in /people, /history and /security."""
        match event:
            case MessageReceived() | MessageChanged() | MessageStatus() | Placeholder():
                self._note_message(event)
            case MemberJoined(conversation, account):
                self._here = self._here or conversation
                self._learn_names()
                self._show(f"    ({self.names.of(account)} has joined)")
            case ProfileChanged(account):
                self._learn_names()
                self._show(f"    (they are called {self.names.of(account)})")
            case ConnectionChanged(state):
                self._note_connection(state)
            case UrgencyChanged(conversation, message):
                here = self.client.conversation(conversation)
                self._note_trouble(alarm_words(here, message, self.client.account, self.names, now()))
            case _:
                self._note_trouble(notice_words(event, self.names))

    def _note_trouble(self, words: str) -> None:
        if words:
            self._show(f"    ({words})")

    def _note_connection(self, state: rapport.ConnectionState) -> None:
        """Says it once: attempts come and go every few seconds while the server is away."""
        if state is rapport.ConnectionState.CONNECTED:
            self._online = True
            self._show("    (connected)")
        elif state is rapport.ConnectionState.CLOSED:
            self._show("    (the server does not let this device in any more)")
        elif state is rapport.ConnectionState.RECONNECTING and self._online is not False:
            self._online = False
            self._show("    (not connected: what you write is kept, and sent as soon as there is a connection)")

    def _note_message(self, event: MessageReceived | MessageChanged | MessageStatus | Placeholder) -> None:
        self._note_trouble(notice_words(event, self.names))
        if event.conversation != self._here:
            if isinstance(event, MessageReceived):
                self._show(f"    ({self.names.of(event.message.account)} wrote in another conversation; /people)")
            return
        match event:
            case MessageReceived(_, message) | MessageChanged(_, message):
                self._show_message(message)
            case MessageStatus(_, ident, status) if ident in self._shown:
                self._show(f"    [{self._number(ident)}] {STATUS_WORDS.get(status, status)}")
            case Placeholder(_, ident, reason):
                self._show(f"[{self._number(ident)}] ({placeholder_words(reason, 'somebody')})")

    def _show_message(self, message: Message) -> None:
        if message.account == self.client.account:
            self._own = message.id
        elif message.kind is not MessageKind.CARD:
            self._other = message.id
        notes = [f"answers [{self._number(message.reply_to)}]"] if message.reply_to else []
        notes += ["urgent"] if message.urgent else []
        notes += ["edited"] if message.edited else []
        notes += [STATUS_WORDS[message.status]] if message.status in STATUS_WORDS else []
        notes += [f"{self._name(account)}: {printable(sign)}" for account, sign in message.reactions]
        who = self._name(message.account)
        self._recent = deque((*(held for held in self._recent if held.id != message.id), message), maxlen=_RECENT)
        if message.placeholder is not None:
            text = f"({placeholder_words(message.placeholder, who)})"
        elif message.kind is MessageKind.APPOINTMENT and not message.deleted:
            own = message.account == self.client.account
            text = appointment_body(message, who, own=own).replace("\n", f"\n{_INDENT}")
        elif message.kind is MessageKind.CALL and not message.deleted:
            text = call_body(message.call, who)
        elif message.kind in COVER_WORDS and not message.deleted:
            own = message.account == self.client.account
            text = cover_body(message.kind, who, own=own, note=printable(message.text, indent=_INDENT))
        else:
            text = "(deleted)" if message.deleted else printable(message.text, indent=_INDENT)
        tail = f"   ({', '.join(notes)})" if notes else ""
        self._show(f"[{self._number(message.id)}] {clock(message.at_ms)} {who}: {text}{tail}")

    def _number(self, message: MessageId) -> int:
        if message not in self._shown:
            self._shown.append(message)
        return self._shown.index(message) + 1

    def _name(self, account: AccountId) -> str:
        name = self.names.of(account)
        return "you" if name == YOU else name

    def _title(self, conversation: rapport.Conversation) -> str:
        self.names.learn(conversation.members)
        return self.names.list(member.account for member in conversation.members)

    def _learn_names(self) -> None:
        for conversation in self.client.conversations():
            self.names.learn(conversation.members)
