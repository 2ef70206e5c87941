"""Sealed words for one device: session acknowledgements, resend requests and their answers.

A direct is sealed once, kept in the outbox until the server has it, and expires there; it has no place in any
conversation.

Source: docs/protocol.md, sections 4.5 and 4.7.
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.crypto.envelope import KeyPayload, PayloadKind, seal_body, seal_note
from rapport.crypto.ratchet import Session
from rapport.crypto.session_choice import heartbeat_due
from rapport.engine.bodies.content import Content, as_map, content_type
from rapport.engine.contacts import account_of, heard, listed_devices
from rapport.engine.keys.sessions import commit_opened, seal_on
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import DIRECTS, OutgoingDirect, SentPost
from rapport.engine.vault.records import CONVERSATIONS
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import ConversationId, DeviceId, MessageId
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = [
    "DIRECTS_MOST",
    "NOTE_MS",
    "RESEND_MS",
    "SealedWord",
    "put_content",
    "put_note",
    "put_resend",
    "seal_content",
    "step_session",
]

NOTE_MS: Final = 30 * 86_400_000
"""A session acknowledgement waits 30 days for its device."""
RESEND_MS: Final = 7 * 86_400_000
"""A resend request or answer waits 7 days."""
_LIVE_MS: Final = 60_000
"""What the server took longer ago was waiting: its senders hear from us once, when all of it is here."""
DIRECTS_MOST: Final = 1_024
"""Most directs in the outbox: further resend requests are left unanswered until there is room."""


def _outer(turn: Turn, conv: ConversationId, life_ms: int) -> Outer:
    conversation = CONVERSATIONS.get(turn.tx, conv)
    return Outer(
        conv=conv,
        epoch=conversation.epoch if conversation else 0,
        account=turn.me.account,
        device=turn.me.device,
        id=MessageId(turn.random(16)),
        ts_ms=turn.now_ms,
        kind=MessageClass.DIRECT,
        flags=MessageFlags.NONE,
        act_until_ms=turn.now_ms + life_ms,
        commitment=bytes(32),
    )


def _put(
    turn: Turn, device: DeviceId, session: Session, outer: Outer, parts: tuple[bytes, bytes, bytes, bytes]
) -> None:
    """parts: outer, nonce, ct as sealed, and the 96-byte payload. Nothing for a device that has been removed."""
    direct = _sealed(turn, device, session, outer, parts)
    if direct is not None:
        DIRECTS.put(turn.tx, outer.id, direct, order=turn.now_ms)


def _sealed(
    turn: Turn, device: DeviceId, session: Session, outer: Outer, parts: tuple[bytes, bytes, bytes, bytes]
) -> OutgoingDirect | None:
    account = account_of(turn, device)
    if account is None or device not in listed_devices(turn, account):
        return None
    encoded, nonce, ct, payload = parts
    key = seal_on(turn, device, session, payload)
    return OutgoingDirect(outer.id, device, encoded, nonce, ct, key, outer.act_until_ms, turn.now_ms)


def step_session(turn: Turn, message: OpenedMessage) -> None:
    """Commits the ratchet step of an opened message; a session that its sender started is acknowledged at once."""
    outer, opened = message.outer, message.opened
    if opened is None:
        return
    heard(turn, outer.account, outer.device)
    is_note = message.payload is not None and message.payload.kind is PayloadKind.NOTE
    if is_note:  # else two idle devices would answer each other's heartbeats for ever
        opened = replace(opened, session=replace(opened.session, unreturned=max(0, opened.session.unreturned - 1)))
    commit_opened(turn, message.known.party, opened)
    if is_note or opened.session.stopped or not message.known.listed:  # whoever was removed hears nothing more
        return
    if opened.fresh is not None:
        put_note(turn, outer.conv, outer.device, opened.session)
    elif turn.now_ms - message.envelope.at < _LIVE_MS and heartbeat_due(opened.session, turn.now_ms):
        put_note(turn, outer.conv, outer.device, opened.session)
        count(turn, "heartbeats")


def put_note(turn: Turn, conv: ConversationId, device: DeviceId, session: Session) -> None:
    """Tells the device that the session it has started works: it need not repeat its handshake."""
    outer = _outer(turn, conv, NOTE_MS)
    encoded, payload = seal_note(outer)
    _put(turn, device, session, outer, (encoded, b"", b"", payload))


def put_content(
    turn: Turn,
    conv: ConversationId,
    device: DeviceId,
    session: Session,
    content: Content,
    *,
    life_ms: int = RESEND_MS,
) -> None:
    """Something with a body, for this device alone. life_ms: how long the server keeps it, milliseconds."""
    outer = _outer(turn, conv, life_ms)
    sealed = seal_body(outer, Body(content_type(content), as_map(content), 0, 0).encode(), turn.random)
    _put(turn, device, session, outer, (sealed.outer, sealed.nonce, sealed.ciphertext, sealed.payload()))


class SealedWord(NamedTuple):
    """A direct that goes with something else, and its message key K: signals may be sealed under it."""

    direct: OutgoingDirect
    key: bytes


def seal_content(
    turn: Turn, conv: ConversationId, device: DeviceId, session: Session, content: Content, life_ms: int
) -> SealedWord | None:
    """Something with a body for one device, which the caller sends and keeps; None for one that has been removed.

    life_ms: how long the server keeps it, milliseconds.
    """
    outer = _outer(turn, conv, life_ms)
    sealed = seal_body(outer, Body(content_type(content), as_map(content), 0, 0).encode(), turn.random)
    parts = sealed.outer, sealed.nonce, sealed.ciphertext, sealed.payload()
    direct = _sealed(turn, device, session, outer, parts)
    return None if direct is None else SealedWord(direct, sealed.key)


def put_resend(turn: Turn, device: DeviceId, session: Session, original: MessageId, sent: SentPost) -> None:
    """The key of an earlier post again; the device has its body or fetches it."""
    outer = _outer(turn, sent.conv, RESEND_MS)
    payload = KeyPayload(PayloadKind.RESEND, sent.key, sent.hash, original).encode()
    _put(turn, device, session, outer, (outer.encode(), b"", b"", payload))
