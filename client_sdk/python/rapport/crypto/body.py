"""What a message says: a MessagePack map, read only after every check of `envelope.py` has passed.

Fields that this version does not know are kept, so that a message survives a way through an older device.

Source: docs/protocol.md, chapter 4.
"""

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from rapport.crypto.primitives import Random
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.limits import MAX_INTEGER, MEMBERS_PER_CONVERSATION

__all__ = ["Body", "RosterEntry", "new_chain"]

_T = TypeVar("_T")
_Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_Id16 = Meta(min_length=16, max_length=16)
_Message = Annotated[MessageId, _Id16]


class RosterEntry(Struct, frozen=True, array_like=True):
    """A member's device list as the sender holds it: account, version, first 16 bytes of its hash."""

    account: Annotated[AccountId, _Id16]
    version: _Count
    hash_start: Annotated[bytes, _Id16]


class _Known(Struct, frozen=True, omit_defaults=True):
    """The map's known keys, as they are called on the wire."""

    type: Annotated[str, Meta(min_length=1, max_length=64)]
    content: dict[str, Any]
    chain: _Count
    sseq: _Count
    roster: Annotated[tuple[RosterEntry, ...], Meta(max_length=MEMBERS_PER_CONVERSATION)]
    prev: _Message | UnsetType = UNSET
    after: _Message | UnsetType = UNSET
    office_version: _Count | UnsetType = UNSET
    reply_to: _Message | UnsetType = UNSET
    attachments: list[Any] | UnsetType = UNSET
    expire: _Count | UnsetType = UNSET
    kept: _Message | UnsetType = UNSET
    promised: _Count | UnsetType = UNSET


_KEYS: Final = frozenset(_Known.__struct_fields__)
_maps: Final = msgspec.msgpack.Decoder(dict[str, Any])


class Body(Struct, frozen=True):
    """The inside of a post or direct. `content` depends on `type`.

    chain: random per sending device and conversation, new after a re-link, rollback or restore. sseq: place in that
    chain, from 1. prev: this device's previous post here; after: the newest post of others it had shown. Both None at
    a baseline. kept: this device's previous post here that the archive holds, zeros for none, where that is not prev.
    office_version: of the therapist's document that the sender held; promised: by when it says an answer comes,
    milliseconds (chapter 16). extra: fields of later versions, kept as they came. attachments, expire: see their
    chapters.
    """

    type: str
    content: dict[str, Any]
    chain: int
    sseq: int
    roster: tuple[RosterEntry, ...] = ()
    prev: MessageId | None = None
    after: MessageId | None = None
    reply_to: MessageId | None = None
    office_version: int | None = None
    attachments: list[Any] | None = None
    expire: int | None = None
    kept: MessageId | None = None
    promised: int | None = None
    extra: dict[str, Any] = {}

    def __repr__(self) -> str:
        return "Body()"

    def encode(self) -> bytes:
        """The MessagePack map; fields that are None are left out."""
        known = {
            "type": self.type,
            "content": self.content,
            "chain": self.chain,
            "sseq": self.sseq,
            "roster": self.roster,
            "prev": self.prev,
            "after": self.after,
            "reply_to": self.reply_to,
            "office_version": self.office_version,
            "attachments": self.attachments,
            "expire": self.expire,
            "kept": self.kept,
            "promised": self.promised,
        }
        return msgspec.msgpack.encode(self.extra | {key: value for key, value in known.items() if value is not None})

    @classmethod
    def parse(cls, source: bytes) -> "Body":
        """Read a body. FormatError if it is no such map, a known field is missing or has another type."""
        try:
            fields = _maps.decode(source)
            known = msgspec.convert(fields, _Known)
        except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, TypeError, ValueError):
            raise FormatError("body") from None
        return cls(
            known.type,
            known.content,
            known.chain,
            known.sseq,
            known.roster,
            prev=_given(known.prev),
            after=_given(known.after),
            reply_to=_given(known.reply_to),
            office_version=_given(known.office_version),
            attachments=_given(known.attachments),
            expire=_given(known.expire),
            kept=_given(known.kept),
            promised=_given(known.promised),
            extra={key: value for key, value in fields.items() if key not in _KEYS},
        )


def _given(value: _T | UnsetType) -> _T | None:
    return None if value is UNSET else value


def new_chain(random: Random) -> int:
    """A random chain number below 2^53, never 0."""
    return (int.from_bytes(random(7), "big") & MAX_INTEGER) or 1
