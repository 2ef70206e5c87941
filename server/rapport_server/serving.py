"""What the commands run: a server until it is told to stop, and a new practice in a store."""

import asyncio
import base64
import gc
import os
import resource
import secrets
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import structlog
import uvloop
from msgspec.structs import replace

from rapport_protocol.ids import PracticeId
from rapport_protocol.signed import SigningKey, owner_token_hash
from rapport_server import logs
from rapport_server.adapters.clock import SystemClock
from rapport_server.adapters.store.problem import StoreInUse, StoreProblem
from rapport_server.adapters.store.sqlite.version import initialise, migrate
from rapport_server.app import App, create, open_store, server_origins
from rapport_server.config import Config, ConfigurationProblem, is_loopback, origin_of
from rapport_server.lan import Lan, lan_address, prepare
from rapport_server.notification_keys import make_key_files
from rapport_server.systemd import STOPPING, keep_alive, notify

__all__ = ["create_practice", "migrate_store", "owner_link_text", "owner_url", "serve", "store_name"]

_LINK_VERSION = b"\x01"

_log = structlog.get_logger("rapport.serving")


def _on_the_lan(config: Config) -> tuple[Config, Lan | None]:
    """With `server.lan`: https at this machine's address on the local network, unless another one is configured.

    Raises ConfigurationProblem.
    """
    server = config.server
    if not server.lan:
        return config, None
    host = lan_address() if is_loopback(server.host) else server.host
    lan = prepare(Path(config.store.path).parent / "lan", host)
    origin = origin_of(f"https://[{host}]:{server.port}" if ":" in host else f"https://{host}:{server.port}")
    return replace(config, server=replace(server, host=host, public_url=server.public_url or origin)), lan


def serve(config: Config, ready: Callable[[dict[str, object]], None], *, supervised: bool = False) -> str | None:
    """Runs a server until SIGTERM or SIGINT, or until a part of it fails; drains and closes it.

    ready: called once it listens, with what callers need to know. supervised: also until standard input ends, which
    means that the supervisor is gone. Returns what failed, None after a signal. Raises ConfigurationProblem,
    StoreProblem, Rejected when it cannot start, and StoreProblem when the store was lost.
    """
    config, lan = _on_the_lan(config)
    keys = logs.configure(config.log, time.time)
    _raise_file_limit()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, ready, keys, lan, supervised=supervised))


async def _serve(
    config: Config,
    ready: Callable[[dict[str, object]], None],
    keys: logs.KeyFilter,
    lan: Lan | None,
    *,
    supervised: bool,
) -> str | None:
    app = create(config, log_dropped=lambda: keys.dropped, lan=lan)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    if supervised:
        loop.add_reader(sys.stdin.fileno(), _read_on, sys.stdin.fileno(), app.stop)
    try:
        await app.start()
    except StoreInUse as problem:
        raise ConfigurationProblem(f"{problem}; several processes need store.url and bus.url") from None
    alive = loop.create_task(keep_alive())
    try:
        _log.info("listening", port=app.port)
        ready(_facts(app))
        _calm_collector()
        await app.stopping.wait()
        _log.info("draining")
    finally:
        notify(STOPPING)
        await app.close()
        alive.cancel()
    _log.info("stopped")
    if isinstance(app.fault, StoreProblem):
        raise app.fault
    return None if app.fault is None else type(app.fault).__name__


def _read_on(file: int, ended: Callable[[], None]) -> None:
    """Reads what nobody should have written; tells when there is nothing more to come."""
    if not os.read(file, 4096):
        asyncio.get_running_loop().remove_reader(file)
        ended()


def _facts(app: App) -> dict[str, object]:
    return {
        "url": app.listening_url,
        "public_url": app.url,
        "port": app.port,
        "metrics_port": app.metrics_port,
        "server_id": _text(app.server_id),
        "pid": os.getpid(),
        "authority": app.authority,
    }


def _calm_collector() -> None:
    """Keeps the garbage collector from walking what was made at the start, and makes full collections rare.

    A full collection over 5,000 connections would stop the loop for 166 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def _raise_file_limit() -> None:
    """As many sockets as the system allows this process: the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def create_practice(config: Config, *, existing: bool) -> dict[str, str]:
    """A new practice with its one-time owner link, in a new store or (existing) one that is there.

    Returns store, practice, server_id and owner_link. Only the hash of the link's token is kept. Raises StoreProblem.
    """
    if not existing:
        await _make_store(config)
        if not config.store.url and not config.notifications.key:
            make_key_files(config)
    clock = SystemClock()
    store = open_store(config, clock)
    await store.start()
    try:
        practice, token = PracticeId(secrets.token_bytes(16)), secrets.token_bytes(32)
        await store.create_practice(practice, owner_token_hash(token), clock.now_ms())
        server_id = SigningKey(await store.server_seed()).public
    finally:
        await store.close()
    base = server_origins(_on_the_lan(config)[0], config.server.port)[0]
    return {
        "store": store_name(config),
        "practice": practice.hex(),
        "server_id": _text(server_id),
        "owner_link": owner_link_text(base, token, server_id),
    }


async def _make_store(config: Config) -> None:
    if config.store.url:
        from rapport_server.adapters.store.postgres.opening import role_of  # noqa: PLC0415 - an extra
        from rapport_server.adapters.store.postgres.version import initialise as make_tables  # noqa: PLC0415

        await make_tables(owner_url(config), role_of(config.store.url))
        return
    path = Path(config.store.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise StoreProblem(f"the folder {path.parent} cannot be made: {problem.strerror}") from None
    initialise(path)


async def migrate_store(config: Config) -> str:
    """Brings the configured store to this program's schema; one sentence about it. Raises StoreProblem."""
    if config.store.url:
        from rapport_server.adapters.store.postgres.opening import role_of  # noqa: PLC0415 - an extra
        from rapport_server.adapters.store.postgres.version import migrate as migrate_tables  # noqa: PLC0415

        return await migrate_tables(owner_url(config), role_of(config.store.url))
    return await asyncio.to_thread(migrate, Path(config.store.path))


def owner_url(config: Config) -> str:
    """The database as its owner. Raises ConfigurationProblem when it is not configured."""
    if not config.store.owner_url:
        raise ConfigurationProblem("store.owner_url is needed here: the database as the role that owns the tables")
    return config.store.owner_url


def store_name(config: Config) -> str:
    """The configured store for people: the file, or the database without name and password of its role."""
    parts = urlsplit(config.store.url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}" if config.store.url else config.store.path


def owner_link_text(base: str, token: bytes, server_id: bytes) -> str:
    """The link that makes its first user the owner of a practice. base: an origin; token, server_id: 32 bytes each."""
    return f"{base}/o#{_text(_LINK_VERSION + token + server_id)}"


def _text(content: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
