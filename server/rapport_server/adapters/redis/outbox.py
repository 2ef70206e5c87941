"""Hints on their way to other nodes: bounded, in order, sorted out by node. Nothing here waits or touches a network."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from rapport_protocol.ids import DeviceId
from rapport_server.adapters.redis.frames import NodeId
from rapport_server.hints import Fresh, Hint, ToAll, narrowed

__all__ = ["QUEUE_BYTES", "QUEUE_HINTS", "Outbox", "Waiting", "routed"]

QUEUE_HINTS: Final = 20_000
"""Most hints that wait: what a node of the busiest kind makes in a few seconds."""
QUEUE_BYTES: Final = 16 * 1024 * 1024
"""Most bytes that they hold, roughly."""
_ROUND_DEVICES: Final = 4_096
"""Devices that are looked up at a time: a few milliseconds of Redis."""
_ROUND_BYTES: Final = 1024 * 1024
"""Bytes that are sent at a time."""
_OVERHEAD_BYTES: Final = 256
"""What a hint takes beside its contents."""


class Waiting(NamedTuple):
    """A hint that waits. devices: those that it is for and that are not connected here; None = for every node."""

    hint: Hint
    devices: Sequence[DeviceId] | None
    size: int
    """Bytes that it holds, roughly."""


class Outbox:
    """A bounded queue of hints."""

    def __init__(self) -> None:
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, hint: Hint, devices: Sequence[DeviceId] | None) -> bool:
        """Puts a hint at the end. False, and it is not taken, when there is no room."""
        if len(self._waiting) >= QUEUE_HINTS or self._bytes >= QUEUE_BYTES:
            return False
        size = _size(hint)
        self._waiting.append(Waiting(hint, devices, size))
        self._bytes += size
        return True

    def take(self) -> list[Waiting]:
        """The first hints, as many as fit into one round trip."""
        taken: list[Waiting] = []
        devices = size = 0
        while self._waiting and devices < _ROUND_DEVICES and size < _ROUND_BYTES:
            waiting = self._waiting.popleft()
            taken.append(waiting)
            devices += len(waiting.devices or ())
            size += waiting.size
        self._bytes -= size
        return taken

    def clear(self) -> int:
        """Drops everything; how many hints."""
        count = len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        return count


def _size(hint: Hint) -> int:
    if isinstance(hint, Fresh):
        return _OVERHEAD_BYTES + len(hint.ct) + len(hint.keys) + len(hint.devices)
    if isinstance(hint, ToAll):
        return _OVERHEAD_BYTES
    return _OVERHEAD_BYTES + len(hint.devices)


def routed(
    taken: Sequence[Waiting], found: Mapping[DeviceId, Sequence[NodeId]], others: Collection[NodeId]
) -> dict[NodeId, list[Hint]]:
    """Which node gets which hints, in order. found: the nodes of each device that is connected anywhere else."""
    routes: dict[NodeId, list[Hint]] = {}
    for hint, devices, _ in taken:
        if devices is None or isinstance(hint, ToAll):
            for node in others:
                routes.setdefault(node, []).append(hint)
            continue
        for node in dict.fromkeys([node for device in devices for node in found.get(device, ())]):
            part = narrowed(hint, lambda device, node=node: node in found.get(device, ()))  # type: ignore[misc]
            if part is not None:
                routes.setdefault(node, []).append(part)
    return routes
