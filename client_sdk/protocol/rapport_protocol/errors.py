"""What can go wrong, said once: stable codes, what the peer should do about each, and the exceptions that carry them.

    RapportError
    ├── LocalError     we asked for something the protocol forbids: our bug, nothing was sent
    └── RemoteError    the peer did, or refused: carries the code of the wire
        ├── FormatError    bytes that are not what they claim to be (bad_frame, bad_format)
        └── Rejected       the server refused one operation; `retry` says what to do

Codes and plain values only: no user text, names, tokens or keys ever stand in an error.
Source: docs/protocol.md, "Errors".
"""

from enum import Enum, StrEnum
from typing import Final

__all__ = ["ErrorCode", "FormatError", "LocalError", "RapportError", "Rejected", "RemoteError", "Retry"]


class Retry(Enum):
    """What the one who was refused does next."""

    NEVER = "never"
    """The same request will always be refused: tell the person or give up."""
    REPAIR = "repair"
    """Fetch what is named, mend the request, send it again under the same id."""
    LATER = "later"
    """Send identical bytes again after `retry_after_ms` (0 = the sender's own back-off)."""


class ErrorCode(StrEnum):
    """Stable strings on the wire. A code this version does not know is treated as its `retryable` flag says."""

    BAD_FRAME = "bad_frame"
    """Not a message of the contract: too large, truncated, wrong types. The connection closes."""
    UNSUPPORTED = "unsupported"
    """A tag this server does not know; the rest of the connection goes on."""
    BAD_FORMAT = "bad_format"
    """A signed or sealed byte layout inside the message is malformed."""
    UNAUTHENTICATED = "unauthenticated"
    """Missing, wrong or expired proof of who is asking."""
    FORBIDDEN = "forbidden"
    """The role may not do this at all."""
    NOT_FOUND = "not_found"
    """Absent, or not yours: the same answer on purpose."""
    INVALID_SIGNATURE = "invalid_signature"
    """A signature does not verify under the key that the chain names."""
    RULE_BROKEN = "rule_broken"
    """Well-formed and signed, but against a rule of device lists or membership."""
    CONFLICT = "conflict"
    """The id is taken by other bytes."""
    LIST_STALE = "list_stale"
    """Another device list of this version came first: fetch, re-evaluate."""
    EPOCH_STALE = "epoch_stale"
    """The conversation's membership moved on: fetch the chain, seal anew."""
    DEVICE_MISMATCH = "device_mismatch"
    """The sealed keys are not for exactly the required devices."""
    BLOCKED = "blocked"
    """An earlier post of the conversation was refused on this connection: repair that one first."""
    NOT_JOINED = "not_joined"
    """The conversation has one member: nobody to write to yet."""
    BAD_TIME = "bad_time"
    """A time stamp too far from the server's clock."""
    EXPIRED = "expired"
    """The invite, token or item is past its time."""
    TOO_LARGE = "too_large"
    """Over a size limit of the contract."""
    TOO_MANY = "too_many"
    """Over a count limit of the contract (devices, members, open invites)."""
    RATE_LIMITED = "rate_limited"
    """Too often; `retry_after_ms` says when again."""
    BUSY = "busy"
    """A queue is full; nothing was stored."""
    UNAVAILABLE = "unavailable"
    """The store cannot write now (disk full, lost); nothing was stored."""
    INTERNAL = "internal"
    """The server's own fault; nothing was stored."""

    @property
    def retry(self) -> Retry:
        """What the one who was refused does next."""
        return _RETRY.get(self, Retry.NEVER)


_RETRY: Final = {
    ErrorCode.LIST_STALE: Retry.REPAIR,
    ErrorCode.EPOCH_STALE: Retry.REPAIR,
    ErrorCode.DEVICE_MISMATCH: Retry.REPAIR,
    ErrorCode.BLOCKED: Retry.LATER,
    ErrorCode.RATE_LIMITED: Retry.LATER,
    ErrorCode.BUSY: Retry.LATER,
    ErrorCode.UNAVAILABLE: Retry.LATER,
    ErrorCode.INTERNAL: Retry.LATER,
}


class RapportError(Exception):
    """Everything Rapport raises on purpose. `code` is stable, `detail` is one fixed sentence without user data."""

    def __init__(self, code: ErrorCode, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else str(code))
        self.code = code
        self.detail = detail


class LocalError(RapportError):
    """We asked for something the protocol forbids; nothing was sent and nothing has changed."""


class RemoteError(RapportError):
    """The peer sent or asked for something the protocol forbids; our state is unchanged."""


class FormatError(RemoteError):
    """Bytes that are not what they claim to be."""

    def __init__(self, detail: str = "", code: ErrorCode = ErrorCode.BAD_FORMAT) -> None:
        super().__init__(code, detail)


class Rejected(RemoteError):
    """One operation was refused and stored nothing.

    retry_after_ms: milliseconds to wait before `Retry.LATER`; 0 leaves it to the sender's back-off.
    """

    def __init__(self, code: ErrorCode, detail: str = "", retry_after_ms: int = 0) -> None:
        super().__init__(code, detail)
        self.retry_after_ms = retry_after_ms

    @property
    def retry(self) -> Retry:
        """What to do next."""
        return self.code.retry
