"""`rapport doctor`: looks at everything that a server needs, and says what is wrong and what to do about it.

It changes nothing and prints no secret. Source: docs/operate.md, "When something is wrong".
"""

import asyncio
import os
import resource
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.adapters.store.sqlite.examining import examine, files_of
from rapport_server.config import CONFIGURATION_EXIT, Config, ConfigurationProblem, is_loopback, origin_of
from rapport_server.doors.http.listening import bind, require_c_parser
from rapport_server.notification_keys import key_files, read_keys

__all__ = ["Finding", "diagnose", "exit_code"]

FREE_PROBLEM_BYTES: Final = 100 * 1024 * 1024
"""With less free the log cannot even be copied into the file: the server stops when the disk is full."""
FREE_WARNING_BYTES: Final = 1024 * 1024 * 1024
"""Below this there are days left rather than months."""
CLOCK_OFF_MS: Final = 2_000
"""A clock that is further off shows: devices measure every time stamp by the server's."""
FILES_PROBLEM: Final = 256
"""Open files: the store, the listeners and a handful of devices."""
FILES_WARNING: Final = 4_096
"""Each connected device takes one; the usual hard limit is far higher."""
_REACH_S: Final = 5.0
"""Seconds that an address gets to answer."""

State = Literal["ok", "warning", "problem"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """One thing that was looked at. text: what is so; advice: what to do, empty when nothing."""

    check: str
    state: State
    text: str
    advice: str = ""


def diagnose(load: Callable[[], Config], *, reach: bool) -> list[Finding]:
    """Every check, in a fixed order; those that need a configuration are left out when there is none.

    load: reads the configuration; its ConfigurationProblem becomes a finding. reach: also ask `public_url` for an
    answer, over the network.
    """
    wall, monotonic = time.time(), time.monotonic()
    try:
        config = load()
    except ConfigurationProblem as problem:
        advice = "see docs/configuration.md and `rapport config schema`"
        return [Finding("configuration", "problem", str(problem), advice), _parser(), _file_limit()]
    findings = [Finding("configuration", "ok", "can be used"), _origins(config), _parser(), _file_limit()]
    if config.store.url:
        store, newest_ms = _database(config.store.url)
        findings += [store, *_ports(config)]
    else:
        store, newest_ms = _store(Path(config.store.path))
        findings += [store, *_permissions(Path(config.store.path)), *_space(Path(config.store.path)), *_ports(config)]
    findings.append(_notifications(config))
    if config.bus.url:
        findings.append(_bus(config))
    if reach:
        findings.append(_reached(config))
    stepped_s = (time.time() - wall) - (time.monotonic() - monotonic)
    return [*findings, _clock(newest_ms, stepped_s)]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when a server can run with this, warnings or not; 78 for the configuration, 1 for any other problem."""
    problems = [finding.check for finding in findings if finding.state == "problem"]
    return CONFIGURATION_EXIT if "configuration" in problems else min(len(problems), 1)


def _origins(config: Config) -> Finding:
    server = config.server
    if not server.public_url and not is_loopback(server.host):
        text = f"links will name {server.host}, the address to listen on"
        return Finding("origins", "warning", text, "set server.public_url to the name that people use")
    own = [origin_of(server.public_url)] if server.public_url else []
    clear = [url for url in map(origin_of, server.origins) if url.startswith("http://") and not _local(url)]
    if clear:
        text = f"pages of {', '.join(clear)} may talk to the server, and anybody on their way can change such pages"
        return Finding("origins", "warning", text, "name only https:// origins in server.origins")
    allowed = sorted({*own, *map(origin_of, server.origins)})
    return Finding("origins", "ok", f"pages of {', '.join(allowed) or 'this machine'} may talk to the server")


def _local(url: str) -> bool:
    return is_loopback(url.removeprefix("http://").rsplit(":", 1)[0].strip("[]"))


def _parser() -> Finding:
    try:
        require_c_parser()
    except ConfigurationProblem as problem:
        return Finding("parser", "problem", "HTTP would be read by the pure-Python parser", str(problem))
    return Finding("parser", "ok", "HTTP is read by aiohttp's C parser")


def _file_limit() -> Finding:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard >= FILES_WARNING:
        return Finding("files", "ok", "open files are limited far above what a practice needs")
    state: State = "problem" if hard < FILES_PROBLEM else "warning"
    text = f"at most {hard} files may be open; every connected device takes one"
    return Finding("files", state, text, "raise the hard limit (LimitNOFILE= in a systemd unit, `ulimit -Hn`)")


def _store(path: Path) -> tuple[Finding, int | None]:
    """The finding, and the newest time in the store."""
    try:
        examined = examine(path)
    except StoreProblem as problem:
        return Finding("store", "problem", str(problem), "see docs/operate.md"), None
    text = f"{path} is whole and of this version, {examined.file_bytes // 1024:,} KiB"
    return Finding("store", "ok", text), examined.newest_ms


def _database(url: str) -> tuple[Finding, int | None]:
    """The finding, and the database's clock, which all nodes go by."""
    try:
        from rapport_server.adapters.store.postgres.opening import described  # noqa: PLC0415 - an extra
        from rapport_server.adapters.store.postgres.writer import examine_database  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        return Finding("store", "problem", f"store.url needs a package that is not installed: {missing.name}"), None
    try:
        now_ms = asyncio.run(examine_database(url))
    except StoreProblem as problem:
        return Finding("store", "problem", str(problem), "see docs/operate.md"), None
    return Finding("store", "ok", f"PostgreSQL at {described(url)} syncs, and its tables are of this version"), now_ms


def _notifications(config: Config) -> Finding:
    """Whether there are keys for pushes and webhooks, and who may read them."""
    try:
        keys = read_keys(config)
    except ConfigurationProblem as problem:
        return Finding("notifications", "problem", str(problem), 'see docs/operate.md, "Pushes and webhooks"')
    if keys is None:
        text = "there is no notification key: devices are not pushed, and webhooks are told nothing"
        return Finding("notifications", "warning", text, "`rapport notifications new-keys` prints new ones")
    open_to_others = [path for path in key_files(config) if path.exists() and path.stat().st_mode & 0o077]
    if open_to_others and not config.store.url:
        advice = "; ".join(f"chmod 600 {path}" for path in open_to_others)
        return Finding("notifications", "problem", "others on this machine may read the notification keys", advice)
    return Finding("notifications", "ok", f"pushes go to {', '.join(config.notifications.push_hosts) or 'nobody'}")


def _bus(config: Config) -> Finding:
    """Whether the nodes can reach each other through Redis, whose clock their leases go by."""
    advice = "see docs/operate.md; messages between nodes take some seconds as long as it is so"
    try:
        from rapport_server.adapters.redis.examining import BusProblem, examine  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as missing:
        text = f"bus.url needs a package that is not installed: {missing.name}"
        return Finding("bus", "problem", text, "install rapport[nodes]")
    try:
        examined = asyncio.run(examine(config.bus.url, config.bus.namespace))
    except ConfigurationProblem as problem:
        return Finding("bus", "problem", str(problem), "see docs/configuration.md")
    except BusProblem as problem:
        return Finding("bus", "problem", str(problem), advice)
    if abs(examined.ahead_ms) > CLOCK_OFF_MS:
        where = "ahead of" if examined.ahead_ms > 0 else "behind"
        text = f"the clock of Redis is {abs(examined.ahead_ms) / 1000:,.0f} s {where} this one"
        return Finding("bus", "warning", text, "keep the clocks of all machines right by NTP")
    return Finding("bus", "ok", f"Redis can be used, and {examined.nodes} nodes are known there")


def _permissions(path: Path) -> Iterator[Finding]:
    """Of the store's files and their folder: whoever can read them has the server's signing key."""
    if not path.exists():
        return
    wrong = []
    for each, mode in [*((file, 0o600) for file in files_of(path)), (path.absolute().parent, 0o700)]:
        found = each.stat()
        if found.st_mode & 0o777 & ~mode:
            wrong.append(f"chmod {mode:o} {each}")
        if found.st_uid != os.geteuid():
            text = f"{each} belongs to another user than the one who asks"
            yield Finding("owner", "warning", text, "run this as the user that the server runs as")
            return
    if wrong:
        text = "others on this machine may read the store, which holds the server's signing key"
        yield Finding("permissions", "problem", text, "; ".join(wrong))
    else:
        yield Finding("permissions", "ok", "only the owner may read the store")


def _space(path: Path) -> Iterator[Finding]:
    folder = path.absolute().parent
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    text = f"{free // 2**20:,} MiB are free for the store"
    if free >= FREE_WARNING_BYTES:
        yield Finding("space", "ok", text)
    else:
        state: State = "problem" if free < FREE_PROBLEM_BYTES else "warning"
        yield Finding("space", state, text, "make room: with a full disk the server takes nothing and ends")


def _ports(config: Config) -> Iterator[Finding]:
    wanted = [("port", config.server.host, config.server.port)]
    if config.metrics.enabled:
        wanted.append(("metrics port", config.metrics.host, config.metrics.port))
    for name, host, port in wanted:
        try:
            bind(host, port).close()
        except ConfigurationProblem as problem:
            where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            if name == "port" and _answers(where):
                yield Finding(name, "ok", f"a server answers at {where} already")
            else:
                yield Finding(name, "problem", str(problem), "end what listens there, or choose another port")
        else:
            yield Finding(name, "ok", f"{host} port {port} is free")


def _reached(config: Config) -> Finding:
    url = config.server.public_url
    if not url:
        return Finding("reach", "warning", "there is no public_url to ask", "set server.public_url")
    if _answers(origin_of(url)):
        return Finding("reach", "ok", f"a server answers at {origin_of(url)}")
    advice = "start the server, then look at the proxy, its certificate, the name and the firewall"
    return Finding("reach", "warning", f"no server answers at {origin_of(url)}", advice)


def _answers(origin: str) -> bool:
    """Whether `/healthz` there says what a server of Rapport says."""
    try:
        # The scheme is http or https: `origin_of` lets nothing else through.
        with urllib.request.urlopen(f"{origin}/healthz", timeout=_REACH_S) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError, ValueError):
        return False


def _clock(newest_ms: int | None, stepped_s: float) -> Finding:
    ahead_s = ((newest_ms or 0) - time.time_ns() // 1_000_000) / 1000
    advice = "set the machine's clock and keep it right by NTP (`timedatectl set-ntp true`)"
    if ahead_s * 1000 > CLOCK_OFF_MS:
        return Finding("clock", "warning", f"the store has seen a time {ahead_s:,.0f} s ahead of this clock", advice)
    if abs(stepped_s) * 1000 > CLOCK_OFF_MS:
        return Finding("clock", "warning", f"the clock jumped by {stepped_s:,.0f} s while it was looked at", advice)
    against = "" if newest_ms is None else " and not behind the store"
    return Finding("clock", "ok", f"steady{against}")
