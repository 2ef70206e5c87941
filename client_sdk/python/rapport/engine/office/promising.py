"""What a post of ours says about office hours: the version that we hold, and by when an answer was promised.

A client's text to a therapist names both, so that the promise stays what the client was shown, whatever is published
later. Every post of a therapist names their own newest version, so that nobody can be shown an older one.

Source: docs/protocol.md, chapter 16.
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.engine.office.office import Held, hours_now, note_named, office_record
from rapport.engine.office.promises import clamped, sides_of
from rapport.engine.opening import OpenedMessage
from rapport.engine.shown.showing import as_shown, put_message
from rapport.engine.vault.outgoing import OUTBOX, OutgoingPost
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES
from rapport.engine.vault.turn import Turn
from rapport.events import MessageChanged
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.status import OfficeStatus, office_state
from rapport_protocol.requests import Role
from rapport_protocol.signed import Outer

__all__ = [
    "RENEWED_AFTER_MS",
    "Made",
    "Terms",
    "heed_version",
    "promise_in",
    "promise_made",
    "promise_of",
    "renewed",
    "terms_of",
]

RENEWED_AFTER_MS: Final = 60_000
"""A text that could not be sent for longer than this is promised an answer from when it leaves."""


class Terms(NamedTuple):
    """The body's `office_version` and `promised`; 0 = left out."""

    office_version: int = 0
    promised_ms: int = 0


class Made(NamedTuple):
    """What a text was promised, as it is kept with it: by when, by which version, and when it was written."""

    promised_ms: int = 0
    promise_version: int = 0
    written_ms: int = 0


def terms_of(turn: Turn, conv: ConversationId, kind: str) -> Terms:
    """What a post of this type that is written now says. kind: the body's `type`."""
    if turn.me.role in {Role.OWNER, Role.THERAPIST}:
        return Terms(office_record(turn, turn.me.account).version)
    conversation = CONVERSATIONS.get(turn.tx, conv)
    sides = sides_of(conversation) if conversation is not None else None
    if kind != "text" or sides is None or sides.client != turn.me.account:
        return Terms()
    held = hours_now(turn, sides.therapist)
    due_ms = promised_by(held.hours, turn.now_ms) if held is not None else None
    return Terms(held.document.version, due_ms) if held is not None and due_ms is not None else Terms()


def promise_made(turn: Turn, post: MessageId) -> Made:
    """What a post of ours, which has just been put into the outbox, was promised."""
    held = OUTBOX.need(turn.tx, post)
    return Made(held.promised_ms, held.office_version, held.created_ms) if held.promised_ms else Made()


def promise_in(turn: Turn, outer: Outer, body: Body) -> Made:
    """The same of a text that has come: a promise counts only with the version that it was made by."""
    conversation = CONVERSATIONS.get(turn.tx, outer.conv)
    sides = sides_of(conversation) if conversation is not None else None
    if sides is None or outer.account != sides.client or not body.promised or not body.office_version:
        return Made()
    due_ms = clamped(turn, sides.therapist, body.promised, body.office_version, outer.ts_ms)
    return Made(due_ms, body.office_version, outer.ts_ms)


def heed_version(turn: Turn, message: OpenedMessage) -> None:
    """A post of a therapist or owner names their newest office hours: from now on no older ones count here."""
    outer, version = message.outer, message.body.office_version if message.body is not None else None
    conversation = CONVERSATIONS.get(turn.tx, outer.conv)
    if not version or conversation is None or not message.known.listed:
        return
    state = conversation.membership
    member = state.member(outer.account) if state is not None else None
    if (state is None and outer.account == turn.me.account) or (member is not None and member.role.admin):
        note_named(turn, outer.account, version)


def renewed(turn: Turn, post: OutgoingPost) -> OutgoingPost:
    """A post that is about to be sealed for the first time: a promise that has aged in the outbox is made anew."""
    if not post.promised_ms or turn.now_ms - post.created_ms <= RENEWED_AFTER_MS:
        return post
    terms = terms_of(turn, post.conv, post.type)
    record = MESSAGES.get(turn.tx, post.id)
    if record is not None:
        record = replace(record, promised_ms=terms.promised_ms, promise_version=terms.office_version)
        put_message(turn, record)
        turn.show(MessageChanged(post.conv, as_shown(record)))
    return replace(post, office_version=terms.office_version, promised_ms=terms.promised_ms)


def promise_of(therapist: Held, cover: Held | None, now_ms: int) -> tuple[int | None, bool]:
    """By when a text that is sent now would be answered, and whether by the colleague who covers a leave."""
    if cover is not None and office_state(therapist.hours, now_ms).status is OfficeStatus.ON_LEAVE:
        due_ms = promised_by(cover.hours, now_ms)
        if due_ms is not None:
            return due_ms, True
    return promised_by(therapist.hours, now_ms), False
