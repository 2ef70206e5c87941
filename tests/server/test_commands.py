"""The commands: what they print, what they exit with, and that every failure is one sentence."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import structlog
from click.testing import CliRunner, Result

from rapport_protocol.codec import BodyCodec
from rapport_protocol.requests import Registered, Role
from rapport_server.cli import commands
from tests.server.people import Person

SOON_S = 30.0
SERVER = [sys.executable, "-m", "rapport_server"]


def ran(*arguments: str, environment: Mapping[str, str] | None = None) -> Result:
    """One command within this process."""
    return CliRunner().invoke(commands, arguments, env=dict(environment or {}))


def sentence(result: Result, code: int) -> str:
    """What a failing command said; one line, with the exit code it should have."""
    assert result.exit_code == code, result.output
    assert result.stderr.startswith("rapport: ")
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    return result.stderr.removeprefix("rapport: ").strip()


@pytest.fixture(autouse=True)
def _own_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of one's own, and the logging of before: `serve` sets it up for its whole process."""
    monkeypatch.chdir(tmp_path)
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def made(*arguments: str) -> dict[str, str]:
    """`rapport init --json`."""
    result = ran("init", "--json", *arguments)
    assert result.exit_code == 0, result.output
    answer: dict[str, str] = json.loads(result.stdout)
    return answer


def unpacked(link: str) -> tuple[str, bytes, bytes, bytes]:
    """Base, version, owner token and server key of an owner link."""
    base, _, fragment = link.partition("/o#")
    secret = base64.urlsafe_b64decode(fragment + "=" * (-len(fragment) % 4))
    return base, secret[:1], secret[1:33], secret[33:]


# --- configuration --------------------------------------------------------------------------------------------------


def test_a_usable_configuration() -> None:
    result = ran("config", "check", "--port", "8001")
    assert (result.exit_code, result.stdout) == (0, "usable; the server would listen on 127.0.0.1 port 8001\n")


@pytest.mark.parametrize("command", [["config", "check"], ["config", "show"], ["serve"], ["init"], ["migrate"]])
def test_every_command_refuses_an_unknown_setting(command: list[str]) -> None:
    said = sentence(ran(*command, environment={"RAPPORT_SERVER__PROT": "1"}), 78)
    assert said == "RAPPORT_SERVER__PROT: there is no setting server.prot; the nearest known one is server.port"


def test_clear_text_off_loopback_is_refused() -> None:
    assert "clear text" in sentence(ran("serve", "--host", "0.0.0.0"), 78)


def test_what_is_shown() -> None:
    result = ran("config", "show", "--json", "--set", "log.level=error")
    assert json.loads(result.stdout)["log"]["level"] == "error"
    assert '[log]\nlevel = "info"\n' in ran("config", "show").stdout
    assert json.loads(ran("config", "schema").stdout)["$defs"]["Log"]


def test_wrong_usage_exits_with_two() -> None:
    for arguments in (["serve", "--wrong"], ["nothing"], ["config", "check", "--set", "server.port"], ["backup"]):
        result = ran(*arguments)
        assert result.exit_code == 2
        assert "Usage:" in result.stderr


def test_a_fault_of_the_program_is_one_sentence_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> object:
        raise RuntimeError("planted")

    monkeypatch.setattr("rapport_server.cli.load", fails)
    said = sentence(ran("config", "check"), 70)
    assert "RuntimeError" in said
    assert "planted" not in said


# --- init -----------------------------------------------------------------------------------------------------------


def test_init_makes_a_store_and_an_owner_link() -> None:
    answer = made("--store", "data/rapport.db", "--public-url", "https://rapport.example")
    base, version, token, server_id = unpacked(answer["owner_link"])
    assert (base, version, len(token)) == ("https://rapport.example", b"\x01", 32)
    assert base64.urlsafe_b64decode(answer["server_id"] + "=") == server_id
    assert stat.S_IMODE(Path("data").stat().st_mode) == 0o700
    stored = b"".join(path.read_bytes() for path in Path("data").iterdir())
    assert token not in stored, "the store keeps a hash only"
    assert base64.urlsafe_b64encode(token).rstrip(b"=") not in stored


def test_init_does_not_touch_a_store_that_exists() -> None:
    first = made()
    assert "exists" in sentence(ran("init"), 74) or "already" in sentence(ran("init"), 74)
    second = made("--practice")
    assert second["practice"] != first["practice"]
    assert second["server_id"] == first["server_id"]


def test_a_practice_needs_a_store() -> None:
    assert sentence(ran("init", "--practice"), 74)


def test_a_folder_that_cannot_be_made_is_one_sentence() -> None:
    Path("taken").write_text("a file")
    assert sentence(ran("init", "--store", "taken/rapport.db"), 74) == "the folder taken cannot be made: File exists"


def test_init_for_people_shows_the_link() -> None:
    result = ran("init", "--port", "8123")
    assert result.exit_code == 0
    assert "\n  http://127.0.0.1:8123/o#" in result.stdout


# --- serve ----------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def served(*arguments: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, dict[str, object]]]:
    """A server process on a port of its own, and the facts of its ready line."""
    process = await asyncio.create_subprocess_exec(
        *SERVER, "serve", "--port", "0", "--json", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(SOON_S):
            line = await process.stdout.readline()
        assert line, (await process.communicate())[1].decode()
        yield process, json.loads(line)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_server_process_from_start_to_end() -> None:
    answer = await asyncio.to_thread(made)
    ready_file = Path("ready.json")
    async with served("--ready-file", str(ready_file), "--set", "metrics.enabled=true", "--set", "metrics.port=0") as (
        process,
        facts,
    ):
        assert json.loads(await asyncio.to_thread(ready_file.read_text)) == facts
        assert facts["pid"] == process.pid
        assert facts["server_id"] == answer["server_id"]
        owner = Person(Role.OWNER, 1_000)
        token = unpacked(answer["owner_link"])[2]
        request = BodyCodec.encode(owner.registration(owner_token=token))
        async with aiohttp.ClientSession() as http:
            headers = {"Content-Type": "application/msgpack"}
            async with http.post(f"{facts['url']}/v1/register", data=request, headers=headers) as response:
                assert BodyCodec(Registered).decode(await response.read()) == Registered(Role.OWNER)
            async with http.get(f"http://127.0.0.1:{facts['metrics_port']}/metrics") as response:
                assert response.status == 200
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(SOON_S):
            output, errors = await process.communicate()
        assert (process.returncode, output) == (0, b"")
        log = errors.decode()
        assert "stopped" in log
        for secret in (owner.account.hex(), owner.device.hex(), token.hex()):
            assert secret not in log


async def test_a_server_for_people_says_where_it_listens() -> None:
    await asyncio.to_thread(made)
    process = await asyncio.create_subprocess_exec(
        *SERVER, "serve", "--port", "0", stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(SOON_S):
        line = await process.stdout.readline()
    assert line.startswith(b"listening on http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(SOON_S):
        await process.communicate()
    assert process.returncode == 0


def test_a_ready_file_that_cannot_be_written_stops_the_server() -> None:
    made()
    said = sentence(ran("serve", "--port", "0", "--set", "log.level=error", "--ready-file", "missing/ready.json"), 78)
    assert said == "the ready file missing/ready.json cannot be written: No such file or directory"


def test_serving_without_a_store_says_what_to_do() -> None:
    assert "rapport init" in sentence(ran("serve", "--port", "0"), 74)


def test_a_damaged_store_is_refused() -> None:
    made()
    Path("rapport-data/rapport.db").write_bytes(b"not a database" * 1000)
    assert sentence(ran("serve", "--port", "0"), 74)


def test_migrating_a_store_that_is_up_to_date() -> None:
    made()
    assert "up to date" in ran("migrate").stdout
    assert sentence(ran("migrate", "--store", "elsewhere.db"), 74)


def test_a_backup_comes_back_with_the_same_server_and_another_epoch() -> None:
    answer = made()
    assert ran("backup", "copy.db").exit_code == 0
    assert sentence(ran("backup", "copy.db"), 74), "a copy is not overwritten"
    for path in Path("rapport-data").iterdir():
        path.unlink()
    assert ran("restore", "copy.db").exit_code == 0
    assert made("--practice")["server_id"] == answer["server_id"]
    assert sentence(ran("restore", "copy.db"), 74), "a store is not overwritten"
    assert ran("restore", "missing.db").exit_code == 2
