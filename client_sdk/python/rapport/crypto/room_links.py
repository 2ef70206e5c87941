"""Join links: a capability to wait at the door of one appointment.

    <base>/room#base64url(ver u8 = 1 ‖ appointment16 ‖ secret32)

The fragment never reaches the server; it keeps a hash of the secret and finds the link by another one.

Source: docs/protocol.md, section 23.2.
"""

from typing import Final

from msgspec import Struct

from rapport.crypto.invites import fragment_bytes, fragment_text
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.ids import AppointmentId, RoomLinkId
from rapport_protocol.rooms.links import link_hash, link_id
from rapport_protocol.signed import exact

__all__ = ["RoomDoorLink", "parse_room_link"]

_VERSION: Final = b"\x01"
_BYTES: Final = 1 + 16 + 32


class RoomDoorLink(Struct, frozen=True):
    """A join link. base: scheme, host, port, perhaps a path; no slash at its end. Its repr shows no secret."""

    base: str
    appointment: AppointmentId
    secret: bytes

    def __repr__(self) -> str:
        return f"RoomDoorLink({self.appointment.hex()[:8]})"

    @property
    def id(self) -> RoomLinkId:
        """What the server knows the link by, 16 bytes."""
        return link_id(self.secret)

    @property
    def hash(self) -> bytes:
        """What the server keeps of the secret, 32 bytes."""
        return link_hash(self.secret)

    def encode(self) -> str:
        """The link as text."""
        fragment = _VERSION + exact(self.appointment, 16) + exact(self.secret, 32)
        return f"{self.base}/room#{fragment_text(fragment)}"


def parse_room_link(link: str) -> RoomDoorLink:
    """Read a join link. FormatError; UNSUPPORTED for another version."""
    address, _, fragment = link.strip().partition("#")
    if not address.startswith(("https://", "http://")) or not address.endswith("/room"):
        raise FormatError("link: not one into a waiting room")
    secret = fragment_bytes(fragment)
    if secret[:1] != _VERSION:
        raise FormatError("link: version", ErrorCode.UNSUPPORTED if secret else ErrorCode.BAD_FORMAT)
    if len(secret) != _BYTES:
        raise FormatError("link: length")
    return RoomDoorLink(address.removesuffix("/room"), AppointmentId(secret[1:17]), secret[17:])
