"""Real Redis and PostgreSQL servers under a harness, from Debian's packages: alone, behind Sentinel, as a Cluster.

    async with RedisProcess(folder / "redis") as redis, PostgresProcess(folder / "postgres") as postgres:
        ...  # redis.url(), postgres.url("rapport")

Everything listens on the loopback address only, on free ports that stay the same through restarts.
"""

import asyncio
import os
import shutil
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote

from rapport.testing.programs import ProcessProblem, Program, find_program, free_port, run_program, user_exists

__all__ = ["PostgresProcess", "RedisCluster", "RedisProcess", "SentinelSet"]

_SETTLED_WITHIN_S: Final = 60.0
"""Seconds that several Redis servers have to find each other or to agree on a new master, on a busy machine."""
_LOOK_AGAIN_S: Final = 0.02
"""Pause between two looks at a state that Redis does not announce."""
_NEVER_DOWN_MS: Final = 3_600_000
"""A busy machine must not make Sentinel change the master by itself; `SentinelSet.failover` does."""


class RedisProcess(Program):
    """One Redis server that keeps nothing on disk.

    port: a free one unless given. password: of its default user, who needs none unless given. users: further lines of
    an access control list, like `user rapport on >secret ~rapport:* +@all`. options: directives of `redis.conf`. It
    also listens on `socket`, for URLs with `unix=True`.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        password: str = "",
        users: Sequence[str] = (),
        options: Mapping[str, str] | None = None,
        name: str = "redis",
    ) -> None:
        super().__init__(folder, name, "redis-server")
        self.port = port or free_port()
        self.socket = folder / f"{name}.sock"
        self._password = password
        self._configured = False
        self._users = [*users]
        self._options = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": f'"{self.socket}"',
            "dir": f'"{folder}"',
            "save": '""',
            "supervised": "systemd",
            "daemonize": "no",
            **({"requirepass": f'"{password}"'} if password else {}),
            **(options or {}),
        }

    def command(self) -> list[str]:
        """The server with its configuration file."""
        return [find_program("redis-server", self.package), str(self._file), *self._mode]

    def prepare(self) -> None:
        """Writes the configuration file before the first start.

        After that it is the servers' own: Sentinels keep there what they learned, and who is master or replica.
        """
        self.socket.unlink(missing_ok=True)
        if not self._configured:
            self._configured = True
            self._file.touch(mode=0o600)
            self._file.write_text("\n".join([*(f"{key} {value}" for key, value in self._lines()), *self._users, ""]))

    def url(self, user: str = "", password: str | None = None, *, unix: bool = False) -> str:
        """Where clients reach it; as the default user unless another one is named."""
        secret = self._password if password is None and not user else password or ""
        who = f"{quote(user)}:{quote(secret, safe='')}@" if user or secret else ""
        return f"unix://{who}{self.socket}" if unix else f"redis://{who}127.0.0.1:{self.port}/0"

    def ask(self, *words: str) -> str:
        """Runs one Redis command as the default user; what it answers, as `redis-cli` prints it."""
        own = ["-a", self._password, "--no-auth-warning"] if self._password else []
        program = find_program("redis-cli", "redis-tools")
        return run_program([program, "-e", "-h", "127.0.0.1", "-p", str(self.port), *own, *words]).strip()

    @property
    def _file(self) -> Path:
        return self.folder / f"{self.name}.conf"

    _mode: tuple[str, ...] = ()

    def _lines(self) -> list[tuple[str, str]]:
        return [*self._options.items()]


class _Sentinel(RedisProcess):
    """One Sentinel; it keeps what it learned in its configuration file."""

    _mode = ("--sentinel",)

    def __init__(self, folder: Path, name: str, service: str, master_port: int) -> None:
        super().__init__(folder, name=name)
        self._watched = [
            ("sentinel", f"monitor {service} 127.0.0.1 {master_port} 2"),
            ("sentinel", f"down-after-milliseconds {service} {_NEVER_DOWN_MS}"),
            ("sentinel", f"failover-timeout {service} 10000"),
        ]

    def _lines(self) -> list[tuple[str, str]]:
        return [*((key, value) for key, value in self._options.items() if key != "save"), *self._watched]


class _Several(ABC):
    """Several Redis servers that belong together; they run as long as the block."""

    def __init__(self, servers: Sequence[RedisProcess]) -> None:
        self._servers = [*servers]

    async def start(self) -> None:
        """Starts all and waits until they work together. Raises ProcessProblem; nothing runs then."""
        async with AsyncExitStack() as started:
            for server in self._servers:
                await started.enter_async_context(server)
            await self._join()
            started.pop_all()

    async def kill(self) -> None:
        """`kill -9` for all."""
        for server in reversed(self._servers):
            await server.kill()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.kill()

    @abstractmethod
    async def _join(self) -> None:
        """Waits until they work together."""

    async def _until(self, what: str, holds: Callable[[], bool]) -> None:
        """Looks until it holds; ProcessProblem with `what` when it does not in time."""
        try:
            async with asyncio.timeout(_SETTLED_WITHIN_S):
                while not await asyncio.to_thread(_said, holds):  # noqa: ASYNC110 - it comes from another program
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError:
            folder = self._servers[0].folder
            raise ProcessProblem(f"{what} within {_SETTLED_WITHIN_S:g} s; see the logs in {folder}") from None


def _said(holds: Callable[[], bool]) -> bool:
    """Whether it holds; not while somebody who would have to say it cannot be asked."""
    try:
        return holds()
    except ProcessProblem:
        return False


class SentinelSet(_Several):
    """A master, its replica and three Sentinels that watch them under the name `service`.

    The Sentinels never change the master by themselves, however busy the machine is: `failover` makes them.
    """

    service: Final = "rapport"
    """The name that clients ask the Sentinels for."""

    def __init__(self, folder: Path) -> None:
        at_once = {"repl-diskless-sync-delay": "0"}  # no waiting for a second replica
        first = RedisProcess(folder, name="redis-1", options=at_once)
        second = RedisProcess(folder, name="redis-2", options={**at_once, "replicaof": f"127.0.0.1 {first.port}"})
        self.sentinels = [_Sentinel(folder, f"sentinel-{number}", self.service, first.port) for number in (1, 2, 3)]
        """The three, in no order."""
        self.data = [first, second]
        """The two servers with the data; which of them is the master changes."""
        super().__init__([*self.data, *self.sentinels])

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every Sentinel."""
        return [("127.0.0.1", sentinel.port) for sentinel in self.sentinels]

    def master(self) -> RedisProcess:
        """The master, as the first Sentinel sees it."""
        port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service).split()[1]
        return next(server for server in self.data if str(server.port) == port)

    async def failover(self) -> RedisProcess:
        """`kill -9` for the master; returns the new one once it takes writes and every Sentinel names it.

        The old one stays down; its `start` brings it back, and the Sentinels make it a replica.
        """
        old = await asyncio.to_thread(self.master)
        new = next(server for server in self.data if server is not old)
        await old.kill()
        for sentinel in self.sentinels:
            await asyncio.to_thread(sentinel.ask, "SENTINEL", "SET", self.service, "down-after-milliseconds", "500")
        await self._until("Sentinel named no new master", lambda: self._all_name(new))
        for sentinel in self.sentinels:
            never = str(_NEVER_DOWN_MS)
            await asyncio.to_thread(sentinel.ask, "SENTINEL", "SET", self.service, "down-after-milliseconds", never)
        return new

    async def _join(self) -> None:
        for sentinel in self.sentinels:  # quicker than the production values, so that tests need not wait for them
            periods = ("publish-period", "200", "info-period", "500", "ping-period", "200", "ask-period", "200")
            await asyncio.to_thread(sentinel.ask, "SENTINEL", "DEBUG", *periods, "tilt-trigger", str(_NEVER_DOWN_MS))
        await self._until("the Sentinels did not find each other", self._complete)

    def _complete(self) -> bool:
        return all(
            sentinel.ask("SENTINEL", "CKQUORUM", self.service).startswith("OK 3")
            and "slaves=1,sentinels=3" in sentinel.ask("INFO", "sentinel")
            for sentinel in self.sentinels
        ) and "master_link_status:up" in self.data[1].ask("INFO", "replication")

    def _all_name(self, server: RedisProcess) -> bool:
        named = {
            sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service).split()[1] for sentinel in self.sentinels
        }
        return named == {str(server.port)} and "role:master" in server.ask("INFO", "replication")


class RedisCluster(_Several):
    """A Redis Cluster of three masters without replicas."""

    def __init__(self, folder: Path) -> None:
        self.masters = [
            RedisProcess(
                folder,
                name=f"redis-{number}",
                options={
                    "cluster-enabled": "yes",
                    "cluster-config-file": f"nodes-{number}.conf",
                    "cluster-port": str(free_port()),
                    "cluster-node-timeout": "10000",
                },
            )
            for number in (1, 2, 3)
        ]
        """The three, in the order of their slots."""
        super().__init__(self.masters)

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Host and port of every master."""
        return [("127.0.0.1", master.port) for master in self.masters]

    async def _join(self) -> None:
        program = find_program("redis-cli", "redis-tools")
        where = [f"{host}:{port}" for host, port in self.addresses]
        if not all(_whole(master) for master in self.masters):
            await asyncio.to_thread(run_program, [program, "--cluster", "create", *where, "--cluster-yes"])
        await self._until("the cluster was not complete", lambda: all(map(_whole, self.masters)))


def _whole(master: RedisProcess) -> bool:
    state = master.ask("CLUSTER", "INFO")
    return "cluster_state:ok" in state and "cluster_known_nodes:3" in state


class PostgresProcess(Program):
    """One PostgreSQL server with a superuser `postgres` and no passwords: whoever reaches the port may be anybody.

    port: a free one unless given. settings: of `postgresql.conf`, beside PostgreSQL's own defaults, which keep every
    promise about disks. The data lie in `folder/data` and outlive the process. When this process is root's, the server
    runs as the user `postgres`, because it refuses to run as root.
    """

    stop_signal = signal.SIGINT  # "fast": ends the sessions instead of waiting for them

    def __init__(self, folder: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(folder, "postgres", "postgresql", "postgres")
        self.port = port or free_port()
        self._place = folder / "data"
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            **(settings or {}),
        }

    def command(self) -> list[str]:
        """The server with its settings."""
        settings = [f"--{key}={value}" for key, value in self._settings.items()]
        return [self._program("postgres"), "-D", str(self._place), *settings]

    def prepare(self) -> None:
        """Makes the data folder, once."""
        if self._place.exists():
            return
        program = self._program("initdb")
        if os.geteuid() == 0 and not user_exists("postgres"):
            raise ProcessProblem("there is no user postgres here (Debian: apt-get install postgresql)")
        fresh = self._place.with_name("data.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(fresh, "postgres", "postgres")
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        run_program([program, *options, "--wal-segsize=4", "-D", str(fresh)], user="postgres")
        fresh.rename(self._place)

    def url(self, database: str = "postgres", role: str = "postgres") -> str:
        """Where clients reach a database."""
        return f"postgresql://{quote(role)}@127.0.0.1:{self.port}/{quote(database)}"

    def ask(self, statements: str, database: str = "postgres") -> str:
        """Runs SQL as the superuser; the rows without decoration. Raises ProcessProblem at the first error."""
        plain = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
        strict = ["--set=ON_ERROR_STOP=1", "--set=VERBOSITY=terse"]
        return run_program([self._program("psql"), *plain, *strict, self.url(database)], text=statements).strip()

    def create_database(self, name: str, template: str = "template0") -> str:
        """Makes a database and returns its URL. template: a database to copy, which nobody may be connected to."""
        self.ask(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Ends the sessions of a database and drops it. No error when there is none."""
        self.ask(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    async def crash(self) -> None:
        """`pg_ctl stop -m immediate`: ends without a checkpoint; the next start recovers from the log."""
        await self._end(signal.SIGQUIT)

    async def restart(self) -> None:
        """`pg_ctl restart -m immediate`."""
        await self.crash()
        await self.start()

    def _program(self, name: str) -> str:
        """PostgreSQL's own programs lie in a folder per version: the newest one."""
        found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=_version)
        return str(found[-1]) if found else find_program(name, self.package)


def _version(program: Path) -> int:
    return int(program.parts[-3]) if program.parts[-3].isdigit() else 0
