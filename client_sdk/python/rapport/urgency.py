"""Urgent messages: the part of `Conversation` about them."""

from rapport.agreements import Urgency, UrgentElsewhere
from rapport.engine import urgent_seen
from rapport.engine.link.loop import Engine
from rapport.engine.urgent import urgency_of
from rapport_protocol.ids import ConversationId, MessageId

__all__ = ["UrgentConversation"]


class UrgentConversation:
    """How urgent messages stand, and saying that one was seen. A part of `Conversation`."""

    id: ConversationId
    _engine: Engine

    def urgency(self, message: MessageId) -> Urgency | None:
        """How an urgent message of this conversation stands now; None for one that is not urgent or long over."""
        view = self._engine.urgent.get(message)
        if view is None or view.row.conv != self.id or view.row.client is None:
            return None
        return urgency_of(view, self._engine.core.me.account, self._engine.now_ms())

    def urgent_elsewhere(self) -> list[UrgentElsewhere]:
        """What we are asked about here: the client has written it to a colleague, and nobody has confirmed it."""
        rows = [
            (view.message, view.row)
            for view in self._engine.urgent.values()
            if view.row.conv == self.id and view.row.seen_by is None
        ]
        return [
            UrgentElsewhere(row.client, row.therapist, message, row.at_ms)
            for message, row in rows
            if row.client is not None and row.therapist is not None
        ]

    async def confirm_urgent(self, message: MessageId) -> None:
        """A person has seen an urgent message of the other: tells them, sealed, and the server, which then stops.

        Whoever answers with a text need not call this. In a conversation with a client who has written to a colleague:
        we have taken notice of it. LocalError: NOT_FOUND for one that is not urgent or not of this conversation,
        FORBIDDEN for our own.
        """
        await self._engine.do(lambda turn: urgent_seen.confirm_urgent(turn, self.id, message))
