"""A conversation that plays itself through a real server, to which the worst happens, and the verdict over it.

A therapist and a client, each a process of their own with two devices, talk. Everybody goes on sending while the server
is frozen in the middle of its work and killed with `kill -9`. A third device of the therapist is removed. Then the
server's disk is lost: it comes back from yesterday's backup, which knows neither what was said since nor the removal.
The checker then reads what the devices wrote down.
"""

import asyncio
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

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
_PHONES: Final = {_THERAPIST: "therapist-phone", _CLIENT: "client-phone"}
_LOST_PHONE: Final = "therapist-old-phone"
_SCRIPT: Final = (
    (_THERAPIST, "Good morning, Dana. How did the week go?"),
    (_CLIENT, "Better than the last one. I slept through four nights."),
    (_PHONES[_THERAPIST], "Four is a lot. What was different on those evenings?"),
    (_PHONES[_CLIENT], "I put the phone away at nine, as we said. On the others I did not."),
    (_THERAPIST, "Then we have found something. Write down the other three for me?"),
    (_CLIENT, "I will start now."),
)
_SINCE_THE_BACKUP: Final = (
    (_CLIENT, "It is written down."),
    (_THERAPIST, "Thank you. I lost an old phone; it is removed from my account."),
    (_PHONES[_THERAPIST], "See you on Thursday."),
)
_AFTER_THE_RESTORE: Final = (
    (_THERAPIST, "Is everything still there on your side?"),
    (_PHONES[_CLIENT], "Everything."),
)
_BURST: Final = {_THERAPIST: 20, _CLIENT: 20, _PHONES[_THERAPIST]: 5, _PHONES[_CLIENT]: 5}
"""Texts that each device sends in one go: twice this and the script stay under the server's default rate limits."""
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
            async with AsyncExitStack() as stack:
                await _Practice(place, ServerProcess(place / "server")).play(stack)
        except ProcessProblem as problem:
            click.echo(f"The demo could not be played: {problem}{_log_tail(place)}", err=True)
            return 1
        verdict = check(_journals(place))
    _report(verdict, time.monotonic() - began, as_json=as_json)
    whole = verdict.sent == verdict.accepted
    return 0 if whole and verdict.flawless and verdict.unanswered_at_kill >= UNANSWERED_AT_LEAST else 1


def _tell(what: str) -> None:
    """Says on standard error what happens; standard output is for the verdict."""
    click.echo(what, err=True)


class _Practice:
    """The server, two people's processes, and how much each device has sent."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self._folder = folder
        self._server = server
        self._people: dict[str, Player] = {}
        self._sent: Counter[str] = Counter()
        self._harness = Journal(folder / "harness.jsonl", "harness")

    async def play(self, stack: AsyncExitStack) -> None:
        """From the first start of the server to its last."""
        stack.enter_context(self._harness)
        await self._open(stack)
        _tell("A server runs; a therapist and a client have joined, each with two devices, and talk.")
        await self._talk(*_SCRIPT)
        _tell("All send on; the server is frozen, killed with kill -9 and started again.")
        await self._burst_through_a_kill()
        await self._settle()
        _tell("A backup is made. More is said, with one device switched off, and a lost phone is removed.")
        await self._live_on_after_a_backup()
        _tell("The server loses its disk and comes back from the backup.")
        await self._restore()
        await self._talk(*_AFTER_THE_RESTORE)
        _tell("Waiting until everything has arrived.")
        await self._settle()
        await self._server.stop()

    async def _order(self, what: str, device: str, **arguments: Any) -> str:
        """Gives an order to the process that the device lives in; what it answers in words."""
        person = _THERAPIST if device.startswith(_THERAPIST) else _CLIENT
        reply = await self._people[person].order(what, device, **arguments)
        return reply.link or reply.text

    async def _open(self, stack: AsyncExitStack) -> None:
        owner_link = await self._server.init()
        await stack.enter_async_context(self._server)
        await self._server.start()
        for person in (_THERAPIST, _CLIENT):
            self._people[person] = await stack.enter_async_context(Player.start(self._folder, person))
        await self._order("join", _THERAPIST, link=owner_link, name="Dr. Weiss")
        link = await self._order("invite", _THERAPIST)
        await self._order("join", _CLIENT, link=link, name="Dana")
        await asyncio.gather(*(self._order("meet", person) for person in self._people))
        for person, phone in (*_PHONES.items(), (_THERAPIST, _LOST_PHONE)):
            await self._link(person, phone)

    async def _link(self, existing: str, fresh: str) -> None:
        """A code from one device to the other, six digits back."""
        digits = await self._order("link", fresh, link=await self._order("offer", existing), name=fresh)
        await asyncio.gather(self._order("confirm", existing, text=digits), self._order("arrive", fresh))

    # --- what happens -------------------------------------------------------------------------------------------------

    async def _say(self, device: str, *texts: str) -> None:
        self._sent[device] += len(texts)
        await self._order("say", device, texts=list(texts))

    async def _settle(self, *, without: tuple[str, ...] = ()) -> None:
        """Until every device has its answers and has shown what the others sent."""
        devices = [device for device in _BURST if device not in without]
        await asyncio.gather(
            *(self._order("settle", device, heard=self._sent.total() - self._sent[device]) for device in devices)
        )

    async def _talk(self, *script: tuple[str, str], without: tuple[str, ...] = ()) -> None:
        """Each line after the one before was shown everywhere."""
        for device, text in script:
            await self._say(device, text)
            await self._settle(without=without)

    async def _burst_through_a_kill(self) -> None:
        """All send; the server is frozen in the middle of that, all send on, it is killed and started again."""
        first = asyncio.gather(*(self._burst(device, "before") for device in _BURST))
        await self._order("answered", _CLIENT, count=self._sent[_CLIENT] + _ANSWERED_BEFORE_FREEZE)
        self._server.freeze()
        await first
        await asyncio.gather(*(self._burst(device, "after") for device in _BURST))
        self._harness.kill()
        await self._server.kill()
        await self._server.start()

    async def _burst(self, device: str, when: str) -> None:
        await self._say(device, *(f"{device} {when} the kill {number}" for number in range(_BURST[device])))

    async def _live_on_after_a_backup(self) -> None:
        await self._server.backup(self._folder / "yesterday.backup")
        away = _PHONES[_CLIENT]
        await self._order("leave", away)
        await self._order("revoke", _THERAPIST, name=_LOST_PHONE)
        await self._talk(*_SINCE_THE_BACKUP, without=(away,))

    async def _restore(self) -> None:
        await self._server.kill()
        await self._server.restore(self._folder / "yesterday.backup")
        self._harness.restore()
        await self._server.start()
        await self._order("open", _PHONES[_CLIENT])


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
        f"{verdict.sent} messages sent, {verdict.accepted} accepted; the other devices decrypted {verdict.decrypted} "
        f"copies. The server was killed while {verdict.unanswered_at_kill} sends were unanswered, and restored from a "
        f"backup: {verdict.lost} lost, {verdict.duplicated} duplicated, {verdict.reordered} out of order, "
        f"{verdict.phantoms} made up, {verdict.alarms} false alarms. {seconds:.1f} s."
    )


def _log_tail(folder: Path) -> str:
    """The last lines of the logs, which a temporary folder would take with it."""
    tails = [
        f"\n--- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
        for path in sorted([*folder.glob("*.log"), *folder.glob("server/*.log")])
        if path.stat().st_size
    ]
    return "".join(tails)
