"""Whom an unauthenticated request is counted against."""

import ipaddress

from aiohttp import web

__all__ = ["address_of"]


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
