"""The `rapport` command: what it offers, how it refuses, and a chat through it from a pipe."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import pytest

import rapport
from rapport.chat.starting import Start, talk
from tests.sdk.practice import practice

WITHIN_S = 60.0


async def run(*arguments: str, typed: str = "") -> tuple[int | None, str]:
    """Starts the command, types, waits for its end: exit code and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "rapport", *arguments, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
        env={**os.environ, "DBUS_SESSION_BUS_ADDRESS": ""},
    )  # fmt: skip
    try:
        printed, _ = await asyncio.wait_for(process.communicate(typed.encode()), WITHIN_S)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, printed.decode()


async def test_the_commands_of_both_packages_are_there() -> None:
    code, printed = await run("--help")
    assert code == 0
    for command in ("bench", "chat", "demo", "backup", "config", "init", "migrate", "restore", "serve"):
        assert f"\n  {command} " in printed


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["dance"], 2, "No such command 'dance'"),
        (["chat", "--vault", "{folder}/nothing"], 1, "Error: nobody has joined with this vault yet"),
        (["chat", "x", "--link", "y"], 2, "give one of them"),
        (["link", "not a code", "--vault", "{folder}/v"], 1, "Error: "),
        (["chat", "--link", "not a code", "--vault", "{folder}/v"], 1, "Error: "),
        (["chat", "not a link", "--vault", "{folder}/v", "--name", "Dana"], 1, "Error: "),
        (["chat", "http://127.0.0.1:9/i/x#AQ", "--vault", "{folder}/v", "--name", "Dana"], 1, "Error: "),
    ],
)
async def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    ended, printed = await run(*(argument.format(folder=tmp_path) for argument in arguments))
    assert ended == code
    assert sentence in printed
    assert "Traceback" not in printed


async def test_without_the_extra_the_full_screen_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setitem(sys.modules, "prompt_toolkit", None)
    with pytest.raises(rapport.LocalError, match=r"pip install 'rapport\[chat\]'.*--plain"):
        await talk(Start(tmp_path, join="http://127.0.0.1:9/i/x#AQ"))


async def test_a_chat_from_a_pipe_asks_for_the_name_sends_and_remembers(tmp_path: Path) -> None:
    async with practice() as owner_link:
        code, printed = await run("chat", owner_link, "--vault", str(tmp_path / "toni"), typed="Toni\n/invite\n")
        assert (code, "/i/" in printed) == (0, True), printed
        link = next(word for word in printed.split() if "/i/" in word)
        code, printed = await run(
            "chat", link, "--vault", str(tmp_path / "dana"), "--name", "Dana", typed="Good morning\n/quit\nnot said\n"
        )
        assert code == 0, printed
        assert "you: Good morning" in printed
        assert "not said" not in printed
        code, printed = await run("chat", "--vault", str(tmp_path / "dana"), typed="/history\n")
        assert code == 0, printed
        assert "you: Good morning" in printed
