"""What this account writes: into the conversation at once, into the outbox for the server.

Composing touches no ratchet: a post is sealed when it can be sent (`sealing.py`), so that what is written offline names
the devices, lists and messages of the time it leaves.
"""

from typing import Final

import msgspec

from rapport.engine.bodies.agreements import CoverCard, CoverOffer, CoverRequest, UrgentSeenContent
from rapport.engine.bodies.content import (
    EMOJI_BYTES,
    NAME_BYTES,
    TEXT_BYTES,
    Content,
    Delete,
    Edit,
    OwnContent,
    Profile,
    Reaction,
    Text,
    as_map,
    content_type,
)
from rapport.engine.bodies.meetings import AppointmentContent, CallOffer
from rapport.engine.conversations import others_in
from rapport.engine.device_names import name_of
from rapport.engine.expiry import life_left
from rapport.engine.office.promises import sides_of
from rapport.engine.office.promising import promise_made, terms_of
from rapport.engine.shown.changes import apply_change
from rapport.engine.shown.showing import as_shown, put_message, queued_place
from rapport.engine.urgent import note_seen, open_to_us
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, OutgoingPost, Queue
from rapport.engine.vault.records import CONVERSATIONS, COUNTERS, MESSAGES, SETTINGS, Conversation, MessageRecord
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.events import Message, MessageKind, Status
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId, MessageId
from rapport_protocol.limits import EXPIRE_LEAST_MS, EXPIRE_MOST_MS
from rapport_protocol.signed import MessageClass, MessageFlags

__all__ = ["change_name", "compose", "delete_message", "edit_message", "introduce", "react", "say_seen", "write_text"]

_BUBBLES: Final = (Text, CoverRequest, CoverOffer, CoverCard, CallOffer, AppointmentContent)
"""What stands in a conversation; the rest is control posts."""


def compose(
    turn: Turn,
    conv: ConversationId,
    content: Content | OwnContent,
    reply_to: MessageId | None = None,
    expire_ms: int = 0,
    flags: MessageFlags = MessageFlags.NONE,
    *,
    id: MessageId | None = None,  # noqa: A002
    act_until_ms: int = 0,
) -> MessageId:
    """Puts a post into the outbox, behind all earlier ones of its conversation. Its id is final.

    expire_ms: its life from acceptance on, 0 = it stays. flags, act_until_ms: of the outer. id: one that was drawn
    before, None = a fresh one.
    """
    order = COUNTERS.need(turn.tx, b"").orders + 1
    amend(COUNTERS, turn.tx, b"", orders=order)
    terms = terms_of(turn, conv, content_type(content))
    post = OutgoingPost(
        id=id or MessageId(turn.random(16)),
        conv=conv,
        kind=MessageClass.POST if isinstance(content, _BUBBLES) else MessageClass.CONTROL,
        flags=flags,
        type=content_type(content),
        content=msgspec.msgpack.encode(as_map(content)),
        reply_to=reply_to,
        created_ms=turn.now_ms,
        order=order,
        expire_ms=expire_ms,
        office_version=terms.office_version,
        promised_ms=terms.promised_ms,
        act_until_ms=act_until_ms,
    )
    OUTBOX.put(turn.tx, post.id, post, group=conv, order=order)
    if not QUEUES.has(turn.tx, conv):
        QUEUES.put(turn.tx, conv, Queue(conv), order=order)
    return post.id


def _conversation(turn: Turn, conv: ConversationId) -> Conversation:
    found = CONVERSATIONS.get(turn.tx, conv)
    if found is None:
        raise LocalError(ErrorCode.NOT_FOUND, "no such conversation")
    return found


def _require_size(text: str, most: int, what: str) -> None:
    if not 0 < len(text.encode()) <= most:
        raise LocalError(ErrorCode.TOO_LARGE if text else ErrorCode.BAD_FORMAT, f"{what}: 1 to {most} bytes of UTF-8")


def write_text(
    turn: Turn,
    conv: ConversationId,
    text: str,
    reply_to: MessageId | None,
    expire_s: int | None = None,
    *,
    urgent: bool = False,
) -> Message:
    """Writes a text. expire_s: it is removed on every device so many seconds after the server has taken it.

    It also answers what is urgent here: our person has seen it. LocalError: NOT_FOUND for an unknown conversation,
    TOO_LARGE above 15,000 bytes, BAD_FORMAT for a life outside of 5 seconds to 365 days, FORBIDDEN for one in the self
    conversation, and for an urgent text of anybody but a client to their therapist; nothing is written then.
    """
    conversation = _conversation(turn, conv)
    _require_size(text, TEXT_BYTES, "text")
    expire_ms = 0 if expire_s is None else _life(conversation, expire_s)
    sides = sides_of(conversation)
    if urgent and (sides is None or sides.client != turn.me.account):
        raise LocalError(ErrorCode.FORBIDDEN, "only a client's text to their therapist can be urgent")
    flags = MessageFlags.URGENT if urgent else MessageFlags.NONE
    message = compose(turn, conv, Text(text), reply_to, expire_ms, flags)
    promise = promise_made(turn, message)
    record = MessageRecord(
        id=message,
        conv=conv,
        account=turn.me.account,
        device=turn.me.device,
        seq=0,
        at_ms=turn.now_ms,
        kind=MessageKind.TEXT,
        text=text,
        status=Status.QUEUED,
        order=queued_place(COUNTERS.need(turn.tx, b"").orders),
        reply_to=reply_to,
        urgent=urgent,
        promised_ms=promise.promised_ms,
        promise_version=promise.promise_version,
        written_ms=promise.written_ms,
    )
    put_message(turn, record)
    amend(CONVERSATIONS, turn.tx, conv, active_ms=turn.now_ms)
    for answered in open_to_us(turn, conv):
        say_seen(turn, conv, answered)
    return as_shown(record)


def say_seen(turn: Turn, conv: ConversationId, message: MessageId) -> None:
    """Our person has seen an urgent message: told to the client, sealed, and to the server."""
    if note_seen(turn, message) is not None:
        compose(turn, conv, UrgentSeenContent(message))


def _life(conversation: Conversation, expire_s: int) -> int:
    if not EXPIRE_LEAST_MS <= expire_s * 1000 <= EXPIRE_MOST_MS:
        raise LocalError(ErrorCode.BAD_FORMAT, "expire_s: 5 seconds to 365 days")
    if conversation.membership is None:
        raise LocalError(ErrorCode.FORBIDDEN, "notes to oneself do not expire")
    return expire_s * 1000


def _own_message(turn: Turn, conv: ConversationId, message: MessageId) -> MessageRecord:
    record = _message(turn, conv, message)
    if record.account != turn.me.account:
        raise LocalError(ErrorCode.FORBIDDEN, "only its author may change a message")
    return record


def _message(turn: Turn, conv: ConversationId, message: MessageId) -> MessageRecord:
    record = MESSAGES.get(turn.tx, message)
    if record is None or record.conv != conv:
        raise LocalError(ErrorCode.NOT_FOUND, "no such message")
    return record


def edit_message(turn: Turn, conv: ConversationId, message: MessageId, text: str) -> Message:
    """Our message says this now. LocalError: NOT_FOUND, FORBIDDEN (not ours), TOO_LARGE."""
    _require_size(text, TEXT_BYTES, "text")
    _own_message(turn, conv, message)
    return _change(turn, conv, Edit(message, text))


def delete_message(turn: Turn, conv: ConversationId, message: MessageId) -> Message:
    """Our message is gone from view, here and at the others. LocalError: NOT_FOUND, FORBIDDEN (not ours)."""
    _own_message(turn, conv, message)
    return _change(turn, conv, Delete(message))


def react(turn: Turn, conv: ConversationId, message: MessageId, emoji: str | None) -> Message:
    """Our reaction to any message; None takes it back. LocalError: NOT_FOUND, TOO_LARGE above 64 bytes."""
    if emoji is not None:
        _require_size(emoji, EMOJI_BYTES, "reaction")
    _message(turn, conv, message)
    return _change(turn, conv, Reaction(message, emoji))


def _change(turn: Turn, conv: ConversationId, change: Edit | Delete | Reaction) -> Message:
    before = MESSAGES.need(turn.tx, change.id)
    compose(turn, conv, change, expire_ms=life_left(turn, before))
    record = apply_change(before, turn.me.account, change, seq=None)
    put_message(turn, record)
    return as_shown(record)


def change_name(turn: Turn, name: str) -> None:
    """What others call us, told to every conversation. LocalError(TOO_LARGE) above 200 bytes."""
    _require_size(name, NAME_BYTES, "name")
    amend(SETTINGS, turn.tx, b"", name=name)
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        if conversation.membership is not None and others_in(turn, conversation):
            introduce(turn, ConversationId(key))


def introduce(turn: Turn, conv: ConversationId) -> None:
    """Tells the members our name, sealed like everything else.

    The first post after joining, and on seeing somebody join.
    """
    name = SETTINGS.need(turn.tx, b"").name
    if name:
        compose(turn, conv, Profile(name, name_of(turn, turn.me.device)))
