"""When this vault is an earlier state of itself: a copy that was put back, a disk that lost its last writes.

What was done since is unknown, so nothing that may have been used is used again: no ratchet state, no place in a chain,
no prekey id. Who we are, our history and our inbox stay. A server cannot make us do this: only our own signature
counts, under a higher revision than this vault remembers to have signed.

Source: docs/protocol.md, section 9.1.
"""

from typing import Final

from msgspec.structs import replace

from rapport.engine.keys import prekeys
from rapport.engine.keys.kept_sessions import put_session, sessions_of
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import DIRECTS
from rapport.engine.vault.records import CONVERSATIONS, DEVICES
from rapport.engine.vault.turn import Turn
from rapport.engine.vault.upkeep import amend_upkeep
from rapport.events import SecurityEvent, SecurityKind
from rapport_protocol.errors import RemoteError
from rapport_protocol.ids import ConversationId, DeviceId
from rapport_protocol.signed import AuthTranscript

__all__ = ["look_back", "new_chains"]

_SIGNATURE_BYTES: Final = 64


def look_back(turn: Turn, last_auth: bytes | None, state_rev: int, signed_rev: int) -> bool:
    """Compares what this device has signed in with now to what it signed the last time.

    state_rev: revision of the present sign-in. signed_rev: of the last one before it that this vault remembers, 0 =
    none. A vault that was put back may have reached the old revision again, but does not remember that it signed it:
    whatever was signed after the copy was made has a higher revision than what the copy remembers. No clock is asked:
    the server's may stand still, or go back.
    last_auth: transcript and signature as the server has kept them. What this device did not sign is reported and
    changes nothing. Returns whether this vault is an earlier one: what it had acknowledged since does not come again by
    itself.
    """
    if last_auth is None:
        return False
    before = _own_auth(turn, last_auth)
    if before is None:
        turn.show(SecurityEvent(SecurityKind.FORGED_SIGN_IN, device=turn.me.device))
        return False
    if before.state_rev <= min(signed_rev or state_rev, state_rev):
        return False
    _begin_anew(turn)
    return True


def _own_auth(turn: Turn, last_auth: bytes) -> AuthTranscript | None:
    me = turn.me
    try:
        transcript = AuthTranscript.parse(last_auth[:-_SIGNATURE_BYTES])
        transcript.verify(me.signing_key().public, last_auth[-_SIGNATURE_BYTES:])
    except RemoteError:
        return None
    own = (me.account, me.device, me.server_id)
    return transcript if (transcript.account, transcript.device, transcript.server_id) == own else None


def _begin_anew(turn: Turn) -> None:
    """Posts that were sealed before the copy was made are sent again as they are; all else is sealed on new sessions.

    Directs that wait are dropped: one may have been sealed since the copy was put back, on a state that is used up.
    """
    count(turn, "rollbacks")
    amend_upkeep(turn, rolled_back_ms=turn.now_ms)
    for key, _ in list(DEVICES.list(turn.tx)):
        device = DeviceId(key)
        for session in sessions_of(turn.tx, device):
            put_session(turn.tx, device, replace(session, stopped=True))
    for key, _ in list(DIRECTS.list(turn.tx)):
        DIRECTS.delete(turn.tx, key)
    new_chains(turn)
    prekeys.begin_anew(turn, leap=True)


def new_chains(turn: Turn) -> None:
    """The next post of each conversation starts a chain of its own."""
    for key, conversation in list(CONVERSATIONS.list(turn.tx)):
        CONVERSATIONS.put(turn.tx, ConversationId(key), replace(conversation, chain=0, sseq=0, prev=None))
