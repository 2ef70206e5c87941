"""A plain conversation in a terminal: what is typed is sent, what arrives is shown, commands begin with a slash."""

import asyncio
import time
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Final, assert_never

import rapport
from rapport.events import (
    CaughtUp,
    ConnectionChanged,
    Event,
    MemberJoined,
    Message,
    MessageChanged,
    MessageReceived,
    MessageStatus,
    Placeholder,
    PlaceholderRemoved,
    ProfileChanged,
    SecurityEvent,
    Status,
    StorageProblem,
    Typing,
)
from rapport.terminal import printable
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.requests import Role

__all__ = ["Chat"]

_HELP: Final = """\
Type a line and press Enter to send it. Messages have numbers; without one, a command means your last message.
  /reply N text        answer message N
  /edit [N] text       change a message of yours
  /delete [N]          take a message of yours back
  /react N [sign]      react to a message; without a sign, take the reaction back
  /history [count]     show earlier messages
  /people              list your conversations; /open N goes to one
  /invite [role] [welcome]   make a link for a client (or: therapist)
  /read                tell the other side that you have read everything
  /quit                leave; what is still queued is sent the next time"""
_HISTORY: Final = 20
"""Messages that `/history` shows unless told otherwise: about a screen."""
_MARKS: Final = {
    Status.QUEUED: "queued",
    Status.SENT: "sent",
    Status.DELIVERED: "delivered",
    Status.READ: "read",
    Status.FAILED: "NOT SENT: the server will never take it",
}
_INDENT: Final = "         | "


class _Misuse(Exception):
    """A command that cannot be carried out as typed; the text says how to type it."""


class Chat:
    """One person's chat.

    lines: what they type. show: prints one piece of text and ends the line. Messages get numbers as they are shown, so
    that commands can name them.
    """

    def __init__(self, client: rapport.Client, lines: AsyncIterable[str], show: Callable[[str], None]) -> None:
        self._client = client
        self._events = client.events()
        self._lines = lines
        self._show = show
        self._here: ConversationId | None = None
        self._shown: list[MessageId] = []
        self._own: MessageId | None = None
        self._online: bool | None = None
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

    async def run(self) -> None:
        """Until `/quit` or the end of input."""
        self._learn_names()
        await self._choose()
        following = asyncio.create_task(self._follow())
        try:
            async for line in self._lines:
                if line.strip() == "/quit":
                    return
                await self._obey(line.strip())
                if following.done():
                    return
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    # --- what is typed ------------------------------------------------------------------------------------------------

    async def _obey(self, line: str) -> None:
        if not line:
            return
        try:
            if not line.startswith("/"):
                await self._say(line)
                return
            name, _, rest = line[1:].partition(" ")
            if name not in self._commands:
                raise _Misuse(f"There is no command /{printable(name)}; /help lists them.")
            await self._commands[name](rest.strip())
        except _Misuse as misuse:
            self._show(str(misuse))
        except rapport.RapportError as refusal:
            self._show(f"That did not work: {refusal}")

    async def _say(self, text: str, reply_to: MessageId | None = None) -> None:
        message = await self._conversation().send_text(text, reply_to=reply_to)
        self._own = message.id
        self._show_message(message)

    async def _help(self, _: str) -> None:
        self._show(_HELP)

    async def _reply(self, rest: str) -> None:
        number, text = self._split(rest)
        if number is None or not text:
            raise _Misuse("/reply N text")
        await self._say(text, number)

    async def _edit(self, rest: str) -> None:
        message, text = self._split(rest)
        if not text:
            raise _Misuse("/edit [N] text")
        await self._conversation().edit(message or self._last_own(), text)

    async def _delete(self, rest: str) -> None:
        message, _ = self._split(rest)
        await self._conversation().delete(message or self._last_own())

    async def _react(self, rest: str) -> None:
        message, sign = self._split(rest)
        if message is None:
            raise _Misuse("/react N [sign]")
        await self._conversation().react(message, sign or None)

    async def _history(self, rest: str) -> None:
        if rest and not rest.isdecimal():
            raise _Misuse("/history [count]")
        messages = await self._conversation().history(limit=int(rest or _HISTORY))
        for message in sorted(messages, key=lambda message: (message.seq == 0, message.seq)):
            self._show_message(message)

    async def _people(self, _: str) -> None:
        for number, conversation in enumerate(self._client.conversations(), 1):
            here = "*" if conversation.id == self._here else " "
            unread = f", {conversation.unread} unread" if conversation.unread else ""
            self._show(f" {here} {number}  {self._title(conversation)}{unread}")

    async def _open(self, rest: str) -> None:
        conversations = self._client.conversations()
        if not rest.isdecimal() or not 1 <= int(rest) <= len(conversations):
            raise _Misuse("/open N, with a number from /people")
        await self._enter(conversations[int(rest) - 1])

    async def _invite(self, rest: str) -> None:
        first, _, more = rest.partition(" ")
        role, welcome = (Role(first), more) if first in {Role.CLIENT, Role.THERAPIST} else (Role.CLIENT, rest)
        link = await self._client.invite(role=role, welcome=welcome.strip() or None)
        self._show(
            f"Give this link to one {role}; whoever opens it first is in. It works once, for seven days:\n{link}"
        )
        if self._here is None:
            await self._choose()

    async def _read(self, _: str) -> None:
        await self._conversation().mark_read()

    def _split(self, rest: str) -> tuple[MessageId | None, str]:
        """A leading message number, if there is one, and the rest."""
        first, _, more = rest.partition(" ")
        if not first.isdecimal():
            return None, rest
        if not 1 <= int(first) <= len(self._shown):
            raise _Misuse(f"There is no message {first} here.")
        return self._shown[int(first) - 1], more.strip()

    def _last_own(self) -> MessageId:
        if self._own is None:
            raise _Misuse("You have not sent anything yet; name a message by its number.")
        return self._own

    def _conversation(self) -> rapport.Conversation:
        if self._here is None:
            raise _Misuse("There is nobody to talk to yet; /invite makes a link.")
        return self._client.conversation(self._here)

    async def _choose(self) -> None:
        """Goes to the only conversation, or says what there is to choose from."""
        conversations = self._client.conversations()
        if len(conversations) == 1:
            await self._enter(conversations[0])
        elif conversations:
            self._show("You have several conversations; /open N goes to one.")
            await self._people("")
        else:
            self._show("There is nobody to talk to yet; /invite makes a link.")

    async def _enter(self, conversation: rapport.Conversation) -> None:
        self._here, self._shown, self._own = conversation.id, [], None
        self._show(f"--- {self._title(conversation)} --- /help lists commands")
        await self._history("")

    # --- what arrives -------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        async for event in self._events:
            self._note(event)

    def _note(self, event: Event) -> None:
        match event:
            case MessageReceived() | MessageChanged() | MessageStatus() | Placeholder():
                self._note_message(event)
            case MemberJoined(conversation, account):
                self._here = self._here or conversation
                self._show(f"    ({self._name(account)} has joined)")
            case ProfileChanged(account, name):
                self._names[account] = name
                self._show(f"    (they are called {printable(name)})")
            case ConnectionChanged(state):
                self._note_connection(state)
            case SecurityEvent(kind):
                self._show(f"    WARNING: {kind.replace('_', ' ')}")
            case StorageProblem(detail):
                self._show(f"    WARNING: {detail}")
            case CaughtUp() | Typing() | PlaceholderRemoved():
                pass
            case _:
                assert_never(event)

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
        if event.conversation != self._here:
            if isinstance(event, MessageReceived):
                self._show(f"    ({self._name(event.message.account)} wrote in another conversation; /people)")
            return
        match event:
            case MessageReceived(_, message) | MessageChanged(_, message):
                self._show_message(message)
            case MessageStatus(_, ident, status) if ident in self._shown:
                self._show(f"    [{self._number(ident)}] {_MARKS.get(status, status)}")
            case Placeholder(_, ident, reason):
                self._show(f"[{self._number(ident)}] (cannot be shown: {reason.replace('_', ' ')})")

    def _show_message(self, message: Message) -> None:
        clock = time.strftime("%H:%M", time.localtime(message.at_ms / 1000))
        who = "you" if message.account == self._client.account else self._name(message.account)
        notes = [f"answers [{self._number(message.reply_to)}]"] if message.reply_to else []
        notes += ["edited"] if message.edited else []
        notes += [_MARKS[message.status]] if message.status in _MARKS else []
        notes += [f"{self._name(account)}: {printable(sign)}" for account, sign in message.reactions]
        if message.placeholder is not None:
            text = f"(cannot be shown: {message.placeholder.replace('_', ' ')})"
        else:
            text = "(deleted)" if message.deleted else printable(message.text, indent=_INDENT)
        tail = f"   ({', '.join(notes)})" if notes else ""
        self._show(f"[{self._number(message.id)}] {clock} {who}: {text}{tail}")

    def _number(self, message: MessageId) -> int:
        if message not in self._shown:
            self._shown.append(message)
        return self._shown.index(message) + 1

    def _name(self, account: AccountId) -> str:
        if account == self._client.account:
            return "you"
        return printable(self._names.get(account, "")) or "somebody"

    def _title(self, conversation: rapport.Conversation) -> str:
        others = [
            self._name(member.account) for member in conversation.members if member.account != self._client.account
        ]
        return ", ".join(others) or "(nobody has joined yet)"

    def _learn_names(self) -> None:
        for conversation in self._client.conversations():
            for member in conversation.members:
                self._names[member.account] = member.name
