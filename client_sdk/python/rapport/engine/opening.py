"""Opening a message: every check from the outer to the body, without a single write.

What opens comes back as a value, with the ratchet's next state in it, for `arrivals.py` to commit in one go. What does
not comes back as a `Failed` that says which class of the failure rules it is; then nothing has changed.

Source: docs/protocol.md, chapters 4 to 6.
"""

from enum import StrEnum

from msgspec import Struct

from rapport.crypto.body import Body
from rapport.crypto.envelope import KeyPayload, PayloadKind, open_body, open_note
from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition, OpenFailure
from rapport.engine.archiving import Keyed
from rapport.engine.contacts import Known, device_party
from rapport.engine.conversations import may_have_written
from rapport.engine.keys.sessions import Opened, PrekeyGone, UnknownSession, open_sealed_key
from rapport.engine.vault.records import CONVERSATIONS, Envelope
from rapport.engine.vault.turn import Turn
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.errors import ErrorCode, FormatError, RemoteError
from rapport_protocol.ids import MessageId
from rapport_protocol.rules import RuleBroken
from rapport_protocol.signed import MessageClass, Outer, body_hash

__all__ = [
    "Failed",
    "FailureClass",
    "OpenedMessage",
    "check_sender",
    "message_id",
    "open_envelope",
    "open_with",
    "parse_outer",
]


class FailureClass(StrEnum):
    """Why a message could not be opened, as the failure rules number it."""

    DUPLICATE_POSITION = "F1"
    """Its ratchet key was used or has expired, though the message is new here."""
    UNKNOWN_SESSION = "F2"
    """A normal message of a session that is not held here."""
    AUTHENTICATION = "F3"
    """A tag or commitment does not match."""
    PREKEY_GONE = "F4"
    """The private half of its prekey is not held here."""
    UNKNOWN_DEVICE = "F5"
    """Its sending device is in no list that is held."""
    EPOCH = "F6"
    """It belongs to a conversation or membership epoch that is not held, or its sender is no member."""
    BODY = "F7"
    """The body is missing or is not the one that the key is for."""
    FORMAT = "F8"
    """Of a format or suite that this version does not know."""
    GAP = "F9"
    """It never came: a later message of its sender names it."""


class Failed(Exception):
    """The message stays closed; nothing has changed.

    stranger: its sender is known not to be a member, ever. noticed: what it proves, where no accident explains it.
    """

    def __init__(self, failure: FailureClass, *, stranger: bool = False, noticed: SecurityKind | None = None) -> None:
        super().__init__(failure.value)
        self.failure = failure
        self.stranger = stranger
        self.noticed = noticed

    def report(self, turn: Turn, envelope: Envelope) -> None:
        """Tells the person what the failure proves, if anything."""
        if self.noticed is not None:
            outer = Outer.parse(envelope.outer)
            turn.show(SecurityEvent(self.noticed, outer.conv, outer.account, outer.device))


class OpenedMessage(Struct, frozen=True):
    """A message that has passed every check, not yet committed.

    opened: the ratchet step that gave the payload; None when the key came otherwise (archive, resend). body: None for a
    note, or if the sealed bytes are authentic but no body of this version. keyed: K and H; None for a note.
    """

    outer: Outer
    envelope: Envelope
    known: Known
    opened: Opened | None
    payload: KeyPayload | None
    body: Body | None
    keyed: Keyed | None

    def __repr__(self) -> str:
        return "OpenedMessage()"


def message_id(outer: bytes) -> MessageId:
    """The id as it stands in the outer of every version so far; for outers that cannot be parsed."""
    return MessageId(outer[59:75])


def parse_outer(envelope: Envelope) -> Outer:
    """The outer. Failed(F8)."""
    try:
        return Outer.parse(envelope.outer)
    except FormatError:
        raise Failed(FailureClass.FORMAT) from None


def open_envelope(turn: Turn, envelope: Envelope) -> OpenedMessage:
    """Opens a message with its sealed key. Raises Failed."""
    outer = parse_outer(envelope)
    known = check_sender(turn, outer, envelope.seq)
    opened, payload = _open_key(turn, known, envelope)
    if (outer.kind is MessageClass.DIRECT) is not (envelope.seq == 0):
        raise Failed(FailureClass.AUTHENTICATION, noticed=SecurityKind.ALTERED)
    if payload.kind is PayloadKind.KEY:
        return _opened(envelope, outer, known, opened, payload)
    if outer.kind is not MessageClass.DIRECT:
        raise Failed(FailureClass.AUTHENTICATION)
    if payload.kind is PayloadKind.NOTE:
        try:
            open_note(envelope.outer, payload)
        except AuthenticationFailed:
            raise Failed(FailureClass.AUTHENTICATION) from None
    return OpenedMessage(outer, envelope, known, opened, payload, None, None)


def open_with(turn: Turn, envelope: Envelope, keyed: Keyed) -> OpenedMessage:
    """Opens a message with K and H from elsewhere: the archive, or its sender's resend. Raises Failed."""
    outer = parse_outer(envelope)
    if outer.kind is MessageClass.DIRECT:  # never archived, never sent again; its sender need not be a member
        raise Failed(FailureClass.AUTHENTICATION)
    known = check_sender(turn, outer, envelope.seq)
    payload = KeyPayload(PayloadKind.KEY, keyed.key, keyed.hash)
    return _opened(envelope, outer, known, None, payload, keyed)


def _opened(
    envelope: Envelope,
    outer: Outer,
    known: Known,
    opened: Opened | None,
    payload: KeyPayload,
    keyed: Keyed | None = None,
) -> OpenedMessage:
    if body_hash(envelope.outer, envelope.nonce, envelope.ct) != payload.body_hash:
        raise Failed(FailureClass.BODY, noticed=SecurityKind.ALTERED)
    try:
        plain = open_body(envelope.outer, envelope.nonce, envelope.ct, payload)
    except RemoteError:  # these are the bytes that the sender sealed: the key was never theirs
        raise Failed(FailureClass.AUTHENTICATION, noticed=SecurityKind.COMMITMENT) from None
    try:
        body = Body.parse(plain)
    except FormatError:
        body = None
    return OpenedMessage(outer, envelope, known, opened, payload, body, keyed or Keyed(payload.key, payload.body_hash))


def check_sender(turn: Turn, outer: Outer, seq: int) -> Known:
    """The sender's device, from signed lists; a member of the conversation when this was accepted. Failed(F5, F6)."""
    if outer.kind is not MessageClass.DIRECT:  # the epoch of a direct is checked by nobody
        conversation = CONVERSATIONS.get(turn.tx, outer.conv)
        if conversation is None or outer.epoch > conversation.epoch:
            raise Failed(FailureClass.EPOCH)
        if not may_have_written(turn, conversation, outer.account, outer.epoch, seq):
            raise Failed(FailureClass.EPOCH, stranger=True)
    known = device_party(turn, outer.account, outer.device)
    if known is None:
        raise Failed(FailureClass.UNKNOWN_DEVICE)
    return known


def _open_key(turn: Turn, known: Known, envelope: Envelope) -> tuple[Opened, KeyPayload]:
    try:
        opened = open_sealed_key(turn, known.party, envelope.key)
        return opened, KeyPayload.parse(opened.payload)
    except FormatError as problem:
        unsupported = problem.code is ErrorCode.UNSUPPORTED
        raise Failed(FailureClass.FORMAT if unsupported else FailureClass.AUTHENTICATION) from None
    except UnknownSession:
        raise Failed(FailureClass.UNKNOWN_SESSION) from None
    except PrekeyGone as gone:
        noticed = SecurityKind.PREKEY_REUSED if gone.reused else None
        raise Failed(FailureClass.PREKEY_GONE, noticed=noticed) from None
    except DuplicatePosition:
        raise Failed(FailureClass.DUPLICATE_POSITION) from None
    except (OpenFailure, RuleBroken):
        raise Failed(FailureClass.AUTHENTICATION) from None
