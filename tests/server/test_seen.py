"""A device that stays connected for months does not fall dormant."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from rapport_protocol.ids import DeviceId
from rapport_protocol.limits import DORMANT_AFTER_MS
from rapport_protocol.requests import DeviceListUpdate
from rapport_server.adapters.store.sqlite import SqliteStore
from rapport_server.services import seen
from rapport_server.services.seen import Seen
from tests.server.device import connected
from tests.server.node import HeldClock, Node, running
from tests.server.people import Person, prekeys_of
from tests.server.test_keys import second_device

DAY_MS = 86_400_000


async def required(node: Node, who: Person, conv: bytes) -> bytes:
    principal = await node.signed_in(who)
    devices = await node.store.required_devices(principal.practice, conv)  # type: ignore[arg-type]
    assert devices is not None
    return devices.joined()


async def test_connected_devices_are_recorded() -> None:
    async with running() as node:
        owner, client, opened = await node.pair()
        secrets, listed = second_device(client)
        await node.ask("devices.update", client, DeviceListUpdate(listed.encoded, prekeys_of(secrets, client.now)))
        async with connected(node, client):
            for _ in range(2 * DORMANT_AFTER_MS // DAY_MS):
                node.clock.pass_ms(DAY_MS)
                await node.app._parts.seen.record()
                await node.store.sweep(node.clock.now_ms())
            wanted = [owner.device, client.device]
            assert await required(node, owner, opened.conv) == b"".join(sorted(wanted)), "the other one is dormant"
            for _ in range(DORMANT_AFTER_MS // DAY_MS):
                node.clock.pass_ms(DAY_MS)
                await node.store.sweep(node.clock.now_ms())
            wanted.append(secrets.device)
            assert await required(node, owner, opened.conv) == b"".join(sorted(wanted)), "nobody was recorded any more"


async def test_a_store_that_cannot_write_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asyncio.Semaphore(0)

    def everybody() -> list[DeviceId]:
        asked.release()
        return [DeviceId(bytes(16))]

    monkeypatch.setattr(seen, "EVERY_S", 0.0)
    never_started = SqliteStore(tmp_path / "store.db", HeldClock())
    task = asyncio.create_task(Seen(never_started, everybody, HeldClock()).run())
    async with asyncio.timeout(10):
        for _ in range(3):
            await asked.acquire()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
