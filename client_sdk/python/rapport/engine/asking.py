"""Asking the sending device for what could not be opened, over a session that works, and taking its answers.

One request holds all that one device is to send again. If the failure says that the session is broken, the request goes
over a new one, which becomes the one to send on once the peer has answered on it. Five requests over seven days; then
the placeholder stays.

Source: docs/protocol.md, section 4.7.
"""

from typing import Final

from msgspec.structs import replace

from rapport.crypto.archive import Trust
from rapport.crypto.ratchet import Session
from rapport.engine import errands, pending
from rapport.engine.archiving import Keyed
from rapport.engine.content import RESEND_ITEMS, RefusalReason, ResendBody, ResendItem, ResendRefusal, ResendRequest
from rapport.engine.directs import put_content
from rapport.engine.errands import Errand, ErrandKind
from rapport.engine.kept_sessions import get_session, sessions_of
from rapport.engine.opening import Failed, FailureClass, OpenedMessage, open_with
from rapport.engine.posts import commit_post
from rapport.engine.records import HELPERS, PENDING, Attempt, Envelope, Helper, PendingMessage
from rapport.engine.sealing import claim_answered, claim_for
from rapport.engine.sessions import choose
from rapport.engine.showing import remove_placeholder
from rapport.engine.turn import Call, Turn
from rapport.events import PlaceholderReason, SecurityEvent, SecurityKind
from rapport_protocol.ids import DeviceId, SessionId
from rapport_protocol.requests import Claimed
from rapport_protocol.signed import Outer, body_hash

__all__ = [
    "ASK_MOST",
    "ASK_WITHIN_MS",
    "ask_due",
    "help_answered",
    "help_call",
    "take_body",
    "take_key",
    "take_refusal",
]

ASK_MOST: Final = 5
"""Requests for one message."""
ASK_WITHIN_MS: Final = 7 * 86_400_000
"""After this time nothing more is asked."""
_ASK_AGAIN_MS: Final = (600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000, 5 * 86_400_000)
"""Waits after the first, second … request: the peer may be away for days."""
_SESSION_EVERY_MS: Final = 600_000
"""At most one session is started for asking in this time, then in twice as long, up to six hours."""
_SESSION_EVERY_MOST_MS: Final = 6 * 3_600_000
_NO_BUNDLE_MS: Final = 3_600_000
"""The server had no bundle for the device: asked again after an hour."""

_NEEDS_SESSION: Final = frozenset({FailureClass.UNKNOWN_SESSION, FailureClass.AUTHENTICATION, FailureClass.PREKEY_GONE})
"""Failures that say that the present session is not to be relied on."""


def ask_due(turn: Turn, device: DeviceId) -> None:
    """Sends one request for all that this device is to send again and that is due.

    Gives up what was asked for often enough.
    """
    errands.drop(turn, ErrandKind.ASK, device)
    waiting = [held for held in pending.all_pending(turn) if held.attempt is Attempt.ASK and held.device == device]
    due = []
    for held in waiting:
        if held.due_ms > turn.now_ms:
            errands.plan(turn, ErrandKind.ASK, device, due_ms=held.due_ms)
        elif held.asked >= ASK_MOST or turn.now_ms - held.since_ms > ASK_WITHIN_MS:
            pending.give_up(turn, held, PlaceholderReason.LOST)
        else:
            due.append(held)
    if not due:
        return
    session = _asking_session(turn, due)
    if session is None:
        errands.plan(turn, ErrandKind.HELP_CLAIM, device)
        return
    for start in range(0, len(due), RESEND_ITEMS):
        batch = due[start : start + RESEND_ITEMS]
        fresh = get_session(turn.tx, device, session.sid) or session
        items = tuple(ResendItem(held.id, held.commitment, _needs_body(held)) for held in batch)
        put_content(turn, batch[0].conv, device, fresh, ResendRequest(items))
    for held in due:
        again = _ASK_AGAIN_MS[min(held.asked, len(_ASK_AGAIN_MS) - 1)]
        pending.update(turn, replace(held, asked=held.asked + 1, due_ms=turn.now_ms + again))


def _needs_body(held: PendingMessage) -> bool:
    return held.envelope is None or held.failure == FailureClass.BODY


def _asking_session(turn: Turn, due: list[PendingMessage]) -> Session | None:
    """The session to ask on; None when one has to be started for it first."""
    device, account = due[0].device, due[0].account
    current = choose(turn, device)
    if not any(held.failure in _NEEDS_SESSION for held in due):
        return current
    helper = HELPERS.get(turn.tx, device) or Helper(device, account)
    session = get_session(turn.tx, device, SessionId(helper.sid)) if helper.sid else None
    spacing = min(_SESSION_EVERY_MS << max(helper.started - 1, 0), _SESSION_EVERY_MOST_MS)
    if session is not None and turn.now_ms - helper.session_ms < spacing:
        return session
    return None


def help_call(turn: Turn, errand: Errand) -> Call | None:
    """Claims a bundle of the device, to start a session for asking."""
    claim = claim_for(turn, errand.subject, [DeviceId(errand.subject)])
    return Call(errand.key, "prekeys.claim", claim)


def help_answered(turn: Turn, errand: Errand, answer: Claimed) -> None:
    """Starts the session and asks on it; if the server has no bundle, tries again in an hour."""
    device = DeviceId(errand.subject)
    errands.drop(turn, ErrandKind.HELP_CLAIM, device)
    before = {session.sid for session in sessions_of(turn.tx, device)}
    claim_answered(turn, device, answer)
    fresh = [session for session in sessions_of(turn.tx, device) if session.sid not in before]
    if not fresh:
        errands.plan(turn, ErrandKind.ASK, device, due_ms=turn.now_ms + _NO_BUNDLE_MS)
        return
    waiting = next((held for held in pending.all_pending(turn) if held.device == device), None)
    if waiting is None:
        return
    helper = HELPERS.get(turn.tx, device) or Helper(device, waiting.account)
    after = replace(helper, sid=fresh[-1].sid, session_ms=turn.now_ms, started=helper.started + 1)
    HELPERS.put(turn.tx, device, after)
    errands.plan(turn, ErrandKind.ASK, device)


# --- the sender's answers ---------------------------------------------------------------------------------------------


def take_key(turn: Turn, message: OpenedMessage) -> None:
    """A key that was sent again (kind 3): opens the message it refers to, if that is what its own sender sealed."""
    payload = message.payload
    held = PENDING.get(turn.tx, payload.ref) if payload is not None else None
    if payload is None or held is None or held.device != message.outer.device:
        return
    keyed = Keyed(payload.key, payload.body_hash, Trust.RESEND)
    _open_resent(turn, replace(held, key=keyed.key, hash=keyed.hash), held.envelope, keyed)


def take_body(turn: Turn, message: OpenedMessage, content: ResendBody) -> None:
    """A whole message again, for a device that the server does not give it to."""
    held = PENDING.get(turn.tx, content.id)
    if held is None or held.device != message.outer.device:
        return
    before = held.envelope
    envelope = Envelope(
        before.seq if before else 0, before.at if before else message.envelope.at,
        content.outer, content.nonce, content.ct, b"",
    )  # fmt: skip
    outer = Outer.parse(content.outer)
    if (outer.id, outer.conv, outer.device) != (held.id, held.conv, held.device):
        return
    keyed = Keyed(content.key, body_hash(envelope.outer, envelope.nonce, envelope.ct), Trust.RESEND)
    _open_resent(turn, held, envelope, keyed)


def _open_resent(turn: Turn, held: PendingMessage, envelope: Envelope | None, keyed: Keyed) -> None:
    if envelope is None:  # the key is here, the body is not: it may have been withheld before
        pending.update(turn, replace(held, attempt=Attempt.FETCH, due_ms=turn.now_ms))
        return
    try:
        opened = open_with(turn, envelope, keyed)
    except Failed as failed:
        after = replace(held, failure=failed.failure, attempt=Attempt.ASK, due_ms=turn.now_ms)
        pending.update(turn, after)
        return
    commit_post(turn, opened)


def take_refusal(turn: Turn, message: OpenedMessage, refusal: ResendRefusal) -> None:
    """The sender's own device says why it does not help."""
    for item in refusal.items:
        held = PENDING.get(turn.tx, item.id)
        if held is None or held.device != message.outer.device:
            continue
        if item.reason == RefusalReason.NO_SUCH_MESSAGE:
            turn.show(SecurityEvent(SecurityKind.NO_SUCH_MESSAGE, held.conv, held.account, held.device))
            pending.give_up(turn, held, PlaceholderReason.LOST)
            remove_placeholder(turn, held.id)
        elif item.reason == RefusalReason.NOT_ADDRESSED:
            pending.give_up(turn, held, PlaceholderReason.NOT_ADDRESSED)
        else:
            pending.give_up(turn, held, PlaceholderReason.LOST)
