"""Where ratchet sessions are kept: by device and session id, so that nobody can speak in another device's session."""

from typing import Final

from rapport.crypto.ratchet import Session
from rapport.ports import Transaction, VaultProblem
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import DeviceId, SessionId

__all__ = ["delete_session", "get_session", "put_session", "sessions_of"]

_SESSIONS: Final = "session"


def get_session(tx: Transaction, device: DeviceId, sid: SessionId) -> Session | None:
    """The session of that id with that device, or None: nobody can speak in another device's session."""
    stored = tx.get(_SESSIONS, device + sid)
    return None if stored is None else _session(stored)


def put_session(tx: Transaction, device: DeviceId, session: Session) -> None:
    """Keeps the newest state of a session with `device`."""
    tx.put(_SESSIONS, device + session.sid, session.encode(), group=device, order=session.created_ms)


def sessions_of(tx: Transaction, device: DeviceId) -> list[Session]:
    """All sessions with a device, oldest first."""
    return [_session(stored) for _, stored in tx.list(_SESSIONS, device)]


def delete_session(tx: Transaction, device: DeviceId, sid: SessionId) -> None:
    """Forgets a session for good."""
    tx.delete(_SESSIONS, device + sid)


def _session(stored: bytes) -> Session:
    try:
        return Session.decode(stored)
    except FormatError:
        raise VaultProblem("the vault is damaged: a session cannot be read") from None
