"""Sessions stay fresh by themselves: a successor for one in long use, a heartbeat where nothing goes back.

Neither delays a post. A renewal claims a bundle in the background, starts the session and tells the peer by a note; the
peer's own next message on it makes it the one to send on. A heartbeat is a note that lets the peer's ratchet turn.

Source: docs/protocol.md, section 6.5.
"""

from typing import Final

from rapport.crypto.session_choice import heartbeat_due, renewal_due
from rapport.engine.contacts import account_of
from rapport.engine.conversations import accounts_of
from rapport.engine.directs import DIRECTS_MOST, put_note
from rapport.engine.keys.kept_sessions import sessions_of
from rapport.engine.keys.sessions import choose
from rapport.engine.sealing import claim_for, fresh_session
from rapport.engine.vault import errands
from rapport.engine.vault.errands import Errand, ErrandKind
from rapport.engine.vault.figures import count
from rapport.engine.vault.outgoing import DIRECTS
from rapport.engine.vault.records import CONVERSATIONS, PEERS
from rapport.engine.vault.turn import Call, Turn
from rapport_protocol.ids import AccountId, ConversationId, DeviceId
from rapport_protocol.requests import Claimed

__all__ = ["heartbeats", "renew_answered", "renew_call", "shared_conversation"]

_NO_BUNDLE_MS: Final = 3_600_000
"""The server had no bundle for the device, or its list is being fetched: claimed again after an hour."""
_CLAIM: Final = b"renew"
"""Keeps this claim apart from one that is made to ask the same device for help."""


def shared_conversation(turn: Turn, account: AccountId) -> ConversationId | None:
    """A conversation that a direct to a device of this account may name; the self conversation for our own."""
    for key, conversation in CONVERSATIONS.list(turn.tx):
        if account in accounts_of(turn, conversation) and (account != turn.me.account or not conversation.membership):
            return ConversationId(key)
    return None


# --- renewal ----------------------------------------------------------------------------------------------------------


def renew_call(turn: Turn, errand: Errand) -> Call | None:
    """Claims a bundle, unless the peer was quicker and has renewed the session itself."""
    device = DeviceId(errand.subject)
    if not renewal_due(sessions_of(turn.tx, device), turn.now_ms):
        errands.drop(turn, ErrandKind.RENEW, device)
        return None
    return Call(errand.key, "prekeys.claim", claim_for(turn, _CLAIM + device, [device]))


def renew_answered(turn: Turn, errand: Errand, answer: Claimed) -> None:
    """Starts the session and lets its peer know. Without a bundle the present session does for another hour."""
    device = DeviceId(errand.subject)
    fresh = fresh_session(turn, device, _CLAIM + device, answer)
    account = account_of(turn, device)
    conv = shared_conversation(turn, account) if account is not None else None
    if fresh is None or conv is None:
        errands.postpone(turn, errand, wait_ms=_NO_BUNDLE_MS)
        return
    errands.drop(turn, ErrandKind.RENEW, device)
    put_note(turn, conv, device, fresh)
    count(turn, "renewed")


# --- heartbeats -------------------------------------------------------------------------------------------------------


def heartbeats(turn: Turn) -> None:
    """Once caught up, and once a day: a note to every device that has written for long without hearing anything."""
    for key, peer in list(PEERS.list(turn.tx)):
        session = choose(turn, DeviceId(key))
        if session is None or not heartbeat_due(session, turn.now_ms) or DIRECTS.count(turn.tx) >= DIRECTS_MOST:
            continue
        conv = shared_conversation(turn, peer.account)
        if conv is not None:
            put_note(turn, conv, DeviceId(key), session)
            count(turn, "heartbeats")
