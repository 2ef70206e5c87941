"""`rapport doctor`: finds what is wrong, says what to do, changes nothing, tells no secret."""

from __future__ import annotations

import asyncio
import json
import resource
import shutil
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from rapport_server import doctor
from rapport_server.cli import commands
from rapport_server.config import Config, Server
from rapport_server.testing import LocalServer
from tests.server.node import HeldClock

STORE = Path("rapport-data/rapport.db")


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(commands, ["init"]).exit_code == 0


def examined(*arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    """The findings by check, `ok` ones too."""
    result = CliRunner().invoke(commands, ["doctor", "--json", "--port", str(free_port()), *arguments])
    assert result.exit_code == code, result.output
    answer = json.loads(result.stdout)
    assert answer["code"] == code
    return {finding.pop("check"): finding for finding in answer["findings"]}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wrong(found: dict[str, dict[str, str]]) -> dict[str, str]:
    """What is not in order; each says what to do about it."""
    notable = {check: finding for check, finding in found.items() if finding["state"] != "ok"}
    assert all(finding["advice"] for finding in notable.values())
    return {check: finding["state"] for check, finding in notable.items()}


def folder() -> dict[str, tuple[int, int, bytes]]:
    return {
        path.name: (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes()) for path in STORE.parent.iterdir()
    }


@contextmanager
def changed() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(STORE)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


def test_a_fresh_installation_is_in_order_and_stays_as_it_is() -> None:
    before = folder()
    found = examined()
    assert wrong(found) == {}
    assert set(found) == {
        "configuration", "origins", "parser", "files", "store", "permissions", "space", "port",
        "notifications", "clock",
    }  # fmt: skip
    assert folder() == before


def test_one_line_for_each_check_and_one_for_what_to_do() -> None:
    STORE.chmod(0o640)
    result = CliRunner().invoke(commands, ["doctor", "--port", str(free_port())])
    assert result.exit_code == 1
    states = [line.split()[0] for line in result.stdout.splitlines()]
    assert states.count("problem") == states.count("->") == 1
    assert f"-> chmod 600 {STORE}\n" in result.stdout


@pytest.mark.parametrize("arguments", [["--set", "bad.key=1"], ["--host", "0.0.0.0"], ["--config", "absent.toml"]])
def test_a_configuration_that_cannot_be_used(arguments: list[str]) -> None:
    assert wrong(examined(*arguments, code=78)) == {"configuration": "problem"}


def test_no_store_a_damaged_one_and_an_older_one() -> None:
    assert wrong(examined("--store", "elsewhere/rapport.db", code=1)) == {
        "store": "problem",
        "notifications": "warning",
    }
    with changed() as db:
        (kept,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
        db.execute("UPDATE alembic_version SET version_num = 'from the future'")
    assert "newer version" in examined(code=1)["store"]["text"]
    with changed() as db:
        db.execute("UPDATE alembic_version SET version_num = ?", (kept,))
    assert wrong(examined()) == {}
    whole = STORE.read_bytes()
    STORE.write_bytes(whole[:8192] + b"\xff" * 40_000 + whole[48_192:])
    assert "damaged" in examined(code=1)["store"]["text"]


@pytest.mark.parametrize(("path", "mode"), [(STORE, 0o604), (STORE.parent, 0o750)], ids=["file", "folder"])
def test_a_store_that_others_may_read(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert wrong(examined(code=1)) == {"permissions": "problem"}


def test_notification_keys_that_others_may_read_or_that_are_not_there() -> None:
    column, vapid = STORE.with_name("notification.key"), STORE.with_name("vapid.key")
    column.chmod(0o640)
    found = examined(code=1)
    assert wrong(found) == {"notifications": "problem"}
    assert found["notifications"]["advice"] == f"chmod 600 {column}"
    column.unlink()
    assert wrong(examined(code=1)) == {"notifications": "problem"}, "one without the other"
    vapid.unlink()
    assert wrong(examined()) == {"notifications": "warning"}


def test_the_store_has_seen_a_later_time() -> None:
    with changed() as db:
        db.execute("UPDATE practice SET created_ms = created_ms + 1500")
    assert wrong(examined()) == {}
    with changed() as db:
        db.execute("UPDATE practice SET created_ms = created_ms + 3600000")
    assert wrong(examined()) == {"clock": "warning"}


def test_a_port_that_is_taken_by_another_program() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        monopolised = ["--port", port, "--set", "metrics.enabled=true", "--set", f"metrics.port={port}"]
        other.settimeout(0)
        doctor_waits = pytest.MonkeyPatch()
        with doctor_waits.context() as patch:
            patch.setattr(doctor, "_REACH_S", 0.2)
            found = examined(*monopolised, code=1)
    assert wrong(found) == {"port": "problem", "metrics port": "problem"}


async def test_a_server_that_runs_and_can_be_reached() -> None:
    server = LocalServer(HeldClock())
    await server.up()
    try:
        config = Config(server=Server(port=server.port, public_url=server.base))
        findings = await asyncio.to_thread(doctor.diagnose, lambda: config, reach=True)
        states = {finding.check: finding.state for finding in findings}
        assert (states["port"], states["reach"]) == ("ok", "ok")
    finally:
        await server.down()
    findings = await asyncio.to_thread(doctor.diagnose, lambda: config, reach=True)
    assert {finding.check for finding in findings if finding.state != "ok"} == {"reach"}
    assert doctor.exit_code(findings) == 0


def test_origins_that_others_can_change() -> None:
    assert wrong(examined("--set", "server.origins=http://localhost:3000")) == {}
    assert wrong(examined("--set", "server.origins=http://app.example")) == {"origins": "warning"}
    assert wrong(examined("--host", "0.0.0.0", "--set", "server.trust_proxy=true")) == {"origins": "warning"}


@pytest.mark.parametrize(("limit", "state"), [(200, "problem"), (1024, "warning"), (resource.RLIM_INFINITY, None)])
def test_the_limit_of_open_files(limit: int, state: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (100, limit))
    assert wrong(examined(code=state == "problem")) == ({"files": state} if state else {})


@pytest.mark.parametrize(("free", "state"), [(2**20, "problem"), (2**29, "warning"), (2**40, None)])
def test_the_room_that_is_left(free: int, state: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    assert wrong(examined(code=state == "problem")) == ({"space": state} if state else {})


def test_a_pure_python_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    from aiohttp import http_parser

    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    assert wrong(examined(code=1)) == {"parser": "problem"}


def test_no_secret_is_told() -> None:
    with changed() as db:
        (seed,) = db.execute("SELECT seed FROM server").fetchone()
        tokens: list[Any] = [row[0] for row in db.execute("SELECT owner_token_hash FROM practice")]
    said = CliRunner().invoke(commands, ["doctor"]).output + CliRunner().invoke(commands, ["doctor", "--json"]).output
    assert [secret for secret in (seed, *tokens) if secret and secret.hex() in said] == []
