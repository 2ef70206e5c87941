"""Which session to send on, and when to start a fresh one: pure rules over session values.

Two devices can hold several sessions at once: both started at the same time, one was renewed, one was lost. All of
them stay able to receive; for sending both sides must settle on one without asking each other.

Source: docs/protocol.md, chapter 6.
"""

from collections.abc import Sequence
from typing import Final

from rapport.crypto.ratchet import SKIPPED_LIFE_MS, Session

__all__ = [
    "RENEW_AFTER_MESSAGES",
    "RENEW_AFTER_MS",
    "RENEW_UNANSWERED",
    "RETRY_RENEWAL_MS",
    "heartbeat_due",
    "receivable",
    "renewal_due",
    "sending_session",
]

RENEW_AFTER_MS: Final = 7 * 86_400_000
"""A session older than this is renewed, if its peer was heard within the same time."""
RENEW_AFTER_MESSAGES: Final = 100
"""A session with more messages than this is renewed, if its peer was heard within 7 days."""
RENEW_UNANSWERED: Final = 1000
"""This many messages without an answer renew a session too: half of what a receiver may skip."""
RETRY_RENEWAL_MS: Final = 86_400_000
"""An unconfirmed session of our own younger than a day counts as the renewal under way."""
_HEARTBEAT_RECEIVED: Final = 40
_HEARTBEAT_MS: Final = 7 * 86_400_000


def sending_session(sessions: Sequence[Session]) -> Session | None:
    """The session to send on, None if there is none. Stopped ones count for nothing.

    Confirmed before unconfirmed; among confirmed ones the one last received on. Without a confirmed one: the newest
    that we started or, if the peer started one too, the one with the smaller id of the two, which is the same on both
    sides. One with 1,000 unanswered messages comes last.
    """
    sending = [held for held in sessions if not held.stopped]
    usable = [held for held in sending if held.unanswered < RENEW_UNANSWERED] or sending
    confirmed = [held for held in usable if held.confirmed]
    if confirmed:
        return max(confirmed, key=lambda held: (held.received_ms, _reversed(held.sid)))
    newest = [
        max(group, key=lambda held: (held.created_ms, _reversed(held.sid)))
        for group in ([held for held in usable if held.initiated is side] for side in (True, False))
        if group
    ]
    return min(newest, key=lambda held: held.sid, default=None)


def _reversed(sid: bytes) -> bytes:
    """Makes the smaller id win in a `max`."""
    return bytes(255 - byte for byte in sid)


def renewal_due(sessions: Sequence[Session], now_ms: int) -> bool:
    """Whether the next send should start a new session (claim a bundle) instead of using `sending_session`."""
    current = sending_session(sessions)
    if current is None:
        return True
    if any(
        held.initiated and not held.confirmed and held is not current and now_ms - held.created_ms < RETRY_RENEWAL_MS
        for held in sessions
    ):
        return False
    if current.unanswered >= RENEW_UNANSWERED:
        return True
    heard = current.received_ms > 0 and now_ms - current.received_ms <= RENEW_AFTER_MS
    return heard and (now_ms - current.created_ms > RENEW_AFTER_MS or current.messages > RENEW_AFTER_MESSAGES)


def heartbeat_due(session: Session, now_ms: int) -> bool:
    """Whether to send an empty message, so that the peer's ratchet turns: 40 received, or 7 days, without sending."""
    if not session.unreturned:
        return False
    return session.unreturned >= _HEARTBEAT_RECEIVED or now_ms - session.received_ms > _HEARTBEAT_MS


def receivable(session: Session, now_ms: int) -> bool:
    """Whether a session that is no longer sent on must still be kept: 97 days after its last use."""
    return now_ms - max(session.created_ms, session.received_ms) <= SKIPPED_LIFE_MS
