"""What a server over Redis says of it: `rapport doctor`, `/readyz` and `/metrics`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from rapport.testing.backing import RedisProcess
from rapport.testing.programs import free_port
from rapport_server.adapters.redis import examining
from rapport_server.cli import commands
from rapport_server.config import Bus
from tests.server.node import running

BUS = "RAPPORT_BUS__URL"


@pytest.fixture
def _store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(commands, ["init"]).exit_code == 0


def found(url: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The finding about the bus."""
    monkeypatch.setenv(BUS, url)
    result = CliRunner().invoke(commands, ["doctor", "--json", "--port", str(free_port())])
    (finding,) = [each for each in json.loads(result.stdout)["findings"] if each["check"] == "bus"]
    assert "hush" not in result.output
    assert finding["state"] == "ok" or finding["advice"]
    return finding  # type: ignore[no-any-return]


@pytest.mark.usefixtures("_store")
def test_doctor_looks_at_redis(redis_server: RedisProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(redis_server.url(), monkeypatch)["state"] == "ok"
    for wrong, why in (
        (f"unix://:hush@{tmp_path}/none", "cannot be reached"),
        (f"redis://127.0.0.1:{free_port()}", "cannot be reached"),
        (redis_server.url("nobody", "hush"), "refuses the user"),
        ("redis://:hush@host/x", "number"),
    ):
        finding = found(wrong, monkeypatch)
        assert finding["state"] == "problem"
        assert why in finding["text"]


@pytest.mark.usefixtures("_store")
@pytest.mark.parametrize(("off_s", "said"), [(-3600, "ahead of"), (3600, "behind")])
def test_doctor_compares_clocks(
    redis_server: RedisProcess, monkeypatch: pytest.MonkeyPatch, off_s: int, said: str
) -> None:
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + off_s * 10**9)
    monkeypatch.setattr(examining, "time", clock)
    finding = found(redis_server.url(), monkeypatch)
    assert finding["state"] == "warning"
    assert f"3,600 s {said}" in finding["text"]


async def test_readyz_and_metrics_say_when_redis_is_away(tmp_path: Path) -> None:
    async with RedisProcess(tmp_path / "redis") as redis, running(bus=Bus(redis.url())) as node:

        async def says() -> str:
            async with node.http.get(f"{node.app.url}/readyz") as answer:
                assert answer.status == 200
                return await answer.text()

        def figure(name: str) -> str:
            page = node.app.figures.page().decode()
            return next(line.split()[1] for line in page.splitlines() if line.startswith(f"rapport_{name} "))

        assert await says() == "ready\n"
        assert figure("bus_degraded") == "0.0"
        assert figure("node_others") == "0.0"
        await redis.kill()
        async with asyncio.timeout(60):
            while await says() == "ready\n":
                pass
        assert (await says()).startswith("degraded: Redis")
        assert figure("bus_degraded") == "1.0"
        for name in ("bus_published", "bus_received", "bus_dropped", "bus_rejected"):
            assert figure(name) == "0.0"
