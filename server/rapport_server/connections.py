"""What services that tell devices of others need of a device's connection.

Source: docs/protocol.md, "Slow readers" (12.5): such news is dropped first under pressure, and the last is always told.
"""

from typing import Protocol

from rapport_server.records import Principal

__all__ = ["Connection", "Link"]


class Connection(Protocol):
    """A device's socket."""

    @property
    def congested(self) -> bool:
        """Too much waits for the device to read; the service is told (`room`) once it has."""

    def send_frame(self, frame: bytes) -> None:
        """Queues one ready-made MessagePack frame. Never waits."""


class Link(Protocol):
    """A signed-in connection."""

    @property
    def principal(self) -> Principal:
        """Who it is."""

    @property
    def connection(self) -> Connection:
        """Its socket."""
