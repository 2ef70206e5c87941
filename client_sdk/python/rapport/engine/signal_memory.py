"""What a process remembers of signals, gone with it.

Source: docs/protocol.md, chapter 8.
"""

from collections import OrderedDict
from typing import Final

from rapport_protocol.ids import DeviceId, MessageId
from rapport_protocol.signed import SignalFields

__all__ = ["FLOORS_MOST", "SignalMemory"]

FLOORS_MOST: Final = 4_096
"""Devices and posts whose last signal is remembered; the longest unused is forgotten."""


class SignalMemory:
    """What a process remembers of signals: its own counter, and the newest (ts, ctr) per device and post."""

    __slots__ = ("_floors", "sent")

    def __init__(self) -> None:
        self.sent = 0
        self._floors: OrderedDict[tuple[DeviceId, MessageId], tuple[int, int]] = OrderedDict()

    def last(self, fields: SignalFields) -> tuple[int, int] | None:
        """The newest that was taken of this device and post."""
        return self._floors.get((fields.device, fields.ref))

    def note(self, fields: SignalFields) -> None:
        """This one was taken: nothing older will be."""
        self._floors[fields.device, fields.ref] = (fields.ts_ms, fields.ctr)
        self._floors.move_to_end((fields.device, fields.ref))
        if len(self._floors) > FLOORS_MOST:
            self._floors.popitem(last=False)
