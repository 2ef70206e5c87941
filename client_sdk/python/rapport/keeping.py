"""What an account keeps for itself: parts of `Client` and `Conversation` that all its devices share, and the search."""

from rapport.engine import delivery, own_state
from rapport.engine.link.loop import Engine
from rapport.engine.shown import searching
from rapport.engine.shown.searching import SEARCH_MOST
from rapport.engine.views import ConversationView
from rapport.events import Message
from rapport.part import Part
from rapport.presence import Presence
from rapport_protocol.ids import ConversationId

__all__ = ["Keeping", "KeptConversation"]


class Keeping(Part):
    """Settings, presence, counts, and finding what was written. A part of `Client`."""

    @property
    def presence(self) -> Presence:
        """Who is there, and how we want to be seen."""
        return Presence(self._running)

    def figures(self) -> dict[str, int]:
        """How often what happened on this device, by class only: "F0" to "F10" (docs/protocol.md, 4.7), "renewed", …

        For people who look after many devices: no ids, no times, no names. Names that are missing stand for 0.
        """
        return dict(self._running.figures)

    def setting(self, name: str) -> str | None:
        """A named value that all devices of the account share; None if it is not set."""
        return self._running.settings.get(name)

    async def set_setting(self, name: str, value: str | None) -> None:
        """Sets a named value on all devices, None removes it; the newest word counts. A host's own, sealed.

        LocalError: BAD_FORMAT for a name that is not 1 to 64 characters, TOO_LARGE for a value above 4,096 bytes of
        UTF-8, TOO_MANY for a name beyond the 256th.
        """
        await self._running.do(lambda turn: own_state.set_setting(turn, name, value))

    async def search(self, words: str, conversation: ConversationId | None = None, limit: int = 50) -> list[Message]:
        """Messages on this device with a word that begins with each of these, newest first; at most 200.

        Case and accents make no difference; words of one letter are passed over. conversation: only there. LocalError:
        BAD_FORMAT without a word of two letters, TOO_LARGE above 1,000 characters.
        """
        limit = max(1, min(limit, SEARCH_MOST))
        return await self._running.do(lambda turn: searching.search(turn, words, conversation, limit))


class KeptConversation:
    """How far it was read, whether it is muted, what is being written: on all our devices. A part of `Conversation`."""

    id: ConversationId
    _engine: Engine

    @property
    def _view(self) -> ConversationView:
        return self._engine.views[self.id]

    @property
    def unread(self) -> int:
        """Messages of others that were not marked as read on any of our devices."""
        return self._view.unread

    async def mark_read(self) -> None:
        """The person has seen everything up to now; members and our other devices hear of it every ten seconds."""
        await self._engine.do(lambda turn: delivery.mark_read(turn, self.id))

    @property
    def muted(self) -> bool:
        """Whether the person wants no sound or sign of it now. Messages come as ever; to heed it is the host's part."""
        return self._view.muted_until_ms > self._engine.now_ms()

    async def mute(self, until_ms: int | None) -> None:
        """Mutes it on all our devices until then, milliseconds of Unix time; 2^53 - 1 = for good, None = not any more.

        LocalError(BAD_FORMAT) for a time outside of 1 to 2^53 - 1.
        """
        await self._engine.do(lambda turn: own_state.mute(turn, self.id, until_ms))

    @property
    def draft(self) -> str:
        """What was last put into `set_draft`, on whichever of our devices."""
        return self._view.draft

    async def set_draft(self, text: str) -> None:
        """Keeps what stands in the input, "" for nothing; our other devices hear of it every two seconds at most.

        LocalError(TOO_LARGE) above 15,000 bytes of UTF-8.
        """
        await self._engine.do(lambda turn: own_state.set_draft(turn, self.id, text))
