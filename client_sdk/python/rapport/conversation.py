"""A conversation as hosts use it: what stands in it, and what can be said in it."""

from typing import Final

from rapport.engine import composing, signals
from rapport.engine.link.loop import Engine
from rapport.engine.recovery import restoring
from rapport.engine.recovery.restoring import Restored
from rapport.engine.shown import showing
from rapport.events import Member, Message
from rapport.keeping import KeptConversation
from rapport.office import AnsweringConversation
from rapport.urgency import UrgentConversation
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import PAGE_ITEMS
from rapport_protocol.requests import ArchivePage

__all__ = ["HISTORY_MOST", "Conversation"]

HISTORY_MOST: Final = 1_000
"""Most messages of one `history` call."""
_TYPING_EVERY_S: Final = 3.0
"""Typing is told at most this often; it holds for about five seconds."""


class Conversation(KeptConversation, AnsweringConversation, UrgentConversation):
    """One conversation of this account. Made by the client; stays valid as long as the client is open."""

    def __init__(self, engine: Engine, conv: ConversationId) -> None:
        self._engine = engine
        self.id = conv
        """16 bytes, the same on every device."""
        self._typed_s: float | None = None

    def __repr__(self) -> str:
        return f"Conversation({self.id.hex()[:8]})"

    @property
    def members(self) -> list[Member]:
        """Everybody in it, ourselves included."""
        return list(self._view.members)

    @property
    def active_ms(self) -> int:
        """When the last message was written or accepted, milliseconds of the server's clock."""
        return self._view.active_ms

    async def send_text(
        self, text: str, reply_to: MessageId | None = None, *, expire_s: int | None = None, urgent: bool = False
    ) -> Message:
        """Writes a text: 1 to 15,000 bytes of UTF-8.

        urgent: by a client to their therapist: the server tells them again and again until somebody confirms that a
        person has seen it, see `urgency`. A therapist's text confirms what is urgent here.

        expire_s: so many seconds (5 to 365 days) after the server has taken it, it is removed from every device that
        keeps to the rules. See docs/protocol.md, section 4.11, for what that does not promise.

        Returns once it is in the vault; it is sent as soon as there is a connection, whatever happens in between.
        MessageStatus events tell how far it has come. LocalError (TOO_LARGE, BAD_FORMAT, FORBIDDEN: not urgent here),
        VaultProblem: nothing was written.
        """
        return await self._engine.do(
            lambda turn: composing.write_text(turn, self.id, text, reply_to, expire_s, urgent=urgent)
        )

    async def edit(self, message: MessageId, text: str) -> Message:
        """Changes a message of ours. LocalError: NOT_FOUND, FORBIDDEN (not ours), TOO_LARGE."""
        return await self._engine.do(lambda turn: composing.edit_message(turn, self.id, message, text))

    async def delete(self, message: MessageId) -> Message:
        """Takes a message of ours out of view, here and at the others. LocalError: NOT_FOUND, FORBIDDEN (not ours)."""
        return await self._engine.do(lambda turn: composing.delete_message(turn, self.id, message))

    async def react(self, message: MessageId, emoji: str | None) -> Message:
        """Our one reaction to a message, at most 64 bytes of UTF-8.

        None takes it back. LocalError: NOT_FOUND, TOO_LARGE.
        """
        return await self._engine.do(lambda turn: composing.react(turn, self.id, message, emoji))

    async def typing(self) -> None:
        """Tells connected members that we are writing.

        Call it with every key, it is sent every three seconds at most.
        """
        now = self._engine.clock.monotonic()
        if self._typed_s is None or now - self._typed_s >= _TYPING_EVERY_S:
            self._typed_s = now
            memory = self._engine.core.signals
            await self._engine.do(lambda turn: signals.send_typing(turn, memory, self.id))

    async def history(self, before: MessageId | None = None, limit: int = 50) -> list[Message]:
        """The newest `limit` messages (at most 1,000), or those before one of them.

        Oldest first, queued ones at the end.
        """
        limit = max(1, min(limit, HISTORY_MOST))
        return await self._engine.do(lambda turn: showing.history(turn.tx, self.id, before, limit))

    async def restore(self) -> Restored:
        """Fetches history that this device does not hold, as far as the account has archived it; needs a connection.

        Rejected, Unreachable: what came before that is kept; call it again.
        """
        total, start, end = Restored(0, 0), 1, self._view.shown
        while 0 < start <= end:
            query = {"from": start, "to": end, "limit": PAGE_ITEMS}
            page = await self._engine.request("archive.page", {"conv": self.id}, query)
            if not isinstance(page, ArchivePage):
                break
            found = page
            came = await self._engine.do(lambda turn: restoring.restore_page(turn, self.id, found))  # noqa: B023
            total = Restored(total.restored + came.restored, total.unreadable + came.unreadable)
            start = page.next_seq
        return total
