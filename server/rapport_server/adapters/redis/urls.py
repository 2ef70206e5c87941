"""The address of Redis as the configuration writes it: one server, servers behind Sentinel, or a Cluster.

Source: docs/configuration.md, `bus.url`.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from rapport_server.config import ConfigurationProblem

__all__ = ["Address", "Target", "parse"]

Kind = Literal["server", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("server", False),
    "rediss": ("server", True),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
    "unix": ("server", False),
}
_PORTS: Final = {"server": 6379, "sentinel": 26379, "cluster": 6379}
_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Address:
    """Where one server listens. host: a name or an IP address, or the path of a socket when `port` is 0."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Target:
    """What a URL names. Its repr shows no password."""

    kind: Kind
    addresses: tuple[Address, ...]
    """Of the server, of every Sentinel, or of some servers of the Cluster."""
    service: str = ""
    """What the Sentinels call the servers."""
    database: int = 0
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    sentinel_password: str = field(default="", repr=False)
    """Of the Sentinels themselves, which need not have one."""
    tls: bool = False
    authorities: str = ""
    """File with the certificate authorities to trust instead of the system's."""


def parse(url: str) -> Target:
    """Reads `bus.url`. Raises ConfigurationProblem with one sentence, in which nothing of the URL stands."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _wrong("it cannot be read as a URL") from None
    if parts.scheme not in _SCHEMES:
        raise _wrong(f"it must begin with one of {', '.join(f'{scheme}://' for scheme in _SCHEMES)}")
    kind, tls = _SCHEMES[parts.scheme]
    who, _, hosts = parts.netloc.rpartition("@")
    user, _, password = who.partition(":")
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or hosts:
            raise _wrong("unix:// is followed by an absolute path")
        addresses: tuple[Address, ...] = (Address(unquote(parts.path), 0),)
        path = ""
    else:
        addresses = tuple(_address(host, _PORTS[kind]) for host in hosts.split(","))
        path = parts.path.strip("/")
    if kind == "server" and len(addresses) > 1:
        raise _wrong("several servers need redis+sentinel:// or redis+cluster://")
    service, database = _place(kind, path)
    authorities, asked = _more(parts, kind, tls=tls)
    return Target(kind, addresses, service, database, unquote(user), unquote(password), asked, tls, authorities)


def _wrong(why: str) -> ConfigurationProblem:
    return ConfigurationProblem(f"bus.url cannot be used: {why}")


def _address(host: str, default: int) -> Address:
    found = _HOST.fullmatch(host)
    port = int(found[2] or default) if found else 0
    if found is None or not 0 < port < 65536:
        raise _wrong("a host and its port look like redis.example:6379")
    return Address(found[1].strip("[]"), port)


def _place(kind: Kind, path: str) -> tuple[str, int]:
    """Name of the service and number of the database."""
    service = ""
    if kind == "sentinel":
        service, _, path = path.partition("/")
        if not service:
            raise _wrong("redis+sentinel:// names the service after the last host: redis+sentinel://host:26379/name")
    if kind == "cluster" and path not in {"", "0"}:
        raise _wrong("a Cluster has no databases")
    if path and not re.fullmatch("[0-9]{1,5}", path):
        raise _wrong("the database after the last slash is a number")
    return unquote(service), int(path or 0)


def _more(parts: SplitResult, kind: Kind, *, tls: bool) -> tuple[str, str]:
    """The file of authorities and the Sentinels' password, after the question mark."""
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    file, password = options.pop("ssl_ca_certs", ""), options.pop("sentinel_password", "")
    if options or parts.fragment or (password and kind != "sentinel"):
        raise _wrong("only ssl_ca_certs and, with Sentinels, sentinel_password may stand after the question mark")
    if file and not tls:
        raise _wrong("ssl_ca_certs needs rediss://")
    if file and not Path(file).is_file():
        raise _wrong("there is no file that ssl_ca_certs names")
    return file, password
