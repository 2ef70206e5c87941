"""What a join link's secret is known by: its id to everybody, its hash to the server.

Source: docs/protocol.md, section 23.2.
"""

from rapport_protocol.ids import ID_BYTES, RoomLinkId
from rapport_protocol.signed import exact, h256

__all__ = ["SECRET_BYTES", "link_hash", "link_id"]

SECRET_BYTES = 32
"""Length of a join link's secret."""


def link_id(secret: bytes) -> RoomLinkId:
    """The link of a 32-byte secret, 16 bytes. FormatError for another length."""
    return RoomLinkId(h256("room-link-id", exact(secret, SECRET_BYTES))[:ID_BYTES])


def link_hash(secret: bytes) -> bytes:
    """What the server keeps of a 32-byte secret, 32 bytes. FormatError for another length."""
    return h256("room-link", exact(secret, SECRET_BYTES))
