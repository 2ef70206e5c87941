"""The signed office-hours document: a therapist's device vouches for the rules, for at most 35 days.

    document = 01 ‖ acct16 ‖ dev16 ‖ version u64 ‖ issued_ms u64 ‖ valid_until_ms u64 ‖ LP(rules) ‖ sig64

Versions of an account only grow. Whoever holds one ignores lower ones, and another one of the same version.

Source: docs/protocol.md, chapter 15.
"""

from typing import Final, Self

from msgspec import Struct

from rapport_protocol.errors import ErrorCode, FormatError, LocalError
from rapport_protocol.ids import AccountId, DeviceId
from rapport_protocol.office.hours import HOURS_BYTES, OfficeHours
from rapport_protocol.signed import Reader, SigningKey, exact, lp, u64, verify

__all__ = ["DOCUMENT_BYTES", "DOCUMENT_LIFE_MS", "REISSUE_BEFORE_MS", "OfficeDocument"]

DOCUMENT_LIFE_MS: Final = 35 * 86_400_000
"""Longest life of a document."""
REISSUE_BEFORE_MS: Final = 14 * 86_400_000
"""A therapist's device signs it anew when less than this is left: two weeks without any device of theirs."""
DOCUMENT_BYTES: Final = 1 + 16 + 16 + 24 + 4 + HOURS_BYTES + 64
"""Longest encoded document."""
_VERSION: Final = 1


class OfficeDocument(Struct, frozen=True):
    """Rules of an account, as one of its devices has signed them.

    version: from 1, at least one above the last one. issued_ms, valid_until_ms: server time; at most 35 days apart.
    rules: the encoded `OfficeHours`, exactly as signed.
    """

    account: AccountId
    device: DeviceId
    version: int
    issued_ms: int
    valid_until_ms: int
    rules: bytes
    signature: bytes

    @classmethod
    def make(
        cls,
        account: AccountId,
        device: DeviceId,
        key: SigningKey,
        hours: OfficeHours,
        *,
        version: int,
        issued_ms: int,
        life_ms: int = DOCUMENT_LIFE_MS,
    ) -> Self:
        """Signs with the device's DSIG under the label "office". LocalError(BAD_FORMAT) for a life above 35 days."""
        if not 0 < life_ms <= DOCUMENT_LIFE_MS:
            raise LocalError(ErrorCode.BAD_FORMAT, "life of an office-hours document")
        unsigned = cls(account, device, version, issued_ms, issued_ms + life_ms, hours.encode(), b"")
        return cls(*unsigned._fields, key.sign("office", unsigned._covered))

    @property
    def _fields(self) -> tuple[AccountId, DeviceId, int, int, int, bytes]:
        return self.account, self.device, self.version, self.issued_ms, self.valid_until_ms, self.rules

    @property
    def _covered(self) -> bytes:
        return b"".join(
            (
                bytes((_VERSION,)),
                exact(self.account, 16),
                exact(self.device, 16),
                u64(self.version),
                u64(self.issued_ms),
                u64(self.valid_until_ms),
                lp(self.rules),
            )
        )

    def encode(self) -> bytes:
        """The document with its signature."""
        return self._covered + exact(self.signature, 64)

    @classmethod
    def parse(cls, source: bytes) -> Self:
        """Reads a document; its signature and its rules are not checked. FormatError, UNSUPPORTED another version."""
        read = Reader(source, "office document")
        if read.u8() != _VERSION:
            raise FormatError("office document: not of this version", ErrorCode.UNSUPPORTED)
        document = cls(
            AccountId(read.take(16)),
            DeviceId(read.take(16)),
            read.u64(),
            read.u64(),
            read.u64(),
            read.lp(HOURS_BYTES),
            read.take(64),
        )
        read.end()
        if document.version < 1 or not 0 < document.valid_until_ms - document.issued_ms <= DOCUMENT_LIFE_MS:
            raise FormatError("office document: version or life")
        return document

    @property
    def hours(self) -> OfficeHours:
        """The rules. FormatError if they have another shape."""
        return OfficeHours.parse(self.rules)

    def check(self, dsig: bytes) -> None:
        """Verifies it under the DSIG of the device that it names, as listed now. RemoteError(INVALID_SIGNATURE)."""
        verify(dsig, "office", self._covered, self.signature)
