"""Redis and PostgreSQL under the harness: they start, freeze, die, come back, and never outlive it."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rapport.testing.backing import PostgresProcess, RedisCluster, RedisProcess, SentinelSet
from rapport.testing.programs import ProcessProblem, Program, find_program, free_port

LIMIT_S = 60


def state(pid: int) -> str:
    """One letter of the kernel's: T is stopped, Z has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_redis_keeps_its_port_and_forgets_its_keys(tmp_path: Path) -> None:
    async with RedisProcess(tmp_path) as redis:
        redis.ask("SET", "a", "1")
        before = redis.url()
        await redis.kill()
        with pytest.raises(ProcessProblem):
            redis.ask("PING")
        await redis.start()
        assert redis.url() == before
        assert redis.ask("GET", "a") == ""


async def test_redis_knows_passwords_and_users(tmp_path: Path) -> None:
    async with RedisProcess(tmp_path, password="it's a secret") as redis:
        assert redis.ask("PING") == "PONG"
        assert redis.url() == f"redis://:it%27s%20a%20secret@127.0.0.1:{redis.port}/0"
    async with RedisProcess(tmp_path, users=["user reader on >secret ~a:* +get"]) as redis:
        assert redis.ask("GET", "a:1") == ""
        with pytest.raises(ProcessProblem, match="NOPERM"):
            redis.ask("--user", "reader", "--pass", "secret", "--no-auth-warning", "GET", "b:1")


async def test_postgres_survives_every_end(tmp_path: Path) -> None:
    async with PostgresProcess(tmp_path) as postgres:
        postgres.create_database("first")
        postgres.ask("CREATE TABLE word (text text); INSERT INTO word VALUES ('kept')", "first")
        await postgres.restart()
        postgres.create_database("second", "first")
        await postgres.kill()
        await postgres.start()
        assert await postgres.stop() == 0
        await postgres.start()
        assert postgres.ask("SELECT text FROM word", "second") == "kept"
        assert postgres.ask("SHOW fsync") == "on"
        with pytest.raises(ProcessProblem, match="nonsense"):
            postgres.ask("SELECT nonsense")


async def test_a_frozen_postgres_answers_nobody_until_it_thaws(postgres_server: PostgresProcess) -> None:
    """Its children serve the sessions: freezing the parent alone would leave an open session working."""
    session = await asyncio.create_subprocess_exec(
        find_program("psql", "postgresql-client"),
        "--no-psqlrc",
        "--tuples-only",
        postgres_server.url(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert session.stdin is not None
    assert session.stdout is not None
    session.stdin.write(b"SELECT pg_backend_pid();\n")
    backend = int(await asyncio.wait_for(session.stdout.readline(), LIMIT_S))
    postgres_server.freeze()
    try:
        assert (state(postgres_server.pid), state(backend)) == ("T", "T")
    finally:
        postgres_server.thaw()
    session.stdin.write(b"\\q\n")
    assert await asyncio.wait_for(session.wait(), LIMIT_S) == 0


async def test_ending_a_frozen_program_leaves_nothing_stopped(tmp_path: Path) -> None:
    async with PostgresProcess(tmp_path) as postgres:
        family = children(postgres.pid)
        postgres.freeze()
    assert family
    assert {state(pid) for pid in family} == {"Z"}


async def test_sentinels_agree_on_a_new_master(tmp_path: Path) -> None:
    async with SentinelSet(tmp_path) as several:
        first = several.master()
        second = await several.failover()
        assert second is not first
        assert several.master() is second
        assert "role:master" in second.ask("INFO", "replication")
        await first.start()
        await second.stop()
        await second.start()
        assert "role:master" in second.ask("INFO", "replication"), "it is what it was made, not what it began as"


async def test_a_cluster_serves_every_slot(tmp_path: Path) -> None:
    async with RedisCluster(tmp_path) as cluster:
        assert all("cluster_slots_ok:16384" in master.ask("CLUSTER", "INFO") for master in cluster.masters)


def test_a_program_that_cannot_start_says_where_to_look(tmp_path: Path) -> None:
    broken = RedisProcess(tmp_path, options={"no-such-directive": "1"})
    with pytest.raises(ProcessProblem, match=r"redis ended with 1; see .*redis\.log"), broken:
        pass
    with pytest.raises(ProcessProblem, match="does not run"):
        _ = broken.pid


def test_a_missing_program_names_its_package() -> None:
    with pytest.raises(ProcessProblem, match="apt-get install some-package"):
        find_program("no-such-program", "some-package")


def test_free_ports_are_not_those_of_outgoing_connections() -> None:
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert lowest <= 20_000 or free_port() < lowest


HARNESS = """
import sys
from pathlib import Path
from rapport.testing.backing import PostgresProcess, RedisProcess

folder = Path(sys.argv[1])
with RedisProcess(folder / "redis") as redis, PostgresProcess(folder / "postgres") as postgres:
    children = Path(f"/proc/{postgres.pid}/task/{postgres.pid}/children").read_text()
    postgres.freeze()
    print(redis.pid, postgres.pid, children, flush=True)
    sys.stdin.read()
"""


def test_nothing_outlives_a_harness_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HARNESS, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as harness:
        assert harness.stdout is not None
        handles = [os.pidfd_open(int(pid)) for pid in harness.stdout.readline().split()]
        assert len(handles) > 2
        harness.send_signal(signal.SIGKILL)
        try:
            for handle in handles:
                assert select.select([handle], [], [], LIMIT_S)[0], "a program lives on"
        finally:
            for handle in handles:
                os.close(handle)


def test_a_program_is_started_once(redis_server: RedisProcess) -> None:
    with pytest.raises(ProcessProblem, match="runs already"):
        Program.__enter__(redis_server)
