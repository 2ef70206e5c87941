"""History: what a device keeps of a message on the server so that the account's other devices can read it later.

Entry (149 bytes) = e u32, nonce24, XChaCha(archive key, nonce, K32 H32 account16 device16 trust u8 received u64;
associated data). The body stays stored as it was sent; the entry holds the key and the hash to open it with. The
archive epoch key AK_e is shared by the account's devices; e is the version of the device list that made it.

Source: docs/protocol.md, chapter 7.
"""

from enum import IntEnum
from typing import Final

from msgspec import Struct

from rapport.crypto.envelope import KeyPayload, PayloadKind
from rapport.crypto.primitives import NONCE_BYTES, Random, hkdf, open_sealed, seal
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.signed import archive_aad, exact, label, u32, u64

__all__ = ["ENTRY_BYTES", "ArchiveRecord", "Trust", "archive_key", "entry_epoch", "open_entry", "seal_entry"]

ENTRY_BYTES: Final = 149
_NO_SALT: Final = bytes(32)
_LABEL: Final = label("archive-key")


class Trust(IntEnum):
    """How the device that wrote the entry came by the message."""

    NORMAL = 0
    RESEND = 1
    """The sender's device sent the key again on request."""
    RESTORED = 2


class ArchiveRecord(Struct, frozen=True):
    """What an entry says. key, body_hash: K and H. received_ms: when the device committed it. repr shows nothing."""

    key: bytes
    body_hash: bytes
    account: AccountId
    device: DeviceId
    trust: Trust
    received_ms: int

    def __repr__(self) -> str:
        return "ArchiveRecord()"

    def payload(self) -> KeyPayload:
        """What `envelope.open_body` opens the stored body with."""
        return KeyPayload(PayloadKind.KEY, self.key, self.body_hash)


def archive_key(epoch_key: bytes, account: AccountId, conv: ConversationId) -> bytes:
    """The key of one conversation's entries, from AK_e (32 bytes); 32 bytes. Worth keeping for the whole epoch."""
    return hkdf(_NO_SALT, exact(epoch_key, 32), _LABEL + exact(account + conv, 32), 32)


def seal_entry(
    key: bytes,
    archive_epoch: int,
    place: tuple[AccountId, ConversationId, MessageId],
    record: ArchiveRecord,
    random: Random,
) -> bytes:
    """Make the 149 bytes. key: `archive_key` of the epoch. place: the archiving account, conversation, message."""
    plain = b"".join(
        (
            exact(record.key, 32),
            exact(record.body_hash, 32),
            exact(record.account + record.device, 32),
            bytes((record.trust,)),
            u64(record.received_ms),
        )
    )
    nonce = random(NONCE_BYTES)
    return u32(archive_epoch) + nonce + seal(key, nonce, plain, archive_aad(*place, archive_epoch))


def entry_epoch(entry: bytes) -> int:
    """Which archive epoch key opens the entry. FormatError for another length than 149."""
    if len(entry) != ENTRY_BYTES:
        raise FormatError("archive entry")
    return int.from_bytes(entry[:4], "big")


def open_entry(key: bytes, place: tuple[AccountId, ConversationId, MessageId], entry: bytes) -> ArchiveRecord:
    """Open an entry with the key of its epoch. AuthenticationFailed: not written by this account for this message.

    FormatError for another length; UNSUPPORTED for a trust value of a later version.
    """
    epoch = entry_epoch(entry)
    plain = open_sealed(key, entry[4:28], entry[28:], archive_aad(*place, epoch))
    if plain[96] > Trust.RESTORED:
        raise FormatError("archive entry: trust", ErrorCode.UNSUPPORTED)
    received_ms = int.from_bytes(plain[97:105], "big")
    if received_ms > MAX_INTEGER:
        raise FormatError("archive entry: time")
    return ArchiveRecord(
        plain[:32], plain[32:64], AccountId(plain[64:80]), DeviceId(plain[80:96]), Trust(plain[96]), received_ms
    )
