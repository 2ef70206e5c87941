"""What an opened post does: it is remembered, archived, acknowledged, put in its place, and what it says happens.

Source: docs/protocol.md, chapters 4 and 7.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.engine import pending
from rapport.engine.answering import keep_sibling_post
from rapport.engine.appointments.appointments import take_appointment, take_late
from rapport.engine.archiving import Keyed, entry_for
from rapport.engine.bodies.agreements import (
    CardContent,
    CoverCard,
    CoverOffer,
    CoverRequest,
    PromiseExtended,
    SlotWanted,
    UrgentSeenContent,
)
from rapport.engine.bodies.appointment_notes import content_bytes
from rapport.engine.bodies.content import (
    Content,
    Delete,
    Edit,
    OwnArchiveKey,
    OwnContent,
    Profile,
    Reaction,
    Read,
    Text,
    archived,
    parse_content,
)
from rapport.engine.bodies.cover import COVER_KINDS, CoverContent, Heard
from rapport.engine.bodies.meetings import (
    AppointmentContent,
    AppointmentLate,
    CallAccepted,
    CallDeclined,
    CallOffer,
    CallSummary,
    RoomWords,
)
from rapport.engine.calls.call_arrivals import take_offer, take_word
from rapport.engine.calls.call_bubbles import call_facts
from rapport.engine.cards import take_card
from rapport.engine.contacts import check_roster
from rapport.engine.conversations import accounts_of, others_in
from rapport.engine.cover.cover_ledger import follow, take_step
from rapport.engine.delivery import note_unread, proved_by, read_by, track_delivery
from rapport.engine.device_names import note_profile
from rapport.engine.expiry import expires_at, schedule
from rapport.engine.key_sharing import take_handed_over
from rapport.engine.office.overdue import peer_had
from rapport.engine.office.promises import take_extension, take_slot_wish
from rapport.engine.office.promising import Made, heed_version, promise_in
from rapport.engine.opening import OpenedMessage
from rapport.engine.own_posts import take_own
from rapport.engine.shown.changes import take_change, with_waiting_changes
from rapport.engine.shown.showing import (
    account_seq,
    as_shown,
    changed,
    place_before,
    place_of,
    put_message,
    remove_placeholder,
)
from rapport.engine.urgent import take_seen
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.records import (
    CHAINS,
    CONVERSATIONS,
    MESSAGES,
    SEEN,
    MessageRecord,
    PendingMessage,
    SeenMessage,
    SenderChain,
)
from rapport.engine.vault.tables import amend, must
from rapport.engine.vault.turn import Turn
from rapport.engine.waiting_room.rooms import lets_in, take_words
from rapport.events import MessageKind, MessageReceived, SecurityEvent, SecurityKind, Status
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, MessageId
from rapport_protocol.membership_entries import ConversationKind
from rapport_protocol.signed import MessageClass, MessageFlags

__all__ = ["commit_history", "commit_post"]

_UNREADABLE: Final = Body("unreadable", {}, 0, 0)
"""Stands for a body that is authentic but no map of this version."""


def commit_post(turn: Turn, message: OpenedMessage) -> None:
    """Everything that follows from a post that has passed its checks, in this transaction."""
    outer, keyed, content = message.outer, must(message.keyed), _content(message)
    expires_ms = _expires(turn, message)
    kept = not expires_ms and _archived(turn, message, content)
    entry = entry_for(turn, outer, keyed) if kept else None
    SEEN.put(turn.tx, outer.id, SeenMessage(message.envelope.seq, entry), order=turn.now_ms)
    turn.ack(outer.id, entry)
    was_pending = pending.forget(turn, outer.id)
    if was_pending is not None and was_pending.envelope is None and message.envelope.seq > was_pending.after_seq > 0:
        # It is placed behind a post that its own sender wrote later.
        turn.show(SecurityEvent(SecurityKind.ORDER, outer.conv, outer.account, outer.device))
    if not expires_ms:
        keep_sibling_post(turn, message)
    if message.body is not None:
        _follow_chain(turn, message, message.body, keyed)
        check_roster(turn, message.body.roster)
        heed_version(turn, message)
    record = _happen(turn, message, content, expires_ms)
    if isinstance(content, CoverContent):
        follow(turn, content)
    if record is not None:
        _show(turn, record, was_pending)
        if isinstance(content, CallOffer):
            take_offer(turn, message, content, expected=lets_in(turn, message, content))
    if message.envelope.seq:
        account_seq(turn, outer.conv, message.envelope.seq)


def commit_history(turn: Turn, message: OpenedMessage) -> None:
    """A post that was delivered once and is read back: it takes its place, and nobody is told or answered.

    What stands here already stays as it is.
    """
    SEEN.put(turn.tx, message.outer.id, SeenMessage(message.envelope.seq, None), order=turn.now_ms)
    if message.body is not None:
        _note_place(turn, message, message.body, must(message.keyed), history=True)
        heed_version(turn, message)
    held = MESSAGES.get(turn.tx, message.outer.id)
    if held is not None and held.placeholder is None:
        return
    content = _content(message)
    record = _happen(turn, message, content, _expires(turn, message))
    if record is not None:
        put_message(turn, record)
        if isinstance(content, CallOffer):
            take_offer(turn, message, content, history=True)
        if record.account != turn.me.account:
            note_unread(turn, record, history=True)


def _expires(turn: Turn, message: OpenedMessage) -> int:
    return expires_at(turn, message.envelope.at, message.body.expire) if message.body is not None else 0


def _archived(turn: Turn, message: OpenedMessage, content: Content | None) -> bool:
    """Whether the account's history keeps it.

    Not what is for the present devices only, nor what is said about a message that expires.
    """
    if isinstance(content, Edit | Delete | Reaction):
        record = MESSAGES.get(turn.tx, content.id)
        return record is None or not record.expires_ms
    return message.body is None or archived(message.body.type)


def _follow_chain(turn: Turn, message: OpenedMessage, body: Body, keyed: Keyed) -> None:
    """Compares what the sender says came before with what came.

    A missing predecessor is looked for, a wrong order reported.
    """
    outer, seq = message.outer, message.envelope.seq
    held = CHAINS.get(turn.tx, outer.conv + outer.device)
    before_it = body.prev
    if held is not None and held.history and body.kept is not None:  # what no archive holds was not meant for us
        before_it = body.kept if any(body.kept) else None
    if before_it is not None and _lacks(turn, outer.conv, held, body.chain, before_it):
        pending.name_missing(turn, outer.conv, (outer.account, outer.device), before_it, seq)
    _note_place(turn, message, body, keyed)
    for before in (body.prev, body.after):
        if before is not None and seq and _seq_of(turn, before) > seq:
            turn.show(SecurityEvent(SecurityKind.ORDER, outer.conv, outer.account, outer.device))
    if body.after is not None and outer.account != turn.me.account:
        proved_by(turn, outer.conv, outer.account, body.after)
    peer_had(turn, outer, seq, body.after)


def _note_place(turn: Turn, message: OpenedMessage, body: Body, keyed: Keyed, *, history: bool = False) -> None:
    """Remembers the newest post of each device: the next one names it, and signals are sealed under its key."""
    outer, seq = message.outer, message.envelope.seq
    held = CHAINS.get(turn.tx, outer.conv + outer.device)
    if held is None or seq > held.seq:
        chain = SenderChain(body.chain, body.sseq, outer.id, keyed.key, seq, history)
        CHAINS.put(turn.tx, outer.conv + outer.device, chain)


def _lacks(turn: Turn, conv: ConversationId, held: SenderChain | None, chain: int, previous: MessageId) -> bool:
    """Whether the sender's previous post should be here and is not.

    A pair has no post that is older than either membership. In a group, and on a device that was linked later, the
    first post of a device may name one from before.
    """
    if (held is not None and held.last == previous) or SEEN.has(turn.tx, previous):
        return False
    record = MESSAGES.get(turn.tx, previous)  # ids are forgotten before bubbles are
    if record is not None and record.placeholder is None:
        return False
    conversation = CONVERSATIONS.get(turn.tx, conv)
    state = conversation.membership if conversation else None
    if state is not None and state.kind is ConversationKind.PAIR and not (conversation and conversation.linked):
        return True
    return held is not None and held.chain == chain


def _seq_of(turn: Turn, message: MessageId) -> int:
    seen = SEEN.get(turn.tx, message)
    if seen is not None:
        return seen.seq
    record = MESSAGES.get(turn.tx, message)
    return record.seq if record is not None else 0


def _stands(turn: Turn, message: OpenedMessage, content: Content | None) -> bool:
    """Whether it stands in the conversation. A step of a cover, and an appointment, are taken in on the way."""
    if isinstance(content, AppointmentContent):
        return _takes_appointment(turn, message, content)
    if isinstance(content, CoverContent):
        return _takes_cover(turn, message, content)
    return message.outer.kind is MessageClass.POST and (content is None or isinstance(content, Text | CallOffer))


def _happen(turn: Turn, message: OpenedMessage, content: Content | None, expires_ms: int) -> MessageRecord | None:
    """Does what the content says; returns the bubble, if that is what it is. Only a post proper may be one."""
    outer, seq = message.outer, message.envelope.seq
    if expires_ms:
        schedule(turn, outer.conv, (outer.device, outer.id), content, expires_ms)
    if _stands(turn, message, content) and not 0 < expires_ms <= turn.now_ms:
        return _bubble(turn, message, content, expires_ms)
    remove_placeholder(turn, outer.id)
    match content:
        case Edit() | Delete() | Reaction() as change:
            take_change(turn, outer.conv, outer.account, change, seq)
        case Read(id=newest):
            read_by(turn, outer.conv, outer.account, newest)
        case CardContent() | PromiseExtended() | SlotWanted() as said:
            _take_agreement(turn, message, said)
        case UrgentSeenContent() as confirmed:
            take_seen(turn, message, confirmed)
        case CallAccepted() | CallDeclined() | CallSummary() | AppointmentLate() | RoomWords() as about:
            _take_meeting(turn, message, about)
        case Profile() as profile:
            note_profile(turn, message, profile)
        case OwnArchiveKey() as minted:
            if take_handed_over(turn, message, minted):
                errands.plan(turn, ErrandKind.REREAD)
        case OwnContent():
            take_own(turn, message, content)
        case _:
            pass  # of a later version, or too late: nothing that people see
    return None


def _take_agreement(turn: Turn, message: OpenedMessage, content: CardContent | PromiseExtended | SlotWanted) -> None:
    conv, account = message.outer.conv, message.outer.account
    match content:
        case CardContent():
            take_card(turn, conv, account, content, message.envelope.seq)
        case PromiseExtended():
            take_extension(turn, conv, account, content)
        case SlotWanted():
            take_slot_wish(turn, conv, account, content)


def _take_meeting(
    turn: Turn,
    message: OpenedMessage,
    content: CallAccepted | CallDeclined | CallSummary | AppointmentLate | RoomWords,
) -> None:
    match content:
        case AppointmentLate():
            take_late(turn, message, content)
        case RoomWords():
            take_words(turn, message, content)
        case _:
            take_word(turn, message, content)


def _takes_appointment(turn: Turn, message: OpenedMessage, content: AppointmentContent) -> bool:
    return message.outer.kind is MessageClass.POST and take_appointment(turn, message, content)


def _takes_cover(turn: Turn, message: OpenedMessage, content: CoverContent) -> bool:
    """A step of a cover, kept as far as it is one. Whether it stands in the conversation."""
    outer, account = message.outer, turn.me.account
    conversation = CONVERSATIONS.get(turn.tx, outer.conv)
    others = [each for each in accounts_of(turn, conversation) if each != outer.account] if conversation else []
    if len(others) != 1 or account not in (outer.account, *others):
        return False
    at_ms = message.envelope.at
    step = Heard(content, outer.id, outer.conv, outer.account, outer.device, others[0], message.envelope.seq, at_ms)
    return take_step(turn, step) and outer.kind is MessageClass.POST


def _content(message: OpenedMessage) -> Content | None:
    body = message.body or _UNREADABLE
    try:
        return parse_content(body.type, body.content)
    except FormatError:
        return None


def _bubble(turn: Turn, message: OpenedMessage, content: Content | None, expires_ms: int) -> MessageRecord:
    """The message as it stands in its conversation; None is of a type that is not known here."""
    kind, text, request = _words(content)
    outer, envelope, body = message.outer, message.envelope, message.body or _UNREADABLE
    others: tuple[AccountId, ...] = ()
    if outer.account == turn.me.account:  # another device of ours has written it
        others = tuple(others_in(turn, CONVERSATIONS.need(turn.tx, outer.conv)))
    promise = promise_in(turn, outer, body) if kind is MessageKind.TEXT else Made()
    record = MessageRecord(
        id=outer.id,
        conv=outer.conv,
        account=outer.account,
        device=outer.device,
        seq=envelope.seq,
        at_ms=envelope.at,
        kind=kind,
        text=text,
        status=Status.SENT if outer.account == turn.me.account else Status.RECEIVED,
        order=place_of(envelope.seq),
        reply_to=body.reply_to,
        from_removed_device=not message.known.listed,
        body=b"" if content is not None else msgspec.msgpack.encode([body.type, body.content]),
        expires_ms=expires_ms,
        waiting=others,
        unread_by=others,
        request=request,
        call=call_facts(turn, outer, content.media, envelope.at) if isinstance(content, CallOffer) else None,
        said=content_bytes(content) if isinstance(content, AppointmentContent) else b"",
        urgent=kind is MessageKind.TEXT and bool(outer.flags & MessageFlags.URGENT),
        promised_ms=promise.promised_ms,
        promise_version=promise.promise_version,
        written_ms=promise.written_ms,
    )
    return with_waiting_changes(turn, record)


def _words(content: Content | None) -> tuple[MessageKind, str, bytes]:
    """What sort of bubble it is, its text, and the request of a cover."""
    match content:
        case Text():
            return MessageKind.TEXT, content.text, b""
        case CoverRequest() | CoverOffer() | CoverCard():
            return COVER_KINDS[type(content)], content.note, content.request
        case CallOffer():
            return MessageKind.CALL, "", b""
        case AppointmentContent():
            return MessageKind.APPOINTMENT, content.title, b""
        case _:
            return MessageKind.UNSUPPORTED, "", b""


def _show(turn: Turn, record: MessageRecord, was_pending: PendingMessage | None) -> None:
    """A fresh bubble: in its place, told to the host when its turn has come, and counted as unread."""
    own = record.account == turn.me.account
    if not record.seq and was_pending is not None:
        record = replace(record, order=place_before(was_pending.after_seq))
    before = MESSAGES.get(turn.tx, record.id)
    put_message(turn, record)
    if record.waiting:
        track_delivery(turn, record)
    if before is not None:
        changed(turn, record)
    elif record.device != turn.me.device and record.seq <= CONVERSATIONS.need(turn.tx, record.conv).shown:
        turn.show(MessageReceived(record.conv, as_shown(record)))
    _note_newest(turn, record, own=own)


def _note_newest(turn: Turn, record: MessageRecord, *, own: bool) -> None:
    conversation = CONVERSATIONS.need(turn.tx, record.conv)
    newer = max(conversation.active_ms, record.at_ms)
    if own or record.seq <= conversation.after_seq:
        amend(CONVERSATIONS, turn.tx, record.conv, active_ms=newer)
    else:
        amend(CONVERSATIONS, turn.tx, record.conv, active_ms=newer, after=record.id, after_seq=record.seq)
    if not own:
        note_unread(turn, record)
