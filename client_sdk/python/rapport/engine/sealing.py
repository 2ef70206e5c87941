"""From what was written to what is sent: one body under a fresh key, that key for every device, our archive entry.

The place in our chain (chain, sseq, prev) is fixed at the first sealing. If membership moves on before the server has
taken the post, it is sealed anew under the same id and place; if only the device set was wrong, the body stays and keys
are added or dropped.
"""

from typing import Final

import msgspec
from msgspec.structs import replace

from rapport.crypto.body import Body, new_chain
from rapport.crypto.envelope import KeyPayload, PayloadKind, seal_body
from rapport.crypto.ratchet import Session, unheld_key
from rapport.engine.archiving import Keyed, entry_for
from rapport.engine.bodies.content import archived
from rapport.engine.contacts import account_of, roster
from rapport.engine.conversations import accounts_of, required_devices
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.keys.sessions import choose, seal_for, start
from rapport.engine.office.promising import renewed
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.outgoing import (
    BUNDLELESS,
    CLAIMS,
    OUTBOX,
    Bundleless,
    ClaimMade,
    Hold,
    OutgoingPost,
    SealedPost,
)
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS, Conversation
from rapport.engine.vault.tables import amend, must
from rapport.engine.vault.turn import Call, Turn
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import ID_BYTES, ClaimId, ConversationId, DeviceId, MessageId
from rapport_protocol.limits import CLAIM_DEVICES, CLAIM_REMEMBERED_MS
from rapport_protocol.requests import Claim, Claimed
from rapport_protocol.signed import MessageClass, MessageFlags, Outer

__all__ = [
    "claim_answered",
    "claim_for",
    "claims_call",
    "fresh_session",
    "missing_sessions",
    "seal_post",
    "with_keys",
    "with_keys_for",
]

_CLAIM_FRESH_MS: Final = CLAIM_REMEMBERED_MS - 60_000
"""A claim is repeated under its id for nine minutes; the server remembers ten."""
_BUNDLELESS_MS: Final = 3_600_000
"""A device that the server had no bundle of is written to without one; after an hour one is asked for again."""


def seal_post(turn: Turn, post: OutgoingPost, conversation: Conversation) -> OutgoingPost | Hold:
    """Seals a post for the devices that need it now and keeps it.

    Or says what it has to wait for, and has that fetched.
    """
    hold = _obstacle(turn, conversation)
    if hold is not Hold.NONE:
        return hold
    devices = required_devices(turn, conversation)
    if missing_sessions(turn, devices):
        errands.plan(turn, ErrandKind.CLAIM, conversation.conv)
        return Hold.KEYS
    if post.sealed is not None:  # a body that was sealed before, for keys of today
        return with_keys_for(turn, post, devices)
    if not post.chain:
        post = _placed(turn, renewed(turn, post), conversation)
    sealed = _seal(turn, post, conversation, devices)
    after = replace(post, sealed=sealed)
    OUTBOX.put(turn.tx, post.id, after, group=post.conv, order=post.order)
    return after


def _obstacle(turn: Turn, conversation: Conversation) -> Hold:
    if conversation.membership is None:
        return Hold.NONE
    accounts = accounts_of(turn, conversation)
    if len(accounts) < 2 or turn.me.account not in accounts:
        return Hold.ALONE
    for account in accounts:
        contact = CONTACTS.get(turn.tx, account)
        if contact is None:
            errands.plan(turn, ErrandKind.LISTS, account)
            return Hold.DEVICES
        if contact.blocked:
            return Hold.ALARM
    return Hold.NONE


def _placed(turn: Turn, post: OutgoingPost, conversation: Conversation) -> OutgoingPost:
    """Takes the next place in our chain for the post; a new chain starts without a predecessor.

    Who reads the archive misses nothing between the post and its last predecessor there: `kept` names that one.
    """
    chain, sseq, prev, kept = conversation.chain, conversation.sseq + 1, conversation.prev, conversation.prev_kept
    if not chain:
        chain, sseq, prev, kept = new_chain(turn.random), 1, None, None
    newest_kept = post.id if _in_archive(post) else kept
    amend(CONVERSATIONS, turn.tx, post.conv, chain=chain, sseq=sseq, prev=post.id, prev_kept=newest_kept)
    named = None if kept == prev else kept or MessageId(bytes(ID_BYTES))
    return replace(post, chain=chain, sseq=sseq, prev=prev, kept=named)


def _in_archive(post: OutgoingPost) -> bool:
    return not post.expire_ms and archived(post.type)


def _seal(turn: Turn, post: OutgoingPost, conversation: Conversation, devices: list[DeviceId]) -> SealedPost:
    me = turn.me
    outer = Outer(
        conv=post.conv,
        epoch=conversation.epoch,
        account=me.account,
        device=me.device,
        id=post.id,
        ts_ms=min(post.created_ms, turn.now_ms),
        kind=MessageClass(post.kind),
        flags=MessageFlags(post.flags),
        act_until_ms=post.act_until_ms,
        commitment=bytes(32),
    )
    body = Body(
        type=post.type,
        content=msgspec.msgpack.decode(post.content),
        chain=post.chain,
        sseq=post.sseq,
        roster=roster(turn, accounts_of(turn, conversation)),
        prev=post.prev,
        after=conversation.after,
        reply_to=post.reply_to,
        expire=post.expire_ms or None,
        kept=post.kept,
        office_version=post.office_version or None,
        promised=post.promised_ms or None,
    )
    sealed = seal_body(outer, body.encode(), turn.random)
    return SealedPost(
        epoch=conversation.epoch,
        outer=sealed.outer,
        nonce=sealed.nonce,
        ct=sealed.ciphertext,
        key=sealed.key,
        hash=sealed.hash,
        keys=_keys(turn, devices, sealed.payload()),
        entry=_entry(turn, post, outer, Keyed(sealed.key, sealed.hash), devices),
    )


def _entry(turn: Turn, post: OutgoingPost, outer: Outer, keyed: Keyed, devices: list[DeviceId]) -> bytes | None:
    """Our archive entry.

    None for what history shall not bring back; but a post that nobody else gets would not be kept at all without one.
    """
    if devices and not _in_archive(post):
        return None
    return entry_for(turn, outer, keyed)


def _keys(turn: Turn, devices: list[DeviceId], payload: bytes) -> tuple[tuple[DeviceId, bytes], ...]:
    return tuple((device, _key(turn, device, payload)) for device in devices)


def _key(turn: Turn, device: DeviceId, payload: bytes) -> bytes:
    """The payload sealed for a device. One that has no prekeys gets what it has to ask for, and holds nobody up."""
    sealed = seal_for(turn, device, payload)
    return must(sealed) if sealed is not None or not _is_bundleless(turn, device) else unheld_key(turn.random)


def with_keys_for(turn: Turn, post: OutgoingPost, devices: list[DeviceId]) -> OutgoingPost | Hold:
    """Keeps the sealed body, drops keys of devices that are not among these, and seals keys for new ones.

    devices: ascending, checked against signed lists by the caller.
    """
    sealed = post.sealed
    if sealed is None:
        return post
    held = dict(sealed.keys)
    fresh = [device for device in devices if device not in held]
    if missing_sessions(turn, fresh):
        errands.plan(turn, ErrandKind.CLAIM, post.conv)
        return Hold.KEYS
    payload = KeyPayload(PayloadKind.KEY, sealed.key, sealed.hash).encode()
    held |= dict(_keys(turn, fresh, payload))
    after = replace(post, sealed=with_keys(turn, sealed, tuple((device, held[device]) for device in devices)))
    OUTBOX.put(turn.tx, post.id, after, group=post.conv, order=post.order)
    return after


def with_keys(turn: Turn, sealed: SealedPost, keys: tuple[tuple[DeviceId, bytes], ...]) -> SealedPost:
    """The same body with these keys. Without any, only an archive entry keeps it: then it gets one."""
    entry = sealed.entry
    if entry is None and not keys:
        entry = entry_for(turn, Outer.parse(sealed.outer), Keyed(sealed.key, sealed.hash))
    return replace(sealed, keys=keys, entry=entry)


# --- bundles for sessions that are missing ----------------------------------------------------------------------------


def missing_sessions(turn: Turn, devices: list[DeviceId]) -> list[DeviceId]:
    """Those of the devices that a session has to be started with first: there is a bundle of them, or may be."""
    return [device for device in devices if choose(turn, device) is None and not _is_bundleless(turn, device)]


def _is_bundleless(turn: Turn, device: DeviceId) -> bool:
    held = BUNDLELESS.get(turn.tx, device)
    return held is not None and turn.now_ms < held.until_ms


def claims_call(turn: Turn, errand: Errand) -> Call | None:
    """Claims bundles for the devices of a conversation that there is no session with."""
    conv = ConversationId(errand.subject)
    conversation = CONVERSATIONS.get(turn.tx, conv)
    wanted = missing_sessions(turn, required_devices(turn, conversation)) if conversation else []
    if not wanted:
        errands.drop(turn, ErrandKind.CLAIM, conv)
        return None
    return Call(errand.key, "prekeys.claim", claim_for(turn, conv, wanted[:CLAIM_DEVICES]))


def claim_for(turn: Turn, subject: bytes, devices: list[DeviceId]) -> Claim:
    """A claim for these devices; a repeat within nine minutes has the same id, so that no bundle is spent twice."""
    held = CLAIMS.get(turn.tx, subject)
    if held is None or list(held.devices) != devices or turn.now_ms - held.made_ms > _CLAIM_FRESH_MS:
        held = ClaimMade(ClaimId(turn.random(16)), tuple(devices), turn.now_ms)
        CLAIMS.put(turn.tx, subject, held)
    return Claim(held.claim, list(held.devices))


def claim_answered(turn: Turn, subject: bytes, answer: Claimed) -> bool:
    """Starts a session with every device whose bundle verifies.

    True if none was left out. Lists of the others are fetched; whoever is listed still, and has no bundle (a restored
    server may lack it until the device comes back), is written to without one for an hour.
    """
    made = CLAIMS.get(turn.tx, subject)
    CLAIMS.delete(turn.tx, subject)
    left_out = set(made.devices if made else ())
    given = {bundle.device for bundle in answer.bundles}
    for device in left_out - given:
        BUNDLELESS.put(turn.tx, device, Bundleless(turn.now_ms + _BUNDLELESS_MS))
    for bundle in answer.bundles:
        account = account_of(turn, bundle.device)
        if account is None or bundle.device not in left_out:
            continue
        try:
            with turn.part():
                if start(turn, account, bundle) is not None:
                    left_out.discard(bundle.device)
        except RemoteError:
            turn.show(SecurityEvent(SecurityKind.FORGED_PREKEYS, account=account, device=bundle.device))
    for device in left_out:
        account = account_of(turn, device)
        if account is not None:
            errands.plan(turn, ErrandKind.LISTS, account)
    return not left_out


def fresh_session(turn: Turn, device: DeviceId, subject: bytes, answer: Claimed) -> Session | None:
    """The session started from a bundle that was claimed for this device alone; None if there was no usable one."""
    before = {session.sid for session in sessions_of(turn.tx, device)}
    claim_answered(turn, subject, answer)
    return next((session for session in sessions_of(turn.tx, device) if session.sid not in before), None)
