"""Asks the way out for every beast of the zoo and counts the sockets that are opened: `python outgoing_zoo.py [hole]`.

To be run in a network namespace without routes, so that nothing leaves it whatever happens. With `hole`, every network
is allowed: the counters must then show it. Prints JSON: sockets and connections per beast, by URL.
"""

import asyncio
import ipaddress
import json
import socket
import sys
from collections.abc import Sequence
from typing import Any

from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.outgoing.requests import Addresses
from rapport_server.notifications import NotReached

PUBLIC = "93.184.215.14"
"""An address of the public internet; in the namespace there is no way to it."""

ADDRESSES = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3",
    "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.170", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.7", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::1", "64:ff9b:1:fffe::808:808", "100::1",
    "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:0:5db8:d70e::f5ff:fffe", "2001:db8::1", "2001:20::1",
    "2001:10::1", "2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:c0a8:1::", "3fff::1", "5f00::1",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%lo", "fec0::1", "ff02::1", "ff0e::1",
)  # fmt: skip
"""Addresses that the server never goes to, whether a URL or a name leads there."""

URLS = (
    "https://2130706433/", "https://0x7f000001/", "https://0x7f.1/", "https://0177.0.0.1/", "https://127.1/",
    "https://127.0.1/", "https://017700000001/", "https://127.0.0.1./", "https://localhost/", "https://localhost./",
    "https://receiver.example./", "https://receiver/", "https://user@receiver.example/", "https://user:pw@receiver.example/",
    "https://receiver.example@127.0.0.1/", "https://127.0.0.1#@receiver.example/", "https://127.0.0.1\\@receiver.example/",
    "https://127%2e0.0.1/", "https://%31%32%37.0.0.1/", "https://①②⑦.0.0.1/", "https://127。0。0。1/", "https://bücher.example/",
    "https://receiver.example:22/", "https://receiver.example:80/", "https://receiver.example:6379/",
    "https://receiver.example:0/", "https://receiver.example:443443/", "https://receiver.example:x/",
    "http://receiver.example/", "http://receiver.example:443/", "ftp://receiver.example/", "file:///etc/passwd",
    "gopher://receiver.example/", "https:///path", "https://", "//receiver.example/", "receiver.example", "",
    "https://[::1]/", "https://[::ffff:7f00:1]/", "https://[fe80::1%25lo]/", "https://[::1", "https://[127.0.0.1]/",
    "https://receiver.example\r\nHost: internal/", "https://receiver.example /", "https://re\tceiver.example/",
    "https://-receiver.example/", "https://receiver..example/", "https://receiver.example:443:443/",
    "https://1.2.3.0x4/",
    "https://receiver.0x7f/", "https://receiver.127/", "https://" + "a" * 64 + ".example/",
    "https://" + "a." * 130 + "example/",
    "https://receiver.example/" + "a" * 3000,
)  # fmt: skip
"""URLs that the server never follows, whatever their host stands for."""


class Names:
    """Answers for host names, each call the next one; the last one from then on. Counts the calls."""

    def __init__(self) -> None:
        self.answers: dict[str, list[list[str]]] = {}
        self.calls: dict[str, int] = {}

    async def look_up(self, host: str, _port: int) -> Addresses:
        call = self.calls[host] = self.calls.get(host, 0) + 1
        given = self.answers.get(host, [["127.0.0.1"]])
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, address)
            for address in given[min(call, len(given)) - 1]
        ]


class Watch:
    """Counts sockets of the internet and connections, by the interpreter's own audit events."""

    def __init__(self) -> None:
        self.sockets = 0
        self.to: list[str] = []
        sys.addaudithook(self._audit)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.__new__" and arguments[1] in {socket.AF_INET, socket.AF_INET6}:
            self.sockets += 1
        elif event == "socket.connect":
            self.to.append(str(arguments[1][0]))


def zoo() -> tuple[list[str], Names]:
    """All URLs, and what their hosts stand for."""
    names, urls = Names(), list(URLS)
    for number, address in enumerate(ADDRESSES):
        urls.append(f"https://[{address}]/" if ":" in address else f"https://{address}/")
        names.answers[f"alone-{number}.example"] = [[address]]
        names.answers[f"first-{number}.example"] = [[address, PUBLIC]]
        names.answers[f"last-{number}.example"] = [[PUBLIC, address]]
    names.answers["nothing.example"] = [[]]
    names.answers["no-address.example"] = [["internal"]]
    return urls + [f"https://{name}/" for name in names.answers], names


async def tried(outgoing: GuardedOutgoing, watch: Watch, url: str) -> dict[str, object]:
    """What asking for this URL has opened."""
    before, watch.to = watch.sockets, []
    why = "answered"
    try:
        await outgoing.post(url, {}, b"")
    except NotReached as failed:
        why = str(failed)
    return {"sockets": watch.sockets - before, "to": watch.to, "why": why}


async def main(arguments: Sequence[str]) -> None:
    urls, names = zoo()
    names.answers["public.example"] = [[PUBLIC]]
    names.answers["rebinding.example"] = [[PUBLIC], ["127.0.0.1"]]
    every = [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")] if "hole" in arguments else []
    watch = Watch()
    async with GuardedOutgoing(every, look_up=names.look_up) as outgoing:
        beasts = {url: await tried(outgoing, watch, url) for url in urls}
        others = {
            what: await tried(outgoing, watch, f"https://{host}/")
            for what, host in (
                ("public", "public.example"),
                ("rebinding first", "rebinding.example"),
                ("rebinding then", "rebinding.example"),
            )
        }
    sys.stdout.write(json.dumps({"beasts": beasts, "others": others, "calls": names.calls}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
