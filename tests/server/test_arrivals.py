"""Who may knock at the stream before it has proved anything."""

from __future__ import annotations

from contextlib import AsyncExitStack

import aiohttp
import msgspec
import pytest

from rapport_protocol.messages import CloseCode
from rapport_protocol.requests import DeviceListUpdate
from rapport_server.config import Limits, RateLimit
from tests.server.device import Closed, opened
from tests.server.node import GENEROUS, Node, running
from tests.server.people import prekeys_of
from tests.server.test_keys import second_device


async def refused(node: Node) -> int:
    """Status of the answer to one more upgrade."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as handshake:
        async with node.http.ws_connect(f"{node.base}/v1/stream"):
            pass
    return handshake.value.status


async def test_an_address_holds_so_many_unproven_connections() -> None:
    async with running(limits=Limits(unauthenticated_per_address=2)) as node, AsyncExitStack() as held:
        owner, client, _ = await node.pair()
        signed_in = await held.enter_async_context(opened(node, owner))
        await signed_in.sign_in()
        first = await held.enter_async_context(opened(node, client))
        await held.enter_async_context(opened(node, client))
        assert await refused(node) == 503
        await first.sign_in()
        async with opened(node, client) as third:
            assert await refused(node) == 503
            await third.ws.close()
            assert await third.closed() == 1000
        async with opened(node, client) as fourth:
            await fourth.sign_in()


async def test_all_addresses_together_hold_so_many() -> None:
    async with running(limits=Limits(unauthenticated_connections=1)) as node:
        owner = await node.owner()
        async with opened(node, owner) as device:
            assert await refused(node) == 503
            await device.sign_in()
            async with opened(node, await node.owner()):
                pass


async def test_connecting_too_often_is_refused_before_the_upgrade() -> None:
    async with running(msgspec.structs.replace(GENEROUS, connect=RateLimit(2, 0.1))) as node:
        owner = await node.owner()
        for _ in range(2):
            async with opened(node, owner) as device:
                await device.sign_in()
        assert await refused(node) == 429
        node.clock.pass_ms(10_000)
        async with opened(node, owner) as device:
            await device.sign_in()


async def test_a_revoked_device_is_put_out() -> None:
    async with running() as node:
        _, client, _ = await node.pair()
        async with opened(node, client) as device:
            await device.sign_in()
            secrets, second = second_device(client, client.device)
            update = DeviceListUpdate(second.encoded, prekeys_of(secrets, client.now))
            await node.ask("devices.update", client, update)
            assert await device.closed() == CloseCode.AUTH_FAILED
        async with opened(node, client) as again:
            with pytest.raises(Closed) as closed:
                await again.sign_in()
            assert closed.value.code == CloseCode.AUTH_FAILED
