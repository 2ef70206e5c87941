"""Two nodes of Rapport with PostgreSQL, Redis, coturn and Caddy in front, all on this machine, from Debian's packages.

    python3 deploy/run.py cluster [--folder FOLDER]
    python3 deploy/run.py cluster --check

The first one prints the address and the owner link, and ends everything on Ctrl-C; with a folder it goes on with the
same data the next time. `--check` lets two people talk through the proxy, kills a node in the middle, and ends with 0
when everything arrived once and in order, else with 1.

It uses the files beside it: the Caddyfile, the roles of the database, the users of Redis, the passwords that
`make_secrets.py` makes. Everything listens on the loopback address only, so the proxy speaks plain HTTP.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import make_secrets
from rapport.demo.cluster import connected
from rapport.demo.practice import CLIENT, PHONES, SCRIPT, THERAPIST, Practice, performed, tell
from rapport.testing.backing import PostgresProcess, RedisProcess
from rapport.testing.nodes import NodeSet
from rapport.testing.processes import ProcessProblem, free_port
from rapport.testing.programs import Program, find_program
from rapport.testing.turn import TurnProcess

__all__ = ["Caddy", "LocalCluster", "main"]

HERE = Path(__file__).resolve().parent
BURST = dict.fromkeys((THERAPIST, CLIENT, *PHONES.values()), 12)
HAPPENED = "A node behind the proxy was killed while {unanswered} sends were unanswered"
#: Ports that are kept in the folder: the vaults know the server by its address.
PORTS = ("site", "node-1", "node-2", "postgres", "redis", "relay")
#: Setting of `store` -> file of the secrets.
URLS = {"url": "store_url", "owner_url": "owner_url"}


class Caddy(Program):
    """Caddy with `deploy/Caddyfile`, for plain HTTP on a port of the loopback address."""

    def __init__(self, folder: Path, port: int, upstreams: list[int]) -> None:
        variables = {
            "RAPPORT_SITE": f"http://127.0.0.1:{port}",
            "RAPPORT_UPSTREAMS": " ".join(f"127.0.0.1:{upstream}" for upstream in upstreams),
            "HOME": str(folder),
        }
        super().__init__(folder, "caddy", "caddy", variables=variables)

    def command(self) -> list[str]:
        """The proxy with its configuration."""
        own = str(self.folder / "Caddyfile")
        return [find_program("caddy", self.package), "run", "--adapter", "caddyfile", "--config", own]

    def prepare(self) -> None:
        """Adds to the Caddyfile that nobody reaches it from outside."""
        text = (HERE / "Caddyfile").read_text(encoding="utf-8")
        site = "{$RAPPORT_SITE:rapport.example.org} {\n"
        if site not in text:
            raise ProcessProblem("deploy/Caddyfile has no site that this could keep on loopback")
        (self.folder / "Caddyfile").write_text(text.replace(site, f"{site}\tbind 127.0.0.1\n"), encoding="utf-8")


class LocalCluster:
    """Everything, in a folder; `start` with a stack that ends it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = kept_ports(folder)
        secrets = folder / "secrets"
        if not secrets.exists():
            place = "127.0.0.1:{}".format
            make_secrets.make(secrets, place(self.ports["postgres"]), place(self.ports["redis"]))
        users = {"aclfile": f'"{secrets}/redis_users"'}
        self.redis = RedisProcess(folder / "redis", self.ports["redis"], options=users)
        self.postgres = PostgresProcess(folder / "postgres", self.ports["postgres"])
        behind = [self.ports["node-1"], self.ports["node-2"]]
        # The deployment's own rules, but for this machine: people of a cluster on loopback are on loopback.
        self.relay = TurnProcess(
            folder / "relay",
            port=self.ports["relay"],
            base=HERE / "coturn/turnserver.conf",
            secret=(secrets / "turn_secret").read_text().strip(),
            lines=["allow-loopback-peers", "allowed-peer-ip=127.0.0.1"],
        )
        self.proxy = Caddy(folder / "caddy", self.ports["site"], behind)
        database = {f"store.{name}": (secrets / file).read_text().strip() for name, file in URLS.items()}
        bus_url = (secrets / "bus_url").read_text().strip()
        settings = {
            "server.trust_proxy": "true",
            "server.public_url": self.address,
            "turn.urls": ",".join(self.relay.urls()),
            "turn.secret": self.relay.secret,
        }
        self.nodes = NodeSet(folder, database, bus_url, ports=behind, settings=settings)

    @property
    def address(self) -> str:
        """What people open."""
        return f"http://127.0.0.1:{self.ports['site']}"

    async def start(self, stack: AsyncExitStack) -> str:
        """Starts everything; returns the owner link, the same every time. Raises ProcessProblem."""
        remembered = self.folder / "owner_link"
        await stack.enter_async_context(self.redis)
        await stack.enter_async_context(self.postgres)
        await stack.enter_async_context(self.relay)
        if not remembered.exists():
            roles = (HERE / "postgres/roles.sql").read_text(encoding="utf-8")
            await asyncio.to_thread(self.postgres.ask, roles.replace("/run/secrets", str(self.folder / "secrets")))
            remembered.touch(mode=0o600)
            remembered.write_text(await self.nodes.init(), encoding="utf-8")
        await stack.enter_async_context(self.nodes)
        await self.nodes.start()
        await stack.enter_async_context(self.proxy)
        return remembered.read_text(encoding="utf-8")


def kept_ports(folder: Path) -> dict[str, int]:
    """The ports of this folder's cluster: those of the last time, or free ones."""
    file = folder / "ports.json"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(json.dumps({name: free_port() for name in PORTS}), encoding="utf-8")
    ports: dict[str, int] = json.loads(file.read_text(encoding="utf-8"))
    return ports


async def host(folder: Path) -> int:
    """Runs it until it is interrupted."""
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with AsyncExitStack() as stack:
        cluster = LocalCluster(folder)
        owner_link = await cluster.start(stack)
        print(
            f"Two nodes run behind {cluster.address}.\n\n"
            f"The practice's owner joins once, in a browser or with `rapport chat`:\n  {owner_link}\n\n"
            f"Everything is in {folder}. Ctrl-C ends it.",
            flush=True,
        )
        await stopped.wait()
        await cluster.nodes.stop()
    return 0


async def story(folder: Path, stack: AsyncExitStack) -> None:
    """Two people talk through the proxy while a node is killed and comes back."""
    cluster = LocalCluster(folder)
    practice = Practice(folder, BURST)
    await practice.open(stack, await cluster.start(stack))
    tell(f"Two nodes run behind {cluster.address}; two people with two devices each talk through it.")
    await practice.talk(*SCRIPT)
    tell("All send on; the node that holds most of them is frozen, killed with kill -9 and started again.")
    held = await connected(cluster.nodes)
    if not all(held):
        raise ProcessProblem(f"the proxy does not use both nodes; see {cluster.proxy.log}")
    victim = cluster.nodes.nodes[held.index(max(held))]
    victim.freeze()
    await practice.burst("while a node stands still")
    practice.harness.kill()
    await victim.kill()
    await practice.settle()
    await victim.start()
    await practice.talk((THERAPIST, "Is everything there?"), (CLIENT, "Everything."))
    await practice.settle()
    await cluster.nodes.stop()


async def checked(folder: Path | None) -> int:
    """Plays the story; returns the exit code. SIGTERM ends what it has started too."""
    work = asyncio.create_task(performed(story, folder, HAPPENED, as_json=False))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    try:
        return await work
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def main(arguments: list[str]) -> int:
    """Run it, or check it; 1 when a part does not start, 2 for wrong usage."""
    parser = argparse.ArgumentParser(prog="local_cluster.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="keep everything here, not in a temporary folder")
    parser.add_argument("--check", action="store_true", help="let two people talk through it, kill a node, and judge")
    given = parser.parse_args(arguments)
    folder = given.folder.resolve() if given.folder else None
    if given.check:
        return asyncio.run(checked(folder))
    try:
        with tempfile.TemporaryDirectory(prefix="rapport-cluster-") as temporary:
            return asyncio.run(host(folder or Path(temporary)))
    except ProcessProblem as problem:
        print(f"The cluster cannot run: {problem}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
