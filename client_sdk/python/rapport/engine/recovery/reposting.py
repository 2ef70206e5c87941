"""What this device has posted and a restored server has lost is posted again: same id, same sealed body, keys anew.

Receivers that know the id acknowledge it and keep its first place. The server's numbers jump by a multiple of 2^20 at a
restore, so that the base of a conversation tells what the backup held: base - 1 is its last seq plus that multiple.

Source: docs/protocol.md, section 12.9.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.body import Body
from rapport.crypto.envelope import KeyPayload, PayloadKind, open_body
from rapport.engine.appointments.appointments import rows_wanted
from rapport.engine.archiving import Keyed, entry_for
from rapport.engine.bodies.content import archived
from rapport.engine.keys import prekeys
from rapport.engine.office import office_publishing
from rapport.engine.office.overdue import forget_tails
from rapport.engine.recovery import reissuing
from rapport.engine.recovery.rollback import new_chains
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import OUTBOX, QUEUES, SENT, OutgoingPost, Queue, SealedPost, SentPost
from rapport.engine.vault.records import CONVERSATIONS, COUNTERS, SETTINGS
from rapport.engine.vault.tables import amend
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import amend_upkeep
from rapport_protocol.ids import ConversationId, MessageId, StoreEpoch
from rapport_protocol.limits import MAX_INTEGER, SEQ_JUMP
from rapport_protocol.signed import Outer

__all__ = ["REPOSTED_MS", "notice_epoch"]

REPOSTED_MS: Final = 7 * 86_400_000
"""Posts of the last week are posted again; whoever keeps backups makes them more often."""


def notice_epoch(turn: Turn, store_epoch: StoreEpoch, bases: Mapping[ConversationId, int]) -> None:
    """The server names its store epoch at each sign-in. Another one than before: it was restored from a backup."""
    before = SETTINGS.need(turn.tx, b"").store_epoch
    if before == store_epoch:
        return
    amend(SETTINGS, turn.tx, b"", store_epoch=store_epoch)
    if before:
        _restored(turn, bases)


def _restored(turn: Turn, bases: Mapping[ConversationId, int]) -> None:
    count(turn, "restores")
    amend_upkeep(turn, restored_ms=turn.now_ms)
    forget_tails(turn)
    new_chains(turn)
    prekeys.begin_anew(turn)
    reissuing.begin(turn)
    office_publishing.publish_again(turn)
    rows_wanted(turn)
    lost: dict[ConversationId, list[tuple[int, MessageId, SentPost]]] = {}
    for key, sent in SENT.list(turn.tx, above=max(turn.now_ms - REPOSTED_MS, 0)):
        own = sent.outer[43:59] == turn.me.device
        if own and sent.ct and sent.seq > _in_backup(turn, sent.conv, bases):
            lost.setdefault(sent.conv, []).append((sent.seq, MessageId(key), sent))
    for conv, posts in lost.items():
        _requeue(turn, conv, sorted(posts, key=lambda post: post[0]))
    for key, conversation in CONVERSATIONS.list(turn.tx):
        if conversation.membership is not None:
            errands.plan(turn, ErrandKind.CHAIN, key)


def _in_backup(turn: Turn, conv: ConversationId, bases: Mapping[ConversationId, int]) -> int:
    """The last seq that the backup holds, 0 if it lacks the conversation.

    The newest number that is known here and differs from base - 1 by a multiple of the jump: less than 2^20 were lost.
    When others have gone further than we know that is too little, and what the server has it answers as before.
    """
    conversation, base = CONVERSATIONS.get(turn.tx, conv), bases.get(conv, 0)
    if conversation is None:
        return MAX_INTEGER
    newest = max(conversation.shown, *conversation.ahead, 0)
    return max(0, newest - (newest - (base - 1)) % SEQ_JUMP) if base else 0


def _requeue(turn: Turn, conv: ConversationId, posts: list[tuple[int, MessageId, SentPost]]) -> None:
    """Before everything else that waits in this conversation, in the order of their places."""
    waiting = [post for _, post in OUTBOX.list(turn.tx, conv)]
    known = {post.id for post in waiting}
    again = [_post(turn, message, sent) for _, message, sent in posts if message not in known]
    order = first = COUNTERS.need(turn.tx, b"").orders + 1
    for post in (*again, *waiting):
        OUTBOX.put(turn.tx, post.id, replace(post, order=order), group=conv, order=order)
        order += 1
    amend(COUNTERS, turn.tx, b"", orders=order - 1)
    QUEUES.put(turn.tx, conv, QUEUES.get(turn.tx, conv) or Queue(conv), order=first)
    count(turn, "reposted", len(again))


def _post(turn: Turn, message: MessageId, sent: SentPost) -> OutgoingPost:
    """As it stood in the outbox, without keys: they are sealed for whom it needs when it leaves."""
    outer = Outer.parse(sent.outer)
    payload = KeyPayload(PayloadKind.KEY, sent.key, sent.hash)
    body = Body.parse(open_body(sent.outer, sent.nonce, sent.ct, payload))
    kept = archived(body.type) and not body.expire
    entry = entry_for(turn, outer, Keyed(sent.key, sent.hash)) if kept or not sent.devices else None
    return OutgoingPost(
        id=message,
        conv=sent.conv,
        kind=outer.kind,
        flags=outer.flags,
        type=body.type,
        content=msgspec.msgpack.encode(body.content),
        reply_to=body.reply_to,
        created_ms=outer.ts_ms,
        order=0,
        chain=body.chain,
        sseq=body.sseq,
        prev=body.prev,
        sealed=SealedPost(outer.epoch, sent.outer, sent.nonce, sent.ct, sent.key, sent.hash, (), entry),
        expire_ms=body.expire or 0,
        again=True,
        kept=body.kept,
        office_version=body.office_version or 0,
        promised_ms=body.promised or 0,
    )
