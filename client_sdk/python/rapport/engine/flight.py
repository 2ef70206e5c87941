"""What is unanswered on one connection. Gone with it: the outbox in the vault knows what to send again.

Used by steps only, in the vault's thread; a turn that fails to commit ends the connection and with it this.
"""

from rapport.engine.signals import SignalMemory
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import UNANSWERED_SENDS

__all__ = ["Flight"]


class Flight:
    """Posts and directs on their way, at most 64.

    Each post remembers the round it was sent in; a refusal begins a new round of its conversation, and what is still on
    its way from an earlier round can only be answered `blocked`.
    """

    __slots__ = ("_rounds", "_unanswered", "caught_up", "signals", "under_way")

    def __init__(self, signals: SignalMemory) -> None:
        self.signals = signals
        self.caught_up = False
        """Everything that waited when the connection was made has been taken."""
        self.under_way: set[bytes] = set()
        """Errands whose calls have not come back."""
        self._unanswered: dict[MessageId, tuple[ConversationId | None, int]] = {}
        self._rounds: dict[ConversationId, int] = {}

    def __len__(self) -> int:
        return len(self._unanswered)

    def __contains__(self, message: MessageId) -> bool:
        return message in self._unanswered

    @property
    def room(self) -> int:
        """How many more may be sent now."""
        return UNANSWERED_SENDS - len(self._unanswered)

    def add(self, message: MessageId, conv: ConversationId | None) -> None:
        """A post of this conversation, or a direct (None), leaves."""
        self._unanswered[message] = (conv, self._rounds.get(conv, 0) if conv else 0)

    def conversation(self, message: MessageId) -> ConversationId | None:
        """The conversation of a post on its way; None for a direct."""
        return self._unanswered[message][0]

    def is_stale(self, message: MessageId) -> bool:
        """Whether it was sent before the last refusal in its conversation."""
        conv, sent_in = self._unanswered[message]
        return conv is not None and sent_in < self._rounds.get(conv, 0)

    def forget(self, message: MessageId) -> None:
        """It was answered."""
        self._unanswered.pop(message, None)

    def mark(self) -> frozenset[MessageId]:
        """What is on its way now, for `back_to`."""
        return frozenset(self._unanswered)

    def back_to(self, mark: frozenset[MessageId]) -> None:
        """What was added since has not left after all."""
        for message in [held for held in self._unanswered if held not in mark]:
            del self._unanswered[message]

    def refused(self, message: MessageId) -> ConversationId | None:
        """It was answered with a refusal.

        Returns its conversation, in which a new round begins. None if it was not on its way.
        """
        conv, _ = self._unanswered.pop(message, (None, 0))
        if conv is not None:
            self._rounds[conv] = self._rounds.get(conv, 0) + 1
        return conv
