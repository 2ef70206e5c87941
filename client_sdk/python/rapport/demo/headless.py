"""A conversation that plays itself through a real server, which is killed in the middle, and the verdict over it.

A therapist and a client, each a process of its own, talk, and both go on sending while the server is frozen in the
middle of its work and killed with `kill -9`. It starts again on the same data. The checker then reads what the two
processes wrote down.
"""

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import click
import msgspec

from rapport.testing.history import Entry, Verdict, check, read
from rapport.testing.journal import Journal
from rapport.testing.processes import Player, ProcessProblem, ServerProcess

__all__ = ["UNANSWERED_AT_LEAST", "play"]

UNANSWERED_AT_LEAST: Final = 20
"""Sends that must be unanswered when the server is killed, or the run has shown nothing."""
_THERAPIST: Final = "therapist"
_CLIENT: Final = "client"
_SCRIPT: Final = (
    (_THERAPIST, "Good morning, Dana. How did the week go?"),
    (_CLIENT, "Better than the last one. I slept through four nights."),
    (_THERAPIST, "Four is a lot. What was different on those evenings?"),
    (_CLIENT, "I put the phone away at nine, as we said. On the others I did not."),
    (_THERAPIST, "Then we have found something. Write down the other three for me?"),
    (_CLIENT, "I will start now."),
)
_BURST: Final = 20
"""Texts that each side sends in one go: twice this and the script stay under the server's default rate limits."""
_ANSWERED_BEFORE_FREEZE: Final = 5
"""Answers of the first burst that are awaited, so that the freeze falls into the middle of the server's work."""


async def play(folder: Path | None, *, as_json: bool) -> int:
    """Plays it and prints the verdict; returns the exit code: 0 only for a flawless run.

    folder: where to keep data, vaults, journals and logs; None uses a temporary one. as_json: one JSON object on
    standard output instead of sentences.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rapport-demo-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        try:
            await _play(place)
        except ProcessProblem as problem:
            click.echo(f"The demo could not be played: {problem}{_log_tail(place)}", err=True)
            return 1
        verdict = check(_journals(place))
    _report(verdict, time.monotonic() - began, as_json=as_json)
    whole = verdict.sent == verdict.accepted == verdict.decrypted
    return 0 if whole and verdict.flawless and verdict.unanswered_at_kill >= UNANSWERED_AT_LEAST else 1


def _tell(what: str) -> None:
    """Says on standard error what happens; standard output is for the verdict."""
    click.echo(what, err=True)


async def _play(folder: Path) -> None:
    server = ServerProcess(folder / "server")
    async with AsyncExitStack() as stack:
        owner_link = await server.init()
        await stack.enter_async_context(server)
        await server.start()
        therapist = await stack.enter_async_context(Player.start(folder, _THERAPIST))
        client = await stack.enter_async_context(Player.start(folder, _CLIENT))
        players = {_THERAPIST: therapist, _CLIENT: client}
        await therapist.order("join", _THERAPIST, link=owner_link, name="Dr. Weiss")
        link = (await therapist.order("invite", _THERAPIST)).link
        await client.order("join", _CLIENT, link=link, name="Dana")
        await asyncio.gather(*(player.order("meet", name) for name, player in players.items()))
        _tell("A server runs; a therapist and a client have joined and talk.")
        await _talk(players)
        _tell("Both send on; the server is frozen, killed with kill -9 and started again.")
        await _burst_through_a_kill(players, server, folder)
        _tell("Waiting until everything has arrived.")
        each = len(_SCRIPT) // 2 + 2 * _BURST
        await asyncio.gather(*(player.order("settle", name, heard=each) for name, player in players.items()))
        await server.stop()


async def _talk(players: dict[str, Player]) -> None:
    """The script, each line after the one before was read."""
    for number, (speaker, text) in enumerate(_SCRIPT):
        await players[speaker].order("say", speaker, texts=[text])
        listener = _CLIENT if speaker == _THERAPIST else _THERAPIST
        await players[listener].order("settle", listener, heard=number // 2 + 1)


async def _burst_through_a_kill(players: dict[str, Player], server: ServerProcess, folder: Path) -> None:
    """Both send; the server is frozen while it works on that, both send on, the server is killed and started again."""
    first = asyncio.gather(*(_burst(player, name, "before") for name, player in players.items()))
    await players[_CLIENT].order("answered", _CLIENT, count=len(_SCRIPT) // 2 + _ANSWERED_BEFORE_FREEZE)
    server.freeze()
    await first
    await asyncio.gather(*(_burst(player, name, "after") for name, player in players.items()))
    with Journal(folder / "harness.jsonl", "harness") as journal:
        journal.kill()
    await server.kill()
    await server.start()


async def _burst(player: Player, name: str, when: str) -> None:
    await player.order("say", name, texts=[f"{name} {when} the kill {number}" for number in range(_BURST)])


def _journals(folder: Path) -> list[list[Entry]]:
    return [read(path.read_bytes()) for path in sorted(folder.glob("*.jsonl"))]


def _report(verdict: Verdict, seconds: float, *, as_json: bool) -> None:
    for finding in verdict.findings:
        click.echo(finding, err=True)
    if as_json:
        counts = {name: value for name, value in msgspec.structs.asdict(verdict).items() if name != "findings"}
        click.echo(msgspec.json.encode({**counts, "seconds": round(seconds, 1)}).decode())
        return
    click.echo(
        f"{verdict.sent} messages sent, {verdict.accepted} accepted, {verdict.decrypted} decrypted by the other side. "
        f"The server was killed while {verdict.unanswered_at_kill} sends were unanswered: {verdict.lost} lost, "
        f"{verdict.duplicated} duplicated, {verdict.reordered} out of order, {verdict.phantoms} made up. "
        f"{seconds:.1f} s."
    )


def _log_tail(folder: Path) -> str:
    """The last lines of the logs, which a temporary folder would take with it."""
    tails = [
        f"\n--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
        for path in sorted([*folder.glob("*.log"), *folder.glob("server/*.log")])
        if path.stat().st_size
    ]
    return "".join(tails)
