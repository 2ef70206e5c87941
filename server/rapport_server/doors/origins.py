"""Which web pages may talk to this server.

A browser names the page's origin in every WebSocket handshake and cross-origin request and cannot be talked out of it;
other clients name none. Source: RFC 6454; docs/threat-model.md.
"""

from collections.abc import Iterable

__all__ = ["Origins"]


class Origins:
    """The allow-list: the server's own origin and the configured ones, as `scheme://host[:port]`."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(allowed)

    def allows(self, origin: str | None) -> bool:
        """Whether a request with this `Origin` header (None = absent) may go on.

        Absent is fine: whoever asks still has to prove itself by a device signature or a bearer token, and a browser
        always says.
        """
        return origin is None or origin in self._allowed
