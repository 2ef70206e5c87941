"""The server's commands: serve, init, doctor, migrate, config, store, web, webhooks, notifications, backup, restore.

Exit codes: 0, 1 `doctor` found a problem, 2 usage, 70 internal, 74 store, 78 configuration; one clear sentence per
failure, on standard error.
Source: docs/operate.md.
"""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

import click
import msgspec

from rapport_protocol.errors import Rejected
from rapport_server.adapters.store.problem import StoreProblem
from rapport_server.config import CONFIGURATION_EXIT, Config, ConfigurationProblem
from rapport_server.config_sources import load

__all__ = ["INTERNAL_EXIT", "STORE_EXIT", "commands"]

INTERNAL_EXIT: Final = 70
"""Exit code of a fault in the program (EX_SOFTWARE of sysexits.h)."""
STORE_EXIT: Final = 74
"""Exit code of a store that cannot be opened, read or written (EX_IOERR of sysexits.h)."""

Given = ParamSpec("Given")
Result = TypeVar("Result")


@contextmanager
def _one_sentence() -> Iterator[None]:
    """Turns a failure into its sentence and exit code."""
    try:
        yield
    except ConfigurationProblem as problem:
        _fail(str(problem), CONFIGURATION_EXIT)
    except StoreProblem as problem:
        _fail(str(problem), STORE_EXIT)
    except Rejected as problem:
        _fail(problem.detail or str(problem.code), STORE_EXIT)
    except (click.ClickException, click.exceptions.Exit, click.Abort, SystemExit):
        raise
    except Exception as problem:  # a fault in the program: its text may quote what it choked on
        _fail(f"internal error ({type(problem).__name__}); please report how it came about", INTERNAL_EXIT)


def _fail(sentence: str, code: int) -> None:
    click.echo(f"rapport: {sentence}", err=True)
    raise SystemExit(code)


def _configured(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that every command reads its configuration from, and hands the result over as `config`."""

    @wraps(command)
    def configured(load_config: Callable[[], Config], **rest: Any) -> None:
        command(load_config(), **rest)

    return _configurable(configured)


def _configurable(command: Callable[..., None]) -> Callable[..., None]:
    """The same options; hands over as `load_config` what reads the configuration."""

    @click.option("--config", "file", type=click.Path(path_type=Path), help="Configuration file [./rapport.toml].")
    @click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="One setting, like server.port=8000.")
    @click.option("--host", help="Same as --set server.host=…")
    @click.option("--port", help="Same as --set server.port=…")
    @click.option("--public-url", help="Same as --set server.public_url=…")
    @click.option("--store", help="Same as --set store.path=…")
    @click.option("--workers", help="Same as --set server.workers=…")
    @click.option("--lan", is_flag=True, help="Same as --set server.lan=true: https for phones nearby.")
    @wraps(command)
    def configured(
        file: Path | None,
        settings: tuple[str, ...],
        host: str | None,
        port: str | None,
        public_url: str | None,
        store: str | None,
        workers: str | None,
        lan: bool,
        **rest: Any,
    ) -> None:
        flags = dict(_setting(text) for text in settings)
        named = {"server.host": host, "server.port": port, "server.public_url": public_url, "store.path": store}
        named["server.workers"] = workers
        flags.update({key: text for key, text in named.items() if text is not None})
        flags.update({"server.lan": "true"} if lan else {})
        with _one_sentence():
            command(lambda: load(file, os.environ, flags), **rest)

    return configured


def _setting(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError("--set takes KEY=VALUE")
    return key.strip(), value


@click.group()
def commands() -> None:
    """The server of Rapport."""


@commands.command("serve")
@_configured
@click.option("--ready-file", type=click.Path(path_type=Path), help="Written once the server listens, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="The ready line as JSON.")
def _serve(config: Config, ready_file: Path | None, as_json: bool) -> None:
    """Run the server until SIGTERM or SIGINT; then drain and stop."""
    from rapport_server.serving import serve as run
    from rapport_server.systemd import READY, notify
    from rapport_server.workers import supervise

    def ready(facts: dict[str, object]) -> None:
        text = json.dumps(facts)
        if ready_file is not None:
            _write_whole(ready_file, f"{text}\n")
        click.echo(text if as_json else f"listening on {facts['url']}")
        authority = facts["authority"]
        if isinstance(authority, dict) and not as_json:
            click.echo(f"phones first open {authority['url']} and trust the certificate there, SHA-256")
            click.echo(f"  {authority['sha256']}")
        sys.stdout.flush()
        notify(READY)

    if config.server.workers > 1:
        sys.exit(supervise(config, ready))
    failed = run(config, ready)
    if failed is not None:
        _fail(f"a part of the server failed ({failed})", INTERNAL_EXIT)


@commands.command("worker", hidden=True)
def _worker() -> None:
    """One of several workers: `rapport serve` starts it, with the configuration as JSON on standard input."""
    from rapport_server.serving import serve as run

    def ready(facts: dict[str, object]) -> None:
        click.echo(json.dumps(facts))
        sys.stdout.flush()

    with _one_sentence():
        config = msgspec.json.decode(sys.stdin.buffer.readline(), type=Config)
        failed = run(config, ready, supervised=True)
    if failed is not None:
        _fail(f"a part of the server failed ({failed})", INTERNAL_EXIT)


def _write_whole(path: Path, text: str) -> None:
    """Renamed into place: whoever waits for the file never reads half of it."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as problem:
        raise ConfigurationProblem(f"the ready file {path} cannot be written: {problem.strerror}") from None


@commands.command("init")
@_configured
@click.option("--practice", is_flag=True, help="Add a practice to a store that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def _init(config: Config, practice: bool, as_json: bool) -> None:
    """Create the store and a practice, and print its owner link. The link is shown once."""
    from rapport_server.serving import create_practice

    made = asyncio.run(create_practice(config, existing=practice))
    if as_json:
        click.echo(json.dumps(made))
    else:
        click.echo(f"store     {made['store']}\npractice  {made['practice']}\n")
        click.echo("Open this link to become the owner of the practice. It works once and is not shown again:")
        click.echo(f"  {made['owner_link']}")


@commands.command("doctor")
@_configurable
@click.option("--reach", is_flag=True, help="Also ask server.public_url for an answer, over the network.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def _doctor(load_config: Callable[[], Config], reach: bool, as_json: bool) -> None:
    """Look at the configuration, the store, the clock, ports and permissions; say what is wrong and what to do.

    Changes nothing. Exit code 0 when a server can run with this, 78 for the configuration, 1 for any other problem.
    """
    from rapport_server.doctor import diagnose, exit_code

    findings = diagnose(load_config, reach=reach)
    if as_json:
        click.echo(msgspec.json.encode({"code": exit_code(findings), "findings": findings}).decode())
    else:
        for finding in findings:
            click.echo(f"{finding.state:<8} {finding.check:<13} {finding.text}")
            if finding.advice:
                click.echo(f"{'':<22} -> {finding.advice}")
    sys.exit(exit_code(findings))


@commands.command("migrate")
@_configured
def _migrate(config: Config) -> None:
    """Bring the store to this version's schema. Stop the server first, and back up."""
    from rapport_server.serving import migrate_store

    click.echo(asyncio.run(migrate_store(config)))


@commands.command("backup")
@click.argument("target", type=click.Path(path_type=Path))
@_configured
def _backup(config: Config, target: Path) -> None:
    """Copy the store to TARGET while the server runs."""
    from rapport_server.adapters.store.sqlite.backup import backup as run

    _only_with_a_file(config)
    run(Path(config.store.path), target)
    click.echo(f"copied to {target}")


def _only_with_a_file(config: Config) -> None:
    if config.store.url:
        raise ConfigurationProblem(
            "the store is in PostgreSQL: back it up with PostgreSQL's own tools, as docs/operate.md says"
        )


@commands.command("restore")
@click.argument("source", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_configured
def _restore(config: Config, source: Path) -> None:
    """Put the copy SOURCE in place as the store. What came after the copy is not in it."""
    from rapport_server.adapters.store.sqlite.backup import restore as run

    _only_with_a_file(config)
    run(source, Path(config.store.path))
    click.echo(f"restored to {config.store.path}")


@commands.group("store")
def _store() -> None:
    """The store, while no server uses it."""


@_store.command("copy")
@click.option("--to", "owner_url", required=True, help="PostgreSQL database, as the role that will own the tables.")
@click.option("--role", default="rapport", show_default=True, help="The role that the server will come as.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_configured
def _store_copy(config: Config, owner_url: str, role: str, as_json: bool) -> None:
    """Copy the store from its file (store.path) into PostgreSQL. Interrupted, it goes on where it was."""
    from rapport_server.adapters.store.copying import copy

    same = asyncio.run(copy(Path(config.store.path), owner_url, role, lambda line: click.echo(line, err=True)))
    if as_json:
        click.echo(msgspec.json.encode({"tables": [table._asdict() for table in same]}).decode())
    else:
        for table in same:
            click.echo(f"{table.table:<18} {table.rows:>10} rows  {table.hash}")
        click.echo("both stores are the same")


@_store.command("restored")
@_configured
def _store_restored(config: Config) -> None:
    """Say that the PostgreSQL database was put back from a backup, before a server starts on it again."""
    from rapport_server.adapters.clock import SystemClock
    from rapport_server.adapters.store.postgres.version import begin_anew
    from rapport_server.serving import owner_url, store_name

    asyncio.run(begin_anew(owner_url(config), SystemClock().now_ms()))
    click.echo(f"{store_name(config)} counts from further on, and devices will send again what it may lack")


@commands.group("web")
def _web() -> None:
    """The browser app."""


@_web.command("verify")
@click.argument("url")
@click.option("--wheel", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Compare with this wheel.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def _web_verify(url: str, wheel: Path | None, as_json: bool) -> None:
    """Compare the app that the server at URL serves with the one that was released.

    Exit code 0 when every file is the same, 1 when one differs.
    """
    from rapport_server.web_files import WebAppProblem
    from rapport_server.web_verifying import released_manifest, verify

    with _one_sentence():
        try:
            verified = verify(url, released_manifest(wheel))
        except WebAppProblem as problem:
            raise ConfigurationProblem(str(problem)) from None
    if as_json:
        click.echo(msgspec.json.encode(verified).decode())
    else:
        for difference in verified.differences:
            click.echo(f"{difference.path} {difference.why}")
        click.echo(f"{verified.files} files compared, {len(verified.differences)} differences")
    sys.exit(1 if verified.differences else 0)


@commands.group("webhooks")
def _webhooks() -> None:
    """Systems of your own that are told of events. With a SQLite store, stop the server first."""


@_webhooks.command("add")
@click.argument("url")
@click.option("--practice", help="Hexadecimal, as `rapport init` prints it; needed when there are several.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@_configured
def _webhooks_add(config: Config, url: str, practice: str | None, as_json: bool) -> None:
    """Tell URL (https) of what happens. Prints the secret that signs every request, once."""
    from rapport_server.webhook_keeping import add

    added = asyncio.run(add(config, url, practice))
    if as_json:
        click.echo(msgspec.json.encode(added).decode())
    else:
        click.echo(f"webhook   {added.id}\npractice  {added.practice}\n")
        click.echo(f"Give this secret to the receiver; it is not shown again:\n  {added.secret}")


@_webhooks.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
@_configured
def _webhooks_list(config: Config, as_json: bool) -> None:
    """Print all webhooks, without their secrets."""
    from rapport_server.webhook_keeping import listed

    found = asyncio.run(listed(config))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for webhook in found:
            click.echo(f"{webhook.id}  {webhook.practice}  {webhook.url}")


@_webhooks.command("remove")
@click.argument("name", metavar="ID")
@_configured
def _webhooks_remove(config: Config, name: str) -> None:
    """End a webhook; what it has not taken yet is dropped."""
    from rapport_server.webhook_keeping import remove

    asyncio.run(remove(config, name))
    click.echo(f"removed {name}")


@_webhooks.command("test")
@click.argument("name", metavar="ID")
@_configured
def _webhooks_test(config: Config, name: str) -> None:
    """Send one event `webhook.test` now. Exit code 1 when it is not taken."""
    from rapport_server.webhook_keeping import tried

    taken, sentence = asyncio.run(tried(config, name))
    click.echo(sentence)
    sys.exit(0 if taken else 1)


@commands.group("notifications")
def _notifications() -> None:
    """The keys of pushes and webhooks."""


@_notifications.command("new-keys")
def _notifications_new_keys() -> None:
    """Print fresh keys as lines of a configuration file."""
    from rapport_server.notification_keys import new_vapid_key
    from rapport_server.sealing import new_key

    click.echo(f'[notifications]\nkey = "{new_key()}"\nvapid_key = "{new_vapid_key()}"')


@_notifications.command("reseal")
@_configured
def _notifications_reseal(config: Config) -> None:
    """Seal every address and secret in the store under the first key of notifications.key."""
    from rapport_server.webhook_keeping import reseal

    changed, unreadable = asyncio.run(reseal(config))
    click.echo(f"{changed} values are under the newest key now, {unreadable} cannot be opened with any key")
    sys.exit(1 if unreadable else 0)


@commands.group("config")
def _config() -> None:
    """Look at the configuration."""


@_config.command("check")
@_configured
def _check(config: Config) -> None:
    """Say whether the configuration can be used."""
    click.echo(f"usable; the server would listen on {config.server.host} port {config.server.port}")


@_config.command("show")
@_configured
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of TOML.")
def _show(config: Config, as_json: bool) -> None:
    """Print every setting with the value it has."""
    from rapport_server.config_sources import as_tables
    from rapport_server.config_text import toml_text

    click.echo(json.dumps(as_tables(config), indent=2) if as_json else toml_text(config), nl=as_json)


@_config.command("schema")
def _schema() -> None:
    """Print the JSON schema of the configuration file."""
    from rapport_server.config_text import json_schema

    click.echo(json_schema())
