"""A disk that is full, and one that fails: what the whole server does, seen from outside.

Nothing is accepted after the first failure; a full disk is over when there is room; after a failed sync the process
ends, and whoever starts it again finds everything that was accepted.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import aiohttp
import pytest

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import MessageId
from rapport_protocol.messages import Accepted, Blocked, CaughtUp, Deliver, Failure
from rapport_protocol.requests import Conversations, Registered, Role
from rapport_protocol.signed import Outer
from rapport_server.adapters.clock import SystemClock
from rapport_server.app import App
from rapport_server.cli import STORE_EXIT
from rapport_server.ports import Store
from tests.server.contracts.test_sqlite_failures import small_disk
from tests.server.device import Closed, Device, connected
from tests.server.device import opened as opened_stream
from tests.server.node import HeldClock, Node
from tests.server.people import Opened, Person
from tests.server.test_commands import made, unpacked

SOON_S = 30.0
RECOVERS_S = 5.0
"""How long after there is room again a server may refuse."""
LONGER_THAN_A_PROBE_S = 1.5
"""The server tries to write once a second: meanwhile it must not come to think that there is room."""
BIG = 16_000


class Running:
    """A server process on a store, and how to ask it."""

    def __init__(self, process: asyncio.subprocess.Process, node: Node) -> None:
        self.process, self.node = process, node

    async def ready(self) -> tuple[int, str]:
        async with self.node.http.get(f"{self.node.base}/readyz") as answer:
            return answer.status, (await answer.text()).strip()

    async def until_ready(self) -> None:
        while (await self.ready())[0] != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0)


@asynccontextmanager
async def served(store: Path, **environment: str) -> AsyncIterator[Running]:
    """`rapport serve` on this store; it is killed at the end if it still runs."""
    settings = [f"--set=rates.post.{name}=100000" for name in ("burst", "per_s")]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rapport_server", "serve", "--json", "--port=0", f"--store={store}", *settings,
        env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SOON_S):
            facts = json.loads(await process.stdout.readline())
        async with aiohttp.ClientSession() as http:
            app = cast("App", SimpleNamespace(port=facts["port"]))
            yield Running(process, Node(app, cast("Store", None), cast("HeldClock", SystemClock()), http))
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def couple(node: Node, token: bytes) -> tuple[Person, Person, Opened]:
    """An owner and a client, registered over HTTP."""
    owner = Person(Role.OWNER, node.clock.now_ms())
    assert isinstance(await node.ask("account.register", None, owner.registration(owner_token=token)), Registered)
    async with opened_stream(node, owner) as device:
        owner.token = (await device.sign_in()).http_token
    opened = owner.invite(Role.CLIENT)
    await node.ask("invite.create", owner, opened.request())
    client = Person(Role.CLIENT, node.clock.now_ms())
    await node.ask("account.register", None, client.registration(opened))
    return owner, client, opened


class Load:
    """Posts without waiting for answers, and keeps what was accepted."""

    def __init__(self, sender: Device, listener: Person, opened: Opened) -> None:
        self.sender, self.listener, self.opened = sender, listener, opened
        self.accepted: list[MessageId] = []
        self.refused: list[str] = []

    async def post(self, count: int = 8) -> None:
        """So many posts, and their answers. Raises Closed when the server has gone."""
        sent = 0
        for _ in range(count):
            post = self.sender.post(self.opened.conv, [self.listener.device], ct=bytes(BIG))
            await self.sender.say(post)
            sent += 1
        while sent:
            match await self.sender.hear_any():
                case Accepted(id=message):
                    assert not self.refused, "accepted after the first failure"
                    self.accepted.append(message)
                    sent -= 1
                case Failure(code=code):
                    self.refused.append(code)
                    sent -= 1
                case Blocked():
                    self.refused.append(ErrorCode.BLOCKED)
                    sent -= 1
                case _:
                    pass


async def delivered(node: Node, person: Person) -> list[MessageId]:
    """Everything that waits for a person's device."""
    found: list[MessageId] = []
    async with connected(node, person, caught_up=False) as device:
        while not isinstance(message := await device.hear_any(), CaughtUp):
            if isinstance(message, Deliver):
                found.append(Outer.parse(message.outer).id)
                await device.acknowledge(message)
    return found


# --- full -------------------------------------------------------------------------------------------------------------


@pytest.mark.long
async def test_a_full_disk_under_load(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 8192) as folder:
        store, ballast = folder / "data" / "rapport.db", folder / "ballast"
        token = unpacked((await asyncio.to_thread(made, "--store", str(store)))["owner_link"])[2]
        ballast.write_bytes(bytes(3_000_000))
        async with served(store) as server, asyncio.timeout(SOON_S):
            node = server.node
            owner, client, opened = await couple(node, token)
            async with connected(node, owner, caught_up=False) as desk:
                load = Load(desk, client, opened)
                while not load.refused:
                    await load.post()
                assert load.accepted
                assert set(load.refused) <= {ErrorCode.UNAVAILABLE, ErrorCode.BLOCKED}
                assert load.refused[0] == ErrorCode.UNAVAILABLE
                since = time.monotonic()
                while time.monotonic() - since < LONGER_THAN_A_PROBE_S:
                    await load.post(1)
                    assert await server.ready() == (503, "the disk that holds the store is full")
                assert isinstance(await node.ask("conversation.list", owner), Conversations), "reading goes on"
                ballast.unlink()
                room = time.monotonic()
                await server.until_ready()
                assert time.monotonic() - room < RECOVERS_S
                again = Load(desk, client, opened)
                async with connected(node, owner, caught_up=False) as fresh_desk:
                    again.sender = fresh_desk
                    await again.post(1)
                assert again.accepted
            assert await delivered(node, client) == load.accepted + again.accepted
        assert server.process.returncode is not None


# --- failing ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that lets syncs fail."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("there is no C compiler to make the failing disk with")
    library = tmp_path_factory.mktemp("shim") / "sync_shim.so"
    source = Path(__file__).with_name("sync_shim.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Werror", "-o", str(library), str(source), "-ldl"], check=True)
    return library


async def ended(server: Running) -> str:
    """What a server that ended by itself said at last."""
    assert server.process.stderr is not None
    said = (await server.process.stderr.read()).decode()
    assert await server.process.wait() == STORE_EXIT, said
    assert "Traceback" not in said
    return said.splitlines()[-1]


@pytest.mark.long
@pytest.mark.parametrize("file", ["/rapport.db-wal", "/rapport.db"], ids=["commit", "copying the log"])
async def test_a_sync_that_fails_ends_the_process(tmp_path: Path, shim: Path, file: str) -> None:
    store, failing, again = tmp_path / "data" / "rapport.db", tmp_path / "failing", tmp_path / "again"
    token = unpacked((await asyncio.to_thread(made, "--store", str(store)))["owner_link"])[2]
    environment = {"FAILING_FILE": file, "FAILING_SYNC": str(failing), "SYNCED_AGAIN": str(again)}
    async with served(store, LD_PRELOAD=str(shim), **environment) as server, asyncio.timeout(SOON_S):
        node = server.node
        owner, client, opened = await couple(node, token)
        async with connected(node, owner, caught_up=False) as desk:
            load = Load(desk, client, opened)
            await load.post()
            failing.touch()
            with pytest.raises((Closed, ConnectionError)):
                while True:
                    await load.post()
        said = await ended(server)
    assert said.startswith("rapport: the store cannot be written any more (SQLITE_IOERR_FSYNC)")
    assert "restart the server" in said
    assert set(load.refused) <= {ErrorCode.UNAVAILABLE, ErrorCode.BLOCKED}
    assert not again.exists(), "a failed sync is never tried again"
    assert store.with_name("rapport.db-wal").stat().st_size, "the log is left for the next start"
    failing.unlink()
    async with served(store) as server, asyncio.timeout(SOON_S):
        found = await delivered(server.node, client)
    assert found[: len(load.accepted)] == load.accepted
