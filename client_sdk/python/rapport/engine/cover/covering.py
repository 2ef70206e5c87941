"""Saying the steps of a cover: asking, agreeing, handing the link on, accepting, the hand-over card.

Everything is kept before it leaves. To agree makes an invite, which is told once the server has it; to accept joins by
the link and says so in the same transaction in which we are in.

Source: docs/protocol.md, chapter 18.
"""

from typing import Final

from rapport.covers import CoverSide, CoverStage, CoverState
from rapport.crypto.invites import InviteLink, parse_link
from rapport.engine.bodies.agreements import (
    LINK_BYTES,
    NOTE_BYTES,
    REQUEST_BYTES,
    CoverAccepted,
    CoverCard,
    CoverOffer,
    CoverReady,
    CoverRefused,
    CoverRequest,
)
from rapport.engine.bodies.cover import COVER_KINDS, CoverContent, Heard, link_in
from rapport.engine.composing import compose
from rapport.engine.cover.cover_ledger import cover_of, making, note_invite, note_over, steps_of, take_step
from rapport.engine.joining import accepting
from rapport.engine.joining.accepting import Acceptance
from rapport.engine.joining.inviting import invite_link, new_invite
from rapport.engine.shown.showing import as_shown, put_message, queued_place
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, COUNTERS, Conversation, MessageRecord
from rapport.engine.vault.tables import amend, must
from rapport.engine.vault.turn import Turn
from rapport.engine.views import view_of
from rapport.events import Message, Status
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, ConversationId, InviteId
from rapport_protocol.membership_entries import ConversationKind
from rapport_protocol.requests import Role

__all__ = [
    "accept_cover",
    "agree",
    "hand_over",
    "invite_ended",
    "joined",
    "not_joined",
    "offer_due",
    "pair_of",
    "refuse",
    "request_cover",
]

_NOBODY: Final = "?"
"""Stands for a name that is not known yet."""


def _pair(turn: Turn, conversation: Conversation) -> tuple[AccountId, Role | None] | None:
    """The other member of a complete pair and their role; None for any other conversation."""
    state = conversation.membership
    if state is None or state.kind is not ConversationKind.PAIR:
        return None
    others = [member for member in view_of(turn, conversation).members if member.account != turn.me.account]
    return (others[0].account, others[0].role) if len(others) == 1 else None


def _pair_with(turn: Turn, account: AccountId) -> ConversationId | None:
    """A pair of ours with the account, the same one on every device."""
    keys = (ConversationId(key) for key, held in CONVERSATIONS.list(turn.tx) if _is_with(turn, held, account))
    return min(keys, default=None)


def _is_with(turn: Turn, conversation: Conversation, account: AccountId) -> bool:
    pair = _pair(turn, conversation)
    return pair is not None and pair[0] == account


def _say(turn: Turn, conv: ConversationId, content: CoverContent) -> Message | None:
    """Says a step; a bubble is returned as it stands in its conversation."""
    message = compose(turn, conv, content)
    pair = must(_pair(turn, CONVERSATIONS.need(turn.tx, conv)))
    take_step(turn, Heard(content, message, conv, turn.me.account, turn.me.device, pair[0], 0, turn.now_ms))
    if not isinstance(content, CoverRequest | CoverOffer | CoverCard):
        return None
    record = MessageRecord(
        id=message,
        conv=conv,
        account=turn.me.account,
        device=turn.me.device,
        seq=0,
        at_ms=turn.now_ms,
        kind=COVER_KINDS[type(content)],
        text=content.note,
        status=Status.QUEUED,
        order=queued_place(COUNTERS.need(turn.tx, b"").orders),
        request=content.request,
    )
    put_message(turn, record)
    amend(CONVERSATIONS, turn.tx, conv, active_ms=turn.now_ms)
    return as_shown(record)


def _require_note(note: str) -> None:
    if len(note.encode()) > NOTE_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, f"note: at most {NOTE_BYTES} bytes of UTF-8")


def _standing(turn: Turn, request: bytes, side: CoverSide, *stages: CoverStage) -> CoverState:
    """The request, if we stand there. LocalError: NOT_FOUND, EXPIRED when it is over, CONFLICT when it is elsewhere."""
    state = cover_of(turn, request)
    if state is None or state.side is not side:
        raise LocalError(ErrorCode.NOT_FOUND, "no such request for you to answer")
    if state.stage in stages:
        return state
    if state.stage is CoverStage.OVER:
        raise LocalError(ErrorCode.EXPIRED, "this offer is over: its link worked for seven days")
    raise LocalError(ErrorCode.CONFLICT, "this was answered already, or it is not your turn")


def _link(turn: Turn, request: bytes) -> str | None:
    return link_in(turn.me.account, steps_of(turn, request))


# --- therapist --------------------------------------------------------------------------------------------------------


def request_cover(
    turn: Turn, colleague: ConversationId, client: ConversationId, note: str, *, lasting: bool
) -> Message:
    """Asks the colleague of one pair to be there for the client of another one. The message's `request` names it.

    LocalError: NOT_FOUND for a conversation that is not known, FORBIDDEN unless these are pairs of ours with a
    colleague and with a client, TOO_LARGE.
    """
    _require_note(note)
    pairs = []
    for conv in (colleague, client):
        held = CONVERSATIONS.get(turn.tx, conv)
        if held is None:
            raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
        pairs.append(_pair(turn, held))
    of_colleague, of_client = pairs
    if turn.me.role not in (Role.OWNER, Role.THERAPIST) or of_colleague is None or of_client is None:
        raise LocalError(ErrorCode.FORBIDDEN, "a therapist asks a colleague, each in a conversation of two")
    if of_colleague[1] not in (Role.OWNER, Role.THERAPIST) or of_client[1] is not Role.CLIENT:
        raise LocalError(ErrorCode.FORBIDDEN, "first the conversation with the colleague, then that with the client")
    content = CoverRequest(turn.random(REQUEST_BYTES), of_client[0], _name(turn, of_client[0]), lasting, note)
    return must(_say(turn, colleague, content))


def _name(turn: Turn, account: AccountId) -> str:
    contact = CONTACTS.get(turn.tx, account)
    return (contact.name if contact else "") or _NOBODY


def offer_due(turn: Turn, request: bytes) -> None:
    """The colleague is ready: the link is handed to the client, unless another device of ours has done that."""
    errands.drop(turn, ErrandKind.COVER, request)
    state = cover_of(turn, request)
    if state is None or state.side is not CoverSide.THERAPIST or state.stage is not CoverStage.READY:
        return
    conv = _pair_with(turn, state.client)
    link = _link(turn, request)
    if conv is None or link is None:
        return
    name = _name(turn, state.colleague)
    _say(turn, conv, CoverOffer(request, state.colleague, name, link, state.lasting, ""))


def hand_over(turn: Turn, request: bytes, note: str) -> Message:
    """The hand-over card, after the client's yes. LocalError: NOT_FOUND, CONFLICT without that, TOO_LARGE."""
    _require_note(note)
    state = _standing(turn, request, CoverSide.THERAPIST, CoverStage.ACCEPTED)
    return must(_say(turn, state.conversation, CoverCard(request, state.client, note)))


# --- colleague --------------------------------------------------------------------------------------------------------


def agree(turn: Turn, request: bytes) -> None:
    """Makes an invite for the client; `cover.ready` follows once the server has it. LocalError: NOT_FOUND, CONFLICT."""
    _standing(turn, request, CoverSide.COLLEAGUE, CoverStage.ASKED)
    note_invite(turn, request, new_invite(turn, Role.CLIENT, None))


def invite_ended(turn: Turn, errand: Errand) -> None:
    """The server has an invite of ours, or will not: if a cover waits for it, its link is told, or it is asked anew."""
    invite = InviteId(errand.subject)
    request = making(turn, invite)
    if request is None:
        return
    note_invite(turn, request, b"")
    state = cover_of(turn, request)
    if state is None or state.side is not CoverSide.COLLEAGUE or state.stage is not CoverStage.ASKED:
        return  # another device of ours has answered
    try:
        link, _ = invite_link(turn, invite)
    except LocalError:
        return  # refused
    if len(link.encode()) <= LINK_BYTES:
        _say(turn, state.conversation, CoverReady(request, link))


# --- client -----------------------------------------------------------------------------------------------------------


def accept_cover(turn: Turn, request: bytes) -> InviteId | None:
    """Joins by the offered link; returns its invite, None when we are in a pair with the colleague already.

    `cover.accepted` is said in the transaction in which we are in. LocalError: NOT_FOUND, CONFLICT, EXPIRED; FORBIDDEN
    for an offer with something else than an invite link, which is refused.
    """
    state = _standing(turn, request, CoverSide.CLIENT, CoverStage.OFFERED)
    if _pair_with(turn, state.colleague) is not None:
        _say(turn, state.conversation, CoverAccepted(request))
        return None
    try:
        link = parse_link(_link(turn, request) or "")
    except FormatError:
        link = None
    if not isinstance(link, InviteLink):
        _say(turn, state.conversation, CoverRefused(request))
        return None
    accepting.accept(turn, link, state.colleague, request)
    return link.secret.id


def pair_of(turn: Turn, request: bytes) -> ConversationId:
    """The client's conversation with the colleague of an accepted offer. LocalError(FORBIDDEN) when it was refused."""
    state = cover_of(turn, request)
    conv = _pair_with(turn, state.colleague) if state is not None else None
    if state is None or conv is None or state.stage is not CoverStage.ACCEPTED:
        raise LocalError(ErrorCode.FORBIDDEN, "the offer held no link of an invite, and was refused")
    return conv


def joined(turn: Turn, accepted: Acceptance) -> None:
    """We are in by the link of an offer: the therapist is told."""
    state = cover_of(turn, accepted.request) if accepted.request else None
    if state is not None and state.side is CoverSide.CLIENT and state.stage is CoverStage.OFFERED:
        _say(turn, state.conversation, CoverAccepted(accepted.request))


def not_joined(turn: Turn, refused: Acceptance) -> None:
    """The link of an offer led nowhere: one that is of no use is over, one that lies is refused."""
    state = cover_of(turn, refused.request) if refused.request else None
    if state is None or state.side is not CoverSide.CLIENT or state.stage is not CoverStage.OFFERED:
        return
    if refused.code in (ErrorCode.FORBIDDEN, ErrorCode.INVALID_SIGNATURE):
        _say(turn, state.conversation, CoverRefused(refused.request))
    else:
        note_over(turn, refused.request)


# --- colleague and client ---------------------------------------------------------------------------------------------


def refuse(turn: Turn, request: bytes) -> None:
    """No: to a request, or to an offer. LocalError: NOT_FOUND, CONFLICT when it was answered."""
    state = cover_of(turn, request)
    if state is not None and state.side is CoverSide.CLIENT:
        _standing(turn, request, CoverSide.CLIENT, CoverStage.OFFERED, CoverStage.OVER)
    else:
        state = _standing(turn, request, CoverSide.COLLEAGUE, CoverStage.ASKED)
    _say(turn, state.conversation, CoverRefused(request))
