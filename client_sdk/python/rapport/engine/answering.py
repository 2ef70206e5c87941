"""Answering other devices that could not open what this account sent.

For those it was sealed for in the first place, nobody else. This device answers for its own posts and for those of its
account's other devices that it has opened: there the sender's own list of whom it wrote to, sealed in the post, says
who they were.

Source: docs/protocol.md, section 4.9.
"""

from typing import Final

from rapport.crypto.ratchet import Session
from rapport.engine.bodies.content import (
    RefusalReason,
    RefusedItem,
    ResendBody,
    ResendItem,
    ResendLost,
    ResendRefusal,
    ResendRequest,
)
from rapport.engine.contacts import account_of, list_at
from rapport.engine.conversations import accounts_of
from rapport.engine.directs import DIRECTS_MOST, put_content, put_resend
from rapport.engine.keys.kept_sessions import get_session
from rapport.engine.keys.sessions import choose
from rapport.engine.opening import OpenedMessage
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import DIRECTS, OUTBOX, SENT, SentPost
from rapport.engine.vault.records import CONVERSATIONS, MESSAGES
from rapport.engine.vault.tables import must
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import upkeep_of
from rapport.events import NotReadable, SecurityEvent, SecurityKind
from rapport_protocol.ids import DeviceId, MessageId, SessionId, split_ids
from rapport_protocol.signed import Outer

__all__ = ["ANSWERED_MS", "keep_sibling_post", "take_lost", "take_request"]

ANSWERED_MS: Final = 97 * 86_400_000
"""How long a post can be asked for again."""
_PART_BYTES: Final = 12_000
"""Most bytes of a sealed body in one direct: with outer, nonce and key they fit a body of 16,383."""


def take_request(turn: Turn, message: OpenedMessage, request: ResendRequest) -> None:
    """Sends keys again, on the session that the device asks on, if they were sealed for it in the first place.

    A device that has been removed since gets none.
    """
    if message.opened is None or not message.known.listed or DIRECTS.count(turn.tx) > DIRECTS_MOST:
        return
    outer, sid = message.outer, message.opened.session.sid
    refused = []
    for item in request.items:
        reason = _answer(turn, outer.device, sid, item)
        if reason:
            refused.append(RefusedItem(item.id, reason))
    session = _session(turn, outer.device, sid)
    if refused and session is not None:
        put_content(turn, outer.conv, outer.device, session, ResendRefusal(tuple(refused)))
        count(turn, "refusals", len(refused))


def _session(turn: Turn, device: DeviceId, sid: SessionId) -> Session | None:
    """The session that the device asks on, as it stands now; another one if that may not be sent on any more."""
    session = must(get_session(turn.tx, device, sid))
    return choose(turn, device) if session.stopped else session


def _answer(turn: Turn, device: DeviceId, sid: SessionId, item: ResendItem) -> str:
    """Answers one item, or says why not."""
    sent = SENT.get(turn.tx, item.id) or _on_its_way(turn, item.id)
    if sent is None or item.commitment not in (bytes(32), Outer.parse(sent.outer).commitment):
        return _unknown(turn, item.id)
    if not sent.key:
        return RefusalReason.REMOVED
    if device not in split_ids(sent.devices):
        return _not_addressed(turn, device, sent)
    if turn.now_ms - sent.at > ANSWERED_MS:
        return RefusalReason.EXPIRED
    session = _session(turn, device, sid)
    if session is None:
        return ""
    count(turn, "resends")
    if item.body:
        _send_body(turn, device, sid, item.id, sent)
    else:
        put_resend(turn, device, session, item.id, sent)
    return ""


def _on_its_way(turn: Turn, message: MessageId) -> SentPost | None:
    """A post that has left and whose answer has not come: whoever asks for it shows that the server has it."""
    post = OUTBOX.get(turn.tx, message)
    if post is None or post.sealed is None:
        return None
    sealed = post.sealed
    devices = b"".join(device for device, _ in sealed.keys)
    return SentPost(post.conv, 0, turn.now_ms, sealed.outer, sealed.nonce, sealed.ct, sealed.key, sealed.hash, devices)


def _not_addressed(turn: Turn, device: DeviceId, sent: SentPost) -> str:
    """It is usual that a device asks that was linked later; whose account is no member has no business to ask."""
    conversation = CONVERSATIONS.get(turn.tx, sent.conv)
    account = account_of(turn, device)
    if conversation is None or account not in accounts_of(turn, conversation):
        turn.show(SecurityEvent(SecurityKind.KEY_REFUSED, sent.conv, account, device))
    return RefusalReason.NOT_ADDRESSED


def _unknown(turn: Turn, message: MessageId) -> str:
    """Whether this device would know it if it had sent it: not after its vault went back to an earlier state."""
    record = MESSAGES.get(turn.tx, message)
    queued = OUTBOX.has(turn.tx, message)
    forgotten = queued or upkeep_of(turn).rolled_back_ms or (record is not None and record.account == turn.me.account)
    return RefusalReason.EXPIRED if forgotten else RefusalReason.NO_SUCH_MESSAGE


def _send_body(turn: Turn, device: DeviceId, sid: SessionId, message: MessageId, sent: SentPost) -> None:
    size = len(sent.ct)
    for at in range(0, size, _PART_BYTES):
        part = sent.ct[at : at + _PART_BYTES]
        whole = ResendBody(message, sent.outer, sent.nonce, part, sent.key, at, size)
        put_content(turn, sent.conv, device, must(_session(turn, device, sid)), whole)


# --- posts of our other devices ---------------------------------------------------------------------------------------


def keep_sibling_post(turn: Turn, message: OpenedMessage) -> None:
    """A post of another device of ours: kept as our own are, so that this one can answer for it.

    Its fan-out: every device of the lists that its roster names, as they are held here.
    """
    outer, envelope, body, keyed = message.outer, message.envelope, message.body, message.keyed
    if outer.account != turn.me.account or outer.device == turn.me.device or body is None or keyed is None:
        return
    devices: set[bytes] = set()
    for entry in body.roster:
        signed = list_at(turn, entry.account, entry.version)
        if signed is not None and signed.hash.startswith(entry.hash_start):
            devices.update(listed.device for listed in signed.content.devices)
    joined = b"".join(sorted(devices - {outer.device}))
    sent = SentPost(
        outer.conv, envelope.seq, envelope.at, envelope.outer, envelope.nonce, envelope.ct, keyed.key, keyed.hash,
        joined,
    )  # fmt: skip
    SENT.put(turn.tx, outer.id, sent, order=envelope.at)


def take_lost(turn: Turn, message: OpenedMessage, lost: ResendLost) -> None:
    """A device has given up on posts of ours that were sealed for it: the person is told."""
    outer = message.outer
    for each in lost.ids:
        sent = SENT.get(turn.tx, each)
        if sent is None or outer.device not in split_ids(sent.devices):
            continue
        count(turn, "unreadable_elsewhere")
        account = account_of(turn, outer.device)
        if account is not None and MESSAGES.has(turn.tx, each):
            turn.show(NotReadable(sent.conv, MessageId(each), account, outer.device))
