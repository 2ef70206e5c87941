"""Becoming somebody: keys first into the vault, then to the server; the same keys whatever happens in between.

Two ways in. By the owner link: the first account of a practice. By an invite: the card inside authenticates the
inviter, the membership chain says whom the conversation holds, and our join is signed by our device and by the invite's
own key. Until the answer is committed the registration stands in the vault, and asking again sends identical bytes.

Source: docs/protocol.md, section 3.2.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.identity import DeviceSecrets, first_list, new_account
from rapport.crypto.invites import Card, InviteLink, InviteSecret, OwnerLink, open_card
from rapport.engine.cards import keep_invite_card
from rapport.engine.composing import introduce
from rapport.engine.contacts import list_at, newest_list, pin, rename, vouch
from rapport.engine.conversations import list_of, open_conversation, open_self
from rapport.engine.keys.prekeys import first_prekeys
from rapport.engine.shown.searching import index_written
from rapport.engine.shown.showing import place_of, put_message
from rapport.engine.vault.records import (
    CONVERSATIONS,
    COUNTERS,
    JOINING,
    ME,
    OFFERED,
    SEARCH_VERSION,
    SETTINGS,
    Counters,
    Joining,
    MessageRecord,
    OfferedLists,
    Settings,
)
from rapport.engine.vault.tables import Row, Table, amend
from rapport.engine.vault.turn import Me, Turn
from rapport.events import MessageKind, Status
from rapport.ports import Random, Transaction
from rapport_protocol.errors import ErrorCode, RemoteError
from rapport_protocol.ids import MessageId
from rapport_protocol.membership import MembershipState, fold
from rapport_protocol.membership_entries import EntryFields, Join, SignedEntry
from rapport_protocol.requests import InviteView, Register, Registered
from rapport_protocol.signed import SigningKey

__all__ = [
    "InviteMismatch",
    "abandon",
    "check_view",
    "joined_with",
    "link_hash",
    "load_me",
    "new_me",
    "open_joined",
    "prepare_invitee",
    "prepare_owner",
    "registered",
    "registration_again",
    "sign_join",
    "waiting_registration",
]


class _RegisteredWith(Row, frozen=True):
    """The bytes that registered this account, as the server took them."""

    register: bytes


_REGISTERED: Final = Table("registered", _RegisteredWith)
"""One record under the empty key, on an account's first device."""
_REGISTER: Final = msgspec.msgpack.Decoder(Register)


class InviteMismatch(RemoteError):
    """What the server shows for this invite is not what its link vouches for: do not join; tell the inviter."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.INVALID_SIGNATURE, "the invite and the server contradict each other")


def load_me(tx: Transaction) -> Me | None:
    """Who this device is, None in a new vault."""
    return ME.get(tx, b"")


def new_me(base: str, server_id: bytes, random: Random, now_ms: int) -> Me:
    """A new account with this as its first device. Nothing is kept yet."""
    account, aik = new_account(random)
    secrets = DeviceSecrets.make(account, aik.public, random, now_ms)
    return Me(account, secrets.device, secrets, aik.seed, base, server_id, 1, random(32))


def _keep_identity(turn: Turn, link: str, name: str) -> None:
    """The vault's first records. turn.me is the new account."""
    me = turn.me
    ME.put(turn.tx, b"", me)
    SETTINGS.put(turn.tx, b"", Settings(name, link_hash(link), search_version=SEARCH_VERSION))
    if not COUNTERS.has(turn.tx, b""):
        COUNTERS.put(turn.tx, b"", Counters())
    signed = first_list(me.secrets, SigningKey(me.aik_seed), turn.now_ms)
    pin(turn, me.account, me.secrets.aik, [signed.encoded])
    open_self(turn)


def prepare_owner(turn: Turn, link: OwnerLink, name: str) -> Register:
    """Everything of a practice's first registration, kept and ready to send."""
    _keep_identity(turn, link.encode(), name)
    head = newest_list(turn, turn.me.account)
    register = Register(head.encoded, first_prekeys(turn), owner_token=link.token)
    JOINING.put(turn.tx, b"", Joining(link.encode(), msgspec.msgpack.encode(register)))
    return register


def prepare_invitee(turn: Turn, link: InviteLink, view: InviteView, name: str) -> Register:
    """Checks the invite and makes everything of an invitee's registration, kept and ready to send.

    With a registration that was prepared before (the conversation has moved on since), only the join is made anew.
    InviteMismatch, AuthenticationFailed (the card is not of this link), RuleBroken, FormatError: nothing is kept then.
    """
    card = open_card(link.secret, view.card)
    held = JOINING.get(turn.tx, b"")
    if held is None:
        _keep_identity(turn, link.encode(), name)
    state = check_view(turn, link.secret, card, view)
    join = sign_join(turn, link.secret, state)
    prekeys = _REGISTER.decode(held.register).prekeys if held else first_prekeys(turn)
    register = Register(newest_list(turn, turn.me.account).encoded, prekeys, join=join.encoded)
    chain = (*view.chain, join.encoded)
    JOINING.put(turn.tx, b"", Joining(link.encode(), msgspec.msgpack.encode(register), chain, card))
    return register


def check_view(turn: Turn, secret: InviteSecret, card: Card, view: InviteView) -> MembershipState:
    """The conversation as the server shows it to somebody who holds the invite.

    The card vouches for the inviter's identity key; from there every list and entry must verify. InviteMismatch,
    RuleBroken, FormatError, RemoteError(INVALID_SIGNATURE).
    """
    if card.server_id != turn.me.server_id or card.conv != view.conv:
        raise InviteMismatch
    for held in view.lists:
        if held.account == card.account:
            pin(turn, card.account, card.aik, held.lists)
        else:
            OFFERED.put(turn.tx, held.account, OfferedLists(tuple(held.lists)))
    named = list_at(turn, card.account, card.version)
    if named is None or named.hash != card.dlh:
        raise InviteMismatch
    entries = [SignedEntry.parse(entry) for entry in view.chain]
    state = fold(entries, list_of(turn))
    for member in state.members:
        vouch(turn, member.account, member.aik)
    invite = state.invite(secret.id)
    if entries[0].hash != card.genesis or state.member(card.account) is None or invite is None:
        raise InviteMismatch
    if invite.ipk != secret.signing_key().public or invite.role is not card.role:
        raise InviteMismatch
    return state


def sign_join(turn: Turn, secret: InviteSecret, state: MembershipState) -> SignedEntry:
    """Our join as the next entry of that conversation, under our device's key and the invite's own."""
    me = turn.me
    head = newest_list(turn, me.account)
    join = Join(secret.id, me.secrets.aik, head.hash)
    fields = EntryFields(
        state.conv, state.epoch + 1, state.head, me.account, me.device, head.version, join, turn.now_ms
    )
    return fields.sign(me.signing_key(), secret.signing_key())


def link_hash(link: str) -> bytes:
    """What is kept of a link once it has been used: enough to know it again."""
    return blake2b(link.encode(), digest_size=32, person=b"Rapport link").digest()


def joined_with(tx: Transaction) -> bytes:
    """`link_hash` of the link that made this vault, b"" for a new vault."""
    settings = SETTINGS.get(tx, b"")
    return settings.link_hash if settings else b""


def abandon(tx: Transaction) -> None:
    """The server will never take this registration: the vault is as good as new, and another link may be tried."""
    for table in (ME, JOINING, SETTINGS):
        table.delete(tx, b"")
    for key, _ in list(CONVERSATIONS.list(tx)):
        CONVERSATIONS.delete(tx, key)


def registration_again(turn: Turn) -> Register | None:
    """The registration that the server once took, for one that was restored from a time before it."""
    held = _REGISTERED.get(turn.tx, b"")
    return None if held is None else _REGISTER.decode(held.register)


def waiting_registration(tx: Transaction) -> Register | None:
    """A registration that was prepared and not answered, as it was or will be sent; None if there is none."""
    held = JOINING.get(tx, b"")
    return None if held is None else _REGISTER.decode(held.register)


def registered(turn: Turn, answer: Registered) -> Me:
    """The account exists.

    The conversation is open with the inviter's welcome in it, and our name is the first post to send.
    """
    held = JOINING.need(turn.tx, b"")
    me = replace(turn.me, role=answer.role)
    ME.put(turn.tx, b"", me)
    JOINING.delete(turn.tx, b"")
    _REGISTERED.put(turn.tx, b"", _RegisteredWith(held.register))
    amend(SETTINGS, turn.tx, b"", one_time_left=len(_REGISTER.decode(held.register).prekeys.one_time))
    if held.chain and held.card is not None:
        open_joined(turn, held.chain, held.card, answer.seq)
    return me


def open_joined(turn: Turn, chain: Sequence[bytes], card: Card, seq: int) -> None:
    """The conversation that was joined: open, with the inviter's welcome in it; our name is the first post to send.

    chain: its entries with our join at the end. seq: of that.
    """
    conversation = open_conversation(turn, [SignedEntry.parse(entry) for entry in chain], seq)
    rename(turn, card.account, card.name)
    keep_invite_card(turn, conversation.conv, card)
    if card.welcome:
        inviter = newest_list(turn, card.account).content.devices[0]
        put_message(
            turn,
            MessageRecord(
                id=MessageId(turn.random(16)),
                conv=conversation.conv,
                account=card.account,
                device=inviter.device,
                seq=0,
                at_ms=turn.now_ms,
                kind=MessageKind.CARD,
                text=card.welcome,
                status=Status.RECEIVED,
                order=place_of(0),
            ),
        )
        index_written(turn)
    introduce(turn, conversation.conv)
