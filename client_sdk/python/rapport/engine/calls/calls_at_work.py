"""Calls as hosts and their media see them: the rows after the last turn, and who waits for a change.

Source: docs/protocol.md, section 20.2.
"""

import asyncio
from collections.abc import Callable, Iterable

from rapport.calling import CallMode, CallView
from rapport.engine.calls.call_rows import CallRow
from rapport_protocol.calls.arbiter import CallPhase, EndReason
from rapport_protocol.calls.device import DeviceCall
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.ids import MessageId

__all__ = ["FORGED", "CallsAtWork", "view_of_call"]

FORGED = "fingerprint"
"""The reason of a call that was ended because the other side's fingerprint had changed."""
_WAITS = frozenset({DevicePhase.WAKING, DevicePhase.RINGING_HERE})
_EARLY = frozenset({DevicePhase.OFFERING, DevicePhase.CALLING, DevicePhase.RINGING_THERE})
_IN_CALL = frozenset({DevicePhase.CONNECTING, DevicePhase.CONNECTED, DevicePhase.RECONNECTING})
_HERE = _EARLY | _IN_CALL | {DevicePhase.ANSWERING}


class CallsAtWork:
    """The loop's view of calls. in_call: told whether this device is in one (`vigil.py`)."""

    def __init__(self, in_call: Callable[..., None]) -> None:
        self.rows: dict[MessageId, CallRow] = {}
        self._in_call = in_call
        self._waiting: set[asyncio.Event] = set()

    def update(self, rows: Iterable[CallRow]) -> None:
        """All calls that are kept, as they stand now."""
        self.rows = {row.call: row for row in rows}
        self._in_call(live=any(row.machine.phase in _HERE for row in self.rows.values()))
        for waiting in self._waiting:
            waiting.set()

    def watch(self) -> asyncio.Event:
        """An event that is set with every change; whoever waits clears it, and gives it back with `unwatch`."""
        event = asyncio.Event()
        self._waiting.add(event)
        return event

    def unwatch(self, event: asyncio.Event) -> None:
        """Nobody waits for it any more."""
        self._waiting.discard(event)

    def view(self, call: MessageId) -> CallView | None:
        """How a call stands; None for one that is not kept."""
        row = self.rows.get(call)
        return view_of_call(row) if row is not None else None


def view_of_call(row: CallRow) -> CallView:
    """What hosts see of a call."""
    machine, entry = row.machine, row.machine.entry
    elsewhere = machine.answered_on not in (None, entry.device) if entry.incoming else False
    return CallView(
        id=row.call,
        conversation=row.conv,
        incoming=entry.incoming,
        media=row.media,
        phase=machine.phase,
        with_account=row.with_account,
        appointment=row.appointment,
        at_ms=entry.at_ms,
        until_ms=_until(machine),
        connected_ms=machine.connected_ms,
        ended_ms=row.ended_ms,
        reason=FORGED if machine.forged else EndReason.FAILED if row.failed else machine.reason or "",
        rings=machine.rings,
        away_there=machine.away_there,
        answered_on=machine.answered_on if elsewhere and machine.accepted else None,
        answered_elsewhere=entry.incoming and (elsewhere or machine.phase is DevicePhase.SETTLING),
        mode_there=row.mode_there or CallMode(row.media.value),
        mode_there_why=row.mode_there_why,
        can_answer=machine.phase in _WAITS,
        here=machine.phase in _HERE,
    )


def _until(machine: DeviceCall) -> int:
    """When the ring or the set-up ends by itself; 0 = it does not."""
    if machine.phase in (_WAITS | _EARLY):
        return machine.until_ms if machine.version else machine.entry.rings_until_ms
    settling = machine.phase in _HERE and machine.server_phase is CallPhase.ACCEPTED
    return machine.until_ms if settling and machine.reason is not EndReason.FAILED else 0
