"""How a chat begins: which face, which vault, and joining on the first time."""

import io
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click
from msgspec import Struct

import rapport
from rapport.chat.key_place import place_key
from rapport.chat.new_device import link_here, usual_label
from rapport.terminal import Lines
from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["Start", "talk"]

_NO_VAULT: Final = (
    "nobody has joined with this vault yet. Start with the link you were given: rapport chat '<link>', or add this "
    "device to your account with the code that /link shows on another one: rapport chat --link '<code>'"
)
_NO_SCREEN: Final = (
    "the full screen needs the extra `chat`, which is not installed: pip install 'rapport[chat]'. "
    "Until then, --plain prints lines in its place."
)


class Start(Struct, frozen=True):
    """How to begin.

    join: an owner link or an invite. link: a code or an address that another device of the account shows; server is
    needed with a bare code. name, label: of the person and of this device, "" to be asked or for the usual one.
    """

    vault: Path
    join: str | None = None
    link: str | None = None
    name: str = ""
    label: str = ""
    server: str | None = None
    plain: bool = False


async def talk(start: Start) -> None:
    """Joins or links first if there is a link for it, then chats until the person leaves.

    Raises what `rapport.join`, `rapport.link_device` and `rapport.Client` raise, and LocalError when the full screen is
    not installed.
    """
    if not (start.join or start.link or (start.vault / "vault.sqlite").exists()):
        raise LocalError(ErrorCode.NOT_FOUND, _NO_VAULT)
    if start.plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        await _plain(start)
        return
    if find_spec("prompt_toolkit") is None:
        raise LocalError(ErrorCode.UNSUPPORTED, _NO_SCREEN)
    await _full(start)


async def _plain(start: Start) -> None:
    from rapport.chat.plain import PlainChat  # noqa: PLC0415 - one of the two faces

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a sign shows another one
    lines = Lines()

    async def asked() -> str:
        click.echo("Your name: ", nl=False)
        return (await anext(aiter(lines), "")).strip()

    notice = await _prepare(start, asked)
    if notice:
        click.echo(notice, err=True)
    async with rapport.Client(vault=start.vault) as client:
        await PlainChat(client, lines, click.echo).run()


async def _full(start: Start) -> None:
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - of an extra

    from rapport.chat.screen import Screen  # noqa: PLC0415 - of an extra

    async def asked() -> str:
        session: PromptSession[str] = PromptSession()
        return (await session.prompt_async("Your name, as the others will see it: ")).strip()

    notice = await _prepare(start, asked)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log must not be written over the screen
    async with rapport.Client(vault=start.vault) as client:
        farewell = await Screen(client, notice).run()
    if farewell:
        click.echo(farewell)


def _whole(link: str) -> str:
    """A link as it was given, though it was copied from a screen that broke it into lines."""
    return "".join(link.split())


async def _prepare(start: Start, asked: Callable[[], Awaitable[str]]) -> str:
    """Joins or links where that is wanted. Returns what the person must be told once."""
    if start.link is not None:
        label = start.label or usual_label()
        return await link_here(_whole(start.link), start.vault, label, start.server, click.echo)
    if start.join is not None:
        name = start.name or await asked()
        notice = await place_key(start.vault)
        await rapport.join(_whole(start.join), vault=start.vault, name=name)
        return notice
    return ""
