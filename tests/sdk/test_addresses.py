"""Where a server is, and what is not an address."""

from __future__ import annotations

import pytest

from rapport.adapters.addresses import ServerAddress
from rapport_protocol.errors import LocalError


@pytest.mark.parametrize(
    ("url", "origin", "local"),
    [
        ("http://127.0.0.1:8080/i/00ff#secret", "http://127.0.0.1:8080", True),
        ("HTTPS://Practice.Example:443/o#x", "https://practice.example", False),
        ("http://localhost/", "http://localhost", True),
        ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443", False),
        ("http://[::1]:9", "http://[::1]:9", True),
    ],
)
def test_the_origin_is_canonical(url: str, origin: str, local: bool) -> None:
    address = ServerAddress.parse(url)
    assert address.origin == origin
    assert address.local is local
    assert address.secure is origin.startswith("https:")


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8080", "ftp://a.example", "http://", "http://a:b@c.example", "http://a:99999", "http://[::1"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(LocalError):
        ServerAddress.parse(url)


def test_urls_are_made_from_the_origin() -> None:
    address = ServerAddress.parse("https://practice.example/o")
    assert address.http("/v1/claims") == "https://practice.example/v1/claims"
    assert address.websocket("/v1/stream") == "wss://practice.example/v1/stream"
