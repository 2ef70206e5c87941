"""Whom an unauthenticated request is counted against."""

import hashlib
import ipaddress
import secrets

from aiohttp import web

__all__ = ["Addresses", "address_of"]


class Addresses:
    """Clients' addresses as keys of limits: hashes, so that no address leaves this process or outlives its limit."""

    def __init__(self, *, trust_proxy: bool) -> None:
        self._trust_proxy = trust_proxy
        self._key = secrets.token_bytes(32)

    def agree(self, server_seed: bytes) -> None:
        """From here on with the key that all nodes of this server have. server_seed: its 32 bytes."""
        self._key = hashlib.blake2b(b"addresses", key=server_seed, person=b"rapport-addr", digest_size=32).digest()

    def key_of(self, request: web.BaseRequest) -> bytes:
        """16 bytes that mean this client's address (IPv6: its /64); see `address_of`."""
        address = address_of(request, trust_proxy=self._trust_proxy)
        return hashlib.blake2b(address.encode(), key=self._key, digest_size=16).digest()


def address_of(request: web.BaseRequest, *, trust_proxy: bool) -> str:
    """The client's address as a key of limits.

    An IPv4 address, or an IPv6 network of 64 bits, which is what one customer gets.

    trust_proxy: take the last address of `X-Forwarded-For`, the one that the proxy in front has added itself; earlier
    ones are the client's own words. Never written to a log or a store.
    """
    named = request.remote or ""
    if trust_proxy:
        # Some proxies append to the client's header, others add a header of their own after it.
        named = request.headers.getall("X-Forwarded-For", [named])[-1].rsplit(",", 1)[-1].strip()
    try:
        address = ipaddress.ip_address(named)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
