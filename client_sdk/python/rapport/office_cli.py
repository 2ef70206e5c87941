"""`rapport office`: one's own hours without a chat, for a vault that no other program has open."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click

__all__ = ["office_commands"]

_METHODS = {"import": "take"}
"""Commands whose names are no names of methods."""
Run = Callable[[Coroutine[Any, Any, None]], None]


def office_commands(run: Run, default_vault: Callable[[], Path]) -> click.Group:
    """The group. run: runs a coroutine to its end and turns problems into exit codes."""

    @click.group("office")
    @click.option("--vault", type=click.Path(path_type=Path), help="Folder with this device's keys and messages.")
    @click.pass_context
    def office(ctx: click.Context, vault: Path | None) -> None:
        """Your office hours: when you are there, and by when you answer."""
        from rapport.chat.office_work import OfficeWork

        ctx.obj = OfficeWork(vault or default_vault(), click.echo)

    def add(name: str, text: str, *params: click.Parameter) -> None:
        """A command that is the method of that name, with what was typed."""

        @click.pass_obj
        def call(work: Any, /, **given: Any) -> None:
            run(getattr(work, _METHODS.get(name, name))(**given))

        office.add_command(click.Command(name, callback=call, params=[*params], help=text))

    state = click.Choice(["away", "in_session", "closed", "open"])
    add("show", "Your hours, and what clients see now.")
    add("set", "Change and publish: LINES as behind /hours, each in quotes.", click.Argument(["lines"], nargs=-1))
    add(
        "away",
        "Say by hand that you are away, UNTIL 'until 14:00' or '2h'.",
        click.Argument(["until"]),
        click.Option(["--state"], type=state, default="away", show_default=True, help="What is said."),
    )
    add("back", "You are back; your hours count.")
    add(
        "leave",
        "A leave from FIRST to LAST, both included: 2026-12-21.",
        click.Argument(["first"]),
        click.Argument(["last"]),
        click.Option(["--cover"], default="", help="The colleague who answers meanwhile, by name."),
    )
    region = click.Argument(["region"], required=False, default="")
    add("holidays", "Close on public holidays, of this year and the next.", click.Argument(["country"]), region)
    add("publish", "Wait until what was changed is at the server.")
    file = click.Path(path_type=Path, dir_okay=False)
    add("export", "Write your hours as a calendar FILE (.ics).", click.Argument(["file"], type=file))
    add("import", "Take leaves and dates from a calendar FILE (.ics).", click.Argument(["file"], type=file))
    return office
