"""The `rapport` command: chat, demo and bench here, the server's commands through the entry-point group.

Exit codes: 0; 1 when something went wrong on the way; 2 for wrong usage; 78 for a configuration that cannot be used.
"""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from rapport.bench.cli import bench
from rapport.office_cli import office_commands

__all__ = ["COMMAND_GROUP", "main"]

T = TypeVar("T")

COMMAND_GROUP: Final = "rapport.commands"
"""Entry points of this group are click groups whose commands become commands of `rapport`."""


class _Commands(click.Group):
    """The commands of this file and, looked up when asked for, those of other installed packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*super().list_commands(ctx), *self._others()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return super().get_command(ctx, cmd_name) or self._others().get(cmd_name)

    @staticmethod
    def _others() -> dict[str, click.Command]:
        found: dict[str, click.Command] = {}
        for entry in entry_points(group=COMMAND_GROUP):
            try:
                found.update(entry.load().commands)
            except ModuleNotFoundError:
                continue  # an installation of the SDK alone lacks what the server is made of
        return found


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rapport", prog_name="rapport")
def main() -> None:
    """Encrypted conversations between therapists and clients."""


@main.command("chat")
@click.argument("invite", metavar="[LINK]", required=False)
@click.option("--vault", type=click.Path(path_type=Path), help="Folder with this device's keys and messages.")
@click.option("--name", default="", help="Your name, as the other side will see it (with LINK).")
@click.option("--link", "code", help="Add this device to your account: what /link shows on a device of yours.")
@click.option("--server", help="The server's address, with a code that was typed (see --link).")
@click.option("--label", default="", help="What this device is called (with --link).")
@click.option("--plain", is_flag=True, help="Printed lines in place of the full screen; always so without a terminal.")
def _chat(
    invite: str | None, vault: Path | None, name: str, code: str | None, server: str | None, label: str, plain: bool
) -> None:
    """Talk in this terminal. LINK joins once; afterwards the vault alone is enough."""
    from rapport.chat.starting import Start, talk

    if invite and code:
        raise click.UsageError("LINK makes a new account, --link adds a device to one you have: give one of them.")
    start = Start(vault or _default_vault(), invite, code, name, label, server, plain)
    _run(talk(start))


@main.command("link")
@click.argument("code")
@click.option("--vault", type=click.Path(path_type=Path), help="An empty folder for this device's keys and messages.")
@click.option("--server", help="The server's address, with a code that was typed.")
@click.option("--label", default="", help="What this device is called.")
def _link(code: str, vault: Path | None, server: str | None, label: str) -> None:
    """Add this device to your account. CODE is what /link shows on a device of yours."""
    from rapport.chat.new_device import link_here, usual_label

    notice = _run(link_here(code, vault or _default_vault(), label or usual_label(), server, click.echo))
    if notice:
        click.echo(notice, err=True)


def _default_vault() -> Path:
    from platformdirs import user_data_path

    return user_data_path("rapport") / "vault"


@main.command("demo")
@click.option("--folder", type=click.Path(path_type=Path), help="Keep everything here, not in a temporary folder.")
@click.option("--headless", is_flag=True, help="Play a conversation without people, through a kill of the server.")
@click.option("--cluster", is_flag=True, help="Play it through two nodes with Redis and PostgreSQL, and kill those.")
@click.option("--json", "as_json", is_flag=True, help="With --headless: one JSON object; always so without a terminal.")
def _demo(folder: Path | None, headless: bool, cluster: bool, as_json: bool) -> None:
    """Start a server with a demo practice and say how to join.

    Without a terminal on standard output, or with --headless, two clients play a conversation through a kill of the
    server; the exit code is 0 only if nothing was lost, duplicated or put out of order. With --cluster they always do.
    """
    watched = sys.stdout.isatty()
    if cluster:
        from rapport.demo.cluster import play as play_cluster

        sys.exit(_run(play_cluster(folder, as_json=as_json or not watched)))
    if headless or not watched:
        from rapport.demo.headless import play

        sys.exit(_run(play(folder, as_json=as_json or not watched)))
    from rapport.demo.hosted import host

    _run(host(folder))


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Runs to the end. A problem of Rapport's own becomes one sentence and exit code 1; signals end it in order."""
    import rapport
    from rapport.testing.processes import ProcessProblem

    try:
        return asyncio.run(_until_terminated(work))
    except (rapport.RapportError, ProcessProblem) as problem:
        raise click.ClickException(getattr(problem, "detail", "") or str(problem)) from None
    except KeyboardInterrupt:
        click.echo()
        sys.exit(128 + signal.SIGINT)
    except asyncio.CancelledError:
        sys.exit(128 + signal.SIGTERM)


async def _until_terminated(work: Coroutine[Any, Any, T]) -> T:
    """SIGTERM cancels the work like Ctrl-C does, so that processes it has started are ended too."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - inside a coroutine there is one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work


main.add_command(bench)
main.add_command(office_commands(_run, _default_vault))
