"""Bodies of HTTP operations about who answers, and when: office hours, pushes, urgent messages.

Apart from `requests.py`, which lists the operations, because a file is read in one sitting.
Source: docs/protocol.md, chapters 15 to 19.
"""

from typing import Annotated

from msgspec import Meta, Struct

from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.office.document import DOCUMENT_BYTES

__all__ = [
    "Holiday",
    "Holidays",
    "OfficePublish",
    "OfficeView",
    "PushState",
    "PushSubscription",
    "QuietHours",
    "UrgentSeen",
    "UrgentState",
]

_Uint = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
_Id16 = Meta(min_length=16, max_length=16)


class OfficePublish(Struct, frozen=True, array_like=True):
    """The asker's next office-hours document, in place of the one before. Idempotent by identical bytes.

    `conflict` when its version is not above the one that stands: fetch that, and sign again above it.
    """

    document: Annotated[bytes, Meta(max_length=DOCUMENT_BYTES)]


class OfficeView(Struct, frozen=True, array_like=True):
    """The document of an account that stands now, empty when it has none."""

    document: bytes
    server_time_ms: _Uint


class Holiday(Struct, frozen=True, array_like=True):
    """One public holiday. date: "2026-12-25"; name: in English."""

    date: str
    name: str


class Holidays(Struct, frozen=True, array_like=True):
    """The public holidays of a country or one of its regions in one year, by date.

    regions: those that the country's holidays differ by, whichever was asked for.
    """

    days: list[Holiday]
    regions: list[str]


class QuietHours(Struct, frozen=True, array_like=True):
    """When a device wants no push: from `start` until `end`, minutes after midnight in its zone.

    Over midnight when start >= end. urgent: urgent messages and calls are pushed all the same.
    """

    zone: Annotated[str, Meta(max_length=64)]
    start: Annotated[int, Meta(ge=0, lt=1440)]
    end: Annotated[int, Meta(ge=0, lt=1440)]
    urgent: bool


class PushSubscription(Struct, frozen=True, array_like=True):
    """Where this device is reached while it is not connected (RFC 8030), in place of what it said before.

    An empty endpoint ends it. p256dh, auth: the browser's key and secret (RFC 8291).
    """

    endpoint: Annotated[str, Meta(max_length=1024)]
    p256dh: Annotated[bytes, Meta(max_length=65)]
    auth: Annotated[bytes, Meta(max_length=16)]
    quiet: QuietHours | None = None


class PushState(Struct, frozen=True, array_like=True):
    """What the server needs and knows of pushes to the asking device.

    vapid_key: the server's public key (RFC 8292), 65 bytes, empty when the server does not push.
    """

    vapid_key: bytes
    subscribed: bool
    quiet: QuietHours | None = None


class UrgentSeen(Struct, frozen=True, array_like=True):
    """A person has seen an urgent message: the server need not go on asking.

    For the server only; what the client is shown is the sealed `urgent.seen`. By a member of the message's conversation
    who did not write it, or the colleague who was asked. client: who wrote it.
    """

    message: Annotated[MessageId, _Id16]
    client: Annotated[AccountId, _Id16]


class UrgentState(Struct, frozen=True, array_like=True):
    """How far an urgent message has come, by the server's word. rung: a `Rung`; next_ms: 0 = nothing more follows."""

    rung: _Uint
    at_ms: _Uint
    next_ms: _Uint
