"""Asking the sending device for what could not be opened, over a session that works, and taking its answers.

One request holds all that one device is to send again; more than five in ten minutes are put together. If the failure
says that the session is broken, the request goes over a new one, which becomes the one to send on once the peer has
answered on it. Two requests to the sender, then others of its account's devices are asked too: they may have the key.
Five requests over seven days; then the placeholder stays, and the sender is told.

Source: docs/protocol.md, section 4.9.
"""

from typing import Final

from msgspec.structs import replace

from rapport.crypto.archive import Trust
from rapport.crypto.ratchet import Session
from rapport.engine import pending
from rapport.engine.archiving import Keyed
from rapport.engine.bodies.content import (
    RESEND_ITEMS,
    RefusalReason,
    ResendBody,
    ResendItem,
    ResendLost,
    ResendRefusal,
    ResendRequest,
)
from rapport.engine.contacts import account_of, listed_devices
from rapport.engine.directs import DIRECTS_MOST, put_content, put_note
from rapport.engine.healing.renewing import shared_conversation
from rapport.engine.keys.kept_sessions import get_session
from rapport.engine.keys.sessions import choose
from rapport.engine.opening import Failed, FailureClass, OpenedMessage, open_with
from rapport.engine.pending import helper_of
from rapport.engine.posts import commit_post
from rapport.engine.sealing import claim_for, fresh_session
from rapport.engine.shown.showing import account_seq, remove_placeholder
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import DIRECTS
from rapport.engine.vault.records import HELPERS, PENDING, SEEN, Attempt, Envelope, Helper, PendingMessage, SeenMessage
from rapport.engine.vault.turn import Call, Turn
from rapport.engine.vault.upkeep import may_have_lost
from rapport.events import PlaceholderReason, SecurityEvent, SecurityKind
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, DeviceId, SessionId
from rapport_protocol.limits import CT_BYTES
from rapport_protocol.requests import Claimed
from rapport_protocol.signed import Outer, body_hash

__all__ = [
    "ASK_MOST",
    "ASK_WITHIN_MS",
    "NEEDS_SESSION",
    "ask",
    "ask_due",
    "help_answered",
    "help_call",
    "repair_session",
    "take_body",
    "take_key",
    "take_refusal",
]

ASK_MOST: Final = 5
"""Requests for one message."""
ASK_WITHIN_MS: Final = 7 * 86_400_000
"""After this time nothing more is asked."""
_SENDER_FIRST: Final = 2
"""So many requests go to the sending device before others of its account are asked."""
_ASK_AGAIN_MS: Final = (600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000, 5 * 86_400_000)
"""Waits after the first, second … request: the peer may be away for days."""
_WINDOW_MS: Final = 600_000
_REQUESTS_MOST: Final = 5
"""Requests to one device in ten minutes; what fails after them waits until these are over and is asked for together."""
_SESSION_EVERY_MS: Final = 600_000
"""At most one session is started for asking in this time, then in twice as long, up to six hours."""
_SESSION_EVERY_MOST_MS: Final = 6 * 3_600_000
_NO_BUNDLE_MS: Final = 3_600_000
"""The server had no bundle for the device: asked again after an hour."""

NEEDS_SESSION: Final = frozenset({FailureClass.UNKNOWN_SESSION, FailureClass.AUTHENTICATION, FailureClass.PREKEY_GONE})
"""Failures that say that the present session is not to be relied on."""


# --- whom to ask, and when --------------------------------------------------------------------------------------------


def _helpers(turn: Turn, held: PendingMessage) -> list[DeviceId]:
    """The sending device, then its account's other listed ones; never this one, and none that has been removed."""
    listed = [device for device in listed_devices(turn, held.account) if device != turn.me.device]
    return sorted(listed, key=lambda device: (device != held.device, device))


def ask(turn: Turn, held: PendingMessage) -> None:
    """The server could not help: a device that may have the key is asked; without any the placeholder stays."""
    helpers = _helpers(turn, held)
    if not helpers:
        pending.give_up(turn, held, PlaceholderReason.LOST)
        return
    target = helpers[max(0, held.asked - _SENDER_FIRST + 1) % len(helpers)]
    kept = b"" if target == held.device else target
    pending.update(turn, replace(held, attempt=Attempt.ASK, target=kept, due_ms=max(held.due_ms, turn.now_ms)))


def ask_due(turn: Turn, device: DeviceId) -> None:
    """Sends one request for all that this device is to send again and that is due.

    Gives up what was asked for often enough.
    """
    errands.drop(turn, ErrandKind.ASK, device)
    waiting = [held for held in pending.all_pending(turn) if held.attempt is Attempt.ASK and helper_of(held) == device]
    due, lost = [], []
    for held in waiting:
        if held.due_ms > turn.now_ms:
            errands.plan(turn, ErrandKind.ASK, device, due_ms=held.due_ms)
        elif held.asked >= ASK_MOST or turn.now_ms - held.since_ms > ASK_WITHIN_MS:
            lost.append(held)
        else:
            due.append(held)
    _exhausted(turn, lost)
    if due:
        _ask_now(turn, device, due)


def _ask_now(turn: Turn, device: DeviceId, due: list[PendingMessage]) -> None:
    helper = HELPERS.get(turn.tx, device) or Helper(device, due[0].account)
    if turn.now_ms - helper.window_ms >= _WINDOW_MS:
        helper = replace(helper, window_ms=turn.now_ms, requests=0)
    if helper.requests >= _REQUESTS_MOST:
        errands.plan(turn, ErrandKind.ASK, device, due_ms=helper.window_ms + _WINDOW_MS)
        return
    session = _asking_session(turn, device, helper, due)
    if session is None:
        _plan_session(turn, device, helper)
        return
    HELPERS.put(turn.tx, device, replace(helper, requests=helper.requests + 1))
    for start in range(0, len(due), RESEND_ITEMS):
        batch = due[start : start + RESEND_ITEMS]
        fresh = get_session(turn.tx, device, session.sid) or session
        items = tuple(ResendItem(held.id, held.commitment, _needs_body(held)) for held in batch)
        put_content(turn, batch[0].conv, device, fresh, ResendRequest(items))
    count(turn, "asked", len(due))
    for held in due:
        again = _ASK_AGAIN_MS[min(held.asked, len(_ASK_AGAIN_MS) - 1)]
        ask(turn, replace(held, asked=held.asked + 1, due_ms=turn.now_ms + again, part=b""))


def _needs_body(held: PendingMessage) -> bool:
    return held.envelope is None or held.failure == FailureClass.BODY


def _spacing_ms(helper: Helper) -> int:
    return min(_SESSION_EVERY_MS << min(max(helper.started - 1, 0), 10), _SESSION_EVERY_MOST_MS)


def _asking_session(turn: Turn, device: DeviceId, helper: Helper, due: list[PendingMessage]) -> Session | None:
    """The session to ask on; None when one has to be started for it first."""
    current = choose(turn, device)
    broken = any(held.device == device and held.failure in NEEDS_SESSION for held in due)
    if not broken:
        return current
    session = get_session(turn.tx, device, SessionId(helper.sid)) if helper.sid else None
    if session is not None and not session.stopped and turn.now_ms - helper.session_ms < _spacing_ms(helper):
        return session
    return None


def _plan_session(turn: Turn, device: DeviceId, helper: Helper) -> None:
    """A session for asking, as soon as there may be another one: a week without any begins the counting anew."""
    if turn.now_ms - helper.session_ms >= ASK_WITHIN_MS:
        helper = replace(helper, started=0)
    HELPERS.put(turn.tx, device, helper)
    free_ms = helper.session_ms + _spacing_ms(helper) if helper.started else 0
    if free_ms > turn.now_ms:
        errands.plan(turn, ErrandKind.ASK, device, due_ms=free_ms)
    elif not errands.planned(turn, ErrandKind.HELP_CLAIM, device):
        errands.plan(turn, ErrandKind.HELP_CLAIM, device)


def _exhausted(turn: Turn, lost: list[PendingMessage]) -> None:
    """Nobody helped: the placeholder stays for good, and the sender learns that its message was never read here."""
    for held in lost:
        pending.give_up(turn, held, PlaceholderReason.LOST)
    for device in {held.device for held in lost if held.account != turn.me.account}:
        session = choose(turn, device)
        ids = [held.id for held in lost if held.device == device]
        if session is not None and DIRECTS.count(turn.tx) < DIRECTS_MOST:
            conv = next(held.conv for held in lost if held.device == device)
            put_content(turn, conv, device, session, ResendLost(tuple(ids[:RESEND_ITEMS])))


def help_call(turn: Turn, errand: Errand) -> Call | None:
    """Claims a bundle of the device, to start a session for asking."""
    claim = claim_for(turn, errand.subject, [DeviceId(errand.subject)])
    return Call(errand.key, "prekeys.claim", claim)


def help_answered(turn: Turn, errand: Errand, answer: Claimed) -> None:
    """Starts the session and asks on it; if the server has no bundle, tries again in an hour."""
    device = DeviceId(errand.subject)
    errands.drop(turn, ErrandKind.HELP_CLAIM, device)
    fresh = fresh_session(turn, device, device, answer)
    if fresh is None:
        errands.plan(turn, ErrandKind.ASK, device, due_ms=turn.now_ms + _NO_BUNDLE_MS)
        return
    helper = HELPERS.get(turn.tx, device) or Helper(device, account_of(turn, device) or turn.me.account)
    after = replace(helper, sid=fresh.sid, session_ms=turn.now_ms, started=helper.started + 1)
    HELPERS.put(turn.tx, device, after)
    if any(held.attempt is Attempt.ASK and helper_of(held) == device for held in pending.all_pending(turn)):
        errands.plan(turn, ErrandKind.ASK, device)
        return
    conv = shared_conversation(turn, helper.account)
    if conv is not None:  # nothing to ask for: the peer need only know of it
        put_note(turn, conv, device, fresh)


def repair_session(turn: Turn, account: AccountId, device: DeviceId) -> None:
    """A message came on a session that is out of step, and could be opened otherwise: the next one shall not need that.

    A new session is started, as seldom as for asking, unless there has just been one.
    """
    helper = HELPERS.get(turn.tx, device) or Helper(device, account)
    if device != turn.me.device and (not helper.started or turn.now_ms - helper.session_ms >= _spacing_ms(helper)):
        _plan_session(turn, device, helper)


# --- answers ----------------------------------------------------------------------------------------------------------


def _asked_of(turn: Turn, message: OpenedMessage, asked: bytes) -> PendingMessage | None:
    """What is still closed and may be answered by this device: its sender, or another one of the sender's account."""
    held = PENDING.get(turn.tx, asked)
    if held is None or held.account != message.outer.account:
        return None
    return held if held.device == message.outer.device or message.known.listed else None


def take_key(turn: Turn, message: OpenedMessage) -> None:
    """A key that was sent again (kind 3): opens the message it refers to, if that is what its own sender sealed."""
    payload = message.payload
    held = _asked_of(turn, message, payload.ref) if payload is not None else None
    if payload is None or held is None:
        return
    keyed = Keyed(payload.key, payload.body_hash, Trust.RESEND)
    _open_resent(turn, replace(held, key=keyed.key, hash=keyed.hash), held.envelope, keyed)


def take_body(turn: Turn, message: OpenedMessage, content: ResendBody) -> None:
    """A whole message again, perhaps in parts, for a device that the server does not give it to."""
    held = _asked_of(turn, message, content.id)
    if held is None or content.at != (len(held.part) if content.at else 0):
        return
    ct = (held.part if content.at else b"") + content.ct
    size = content.size or len(ct)
    if len(ct) < size <= CT_BYTES:
        pending.update(turn, replace(held, part=ct))
        return
    before = held.envelope
    envelope = Envelope(
        before.seq if before else 0, before.at if before else message.envelope.at,
        content.outer, content.nonce, ct, b"",
    )  # fmt: skip
    try:
        outer = Outer.parse(content.outer)
    except FormatError:
        return
    if (outer.id, outer.conv, outer.device) != (held.id, held.conv, held.device):
        return
    keyed = Keyed(content.key, body_hash(envelope.outer, envelope.nonce, envelope.ct), Trust.RESEND)
    _open_resent(turn, replace(held, part=b""), envelope, keyed)


def _open_resent(turn: Turn, held: PendingMessage, envelope: Envelope | None, keyed: Keyed) -> None:
    if envelope is None or not envelope.ct:  # the key is here, the body is not: it may have been withheld before
        pending.update(turn, replace(held, attempt=Attempt.FETCH, due_ms=turn.now_ms))
        return
    try:
        opened = open_with(turn, envelope, keyed)
    except Failed as failed:
        failed.report(turn, envelope)
        at_once = failed.failure != held.failure  # another kind of help; the same one is asked for in its own time
        due_ms = turn.now_ms if at_once else held.due_ms
        pending.update(turn, replace(held, failure=failed.failure, attempt=Attempt.ASK, due_ms=due_ms))
        return
    commit_post(turn, opened)
    if held.failure == FailureClass.GAP and not may_have_lost(turn):
        turn.show(SecurityEvent(SecurityKind.WITHHELD_MESSAGE, held.conv, held.account, held.device))


def _removed(turn: Turn, held: PendingMessage) -> None:
    """Its time was over before it could be opened here: it is taken for read and gone."""
    seq = held.envelope.seq if held.envelope else 0
    SEEN.put(turn.tx, held.id, SeenMessage(seq, None), order=turn.now_ms)
    pending.forget(turn, held.id)
    remove_placeholder(turn, held.id)
    turn.ack(held.id)
    if seq:
        account_seq(turn, held.conv, seq)


def take_refusal(turn: Turn, message: OpenedMessage, refusal: ResendRefusal) -> None:
    """A device says why it does not help. Only the sending one knows for sure; else the next one is asked."""
    for item in refusal.items:
        held = _asked_of(turn, message, item.id)
        if held is None:
            continue
        if held.device != message.outer.device:
            continue  # its account's other devices may have the key or not: the next request is planned already
        if item.reason == RefusalReason.NO_SUCH_MESSAGE:
            turn.show(SecurityEvent(SecurityKind.NO_SUCH_MESSAGE, held.conv, held.account, held.device))
            pending.give_up(turn, held, PlaceholderReason.LOST)
            remove_placeholder(turn, held.id)
        elif item.reason == RefusalReason.NOT_ADDRESSED:
            pending.give_up(turn, held, PlaceholderReason.NOT_ADDRESSED)
        elif item.reason == RefusalReason.REMOVED:
            _removed(turn, held)
        elif held.asked <= _SENDER_FIRST and len(_helpers(turn, held)) > 1:
            ask(turn, replace(held, asked=_SENDER_FIRST, due_ms=turn.now_ms))
        else:
            pending.give_up(turn, held, PlaceholderReason.LOST)
