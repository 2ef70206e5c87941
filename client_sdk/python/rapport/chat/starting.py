"""How a chat begins: which face, which vault, and joining on the first time."""

import io
import logging
import sys
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import click

import rapport
from rapport.terminal import Lines
from rapport_protocol.errors import ErrorCode, LocalError

__all__ = ["talk"]

_NO_SCREEN: Final = (
    "The full screen needs the extra `chat`, which is not installed: pip install 'rapport[chat]'. "
    "Until then, --plain prints lines in its place."
)


async def talk(link: str | None, vault: Path, name: str, *, plain: bool) -> None:
    """Joins with `link` if there is one, then chats until the person leaves.

    plain: printed lines even on a terminal. Raises what `rapport.join` and `rapport.Client` raise, and LocalError when
    the full screen is not installed.
    """
    if plain or not (sys.stdin.isatty() and sys.stdout.isatty()):
        await _plain(link, vault, name)
        return
    if find_spec("prompt_toolkit") is None:
        raise LocalError(ErrorCode.UNSUPPORTED, _NO_SCREEN)
    await _full(link, vault, name)


async def _plain(link: str | None, vault: Path, name: str) -> None:
    from rapport.chat.plain import PlainChat  # noqa: PLC0415 - one of the two faces

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a sign shows another one
    lines = Lines()

    async def asked() -> str:
        click.echo("Your name: ", nl=False)
        return (await anext(aiter(lines), "")).strip()

    await _join(link, vault, name, asked)
    async with rapport.Client(vault=vault) as client:
        await PlainChat(client, lines, click.echo).run()


async def _full(link: str | None, vault: Path, name: str) -> None:
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - of an extra

    from rapport.chat.screen import Screen  # noqa: PLC0415 - of an extra

    async def asked() -> str:
        session: PromptSession[str] = PromptSession()
        return (await session.prompt_async("Your name, as the others will see it: ")).strip()

    await _join(link, vault, name, asked)
    logging.getLogger().addHandler(logging.NullHandler())  # what libraries log must not be written over the screen
    async with rapport.Client(vault=vault) as client:
        await Screen(client).run()


async def _join(link: str | None, vault: Path, name: str, asked: Callable[[], Awaitable[str]]) -> None:
    if link is not None:
        await rapport.join(link, vault=vault, name=name or await asked())
