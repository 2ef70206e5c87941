"""Two people with two devices each, as processes, who talk through whatever server they are given; and the verdict.

A therapist and a client, each a process of their own, write down what happens to them. `performed` plays a story with
them, reads that and says what arrived.
"""

import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

import click
import msgspec

from rapport.testing.history import Entry, Verdict, check, read
from rapport.testing.journal import Journal
from rapport.testing.processes import Player, ProcessProblem

__all__ = [
    "CLIENT",
    "LOST_PHONE",
    "PHONES",
    "SCRIPT",
    "SINCE",
    "THERAPIST",
    "UNANSWERED_AT_LEAST",
    "Figures",
    "Practice",
    "Story",
    "performed",
    "tell",
]

UNANSWERED_AT_LEAST: Final = 20
"""Sends that must be unanswered when a server is killed, or the run has shown nothing."""
THERAPIST: Final = "therapist"
CLIENT: Final = "client"
PHONES: Final = {THERAPIST: "therapist-phone", CLIENT: "client-phone"}
"""Each person's second device."""
LOST_PHONE: Final = "therapist-old-phone"
SCRIPT: Final = (
    (THERAPIST, "Good morning, Dana. How did the week go?"),
    (CLIENT, "Better than the last one. I slept through four nights."),
    (PHONES[THERAPIST], "Four is a lot. What was different on those evenings?"),
    (PHONES[CLIENT], "I put the phone away at nine, as we said. On the others I did not."),
    (THERAPIST, "Then we have found something. Write down the other three for me?"),
    (CLIENT, "I will start now."),
)
SINCE: Final = (
    (CLIENT, "It is written down."),
    (THERAPIST, "Thank you. I lost an old phone; it is removed from my account."),
    (PHONES[THERAPIST], "See you on Thursday."),
)

Figures: TypeAlias = dict[str, int | float | bool | str]
"""What a story has counted, by name; False, 0 and "" are failures, but a time may be 0.0."""
Story: TypeAlias = Callable[[Path, AsyncExitStack], Awaitable[Figures | None]]
"""Plays in a folder; what must end with it goes onto the stack. Returns figures, None for none of its own."""


async def performed(story: Story, folder: Path | None, happened: str, *, as_json: bool) -> int:
    """Plays a story and prints the verdict; returns the exit code: 0 only for a flawless run.

    folder: where to keep data, vaults, journals and logs; None uses a temporary one. happened: what the server went
    through, for the sentence; `{unanswered}` stands for the sends that were unanswered then. as_json: one JSON object
    on standard output instead of sentences.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rapport-demo-") as temporary:
        place = folder or Path(temporary)
        place.mkdir(parents=True, exist_ok=True)
        try:
            async with AsyncExitStack() as stack:
                figures = await story(place, stack) or {}
        except ProcessProblem as problem:
            click.echo(f"The demo could not be played: {problem}{_log_tail(place)}", err=True)
            return 1
        verdict = check(_journals(place))
    _report(verdict, figures, time.monotonic() - began, happened, as_json=as_json)
    whole = verdict.sent == verdict.accepted and all(figure or isinstance(figure, float) for figure in figures.values())
    return 0 if whole and verdict.flawless and verdict.unanswered_at_kill >= UNANSWERED_AT_LEAST else 1


def tell(what: str) -> None:
    """Says on standard error what happens; standard output is for the verdict."""
    click.echo(what, err=True)


class Practice:
    """Two people's processes, and how much each device has sent.

    burst: texts that each device sends in one go. Twice that and the scripts must stay under the server's default rate
    limits.
    """

    def __init__(self, folder: Path, burst: dict[str, int]) -> None:
        self.sent: Counter[str] = Counter()
        """Texts that each device has sent."""
        self.harness = Journal(folder / "harness.jsonl", "harness")
        """Where kills and restores are written down."""
        self.devices = [*burst]
        """Those that send and are waited for."""
        self._folder = folder
        self._burst = burst
        self._people: dict[str, Player] = {}

    async def open(self, stack: AsyncExitStack, owner_link: str) -> None:
        """Both join, meet, and link their further devices, the one that will be lost too."""
        stack.enter_context(self.harness)
        for person in (THERAPIST, CLIENT):
            self._people[person] = await stack.enter_async_context(Player.start(self._folder, person))
        await self.order("join", THERAPIST, link=owner_link, name="Dr. Weiss")
        link = await self.order("invite", THERAPIST)
        await self.order("join", CLIENT, link=link, name="Dana")
        await asyncio.gather(*(self.order("meet", person) for person in self._people))
        for person, phone in (*PHONES.items(), (THERAPIST, LOST_PHONE)):
            await self._link(person, phone)

    async def order(self, what: str, device: str, **arguments: Any) -> str:
        """Gives an order to the process that the device lives in; what it answers in words."""
        person = THERAPIST if device.startswith(THERAPIST) else CLIENT
        reply = await self._people[person].order(what, device, **arguments)
        return reply.link or reply.text

    async def say(self, device: str, *texts: str) -> None:
        """Sends without waiting for answers."""
        self.sent[device] += len(texts)
        await self.order("say", device, texts=list(texts))

    async def settle(self, *, without: tuple[str, ...] = ()) -> None:
        """Until every device has its answers and has shown what the others sent."""
        devices = [device for device in self.devices if device not in without]
        await asyncio.gather(
            *(self.order("settle", device, heard=self.sent.total() - self.sent[device]) for device in devices)
        )

    async def talk(self, *script: tuple[str, str], without: tuple[str, ...] = ()) -> None:
        """Each line after the one before was shown everywhere."""
        for device, text in script:
            await self.say(device, text)
            await self.settle(without=without)

    async def burst(self, when: str) -> None:
        """Every device sends its share in one go."""
        await asyncio.gather(
            *(
                self.say(device, *(f"{device} {when} {number}" for number in range(count)))
                for device, count in self._burst.items()
            )
        )

    async def _link(self, existing: str, fresh: str) -> None:
        """A code from one device to the other, six digits back."""
        digits = await self.order("link", fresh, link=await self.order("offer", existing), name=fresh)
        await asyncio.gather(self.order("confirm", existing, text=digits), self.order("arrive", fresh))


def _journals(folder: Path) -> list[list[Entry]]:
    return [read(path.read_bytes()) for path in sorted(folder.glob("*.jsonl"))]


def _report(verdict: Verdict, figures: Figures, seconds: float, happened: str, *, as_json: bool) -> None:
    for finding in verdict.findings:
        click.echo(finding, err=True)
    if as_json:
        counts = {name: value for name, value in msgspec.structs.asdict(verdict).items() if name != "findings"}
        click.echo(msgspec.json.encode({**counts, **figures, "seconds": round(seconds, 1)}).decode())
        return
    if figures:
        click.echo(
            f"In the call {figures['frames_a']} and {figures['frames_b']} pictures were decoded; after a cut of five "
            f"seconds the next one came {figures['recovery_s']} s after its end. A missed call is in the conversation."
        )
    click.echo(
        f"{verdict.sent} messages sent, {verdict.accepted} accepted; the other devices decrypted {verdict.decrypted} "
        f"copies. {happened.format(unanswered=verdict.unanswered_at_kill)}: {verdict.lost} lost, "
        f"{verdict.duplicated} duplicated, {verdict.reordered} out of order, {verdict.phantoms} made up, "
        f"{verdict.alarms} false alarms. {seconds:.1f} s."
    )


def _log_tail(folder: Path) -> str:
    """The last lines of the logs, which a temporary folder would take with it."""
    tails = [
        f"\n--- {path.relative_to(folder)}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-15:])
        for path in sorted([*folder.glob("*.log"), *folder.glob("*/*.log")])
        if path.stat().st_size
    ]
    return "".join(tails)
