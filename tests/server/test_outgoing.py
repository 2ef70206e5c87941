"""The way out: no address of the operator's own networks is ever connected to, by whatever name."""

import asyncio
import ipaddress
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from rapport_server.adapters.outgoing import GuardedOutgoing
from rapport_server.adapters.outgoing.addresses import is_public, may_go_to
from rapport_server.adapters.outgoing.requests import Addresses
from rapport_server.notifications import Answered, NotReached
from tests.server.outgoing_zoo import ADDRESSES, PUBLIC, zoo
from tests.server.receivers import HOST, guarded, receiving, trusting

ROOT = Path(__file__).parents[2]


def visited(*arguments: str) -> Any:
    """The zoo, in a namespace without routes where the system allows to make one."""
    program = [sys.executable, "-m", "tests.server.outgoing_zoo", *arguments]
    alone = ["unshare", "--net", "--map-root-user"]
    if shutil.which("unshare") and not subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        program = [*alone, *program]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, check=True, timeout=120, text=True)
    return json.loads(done.stdout)


def test_no_beast_of_the_zoo_opens_a_socket() -> None:
    found = visited()
    assert len(found["beasts"]) >= 60 + len(ADDRESSES)
    assert {url: seen for url, seen in found["beasts"].items() if seen["sockets"] or seen["to"]} == {}
    assert max(found["calls"].values()) == 2, "only the name that was asked for twice was looked up twice"
    others = found["others"]
    assert others["public"]["to"] == [PUBLIC], "the counter counts"
    assert others["public"]["sockets"] == 1
    assert others["rebinding first"]["to"] == [PUBLIC], "connected to what was judged, without another look"
    assert others["rebinding then"]["to"] == []


def test_a_hole_in_the_guard_is_seen() -> None:
    found = visited("hole")
    open_doors = [url for url, seen in found["beasts"].items() if seen["to"]]
    assert len(open_doors) > len(ADDRESSES)
    assert found["others"]["rebinding then"]["to"] == ["127.0.0.1"]


@pytest.mark.parametrize("text", ADDRESSES)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not may_go_to(text)


@pytest.mark.parametrize(
    "text",
    [PUBLIC, "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.0.1", "172.32.0.1",
     "191.255.255.255", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1", "64:ff9b::101:101",
     "::ffff:1.1.1.1"],
)  # fmt: skip
def test_the_neighbours_of_special_addresses_are_public(text: str) -> None:
    assert may_go_to(text)


def test_every_special_network_is_refused_at_both_ends() -> None:
    for text in (
        "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
        "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4", "fc00::/7", "fe80::/10", "ff00::/8", "64:ff9b:1::/48",
    ):  # fmt: skip
        network = ipaddress.ip_network(text)
        assert not is_public(network[0])
        assert not is_public(network[-1])


def test_named_networks_are_allowed_and_their_neighbours_not() -> None:
    allowed = [ipaddress.ip_network("10.1.2.0/24")]
    assert may_go_to("10.1.2.9", allowed)
    assert may_go_to("::ffff:10.1.2.9", allowed), "the same address"
    assert not may_go_to("10.1.3.9", allowed)
    assert not may_go_to("127.0.0.1", allowed)


async def test_a_named_network_is_gone_to_by_https_with_the_hosts_certificate() -> None:
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        receiver.answer(202, Retry_After="7")
        answer = await outgoing.post(receiver.url("/in"), {"X-Mark": "m"}, b"body")
        assert answer == Answered(202, 7_000)
        (request,) = receiver.received
        assert (request.path, request.body, request.headers["x-mark"]) == ("/in", b"body", "m")
        assert request.headers["host"] == f"{HOST}:{receiver.port}"
        assert "user-agent" not in request.headers


async def test_another_hosts_certificate_is_refused() -> None:
    async with receiving("other.example") as receiver, guarded(receiver.port) as outgoing:
        with pytest.raises(NotReached, match="certificate"):
            await outgoing.post(receiver.url(), {}, b"")
        assert receiver.received == []


async def test_nothing_is_followed_or_kept() -> None:
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        receiver.answer(302, Location=receiver.url("/elsewhere"), Set_Cookie="a=b; Path=/")
        assert (await outgoing.post(receiver.url("/first"), {}, b"")).status == 302
        assert (await outgoing.post(receiver.url("/second"), {}, b"")).status == 201
        assert [request.path for request in receiver.received] == ["/first", "/second"]
        assert "cookie" not in receiver.received[1].headers


async def test_an_endless_answer_is_cut_off() -> None:
    class Endless(web.StreamResponse):
        sent = 0

        async def prepare(self, request: web.BaseRequest) -> Any:
            writer = await super().prepare(request)
            try:
                while self.sent < 64 * 1024 * 1024:
                    await self.write(bytes(65_536))
                    self.sent += 65_536
            except ConnectionError:
                pass
            return writer

    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        endless = Endless()
        receiver.answers.append(lambda: endless)
        async with asyncio.timeout(30):
            assert (await outgoing.post(receiver.url(), {}, b"")).status == 200
        assert endless.sent < 64 * 1024 * 1024


async def test_an_answer_is_not_unpacked() -> None:
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        receiver.answers.append(lambda: web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"}))
        assert (await outgoing.post(receiver.url(), {}, b"")).status == 200


async def test_the_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, guarded(receiver.port) as outgoing:
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await outgoing.post(receiver.url(), {}, b"")).status == 201


async def test_what_cannot_be_reached_says_so_without_names() -> None:
    async def nowhere(_host: str, _port: int) -> Addresses:
        raise socket.gaierror

    async with GuardedOutgoing(look_up=nowhere, tls=trusting()) as outgoing:
        with pytest.raises(NotReached, match=r"^no such host$") as failed:
            await outgoing.post("https://secret.example/path", {}, b"")
        assert not failed.value.for_good
        with pytest.raises(NotReached) as refused:
            await outgoing.post("https://127.0.0.1/", {}, b"")
        assert refused.value.for_good
    with pytest.raises(NotReached, match="closing"):
        await outgoing.post("https://secret.example/path", {}, b"")


def test_the_zoo_is_large_enough() -> None:
    assert len(zoo()[0]) >= 60
