"""How far a cover or hand-over has come: the value that hosts are shown.

Source: docs/protocol.md, chapter 18.
"""

from enum import StrEnum

from msgspec import Struct

from rapport_protocol.ids import AccountId, ConversationId

__all__ = ["CoverSide", "CoverStage", "CoverState"]


class CoverSide(StrEnum):
    """What we are in a cover or hand-over."""

    THERAPIST = "therapist"
    """Who asks."""
    COLLEAGUE = "colleague"
    """Who would be there."""
    CLIENT = "client"
    """For whom."""


class CoverStage(StrEnum):
    """How far a cover or hand-over has come, as far as our side can know."""

    ASKED = "asked"
    """The colleague has not answered."""
    AGREEING = "agreeing"
    """This device makes the invite for the client; it needs a connection."""
    READY = "ready"
    """The colleague would do it; the client is being asked."""
    REFUSED = "refused"
    """The colleague has said no."""
    OFFERED = "offered"
    """The client has been asked and has not answered."""
    DECLINED = "declined"
    """The client has said no."""
    ACCEPTED = "accepted"
    """The client has said yes: colleague and client have a conversation of their own."""
    HANDED_OVER = "handed_over"
    """The colleague has the hand-over card too."""
    OVER = "over"
    """Nobody has used the link within seven days, or it leads nowhere: it has to be asked anew."""


class CoverState(Struct, frozen=True):
    """One cover or hand-over, as it stands for us.

    request: its id, 16 bytes. conversation: where it was asked or offered. name: the client's, as the therapist knows
    it; for the client the colleague's. lasting: for good, else for a time away. at_ms: when the newest step was said.
    """

    request: bytes
    side: CoverSide
    stage: CoverStage
    conversation: ConversationId
    therapist: AccountId
    colleague: AccountId
    client: AccountId
    name: str
    note: str
    lasting: bool
    at_ms: int

    def __repr__(self) -> str:
        return f"CoverState({self.request.hex()[:8]}, {self.side}, {self.stage})"
