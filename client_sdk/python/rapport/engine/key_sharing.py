"""Archive keys that this device lacks are asked of the account's other devices, and given to them when they ask.

The ordinary way is the sealed post in which the device that minted a key hands it over. One that was linked or away
meanwhile asks its siblings; only devices that stand in our own newest list ask, answer and are believed.

Source: docs/protocol.md, chapter 7 and section 4.8.
"""

from typing import Final

from rapport.engine.bodies.content import KEYS_MOST, KeysGiven, KeysWanted, OwnArchiveKey
from rapport.engine.contacts import listed_devices
from rapport.engine.conversations import open_self
from rapport.engine.directs import put_content
from rapport.engine.keys.archive_keys import archive_keys, keep_archive_key
from rapport.engine.keys.sessions import choose
from rapport.engine.opening import OpenedMessage
from rapport.engine.sealing import missing_sessions
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.turn import Turn
from rapport_protocol.signed import self_conversation

__all__ = ["ask_siblings", "give_keys", "take_given", "take_handed_over", "want_keys"]

_AGAIN_MS: Final = 600_000
"""Siblings are asked every ten minutes at most."""
_SESSIONS_MS: Final = 5_000
"""Bundles are being claimed: looked at again after this time."""
_TABLE: Final = "keys_asked"


def want_keys(turn: Turn) -> None:
    """An archive entry cannot be opened because its key is not here: the siblings are asked."""
    asked = turn.tx.get(_TABLE, b"")
    last_ms = int.from_bytes(asked, "big") if asked else 0
    errands.plan(turn, ErrandKind.SIBLING_KEYS, due_ms=max(turn.now_ms, last_ms + _AGAIN_MS))


def ask_siblings(turn: Turn, _subject: bytes) -> None:
    """Asks every other device of the account; sessions that are missing are started first."""
    errands.drop(turn, ErrandKind.SIBLING_KEYS)
    siblings = [device for device in listed_devices(turn, turn.me.account) if device != turn.me.device]
    conv = open_self(turn)
    if missing_sessions(turn, siblings):
        errands.plan(turn, ErrandKind.CLAIM, conv)
        errands.plan(turn, ErrandKind.SIBLING_KEYS, due_ms=turn.now_ms + _SESSIONS_MS)
    ready = [(device, session) for device in siblings if (session := choose(turn, device)) is not None]
    for device, session in ready:
        put_content(turn, conv, device, session, KeysWanted())
    if ready:
        turn.tx.put(_TABLE, b"", turn.now_ms.to_bytes(8, "big"))


def _from_sibling(turn: Turn, message: OpenedMessage) -> bool:
    return message.outer.account == turn.me.account and message.known.listed


def give_keys(turn: Turn, message: OpenedMessage) -> None:
    """A sibling lacks archive keys: it gets all that are held here."""
    if not _from_sibling(turn, message) or message.opened is None:
        return
    session = choose(turn, message.outer.device)
    if session is not None:
        keys = tuple((held.epoch, held.key) for held in archive_keys(turn)[-KEYS_MOST:])
        put_content(turn, open_self(turn), message.outer.device, session, KeysGiven(keys))


def take_given(turn: Turn, message: OpenedMessage, given: KeysGiven) -> bool:
    """A sibling gives its archive keys. True if one was new: what could not be read may be readable now."""
    if not _from_sibling(turn, message):
        return False
    fresh = [epoch for epoch, key in given.keys if keep_archive_key(turn, epoch, key)]
    return bool(fresh)


def take_handed_over(turn: Turn, message: OpenedMessage, minted: OwnArchiveKey) -> bool:
    """A sibling has minted an archive key. True if it was new."""
    if message.outer.conv != self_conversation(turn.me.account) or not _from_sibling(turn, message):
        return False
    return keep_archive_key(turn, minted.epoch, minted.key)
