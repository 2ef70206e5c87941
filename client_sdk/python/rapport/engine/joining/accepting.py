"""Joining a conversation by an invite with the account that there is: an errand of two calls, view and append.

The join is signed over the chain as the server shows it, kept, and sent as identical bytes until it is answered; when
another entry comes first it is signed anew. What speaks against it is kept as the outcome, in words, until somebody
asks. Whether another device of ours has used the invite is seen from our own entries.

Source: docs/protocol.md, section 3.5.
"""

from typing import Final

from msgspec.structs import replace

from rapport.crypto.invites import Card, InviteLink, InviteSecret, open_card
from rapport.engine.cards import keep_invite_card
from rapport.engine.contacts import newest_list
from rapport.engine.conversations import list_of
from rapport.engine.joining.inviting import MEMBER_ROLES
from rapport.engine.joining.registration import InviteMismatch, check_view, open_joined, sign_join
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.own_entries import own_entries
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.errors import ErrorCode, LocalError, Rejected, RemoteError
from rapport_protocol.ids import ConversationId, InviteId
from rapport_protocol.membership import advance
from rapport_protocol.membership_entries import Join, MemberRole
from rapport_protocol.requests import Appended, AppendEntry, InviteView, Role

__all__ = [
    "Acceptance",
    "accept",
    "accept_call",
    "accept_errand",
    "accept_refused",
    "appended",
    "outcome",
    "taken_up",
    "viewed",
]

_CHAIN_WITHIN: Final = 3
"""So many refusals leave time for the entry of another device of ours to arrive."""
_LOOK_AGAIN_MS: Final = 1_000


class Acceptance(Row, frozen=True):
    """An invite that this device has been asked to take. token: its secret; base: of its link.

    colleague: the account whose invite it must be, b"" for anybody's. request: the cover that it belongs to, b"" for
    none. entry, chain, card: the signed join, the chain with it at the end, and who invites; empty until it was looked
    at. code, detail: why it was not taken; "" while that is open.
    """

    token: bytes
    base: str
    colleague: bytes = b""
    request: bytes = b""
    entry: bytes = b""
    chain: tuple[bytes, ...] = ()
    card: Card | None = None
    code: str = ""
    detail: str = ""


_ACCEPTING: Final = Table("accepting", Acceptance)
"""By invite id, until it is taken or the outcome was asked for."""


class _Impossible(Exception):
    """This invite is not for us; said in words."""

    def __init__(self, code: ErrorCode, detail: str) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail


# --- asking for it ----------------------------------------------------------------------------------------------------


def accept_errand(invite: InviteId) -> bytes:
    """The key of the errand that takes it."""
    return errands.errand_key(ErrandKind.ACCEPT, invite)


def accept(turn: Turn, link: InviteLink, colleague: bytes = b"", request: bytes = b"") -> None:
    """Plans to take an invite; asking again is harmless. colleague, request: see Acceptance.

    LocalError: FORBIDDEN before registration; CONFLICT for an invite of our own account, or into a conversation that we
    are in by another one.
    """
    if turn.me.role is None:
        raise LocalError(ErrorCode.FORBIDDEN, "this device has no account yet")
    invite = link.secret.id
    if _joined_by(turn, invite) is not None:
        _ACCEPTING.delete(turn.tx, invite)
        return
    for _, held in CONVERSATIONS.list(turn.tx):
        opened = held.membership.invite(invite) if held.membership else None
        if opened is not None:
            own = opened.account == turn.me.account
            raise LocalError(ErrorCode.CONFLICT, _OWN if own else _MEMBER)
    before = _ACCEPTING.get(turn.tx, invite)
    if before is None or before.code:
        _ACCEPTING.put(turn.tx, invite, Acceptance(link.secret.token, link.base, colleague, request))
    elif request and (before.card is None or before.card.account == colleague):  # it was being taken for itself
        _ACCEPTING.put(turn.tx, invite, replace(before, colleague=colleague, request=request))
    errands.plan(turn, ErrandKind.ACCEPT, invite)


def outcome(turn: Turn, invite: InviteId) -> ConversationId | None:
    """The conversation that was joined by the invite; None while that is open.

    LocalError says why it was not joined: CONFLICT (our own, or we are in already), EXPIRED (used, expired, or unknown
    here), FORBIDDEN (another server's, for another role, from another inviter), INVALID_SIGNATURE (the server lies),
    UNAUTHENTICATED (this device has been removed).
    """
    joined = _joined_by(turn, invite)
    if joined is not None:
        return joined
    held = _ACCEPTING.get(turn.tx, invite)
    if held is not None and held.code:
        _ACCEPTING.delete(turn.tx, invite)
        raise LocalError(ErrorCode(held.code), held.detail)
    return None


def taken_up(turn: Turn, invite: InviteId) -> Acceptance | None:
    """What is kept of an invite that is being taken, or was refused."""
    return _ACCEPTING.get(turn.tx, invite)


def _joined_by(turn: Turn, invite: InviteId) -> ConversationId | None:
    """The conversation that a device of this account has joined by the invite."""
    for key, held in CONVERSATIONS.list(turn.tx):
        if held.membership is None:
            continue
        for entry in own_entries(turn, ConversationId(key)):
            if isinstance(entry.fields.action, Join) and entry.fields.action.invite == invite:
                return ConversationId(key)
    return None


_OWN: Final = "this invite is your own: give its link to the other person"
_MEMBER: Final = "you are in this conversation already"
_USED: Final = "this invite was used already or has expired: ask for a new one"
_ELSEWHERE: Final = "this invite belongs to another server than your account"
_ROLES: Final = {
    MemberRole.CLIENT: "this invite is for a client, and your account is a therapist's",
    MemberRole.THERAPIST: "this invite is for a therapist, and your account is a client's",
}
_LIES: Final = "the invite and the server contradict each other: do not use it, and tell the person who sent it"
_OTHER: Final = "the link is not from the colleague that it was said to be from"


# --- the two calls ----------------------------------------------------------------------------------------------------


def accept_call(turn: Turn, errand: Errand) -> Call | None:
    """Looks at the invite; once the join is signed, appends it."""
    invite = InviteId(errand.subject)
    held = _ACCEPTING.get(turn.tx, invite)
    if held is None or held.code or _joined_by(turn, invite) is not None:
        _over(turn, invite)
        turn.finished.setdefault(errand.key, None)
        return None
    if held.card is None:
        return Call(errand.key, "invite.view", path={"invite": invite})
    return Call(errand.key, "membership.append", AppendEntry(held.entry), path={"conv": held.card.conv})


def viewed(turn: Turn, errand: Errand, view: InviteView) -> Acceptance:
    """The invite as the server shows it is checked, and the join signed over its chain; or the outcome says why not."""
    invite = InviteId(errand.subject)
    held = _ACCEPTING.need(turn.tx, invite)
    try:
        with turn.part():
            card = _checked(turn, held, view)
            state = check_view(turn, InviteSecret(held.token), card, view)
            join = sign_join(turn, InviteSecret(held.token), state)
            advance(state, join, list_of(turn))  # what the server will check, before it is asked
    except _Impossible as problem:
        return _fail(turn, errand, problem.code, problem.detail)
    except RemoteError:  # it does not open, is not what the link vouches for, or breaks the rules
        return _fail(turn, errand, ErrorCode.INVALID_SIGNATURE, _LIES)
    return amend(_ACCEPTING, turn.tx, invite, entry=join.encoded, chain=(*view.chain, join.encoded), card=card)


def _checked(turn: Turn, held: Acceptance, view: InviteView) -> Card:
    """The card, if it is for us."""
    me, card = turn.me, open_card(InviteSecret(held.token), view.card)
    if card.server_id != me.server_id:
        raise _Impossible(ErrorCode.FORBIDDEN, _ELSEWHERE)
    if card.account == me.account:
        raise _Impossible(ErrorCode.CONFLICT, _OWN)
    if held.colleague and card.account != held.colleague:
        raise _Impossible(ErrorCode.FORBIDDEN, _OTHER)
    role = me.role
    owner = role is Role.OWNER and card.role is MemberRole.THERAPIST
    if role is None or not (owner or MEMBER_ROLES[role] is card.role):
        raise _Impossible(ErrorCode.FORBIDDEN, _ROLES.get(card.role, _LIES))
    if CONVERSATIONS.has(turn.tx, card.conv):
        raise _Impossible(ErrorCode.CONFLICT, _MEMBER)
    pinned = CONTACTS.get(turn.tx, card.account)
    if pinned is not None and pinned.aik != card.aik:
        raise InviteMismatch
    if newest_list(turn, me.account).content.entry(me.device) is None:
        raise _Impossible(ErrorCode.UNAUTHENTICATED, "this device has been removed from your account")
    return card


def appended(turn: Turn, errand: Errand, answer: Appended) -> Acceptance | None:
    """We are in: the conversation is open, with the inviter's welcome, and our name is the first post to send."""
    invite = InviteId(errand.subject)
    held = _ACCEPTING.get(turn.tx, invite)
    _over(turn, invite)
    if held is None or held.card is None:
        return None
    if not CONVERSATIONS.has(turn.tx, held.card.conv):  # the stream may have been quicker
        open_joined(turn, held.chain, held.card, answer.seq)
    else:
        keep_invite_card(turn, held.card.conv, held.card)
    return held


def accept_refused(turn: Turn, errand: Errand, refusal: Rejected) -> Acceptance | None:
    """Another entry came first: look again. Whatever else was refused for good is the outcome, which is returned."""
    invite = InviteId(errand.subject)
    held = _ACCEPTING.get(turn.tx, invite)
    if held is None:
        _over(turn, invite)
        return None
    if refusal.code is ErrorCode.EPOCH_STALE:
        _ACCEPTING.put(turn.tx, invite, replace(held, entry=b"", chain=(), card=None))
        errands.postpone(turn, errand)
        return None
    if held.card is not None and errand.tries < _CHAIN_WITHIN:  # another device of ours may have been first
        errands.plan(turn, ErrandKind.CHAIN, held.card.conv)
        errands.postpone(turn, errand, wait_ms=_LOOK_AGAIN_MS)
        return None
    elsewhere = held.card is None and held.base != turn.me.base
    return _fail(turn, errand, ErrorCode.EXPIRED, f"{_USED}; or {_ELSEWHERE}" if elsewhere else _USED)


def _fail(turn: Turn, errand: Errand, code: ErrorCode, detail: str) -> Acceptance:
    errands.drop(turn, ErrandKind.ACCEPT, errand.subject)
    return amend(_ACCEPTING, turn.tx, errand.subject, code=str(code), detail=detail)


def _over(turn: Turn, invite: InviteId) -> None:
    errands.drop(turn, ErrandKind.ACCEPT, invite)
    held = _ACCEPTING.get(turn.tx, invite)
    if held is not None and not held.code:
        _ACCEPTING.delete(turn.tx, invite)
