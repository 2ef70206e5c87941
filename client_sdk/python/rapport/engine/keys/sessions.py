"""Ratchets with other devices: which one to send on, starting one from a bundle, taking up one that a peer has started.

Two devices may hold several sessions at once; all stay able to receive. Whatever a step does with a session, the next
state is written in the same transaction as the bytes that were sealed or the message that was opened.

Source: docs/protocol.md, chapters 5 and 6.
"""

from typing import Final

from msgspec import Struct

from rapport.crypto.failures import AuthenticationFailed, DuplicatePosition
from rapport.crypto.handshake import Party, PrekeyHeader, initiate, respond
from rapport.crypto.identity import LastResortSecret, OneTimeSecret
from rapport.crypto.primitives import kem_encapsulate
from rapport.crypto.ratchet import RatchetMessage, Session, decrypt, drop_expired, encrypt
from rapport.crypto.session_choice import receivable, renewal_due, sending_session
from rapport.engine.contacts import device_party
from rapport.engine.keys.kept_sessions import delete_session, get_session, put_session, sessions_of
from rapport.engine.keys.prekeys import (
    has_replayed,
    last_resort_secret,
    one_time_secret,
    one_time_used,
    remember_replay,
    signed_secret,
    used_by_another,
)
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import may_have_lost
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.prekeys import LastResortKey, OneTimeBundle, PrekeyBundle, SignedPrekey
from rapport_protocol.requests import Bundle

__all__ = [
    "OLD_PREKEY_MS",
    "SESSIONS_MOST",
    "Opened",
    "PrekeyGone",
    "UnknownSession",
    "choose",
    "commit_opened",
    "open_sealed_key",
    "seal_for",
    "seal_on",
    "start",
    "tidy",
]

OLD_PREKEY_MS: Final = 30 * 86_400_000
"""A signed prekey older than 30 days is used, since its device may have been away, and reported."""
SESSIONS_MOST: Final = 40
"""Sessions kept per device; a peer that starts more makes the least recently used ones go."""


class UnknownSession(AuthenticationFailed):
    """A normal message of a session that is not held here (F2)."""

    def __init__(self) -> None:
        super().__init__("unknown session")


class PrekeyGone(AuthenticationFailed):
    """The private half of the prekey that started the session is not held here (F4).

    reused: another handshake has used it.
    """

    def __init__(self, *, reused: bool) -> None:
        super().__init__("prekey")
        self.reused = reused


class Opened(Struct, frozen=True):
    """A sealed key that opened, not yet committed.

    The next session state, the payload, and what the handshake used up.
    """

    session: Session
    payload: bytes
    fresh: PrekeyHeader | None = None
    """The header of the handshake that a peer started the session with; None for a session that was held."""

    def __repr__(self) -> str:
        return "Opened()"


# --- sending ----------------------------------------------------------------------------------------------------------


def choose(turn: Turn, device: DeviceId) -> Session | None:
    """The session to send on, None when one must be started.

    One that the peer has started since we last heard on the settled one goes first: the peer may have lost all others.
    """
    return _chosen(sessions_of(turn.tx, device))


def _chosen(held: list[Session]) -> Session | None:
    chosen = sending_session(held)
    if chosen is None or not chosen.confirmed:
        return chosen
    fresh = [session for session in held if not (session.initiated or session.confirmed or session.stopped)]
    newest = max(fresh, key=lambda session: session.received_ms, default=None)
    return newest if newest is not None and newest.received_ms > chosen.received_ms else chosen


def seal_for(turn: Turn, device: DeviceId, payload: bytes) -> bytes | None:
    """The payload sealed for a device on its sending session, whose next state is kept.

    None when a session must be started. One that has been in use for long gets a successor in the background.
    """
    held = sessions_of(turn.tx, device)
    session = _chosen(held)
    if session is None:
        return None
    due = session is sending_session(held) and renewal_due(held, turn.now_ms)
    if due and not errands.planned(turn, ErrandKind.RENEW, device):
        errands.plan(turn, ErrandKind.RENEW, device)
    return seal_on(turn, device, session, payload)


def seal_on(turn: Turn, device: DeviceId, session: Session, payload: bytes) -> bytes:
    """The payload sealed on this very session, whose next state is kept."""
    after, sealed = encrypt(session, payload, turn.random)
    put_session(turn.tx, device, after)
    return sealed


def start(turn: Turn, account: AccountId, bundle: Bundle) -> Session | None:
    """Starts a session from a claimed bundle and keeps it; None if the device is not in the account's signed list.

    RemoteError(INVALID_SIGNATURE), FormatError or RuleBroken for a bundle that the device did not sign; nothing is kept
    then.
    """
    known = device_party(turn, account, bundle.device)
    if known is None or not known.listed:
        return None
    key = LastResortKey.parse(bundle.key) if bundle.last_resort else OneTimeBundle.parse(bundle.key)
    prekeys = PrekeyBundle(bundle.device, SignedPrekey.parse(bundle.signed), key)
    session = initiate(turn.me.secrets, known.party, prekeys, kem_encapsulate(key.kem), turn.random, turn.now_ms)
    put_session(turn.tx, bundle.device, session)
    _cap(turn, bundle.device)
    if bundle.last_resort:
        count(turn, "last_resort")
        turn.show(SecurityEvent(SecurityKind.LAST_RESORT, account=account, device=bundle.device))
    if turn.now_ms - prekeys.signed.created_ms > OLD_PREKEY_MS:
        count(turn, "old_prekey")
        turn.show(SecurityEvent(SecurityKind.OLD_PREKEY, account=account, device=bundle.device))
    return session


def _cap(turn: Turn, device: DeviceId) -> None:
    held = sorted(sessions_of(turn.tx, device), key=lambda session: max(session.created_ms, session.received_ms))
    for session in held[:-SESSIONS_MOST]:
        delete_session(turn.tx, device, session.sid)


# --- receiving --------------------------------------------------------------------------------------------------------


def open_sealed_key(turn: Turn, sender: Party, sealed: bytes) -> Opened:
    """Opens a sealed key of this sender.

    Nothing is written: `commit_opened` does that once everything else has been checked.

    Raises FormatError (malformed, or UNSUPPORTED), DuplicatePosition, TooFarAhead, UnknownSession, PrekeyGone,
    AuthenticationFailed.
    """
    message = RatchetMessage.parse(sealed)
    held = get_session(turn.tx, sender.device, message.sid)
    if held is not None:
        return Opened(*decrypt(held, message, turn.now_ms))
    if not message.prekey_header:
        raise UnknownSession
    header = PrekeyHeader.parse(message.prekey_header)
    session, payload = decrypt(_respond(turn, sender, message, header), message, turn.now_ms)
    return Opened(session, payload, header)


def _respond(turn: Turn, sender: Party, message: RatchetMessage, header: PrekeyHeader) -> Session:
    if header.last_resort and has_replayed(turn, header):
        raise DuplicatePosition("last-resort handshake")
    signed = signed_secret(turn, header.spk_id)
    key: OneTimeSecret | LastResortSecret | None
    key = last_resort_secret(turn, header.key_id) if header.last_resort else one_time_secret(turn, header.key_id)
    if signed is None or key is None:
        raise PrekeyGone(reused=key is None and used_by_another(turn, header) and not may_have_lost(turn))
    return respond(turn.me.secrets, sender, message, signed, key, turn.now_ms)


def commit_opened(turn: Turn, sender: Party, opened: Opened) -> None:
    """Keeps the next state, and uses up what a new session's handshake used."""
    put_session(turn.tx, sender.device, opened.session)
    if opened.fresh is None:
        return
    if opened.fresh.last_resort:
        remember_replay(turn, opened.fresh)
    else:
        one_time_used(turn, opened.fresh)
    _cap(turn, sender.device)


def tidy(turn: Turn, device: DeviceId) -> None:
    """After `caught_up`: forgets skipped keys and sessions that nothing can be waiting for any more (97 days)."""
    held = sessions_of(turn.tx, device)
    current = choose(turn, device)
    for session in held:
        if session is not current and not receivable(session, turn.now_ms) and session != current:
            delete_session(turn.tx, device, session.sid)
            continue
        after = drop_expired(session, turn.now_ms)
        if after is not session:
            put_session(turn.tx, device, after)
