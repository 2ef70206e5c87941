"""A server with a demo practice that people join by hand from other terminals."""

import asyncio
import shlex
import signal
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import click

import rapport
from rapport.testing.processes import ServerProcess

__all__ = ["host"]

_THERAPIST: Final = "therapist"
_CLIENT: Final = "client"
_CONNECTED_WITHIN_S: Final = 30.0
"""Seconds for the first sign-in, on a busy machine."""


async def host(folder: Path | None) -> None:
    """Runs it until it is interrupted.

    folder: where to keep the data and the vaults, to go on with the next time; None uses a temporary one. Raises
    ProcessProblem when the server does not start.
    """
    async with AsyncExitStack() as stack:
        temporary = folder is None
        place = (
            Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rapport-demo-"))) if folder is None else folder
        )
        server = await stack.enter_async_context(_server(place))
        owner_link = "" if (place / _THERAPIST).exists() else await server.init()
        await server.start()
        link = "" if (place / _CLIENT).exists() else await _link_for_a_client(place / _THERAPIST, owner_link)
        stopped = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
        click.echo(_welcome(place, server.origin, link, temporary=temporary))
        await stopped.wait()
        await server.stop()


def _server(folder: Path) -> ServerProcess:
    """The folder's server on the port it had before: the vaults know it by that."""
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "port"
    server = ServerProcess(folder / "server", port=int(remembered.read_text()) if remembered.exists() else None)
    remembered.write_text(str(server.port))
    return server


async def _link_for_a_client(vault: Path, owner_link: str) -> str:
    """Registers the owner, who is the practice's therapist, unless there is one; then makes a link."""
    if owner_link:
        await rapport.join(owner_link, vault=vault, name="Dr. Weiss")
    async with rapport.Client(vault=vault) as therapist:
        await therapist.wait_until(rapport.ConnectionState.CONNECTED, timeout_s=_CONNECTED_WITHIN_S)
        return await therapist.invite(welcome="Welcome. Write whenever you like; I answer in the morning.")


def _welcome(folder: Path, origin: str, link: str, *, temporary: bool) -> str:
    program = Path(sys.executable).with_name("rapport")
    chat = f"{shlex.quote(str(program)) if program.exists() else f'{sys.executable} -m rapport'} chat --vault"
    therapist, client = (shlex.quote(str(folder / name)) for name in (_THERAPIST, _CLIENT))
    joining = f" --name Dana {shlex.quote(link)}" if link else ""
    return (
        f"A practice is open at {origin}. Its data and the vaults are in {folder}"
        f"{' until this ends' if temporary else ''}.\n\n"
        f"As the therapist, in another terminal:\n  {chat} {therapist}\n\n"
        f"As the client, in a third:\n  {chat} {client}{joining}\n\n"
        "There, /help lists commands; the therapist's /invite makes further links. Ctrl-C ends the server here."
    )
