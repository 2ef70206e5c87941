"""Calls: what the store answers about them, and what it is told of the time.

Apart from `ports.py` because nothing else needs them. Source: docs/protocol.md, chapter 20.
"""

from collections.abc import Collection
from typing import Final, Protocol

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId, PracticeId

__all__ = ["CALL_KEPT_MS", "CALL_TIMER", "Calls"]

CALL_TIMER: Final = "call"
"""Kind of the timer of a call that lives; its key is the practice followed by the call's id."""
CALL_KEPT_MS: Final = 86_400_000
"""How long the record of a call is kept after its end, milliseconds: whoever was away is still answered."""


class Calls(Protocol):
    """Calls as they stand. What happens to them comes as jobs: see `PostJob.ring` and `CallJob`.

    The timer of one that lives (`CALL_TIMER`) is due when `arbiter.ends_ms` says. Those that ended a day ago are gone.
    """

    async def call(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """One call, None when there is none (any more)."""

    async def live_call(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """The one that lives in a conversation."""

    async def calls_of(self, devices: Collection[DeviceId], ended_since_ms: int) -> list[tuple[PracticeId, CallRecord]]:
        """The calls of these devices' accounts, of any practice, that live or have ended since then."""

    async def in_session(self, practice: PracticeId, accounts: Collection[AccountId]) -> frozenset[AccountId]:
        """Those of these accounts who are therapists or owners and in an accepted call with a client."""
