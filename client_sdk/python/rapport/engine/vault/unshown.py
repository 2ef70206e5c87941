"""Content whose words never show: neither in a log line nor in a traceback.

Source: docs/protocol.md, chapter 4.
"""

from msgspec import Struct

__all__ = ["Unshown"]


class Unshown(Struct, frozen=True):
    """What people say, and keys: its repr shows nothing of it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"
