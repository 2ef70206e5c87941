"""The person's place at the full screen, without the screen: what commands do to the model, and what arrives."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import rapport
from rapport.agreements import UrgencyChanged
from rapport.chat.appointment_words import DoorTeller
from rapport.chat.call_words import CallTeller
from rapport.chat.covers import told
from rapport.chat.face import Misuse
from rapport.chat.keys_help import KEYS_HELP
from rapport.chat.look import look_of
from rapport.chat.model import Model, Row, Thread
from rapport.chat.numbering import Numbers
from rapport.chat.scroll import Scroll
from rapport.chat.sheet import Sheet
from rapport.chat.trusting import undecided
from rapport.chat.urgent_words import alarm_words
from rapport.chat.words import identity_words, presence_words
from rapport.conversation import HISTORY_MOST
from rapport.events import CoverChanged, Message, MessageKind
from rapport.waiting_room import Place
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.office.hours import OfficeHours

__all__ = ["PAGE", "Desk", "Question", "begin", "look", "rows_of", "settle_decided"]

PAGE: Final = 100
"""Messages that are read at once: some screens of them."""
_LOOK_MS: Final = 5_000
"""Times in words are looked at anew after so long, milliseconds, and with everything that happens."""
_NOBODY: Final = "There is nobody to talk to yet. /invite makes a link for somebody."


class Question:
    """Something that a command asks and waits for."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def give(self, answer: str) -> None:
        """The person has answered."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def turn_away(self) -> None:
        """The person does not want to answer."""
        if not self.answer.done():
            self.answer.set_exception(Misuse("Nothing was changed."))


class Desk:
    """One person's place, a `Face`.

    changed: called after everything that changes what is shown. leaving: called when the person wants to end.
    now_ms: this machine's time.
    """

    help_intro = KEYS_HELP

    def __init__(
        self,
        client: rapport.Client,
        now_ms: Callable[[], int],
        changed: Callable[[], None],
        leaving: Callable[[], None],
    ) -> None:
        self.client = client
        self.model = Model(client.account)
        self.names = self.model.names
        self.scroll = Scroll()
        self.numbers = Numbers()
        self.meant: Mapping[MessageId, int] = {}
        """The numbers that stood on the screen when the command at work was typed."""
        self.opened: Sheet | None = None
        """The sheet that is over the conversation."""
        self.said = ""
        """What the last command answered."""
        self.question: Question | None = None
        """What the next line is an answer to."""
        self.hours_draft: OfficeHours | None = None
        """See Face."""
        self.place: Place | None = None
        """See Face."""
        self.farewell = ""
        """What is to be said once the screen is gone."""
        self._doors = DoorTeller(client, self.names)
        self._calls = CallTeller(client, self.names)
        self._now_ms = now_ms
        self._changed = changed
        self._leaving = leaving
        self._events = client.events()
        self._reading = asyncio.Lock()
        self._entering: ConversationId | None = None
        self.happened = 0
        """How many events there were."""
        self.looked: tuple[object, ...] = ()
        """When the door and the clock were last looked at."""

    # --- what commands need (Face) ------------------------------------------------------------------------------------

    def tell(self, text: str) -> None:
        """See Face."""
        self.said, self.opened = text, None
        self._changed()

    def sheet(self, title: str, text: str | Callable[[int], str], picture: Sequence[str] = ()) -> None:
        """See Face."""
        self.opened = Sheet(title, text, picture)
        self._changed()

    async def ask(self, question: str) -> str:
        """See Face."""
        asked = self.question = Question(question)
        self._changed()
        try:
            return await asked.answer
        finally:
            self.question = None
            self._changed()

    def here(self) -> rapport.Conversation:
        """See Face."""
        if self.model.here is None:
            raise Misuse(_NOBODY)
        return self.client.conversation(self.model.here)

    async def enter(self, conversation: rapport.Conversation) -> None:
        """See Face. Its newest page is read and shown, which counts as read by the person."""
        self._entering = conversation.id
        self.opened, self.said = None, ""
        unread = conversation.unread
        page = await conversation.history(limit=PAGE)
        if self._entering != conversation.id:
            return  # the person has gone on to another one meanwhile
        self.model.open(Thread(conversation.id, page, unread=unread, complete=len(page) < PAGE), conversation.members)
        for account in undecided(self.client, conversation):
            self.model.notify(identity_words(self.names.of(account)), account)
        self.scroll.to_end()
        self._changed()
        await self.seen()

    def message(self, number: int) -> MessageId:
        """See Face."""
        found = next((ident for ident, given in self.meant.items() if given == number), None)
        if found is None:
            raise Misuse(f"There is no message {number} here; numbers stand before the messages while you type.")
        return found

    def newest(self, *, own: bool) -> MessageId:
        """See Face."""
        self.here()
        for message in reversed(self.model.thread.messages if self.model.thread else []):
            meant = (message.account == self.client.account) is own and not message.deleted
            if meant and message.kind is not MessageKind.CARD:
                return message.id
        raise Misuse("You have not sent anything here yet." if own else "Nobody has written anything here yet.")

    def show(self, message: Message) -> None:
        """See Face."""
        thread = self.model.thread
        if thread is not None and message.conversation == thread.conv:
            if thread.find(message.id) is None:
                thread.new_from = None
                self.scroll.to_end()
            thread.put(message)
        self.opened = None
        self._changed()

    def leave(self, words: str) -> None:
        """See Face."""
        self.farewell = words
        self._leaving()

    # --- what arrives -------------------------------------------------------------------------------------------------

    async def follow(self) -> None:
        """Until the client is closed: takes in what happens."""
        while True:
            try:
                async for event in self._events:
                    self.happened += 1
                    self._learn()
                    self.model.notify(self._doors.words(event, self._now_ms()))
                    self.model.notify(self._calls.words(event))
                    self.model.withdraw(self._calls.over(event))
                    if isinstance(event, CoverChanged):
                        await self._tell_cover(event.request)
                    if isinstance(event, UrgencyChanged):
                        here = self.client.conversation(event.conversation)
                        account = self.client.account
                        self.model.notify(alarm_words(here, event.message, account, self.names, self._now_ms()))
                    if self.model.apply(event, self._now_ms()):
                        await self._read_anew()
                    if self.model.here is None:
                        await begin(self)
                    self._changed()
                return
            except rapport.EventsUnread:
                self._events = self.client.events()
                await self._read_anew()

    async def _tell_cover(self, request: bytes) -> None:
        """What has come of a cover is said once; who is to answer finds it in /cover too."""
        with suppress(rapport.RapportError):
            self.model.notify(told(self, await self.client.cover.state(request)))

    def _learn(self) -> None:
        for conversation in self.client.conversations():
            self.names.learn(conversation.members)

    async def _read_anew(self) -> None:
        thread = self.model.thread
        if thread is not None:
            limit = min(max(PAGE, len(thread.messages)), HISTORY_MOST)
            page = await self.client.conversation(thread.conv).history(limit=limit)
            thread.merge(page, whole=len(page) < limit)

    async def older(self) -> None:
        """Reads the page before the oldest loaded message, unless that is under way or there is none."""
        thread = self.model.thread
        if thread is None or thread.complete or self._reading.locked():
            return
        async with self._reading:
            before = thread.messages[0].id if thread.messages else None
            thread.older(await self.client.conversation(thread.conv).history(before=before, limit=PAGE))
            self._changed()

    async def seen(self) -> None:
        """The person looks at the newest message: the others may know."""
        if self.model.here is not None and self.scroll.at_end:
            conversation = self.client.conversation(self.model.here)
            if conversation.unread:
                await conversation.mark_read()
                self._changed()


async def begin(desk: Desk) -> None:
    """Opens the most recently active conversation in which there is somebody, if there is any."""
    conversations = desk.client.conversations()
    for conversation in conversations:
        desk.names.learn(conversation.members)
    if conversations:
        await desk.enter(next((found for found in conversations if len(found.members) > 1), conversations[0]))


def look(desk: Desk, now_ms: int) -> None:
    """The door and the clock of the open conversation as they are now; at most once in five seconds without news."""
    thread = desk.model.thread
    if thread is None:
        return
    state = (thread, thread.version, desk.happened, desk.names.version, now_ms // _LOOK_MS)
    if state != desk.looked:
        desk.looked = state
        conversation = desk.client.conversation(thread.conv)
        desk.model.look = look_of(desk.client, conversation, desk.names, thread.messages, now_ms)


def rows_of(desk: Desk) -> list[Row]:
    """The list of conversations as the client has it now."""
    rows = []
    for conversation in desk.client.conversations():
        desk.names.learn(conversation.members)
        title = desk.names.list(member.account for member in conversation.members)
        others = [member.account for member in conversation.members if member.account != desk.client.account]
        there = presence_words(desk.client.presence.of(others[0])) if len(others) == 1 else ""
        rows.append(Row(conversation.id, title, conversation.unread, conversation.muted, there))
    return rows


def settle_decided(desk: Desk) -> None:
    """Takes away what was said of changed identities about which the person has decided, here or elsewhere."""
    for account in {notice.undecided for notice in desk.model.notices} - {None}:
        if account is not None and not desk.client.contact(account).identity_changed:
            desk.model.settle(account)
