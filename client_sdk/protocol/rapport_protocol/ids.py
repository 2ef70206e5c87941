"""Typed identifiers: 16 random bytes each, distinct to the type checker, plain `bytes` on the wire.

Source: docs/protocol.md, chapter "Conventions".
"""

from typing import Final, NewType

__all__ = [
    "ID_BYTES",
    "AccountId",
    "AppointmentId",
    "ClaimId",
    "ConversationId",
    "DeviceId",
    "InviteId",
    "ItemId",
    "LinkId",
    "MessageId",
    "PracticeId",
    "RoomLinkId",
    "SessionId",
    "StoreEpoch",
    "split_ids",
]

ID_BYTES: Final = 16
"""Length of every identifier, in bytes."""

PracticeId = NewType("PracticeId", bytes)
"""The tenant. Everything belongs to exactly one."""
AccountId = NewType("AccountId", bytes)
"""A person in a practice."""
DeviceId = NewType("DeviceId", bytes)
"""One installation with its own keys."""
ConversationId = NewType("ConversationId", bytes)
"""A pair, a group, or an account's own devices among themselves (`self`)."""
MessageId = NewType("MessageId", bytes)
"""Made by the sending device; a post keeps it through every retry."""
InviteId = NewType("InviteId", bytes)
"""First 16 bytes of the hash of the invite's secret token."""
LinkId = NewType("LinkId", bytes)
"""First 16 bytes of the hash of a linking code's secret."""
AppointmentId = NewType("AppointmentId", bytes)
"""A planned meeting; also a series of them."""
RoomLinkId = NewType("RoomLinkId", bytes)
"""First 16 bytes of H256("room-link-id", the secret of a join link)."""
ClaimId = NewType("ClaimId", bytes)
"""Names one request for prekey bundles, so that a repeat gets the same answer."""
SessionId = NewType("SessionId", bytes)
"""A ratchet between two devices (Signal's meaning of the word)."""
StoreEpoch = NewType("StoreEpoch", bytes)
"""Changes whenever the server's store was restored from a backup."""
ItemId = NewType("ItemId", bytes)
"""What a device acknowledges: a message, a membership entry or a notice."""


def split_ids(joined: bytes) -> list[bytes]:
    """Cut concatenated identifiers into a list; a length that is no multiple of 16 raises ValueError."""
    if len(joined) % ID_BYTES:
        raise ValueError("joined identifiers must be a multiple of 16 bytes long")
    return [joined[start : start + ID_BYTES] for start in range(0, len(joined), ID_BYTES)]
