"""Which addresses the server goes to: those of the public internet, and what an operator has named.

Pure. An address that stands for another one (IPv4 in IPv6, translation, tunnels) is judged by both.

Source: RFC 6890 and the IANA special-purpose registries; RFC 4291, 6052, 8215, 3056, 4380, 3986.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import SplitResult, urlsplit

__all__ = ["Network", "is_public", "may_go_to", "url_problem"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_CHARACTERS: Final = 2048
"""Longest URL; push endpoints have some hundred."""

_TRANSLATED: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""NAT64 (RFC 6052): the last four bytes are an IPv4 address."""
_NEVER: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "240.0.0.0/4",
        "::/96",  # unspecified, loopback, and IPv4-compatible, which nobody uses any more
        "64:ff9b:1::/48",  # translation inside a network (RFC 8215)
        "100::/64", "2001:db8::/32", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
"""Named here too, so that no version of a library decides about them alone."""

_NAME: Final = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))+")
"""A host name in ASCII, with a dot inside and none at the end. Names of other scripts come as `xn--`."""
_NUMBER: Final = re.compile(r"(?:\d+|0x[0-9a-f]*)", re.ASCII)
"""A last label like this makes the whole host an IPv4 address in some spelling (WHATWG URL, "ends in a number")."""


def is_public(address: Address) -> bool:
    """Whether an address belongs to the public internet, and so does every address that it stands for."""
    if any(address in network for network in _NEVER if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = _inside(address)
        if inner:
            return all(is_public(each) for each in inner)
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def _inside(address: ipaddress.IPv6Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address stands for; none as a rule."""
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in _TRANSLATED:
        return [ipaddress.IPv4Address(address.packed[-4:])]
    return []


def may_go_to(text: str, allowed: Sequence[Network] = ()) -> bool:
    """Whether the server connects to this address, in the form that the system writes it.

    allowed: networks that the operator has named. What is no address at all, or has a zone, is never gone to.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        address = address.ipv4_mapped or address
    return is_public(address) or any(address in network for network in allowed if network.version == address.version)


def url_problem(url: str, ports: frozenset[int], allowed: Sequence[Network] = ()) -> str | None:
    """Why the server never goes to this URL, in a few words; None when its host's addresses decide."""
    parts = _split(url)
    if parts is None:
        return "not a URL"
    host, port = parts.hostname or "", parts.port
    if parts.scheme != "https":
        return "not https"
    if "@" in parts.netloc or "\\" in url:
        return "a user name in the URL"
    if (443 if port is None else port) not in ports:
        return "a port that is not allowed"
    if ":" in host:
        return None if may_go_to(host, allowed) else "an address that is not allowed"
    if not _NAME.fullmatch(host) or len(host) > 253:
        return "not a host name"
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None if may_go_to(host, allowed) else "an address that is not allowed"
    return None


def _split(url: str) -> SplitResult | None:
    """Printable ASCII only: whatever else two parsers could read in two ways."""
    if len(url) > URL_CHARACTERS or not url.isascii() or any(not "!" <= letter <= "~" for letter in url):
        return None
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
