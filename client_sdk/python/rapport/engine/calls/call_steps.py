"""What is said about a call on the stream, with a sealed description where one belongs to it.

A description is sealed once for the device that it is for, and goes out with the same bytes until another one takes its
place. The machine says when; what could not leave (no connection, no session yet) is said again by it.

Source: docs/protocol.md, sections 20.1 to 20.3.
"""

from typing import Final

from msgspec.structs import replace

from rapport.engine.bodies.meetings import CallDescription
from rapport.engine.calls.call_rows import CallRow
from rapport.engine.contacts import device_party
from rapport.engine.directs import seal_content
from rapport.engine.keys.sessions import choose
from rapport.engine.sealing import missing_sessions
from rapport.engine.vault import errands
from rapport.engine.vault.errands import ErrandKind
from rapport.engine.vault.turn import Turn
from rapport_protocol.calls.device_events import Say
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import DeviceId
from rapport_protocol.messages import Call, Direct

__all__ = ["DESCRIPTION_MS", "RESTART_MS", "repeat", "say"]

DESCRIPTION_MS: Final = 60_000
"""So long a description waits for its device: as long as the two may take to be connected."""
RESTART_MS: Final = 120_000
"""So long a restart does."""
_IN_CALL: Final = frozenset({DevicePhase.CONNECTING, DevicePhase.CONNECTED, DevicePhase.RECONNECTING})
_REPEAT_MS: Final = 4_000
"""A description that nothing answers is said again after so long: the stream may have broken under it."""


def say(turn: Turn, row: CallRow, what: Say) -> CallRow:
    """Sends a step; without a connection it is forgotten. Returns the row with the description as it was sealed."""
    direct = None
    if what.with_description:
        row = _sealed(turn, row)
        if row.direct is None:
            return row  # the other device has to be met first; said again soon
        sealed = row.direct
        direct = Direct(sealed.outer, sealed.nonce, sealed.ct, sealed.device, sealed.key)
        row = replace(row, said_ms=turn.now_ms)
    turn.send(Call(row.call, what.step, direct))
    return row


def repeat(turn: Turn, row: CallRow, *, now: bool = False) -> CallRow:
    """Says our description again if it is not known to have come. now: the connection is new."""
    late = row.said_ms + _REPEAT_MS <= turn.now_ms
    if row.owed is None or not row.machine.online or row.machine.phase not in _IN_CALL or not (now or late):
        return row
    return say(turn, row, Say(row.owed, with_description=True))


def _sealed(turn: Turn, row: CallRow) -> CallRow:
    """With our newest description as a direct for the device of the other side that is in the call."""
    device, ours = row.machine.theirs, row.ours
    if device is None or ours is None or ours.description is None:
        return replace(row, direct=None)
    if row.direct is not None and row.direct.device == device and row.direct.id == ours.id:
        return row
    known = device_party(turn, row.with_account, device)
    if known is None or not known.listed:  # the server names the device: it must be one of theirs
        errands.plan(turn, ErrandKind.LISTS, row.with_account)
        return replace(row, direct=None)
    session = choose(turn, device)
    if session is None:
        _meet(turn, row, device)
        return replace(row, direct=None)
    life_ms = RESTART_MS if ours.restart else DESCRIPTION_MS
    content = CallDescription(row.call, ours.description, ours.restart)
    word = seal_content(turn, row.conv, device, session, content, life_ms)
    if word is None:
        return replace(row, direct=None)
    return replace(row, direct=word.direct, ours=replace(ours, id=word.direct.id, key=word.key))


def _meet(turn: Turn, row: CallRow, device: DeviceId) -> None:
    if missing_sessions(turn, [device]):
        errands.plan(turn, ErrandKind.CLAIM, row.conv)
