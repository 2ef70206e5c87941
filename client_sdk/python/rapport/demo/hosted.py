"""A server with a demo practice that people join by hand, from browsers and other terminals."""

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
from rapport.terminal import Lines
from rapport.testing.processes import ServerProcess

__all__ = ["host"]

_DESK: Final = "desk"
_THERAPIST: Final = "therapist"
_CLIENT: Final = "client"
_CONNECTED_WITHIN_S: Final = 30.0
"""Seconds for the first sign-in, on a busy machine."""
_WELCOME: Final = "Welcome. Write whenever you like; I answer in the morning."
_AGAIN_S: Final = 30.0
"""Seconds until a further code is asked for when the server gave none: it gives one every thirty."""


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
        owner_link = "" if (place / _DESK).exists() else await server.init()
        await server.start()
        if owner_link:
            await rapport.join(owner_link, vault=place / _DESK, name="Dr. Weiss")
        stopped = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stopped.set)
        async with rapport.Client(vault=place / _DESK) as desk:
            await desk.wait_until(rapport.ConnectionState.CONNECTED, timeout_s=_CONNECTED_WITHIN_S)
            if not (place / _THERAPIST).exists():
                await _link_the_terminal(desk, place / _THERAPIST)
            links = [await desk.invite(welcome=_WELCOME) for _ in range(1 if (place / _CLIENT).exists() else 2)]
            click.echo(_welcome(place, server.origin, links, temporary=temporary))
            browsers = asyncio.create_task(_link_browsers(desk))
            await stopped.wait()
            browsers.cancel()
            await asyncio.gather(browsers, return_exceptions=True)
        await server.stop()


async def _link_the_terminal(desk: rapport.Client, vault: Path) -> None:
    """A second device of the therapist's, for `rapport chat`: the first one stays with the demo, to link browsers."""
    offer = await desk.link()
    async with asyncio.TaskGroup() as both:
        both.create_task(offer.joined())  # from then on the new device shows digits
        async with rapport.link_device(offer.url, vault=vault, label="Terminal") as linking:
            both.create_task(offer.confirm(linking.digits))
            await linking.finished()


async def _link_browsers(desk: rapport.Client) -> None:
    """Prints an address that makes a browser the therapist's, and a new one whenever that is used or has ended.

    Returns when nobody can type digits any more.
    """
    lines = aiter(Lines())
    while True:
        try:
            offer = await desk.link()
            click.echo(f"As the therapist, in a browser (within three minutes, then a new one comes):\n  {offer.url}\n")
            await offer.joined()
            click.echo("Type the six digits that the browser shows:")
            async for line in lines:
                if await _confirmed(offer, line.strip()):
                    break
            else:
                return
        except rapport.LinkProblem as problem:
            click.echo(f"{problem.detail}\n")
        except rapport.RapportError:  # the server does not answer, or has had enough for now
            await asyncio.sleep(_AGAIN_S)


async def _confirmed(offer: rapport.LinkOffer, digits: str) -> bool:
    """Whether these were the digits. False: others, and there are tries left. LinkProblem when there are none."""
    try:
        device = await offer.confirm(digits)
    except rapport.LinkProblem as problem:
        if not problem.tries_left:
            raise
        click.echo(problem.detail)
        return False
    click.echo(f"{device.label or 'The browser'} is linked.\n")
    return True


def _server(folder: Path) -> ServerProcess:
    """The folder's server on the port it had before: the vaults know it by that."""
    folder.mkdir(parents=True, exist_ok=True)
    remembered = folder / "port"
    server = ServerProcess(folder / "server", port=int(remembered.read_text()) if remembered.exists() else None)
    remembered.write_text(str(server.port))
    return server


def _welcome(folder: Path, origin: str, links: list[str], *, temporary: bool) -> str:
    program = Path(sys.executable).with_name("rapport")
    chat = f"{shlex.quote(str(program)) if program.exists() else f'{sys.executable} -m rapport'} chat --vault"
    therapist, client = (shlex.quote(str(folder / name)) for name in (_THERAPIST, _CLIENT))
    joining = f" --name Dana {shlex.quote(links[1])}" if links[1:] else ""
    return (
        f"A practice is open at {origin}. Its data and the vaults are in {folder}"
        f"{' until this ends' if temporary else ''}.\n\n"
        f"As the therapist, in another terminal:\n  {chat} {therapist}\n\n"
        f"As the client, in a third:\n  {chat} {client}{joining}\n\n"
        "There, /help lists commands; the therapist's /invite makes further links. Ctrl-C ends the server here.\n\n"
        f"As a client, in a browser:\n  {links[0]}\n"
    )
