"""Where a server is: its origin, and the URLs derived from it.

Source: docs/protocol.md, "Connection" (the origin that a device signs).
"""

from ipaddress import ip_address
from typing import Final, Self
from urllib.parse import urlsplit

from msgspec import Struct

from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["ServerAddress"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


class ServerAddress(Struct, frozen=True):
    """One server. origin: scheme://host[:port], lower case, default port left out: what a device signs at sign-in."""

    origin: str

    @classmethod
    def parse(cls, url: str) -> Self:
        """The address that a URL (a link, a base URL) points at; path, query and fragment are ignored.

        Raises LocalError(BAD_FORMAT) unless it is http or https with a host and without a user name.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise LocalError(ErrorCode.BAD_FORMAT, "not a server address") from None
        if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
            raise LocalError(ErrorCode.BAD_FORMAT, "not a server address: http or https, host and port")
        shown = f"[{host}]" if ":" in host else host
        tail = "" if port is None or port == _DEFAULT_PORTS[parts.scheme] else f":{port}"
        return cls(f"{parts.scheme}://{shown}{tail}")

    @property
    def secure(self) -> bool:
        """Whether everything goes through TLS."""
        return self.origin.startswith("https:")

    @property
    def local(self) -> bool:
        """Whether it is this machine by its address or name: no proxy stands in between."""
        host = urlsplit(self.origin).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    def http(self, path: str) -> str:
        """The URL of a path that begins with a slash."""
        return self.origin + path

    def websocket(self, path: str) -> str:
        """The same for a WebSocket."""
        return "ws" + self.origin.removeprefix("http") + path
