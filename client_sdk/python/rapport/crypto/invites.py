"""Invites: one secret token in a link's fragment, and everything that follows from it.

The token gives the invite's id (which the server knows), the key that signs the join, and the key that opens the
card. The card tells the invitee whom the link comes from; whoever opens it has the inviter's identity key from the
inviter.

Source: docs/protocol.md, chapter 3.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as Base64Error
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from rapport.crypto.padding import pad, unpad
from rapport.crypto.primitives import NONCE_BYTES, Random, hkdf, open_sealed, seal
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.ids import AccountId, ConversationId, InviteId
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.signed import SigningKey, card_aad, exact, invite_id, label

__all__ = [
    "CARD_BYTES",
    "Card",
    "InviteLink",
    "InviteSecret",
    "OwnerLink",
    "fragment_bytes",
    "fragment_text",
    "open_card",
    "parse_link",
    "seal_card",
]

CARD_BYTES: Final = 24 + 16_384 + 16
"""Largest sealed card."""

_VERSION: Final = b"\x01"
_NO_SALT: Final = bytes(32)
_Bytes16 = Meta(min_length=16, max_length=16)
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]


class Card(Struct, frozen=True, omit_defaults=True):
    """What the invitee sees first, sealed under the invite's card key; a MessagePack map with these keys.

    aik, version, dlh: the inviter's identity key and device list when the invite was made. server_id: the server's
    Ed25519 key to pin. genesis: hash of the conversation's first entry. about to lines:
    the inviter's card, as in a `card` post (4.8); office: their signed office-hours document.
    """

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    account: Annotated[AccountId, _Bytes16]
    aik: _Bytes32
    version: Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
    dlh: _Bytes32
    server_id: _Bytes32
    conv: Annotated[ConversationId, _Bytes16]
    genesis: _Bytes32
    role: MemberRole
    """What the invitee becomes."""
    welcome: str | None = None
    about: str = ""
    how: str = ""
    limits: str = ""
    country: str = ""
    lines: tuple[tuple[str, str, str], ...] = ()
    office: bytes | None = None

    def encode(self) -> bytes:
        """The MessagePack map in its shortest form: of a struct with 16 fields msgspec itself writes a longer head."""
        return msgspec.msgpack.encode(msgspec.to_builtins(self, builtin_types=(bytes,)))


class InviteSecret(Struct, frozen=True):
    """A single-use bearer secret of 32 bytes; never shown by repr."""

    token: bytes

    @classmethod
    def make(cls, random: Random) -> "InviteSecret":
        """A fresh token."""
        return cls(exact(random(32), 32))

    def __repr__(self) -> str:
        return "InviteSecret()"

    @property
    def id(self) -> InviteId:
        """What the server knows the invite by."""
        return invite_id(self.token)

    def signing_key(self) -> SigningKey:
        """ISK: signs the join entry; its public half IPK stands in the invite entry."""
        return SigningKey(hkdf(_NO_SALT, self.token, label("invite-sign"), 32))

    def card_key(self) -> bytes:
        """The key that seals the card; 32 bytes."""
        return hkdf(_NO_SALT, self.token, label("invite-card"), 32)


def seal_card(secret: InviteSecret, card: Card, random: Random) -> bytes:
    """Nonce (24 bytes) and the padded, encrypted card. LocalError(TOO_LARGE) above 16,383 bytes of MessagePack."""
    nonce = random(NONCE_BYTES)
    return nonce + seal(secret.card_key(), nonce, pad(card.encode()), card_aad(secret.id))


def open_card(secret: InviteSecret, sealed: bytes) -> Card:
    """Open a card. AuthenticationFailed if it was not sealed under this link; FormatError if it is no card."""
    plain = unpad(open_sealed(secret.card_key(), sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], card_aad(secret.id)))
    try:
        return msgspec.msgpack.decode(plain, type=Card)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FormatError("card") from None


# --- links ----------------------------------------------------------------------------------------------------------


class InviteLink(Struct, frozen=True):
    """`<base>/i/<invite16>#<ver1, token32>`. base: scheme, host, port, perhaps a path; no slash at its end."""

    base: str
    secret: InviteSecret

    def encode(self) -> str:
        """The link as text; its fragment is the secret."""
        return f"{self.base}/i/{fragment_text(self.secret.id)}#{fragment_text(_VERSION + self.secret.token)}"


class OwnerLink(Struct, frozen=True):
    """`<base>/o#<ver1, owner_token32, server_id_pub32>`: the first registration of a practice."""

    base: str
    token: bytes
    server_id: bytes

    def __repr__(self) -> str:
        return "OwnerLink()"

    def encode(self) -> str:
        """The link as text; its fragment is the secret."""
        return f"{self.base}/o#{fragment_text(_VERSION + exact(self.token, 32) + exact(self.server_id, 32))}"


def parse_link(link: str) -> InviteLink | OwnerLink:
    """Read an invite or owner link. FormatError; UNSUPPORTED for another version."""
    address, _, fragment = link.strip().partition("#")
    if not address.startswith(("https://", "http://")):
        raise FormatError("link: not an http address")
    secret = fragment_bytes(fragment)
    if secret[:1] != _VERSION:
        raise FormatError("link: version", ErrorCode.UNSUPPORTED if secret else ErrorCode.BAD_FORMAT)
    if address.endswith("/o") and len(secret) == 65:
        return OwnerLink(address[:-2], secret[1:33], secret[33:])
    base, found, name = address.rpartition("/i/")
    if not found or len(secret) != 33:
        raise FormatError("link: neither an invite nor an owner link")
    invite = InviteSecret(secret[1:])
    if fragment_bytes(name) != invite.id:
        raise FormatError("link: the two halves do not belong together")
    return InviteLink(base, invite)


def fragment_text(value: bytes) -> str:
    """base64url without padding."""
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def fragment_bytes(text: str) -> bytes:
    """Read base64url without padding; one text per value, so that a link has one form."""
    try:
        value = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (Base64Error, ValueError):
        raise FormatError("link: base64url") from None
    if fragment_text(value) != text:
        raise FormatError("link: base64url")
    return value
