"""Linking: what turns one code, shown on a device and read by another, into a key that only those two share.

The code carries 16 secret bytes past the server. Both devices add a key of their own; the existing one is bound to its
key before it has seen the other's, so that nobody who saw the code, not even together with the server, can look for
keys that lead to the same six digits. The digits are shown by the new device and typed on the existing one.

Source: docs/protocol.md, chapter 13.
"""

from typing import Annotated, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from rapport.crypto.primitives import NONCE_BYTES, Random, hkdf, open_sealed, same, seal, x25519, x25519_public
from rapport_protocol.device_lists import DeviceEntry
from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, DeviceId, LinkId
from rapport_protocol.limits import DEVICES_PER_ACCOUNT, LINK_CONTENT_BYTES, MAX_INTEGER
from rapport_protocol.requests import Prekeys, Role
from rapport_protocol.signed import Reader, exact, h256, label

__all__ = [
    "DIGITS",
    "LinkAnswer",
    "LinkCode",
    "LinkContent",
    "LinkDone",
    "LinkEnd",
    "LinkPackage",
    "LinkPin",
    "commitment_of",
    "digits_of",
    "link_key",
    "open_step",
    "parse_code",
    "seal_step",
]

DIGITS: Final = 6
"""How many digits people carry from the new device to the existing one."""

_VERSION: Final = b"\x01"
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": "", "\t": "", "\n": ""})
_CODE_CHARACTERS: Final = 32
_GROUP: Final = 4

_Bytes16 = Meta(min_length=16, max_length=16)
_Bytes32 = Annotated[bytes, Meta(min_length=32, max_length=32)]
_Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_List = Annotated[bytes, Meta(max_length=8192)]


# --- the code ---------------------------------------------------------------------------------------------------------


class LinkCode(Struct, frozen=True):
    """The 16 secret bytes of one link; never shown by repr."""

    secret: bytes

    @classmethod
    def make(cls, random: Random) -> "LinkCode":
        """A fresh one."""
        return cls(exact(random(16), 16))

    def __repr__(self) -> str:
        return "LinkCode()"

    @property
    def id(self) -> LinkId:
        """What the server knows the link by."""
        return LinkId(h256("link-id", self.secret)[:16])

    def text(self) -> str:
        """As people read it: 8 groups of 4 characters."""
        code = self._characters()
        return "-".join(code[at : at + _GROUP] for at in range(0, _CODE_CHARACTERS, _GROUP))

    def url(self, base: str) -> str:
        """As a QR code carries it: `<base>/link#<code>`. base: the server's address, no slash at its end."""
        return f"{base}/link#{self._characters()}"

    def _characters(self) -> str:
        content = _VERSION + self.secret
        number = int.from_bytes(content + _check(content), "big")
        return "".join(_ALPHABET[number >> shift & 31] for shift in range(155, -1, -5))


def _check(content: bytes) -> bytes:
    """content: version and secret."""
    return h256("link-code", content)[:3]


def parse_code(text: str) -> tuple[str, LinkCode]:
    """Reads a code as typed, or the address that a QR code carries: (base, code); base is "" for a bare code.

    Upper and lower case, spaces and dashes do not matter; O is read as 0, I and L as 1. FormatError says what is wrong;
    UNSUPPORTED for a code of a later version.
    """
    address, found, typed = text.strip().rpartition("#")
    if found and not (address.startswith(("https://", "http://")) and address.endswith("/link")):
        raise FormatError("not an address of a linking code")
    code = typed.upper().translate(_READ_AS)
    for at, character in enumerate(code, 1):
        if character not in _ALPHABET:
            raise FormatError(f"character {at} of the code is none that codes are made of")
    if len(code) != _CODE_CHARACTERS:
        raise FormatError(f"the code has {_CODE_CHARACTERS} characters, this has {len(code)}")
    number = 0
    for character in code:
        number = number << 5 | _ALPHABET.index(character)
    raw = number.to_bytes(20, "big")
    if not same(raw[17:], _check(raw[:17])):
        raise FormatError("the code is mistyped: compare it once more")
    if raw[:1] != _VERSION:
        raise FormatError("the code is of a later version", ErrorCode.UNSUPPORTED)
    return address.removesuffix("/link"), LinkCode(raw[1:17])


# --- the key ----------------------------------------------------------------------------------------------------------


class LinkEnd(Struct, frozen=True):
    """One device's own key of a link: an X25519 secret that lives as long as the link. repr shows nothing."""

    secret: bytes

    @classmethod
    def make(cls, random: Random) -> "LinkEnd":
        """A fresh one."""
        return cls(exact(random(32), 32))

    def __repr__(self) -> str:
        return "LinkEnd()"

    @property
    def public(self) -> bytes:
        """The public half, 32 bytes."""
        return x25519_public(self.secret)

    def commitment(self, link: LinkId) -> bytes:
        """What binds the existing device to its key before it sees the other's; 32 bytes."""
        return commitment_of(link, self.public)


def commitment_of(link: LinkId, e_pub: bytes) -> bytes:
    """The commitment to a key of the existing device; 32 bytes."""
    return h256("link-commit", exact(link, 16) + exact(e_pub, 32))


def link_key(code: LinkCode, own: LinkEnd, e_pub: bytes, n_pub: bytes) -> bytes:
    """k, 32 bytes. e_pub, n_pub: of the existing and the new device; one of them is `own`.

    RuleBroken(WEAK_KEY) for a key of small order.
    """
    peer = n_pub if same(own.public, e_pub) else e_pub
    return hkdf(code.secret, x25519(own.secret, exact(peer, 32)), label("link") + e_pub + n_pub, 32)


def digits_of(key: bytes) -> str:
    """The six digits of k."""
    return f"{int.from_bytes(h256('link-digits', exact(key, 32))[:4], 'big') % 10**DIGITS:0{DIGITS}d}"


# --- sealed steps -----------------------------------------------------------------------------------------------------


class LinkPin(Struct, frozen=True, array_like=True):
    """A contact as the account holds it: identity key, version and hash of the newest device list, verified in person.

    name: as the contact calls itself, perhaps "".
    """

    account: Annotated[AccountId, _Bytes16]
    aik: _Bytes32
    version: _Uint
    list_hash: _Bytes32
    verified: bool
    name: str = ""


class LinkContent(Struct, frozen=True):
    """What a sealed step holds. Key material and names: its repr shows nothing."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class LinkPackage(LinkContent, frozen=True):
    """Step 3, from the existing device: everything that makes the new one a device of the account.

    Never the AIK secret, never device keys, sessions or one-time keys. lists: the account's device lists from an
    AIK-signed one on. keys: archive keys by epoch. labels: names of the account's devices. settings: what the account's
    devices share.
    """

    account: Annotated[AccountId, _Bytes16]
    aik: _Bytes32
    lists: Annotated[tuple[_List, ...], Meta(min_length=1)]
    keys: Annotated[tuple[tuple[_Uint, _Bytes32], ...], Meta(min_length=1)]
    server_id: _Bytes32
    base: str
    role: Role
    name: str
    pins: tuple[LinkPin, ...] = ()
    labels: Annotated[tuple[tuple[Annotated[DeviceId, _Bytes16], str], ...], Meta(max_length=DEVICES_PER_ACCOUNT)] = ()
    settings: dict[str, str] = {}


class LinkAnswer(LinkContent, frozen=True):
    """Step 4, from the new device: its entry for the list, its first prekeys, what its person calls it."""

    entry: Annotated[bytes, Meta(min_length=154, max_length=154)]
    prekeys: Prekeys
    label: str = ""

    def parsed_entry(self, account: AccountId, aik: bytes) -> DeviceEntry:
        """The verified entry. FormatError, RemoteError(INVALID_SIGNATURE), RuleBroken(WEAK_KEY)."""
        read = Reader(self.entry, "device entry")
        entry = DeviceEntry.parse(read)
        read.end()
        entry.check(account, aik)
        return entry


class LinkDone(LinkContent, frozen=True):
    """Step 5, from the existing device: the account's lists after those of the package; the last holds the new one."""

    lists: Annotated[tuple[_List, ...], Meta(min_length=1)]


_STEPS: Final[dict[type[Struct], int]] = {LinkPackage: 3, LinkAnswer: 4, LinkDone: 5}
Content = TypeVar("Content", bound=LinkContent)


def _aad(link: LinkId, step: int) -> bytes:
    return label("link-step") + exact(link, 16) + bytes((step,))


def seal_step(key: bytes, link: LinkId, content: LinkContent, random: Random) -> bytes:
    """nonce24 and the sealed MessagePack map. LocalError(TOO_LARGE) above what a step may hold."""
    nonce = random(NONCE_BYTES)
    sealed = nonce + seal(key, nonce, msgspec.msgpack.encode(content), _aad(link, _STEPS[type(content)]))
    if len(sealed) > LINK_CONTENT_BYTES:
        raise LocalError(ErrorCode.TOO_LARGE, "this account has too many contacts to link a device in one step")
    return sealed


def open_step(key: bytes, link: LinkId, wanted: type[Content], sealed: bytes) -> Content:
    """Opens a step. AuthenticationFailed: not sealed by the other end of this link for this step; FormatError."""
    plain = open_sealed(key, sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _aad(link, _STEPS[wanted]))
    try:
        return msgspec.msgpack.decode(plain, type=wanted)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise FormatError("link step") from None
