"""Why something sealed could not be opened, as the failure rules tell it apart; every state stays unchanged.

    RemoteError
    ├── FormatError            malformed; with code UNSUPPORTED: of another version, park it until the app is newer
    └── OpenFailure
        ├── AuthenticationFailed    a tag, hash or commitment does not match
        ├── DuplicatePosition       the key of this ratchet position has been used or has expired
        └── TooFarAhead             more than 2,000 messages would have to be skipped

Source: docs/protocol.md, chapters 4 and 6.
"""

from rapport_protocol.errors import ErrorCode, RemoteError

__all__ = ["AuthenticationFailed", "DuplicatePosition", "OpenFailure", "TooFarAhead"]


class OpenFailure(RemoteError):
    """Well-formed, but it cannot be opened with what we hold."""

    def __init__(self, detail: str) -> None:
        super().__init__(ErrorCode.BAD_FORMAT, detail)


class AuthenticationFailed(OpenFailure):
    """A tag, hash or commitment does not match: forged, damaged, or meant for somebody else."""


class DuplicatePosition(OpenFailure):
    """The key of this ratchet position has been used or has expired: the message was read before, or comes too late."""


class TooFarAhead(OpenFailure):
    """The message is more than 2,000 positions ahead."""
