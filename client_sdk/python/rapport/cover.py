"""Cover and hand-over as hosts use it: a part of `Client` that stands behind `client.cover`."""

import asyncio
from typing import Final

from rapport.conversation import Conversation
from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.crypto.invites import InviteLink, parse_link
from rapport.engine.cover import cover_ledger, covering
from rapport.engine.joining import accepting
from rapport.engine.link.loop import Engine
from rapport.events import Message
from rapport.part import Part
from rapport.ports import Unreachable
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, InviteId

__all__ = ["ACCEPT_WITHIN_S", "Accepting", "Cover"]

ACCEPT_WITHIN_S: Final = 30.0
"""How long joining waits for the server, seconds; it goes on by itself afterwards."""

_WAITING: Final = {
    (CoverSide.COLLEAGUE, CoverStage.ASKED),
    (CoverSide.CLIENT, CoverStage.OFFERED),
    (CoverSide.THERAPIST, CoverStage.ACCEPTED),
}
"""Where it is our turn: to answer, or to send the hand-over card."""


class Cover:
    """A colleague who is there for a client: for a time away, or for good.

    All of it is sealed; the server learns nothing but that two people have a conversation. The therapist asks
    (`request`), the colleague agrees or refuses, the client is asked by the therapist's device and accepts or refuses,
    the therapist sends the hand-over card. Every step is in the vault before it leaves, and all devices of each of the
    three follow it: CoverChanged.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def all(self) -> list[CoverState]:
        """Every cover that this device knows of, at most 256, the newest word first."""
        return await self._engine.do(cover_ledger.covers)

    async def pending(self) -> list[CoverState]:
        """Those in which it is our turn: to agree, to accept, or to send the card."""
        return [state for state in await self.all() if (state.side, state.stage) in _WAITING]

    async def state(self, request: bytes) -> CoverState:
        """How far one has come. LocalError(NOT_FOUND)."""
        state = await self._engine.do(lambda turn: cover_ledger.cover_of(turn, request))
        if state is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such request")
        return state

    async def request(
        self, colleague: Conversation, client: Conversation, *, lasting: bool = False, note: str = ""
    ) -> Message:
        """Asks the colleague of one conversation to be there for the client of the other.

        lasting: to take them over, else for a time away. note: for the colleague, at most 8,000 bytes. The message's
        `request` names it from now on. LocalError: FORBIDDEN unless these are our pairs with a colleague and with a
        client, TOO_LARGE.
        """
        return await self._engine.do(
            lambda turn: covering.request_cover(turn, colleague.id, client.id, note, lasting=lasting)
        )

    async def agree(self, request: bytes) -> None:
        """The colleague's yes: an invite for the client is made, and its link told as soon as there is a connection.

        LocalError: NOT_FOUND, CONFLICT when it was answered.
        """
        await self._engine.do(lambda turn: covering.agree(turn, request))

    async def refuse(self, request: bytes) -> None:
        """No, of the colleague or of the client. LocalError: NOT_FOUND, CONFLICT when it was answered."""
        await self._engine.do(lambda turn: covering.refuse(turn, request))

    async def accept(self, request: bytes) -> Conversation:
        """The client's yes: joins a conversation with the colleague, and tells the therapist.

        LocalError: NOT_FOUND, CONFLICT when it was answered, EXPIRED when the link is of no use any more, FORBIDDEN or
        INVALID_SIGNATURE when it is not from the colleague whom the therapist has named (the offer is refused then).
        Unreachable when the server does not answer within 30 s: it goes on by itself.
        """
        invite = await self._engine.do(lambda turn: covering.accept_cover(turn, request))
        if invite is not None:
            return Conversation(self._engine, await _joined(self._engine, invite))
        conv = await self._engine.do(lambda turn: covering.pair_of(turn, request))
        return Conversation(self._engine, conv)

    async def send_card(self, request: bytes, note: str) -> Message:
        """The hand-over card: what the colleague needs to know, at most 8,000 bytes; after the client's yes.

        LocalError: NOT_FOUND, CONFLICT before that, TOO_LARGE.
        """
        return await self._engine.do(lambda turn: covering.hand_over(turn, request, note))


class Accepting(Part):
    """Joining with the account that there is, and colleagues who are there for a client. A part of `Client`."""

    async def accept_invite(self, link: str) -> Conversation:
        """Joins a conversation by an invite, with the account that this device has, and returns it.

        Asking again is harmless, also after a crash or Unreachable (no answer within 30 s: it goes on by itself). The
        conversation opens on all our devices. FormatError (no such link); LocalError, worded for people: CONFLICT (our
        own invite, or we are in that conversation already), EXPIRED (used, expired or unknown here), FORBIDDEN (of
        another server, or for another role than ours), INVALID_SIGNATURE (the server shows another invite than the link
        vouches for), BAD_FORMAT (an owner link).
        """
        engine, parsed = self._running, parse_link(link)
        if not isinstance(parsed, InviteLink):
            raise LocalError(ErrorCode.BAD_FORMAT, "this link makes the first account of a practice: it invites nobody")
        await engine.do(lambda turn: accepting.accept(turn, parsed))
        return Conversation(engine, await _joined(engine, parsed.secret.id))

    @property
    def cover(self) -> Cover:
        """Colleagues who are there for a client: asking, agreeing, accepting, handing over."""
        return Cover(self._running)


async def _joined(engine: Engine, invite: InviteId) -> ConversationId:
    try:
        async with asyncio.timeout(ACCEPT_WITHIN_S):
            await engine.errand_done(accepting.accept_errand(invite))
    except TimeoutError:
        raise Unreachable from None
    conv = await engine.do(lambda turn: accepting.outcome(turn, invite))
    if conv is None:
        raise LocalError(ErrorCode.NOT_FOUND, "the invite is not being taken any more")
    return conv
