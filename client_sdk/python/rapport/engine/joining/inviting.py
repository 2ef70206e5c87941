"""Inviting somebody.

A fresh secret, a new pair conversation with the invite in it, and the sealed card that waits for them.

Everything is committed before the server hears of it; the link is given out once the server has the invite. The invitee
can join while we are offline.

Source: docs/protocol.md, section 3.1.
"""

from typing import Final

from rapport.crypto.invites import Card, InviteLink, InviteSecret, seal_card
from rapport.engine.bodies.content import InviteMade
from rapport.engine.cards import with_own_card
from rapport.engine.composing import compose
from rapport.engine.contacts import newest_list
from rapport.engine.conversations import list_of, open_conversation, open_self
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.records import CONVERSATIONS, INVITES, SETTINGS, InviteRecord
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import InviteId
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.membership import advance, begin
from rapport_protocol.membership_entries import (
    ConversationKind,
    EntryFields,
    Genesis,
    Invite,
    MemberRole,
    SignedEntry,
    genesis_fields,
)
from rapport_protocol.requests import Appended, CreateInvite, Role

__all__ = [
    "MEMBER_ROLES",
    "WELCOME_BYTES",
    "invite_call",
    "invite_errand",
    "invite_link",
    "invite_made",
    "invite_refused",
    "new_invite",
    "withdraw",
]

MEMBER_ROLES: Final = {
    Role.OWNER: MemberRole.OWNER,
    Role.THERAPIST: MemberRole.THERAPIST,
    Role.CLIENT: MemberRole.CLIENT,
}
"""A role in the practice as a membership chain writes it."""
WELCOME_BYTES: Final = 4_096
"""Longest welcome, bytes of UTF-8."""


def new_invite(turn: Turn, role: Role, welcome: str | None) -> InviteId:
    """Makes an invite into a new pair conversation and plans its creation on the server.

    LocalError: FORBIDDEN before registration or for a role that may not invite; TOO_LARGE for a welcome above 4,096
    bytes.
    """
    own = turn.me.role
    if own is None or not MEMBER_ROLES[own].admin or role is Role.OWNER:
        raise LocalError(ErrorCode.FORBIDDEN, "this role may not give that one")
    if welcome is not None and len(welcome.encode()) > WELCOME_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, "welcome")
    secret = InviteSecret.make(turn.random)
    genesis, invite = _entries(turn, secret, MEMBER_ROLES[own], MEMBER_ROLES[role])
    card = seal_card(secret, with_own_card(turn, _card(turn, genesis, MEMBER_ROLES[role], welcome)), turn.random)
    record = InviteRecord(secret.token, genesis.fields.conv, (genesis.encoded, invite.encoded), card)
    INVITES.put(turn.tx, secret.id, record)
    errands.plan(turn, ErrandKind.INVITE, secret.id)
    return secret.id


def _entries(turn: Turn, secret: InviteSecret, own: MemberRole, role: MemberRole) -> tuple[SignedEntry, SignedEntry]:
    me, key = turn.me, turn.me.signing_key()
    version = newest_list(turn, me.account).version
    action = Genesis(ConversationKind.PAIR, own, turn.random(16), me.secrets.aik)
    genesis = genesis_fields(action, me.account, me.device, version, turn.now_ms).sign(key)
    invite = Invite(secret.id, secret.signing_key().public, role, turn.now_ms + INVITE_LIFE_MS)
    fields = EntryFields(genesis.fields.conv, 2, genesis.hash, me.account, me.device, version, invite, turn.now_ms)
    signed = fields.sign(key)
    lists = list_of(turn)
    advance(begin(genesis, lists), signed, lists)  # what the server will check, before it is asked
    return genesis, signed


def _card(turn: Turn, genesis: SignedEntry, role: MemberRole, welcome: str | None) -> Card:
    head = newest_list(turn, turn.me.account)
    return Card(
        name=SETTINGS.need(turn.tx, b"").name,
        account=turn.me.account,
        aik=turn.me.secrets.aik,
        version=head.version,
        dlh=head.hash,
        server_id=turn.me.server_id,
        conv=genesis.fields.conv,
        genesis=genesis.hash,
        role=role,
        welcome=welcome,
    )


def invite_errand(invite: InviteId) -> bytes:
    """The key of the errand that creates it."""
    return errands.errand_key(ErrandKind.INVITE, invite)


def withdraw(turn: Turn, invite: InviteId) -> None:
    """Nobody will be given the link: it is not asked for any more."""
    if errands.planned(turn, ErrandKind.INVITE, invite):
        errands.drop(turn, ErrandKind.INVITE, invite)
        INVITES.delete(turn.tx, invite)


def invite_call(turn: Turn, errand: Errand) -> Call | None:
    """Creates the invite; identical bytes until it is answered."""
    record = INVITES.get(turn.tx, errand.subject)
    if record is None:
        errands.drop(turn, ErrandKind.INVITE, errand.subject)
        return None
    return Call(errand.key, "invite.create", CreateInvite(list(record.entries), record.card))


def invite_made(turn: Turn, errand: Errand, answer: Appended) -> None:
    """The server has it: the conversation is open, and our other devices learn of the invite."""
    errands.drop(turn, ErrandKind.INVITE, errand.subject)
    record = INVITES.need(turn.tx, errand.subject)
    if not CONVERSATIONS.has(turn.tx, record.conv):
        open_conversation(turn, [SignedEntry.parse(entry) for entry in record.entries], answer.seq)
    compose(turn, open_self(turn), InviteMade(record.token, record.conv))


def invite_refused(turn: Turn, errand: Errand) -> None:
    """The server will not have it: nobody can use the link, so it is forgotten."""
    errands.drop(turn, ErrandKind.INVITE, errand.subject)
    INVITES.delete(turn.tx, errand.subject)


def invite_link(turn: Turn, invite: InviteId) -> tuple[str, bytes]:
    """The link of an invite that the server has, and its conversation. LocalError(NOT_FOUND)."""
    record = INVITES.get(turn.tx, invite)
    if record is None or errands.planned(turn, ErrandKind.INVITE, invite):
        raise LocalError(ErrorCode.NOT_FOUND, "no such invite")
    return InviteLink(turn.me.base, InviteSecret(record.token)).encode(), record.conv
