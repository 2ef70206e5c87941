"""`python -m tests.chaos.urgent --rounds 20`: urgent messages while servers are killed, and what their writer is shown.

Each round a client writes something urgent; the server is killed with `kill -9` at random moments of the ladder, whose
times are shortened to seconds, and started again at once. In some rounds nobody answers, in others the therapist
writes, or presses the button, or the colleague who covers does. `--nodes` kills one of two nodes that share PostgreSQL.

The exit code is 0 only when every rung came, in order, none before its time, none later than a restart and a lease
after it; when nothing was shown as seen that no person had confirmed; and when all that was confirmed was shown.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

import rapport
from rapport.agreements import UrgentElsewhere
from rapport.engine import urgent as ledger
from rapport.testing.processes import ServerProcess
from rapport_protocol.ids import AccountId, MessageId
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.requests import Role
from rapport_protocol.urgent import Report, Rung
from tests.chaos.hurried_server import FAULTS, LEASE_S, LOOK_S, TIMES
from tests.chaos.serving import Judged, command, serving

__all__ = ["Outcome", "run"]

WITHIN_S: Final = 60.0
"""Longest wait for what must come; reached only when something is broken."""
LOOK_AGAIN_S: Final = 0.25
"""Seconds between looks at what no event tells of: a report that changes nothing on the screen."""
RESTART_S: Final = 10.0
"""Seconds that a killed server may take until it fires what is due, on a busy machine."""
ENDS: Final = ("nobody", "text", "button", "colleague")
_DUE: Final = {
    Rung.ASKED_AGAIN: TIMES.again_ms,
    Rung.COVER_ASKED: TIMES.cover_ms,
    Rung.NO_COVER: TIMES.cover_ms,
    Rung.ENDED: TIMES.end_ms,
}


class Outcome(Judged):
    """What came of it. late_s_max: the longest that a rung came after its time."""

    rounds: int
    kills: int = 0
    reports: int = 0
    late_s_max: float = 0.0


class _Told(Struct):
    """One report as it reached a device."""

    account: AccountId
    report: Report


class People:
    """Anna, who owns the practice; Ben, who covers for her; Kim, Anna's client: real clients of this process."""

    def __init__(self, anna: rapport.Client, ben: rapport.Client, kim: rapport.Client) -> None:
        self.anna, self.ben, self.kim = anna, ben, kim
        self.told: list[_Told] = []
        self.elsewhere: set[MessageId] = set()
        self.moved = asyncio.Event()
        """Set, and replaced, with every event of any of them."""

    async def watch(self, client: rapport.Client) -> None:
        """Notes what a client says, until cancelled."""
        async for event in client.events():
            if isinstance(event, UrgentElsewhere):
                self.elsewhere.add(event.message)
            self.moved.set()
            self.moved = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Waits until it holds, looking again with every event, and where none tells of it. TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            while not holds():
                moved = asyncio.ensure_future(self.moved.wait())
                await asyncio.wait({moved}, timeout=LOOK_AGAIN_S)
                moved.cancel()

    def talk(self, client: rapport.Client, other: rapport.Client) -> rapport.Conversation:
        """The pair of the two, as the first sees it."""
        wanted = {client.account, other.account}
        return next(conv for conv in client.conversations() if {member.account for member in conv.members} == wanted)


@asynccontextmanager
async def _people(folder: Path, owner_link: str) -> AsyncIterator[People]:
    async with AsyncExitStack() as stack:
        clients: list[rapport.Client] = []
        for name, role in (("anna", None), ("ben", Role.THERAPIST), ("kim", Role.CLIENT)):
            invite = owner_link if role is None else await clients[0].invite(role)
            await rapport.join(invite, vault=folder / name, name=name.capitalize())
            clients.append(await stack.enter_async_context(rapport.Client(vault=folder / name)))
            await clients[-1].wait_until(rapport.ConnectionState.CONNECTED, WITHIN_S)
        people = People(*clients)
        watching = [asyncio.create_task(people.watch(client)) for client in clients]
        stack.push_async_callback(_ended, watching)
        pair = await people.kim.accept_invite(await people.ben.invite(Role.CLIENT))
        await people.until(
            lambda: any(conv.id == pair.id and len(conv.members) == 2 for conv in people.ben.conversations())
        )
        await people.anna.office.publish(OfficeHours("Europe/London", cover=people.ben.account))
        await people.until(lambda: people.kim.office.of(people.anna.account).confirmed)
        take = ledger._report

        def note(turn: Any, conv: Any, report: Report) -> None:
            people.told.append(_Told(turn.me.account, report))
            take(turn, conv, report)

        ledger._report = note  # the rungs themselves: the page shows the newest one only
        try:
            yield people
        finally:
            ledger._report = take


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pause(seconds: float) -> None:
    """A moment of the ladder: nothing says when it is over but the clock."""
    never = asyncio.get_running_loop().create_future()
    await asyncio.wait({never}, timeout=max(seconds, 0))


# --- one round --------------------------------------------------------------------------------------------------------


class _Round:
    """One urgent message and everything that happens to it."""

    def __init__(self, people: People, servers: Sequence[ServerProcess], chance: random.Random, end: str) -> None:
        self.people, self.servers, self.chance, self.end = people, servers, chance, end
        self.kills = 0
        self.confirmed = False
        self.missed: list[str] = []

    async def play(self) -> None:
        people = self.people
        conversation = people.talk(people.kim, people.anna)
        self.message = (await conversation.send_text("please call", urgent=True)).id
        moments = sorted(self.chance.uniform(0, TIMES.end_ms / 1000) for _ in range(self.chance.randint(0, 2)))
        if self.chance.random() < 0.3:
            moments.insert(0, self.chance.uniform(0, 0.03))  # around the commit itself
        watching = asyncio.create_task(self._watch(conversation))
        killing = asyncio.create_task(self._kill(moments))
        answering = asyncio.create_task(self._answer())
        try:
            async with asyncio.timeout(WITHIN_S):
                await asyncio.gather(killing, answering)
                await people.until(lambda: self._is_over(conversation))
        except TimeoutError:
            self.missed.append(f"{self.end}: not over after {WITHIN_S:g} s; rungs {self._rungs()}")
        finally:
            await _ended([watching, killing, answering])
        self._judge(conversation)

    def _is_over(self, conversation: rapport.Conversation) -> bool:
        held = conversation.urgency(self.message)
        ended = any(rung in (Rung.ENDED, Rung.CONFIRMED) for rung in self._rungs())
        asked = Rung.COVER_ASKED not in self._rungs() or self.message in self.people.elsewhere
        return ended and asked and held is not None and (held.seen_by is not None or not self.confirmed)

    async def _watch(self, conversation: rapport.Conversation) -> None:
        """Nothing may ever be shown as seen before somebody has confirmed it."""
        while True:
            held = conversation.urgency(self.message)
            if held is not None and (held.seen_by is not None or held.rung is Rung.CONFIRMED) and not self.confirmed:
                self.missed.append(f"{self.end}: shown as seen, and nobody had")
                return
            await self.people.moved.wait()

    async def _kill(self, moments: Sequence[float]) -> None:
        began = time.monotonic()
        for moment in moments:
            await _pause(began + moment - time.monotonic())
            server = self.chance.choice(self.servers)
            await server.kill()
            self.kills += 1
            await server.start()

    async def _answer(self) -> None:
        people = self.people
        if self.end == "nobody":
            return
        if self.end == "colleague":
            await people.until(lambda: self.message in people.elsewhere)
            self.confirmed = True
            await people.talk(people.ben, people.kim).confirm_urgent(self.message)
            return
        mine = people.talk(people.anna, people.kim)
        await people.until(lambda: mine.urgency(self.message) is not None)
        await _pause(self.chance.uniform(0, TIMES.cover_ms / 1000))
        self.confirmed = True
        await (mine.send_text("I am here") if self.end == "text" else mine.confirm_urgent(self.message))

    # --- the verdict --------------------------------------------------------------------------------------------------

    def _reports(self) -> list[Report]:
        kim = self.people.kim.account
        return [told.report for told in self.people.told if told.account == kim and told.report.message == self.message]

    def _rungs(self) -> list[Rung]:
        """In the order in which they came; a notice that is delivered again says nothing new."""
        return list(dict.fromkeys(report.rung for report in self._reports()))

    def _judge(self, conversation: rapport.Conversation) -> None:
        rungs, miss = self._rungs(), self.missed.append
        if any(lower >= higher for lower, higher in pairwise(rungs)):
            miss(f"{self.end}: out of order: {rungs}")
        timed = [rung for rung in rungs if rung in _DUE]
        if timed != [Rung.ASKED_AGAIN, Rung.COVER_ASKED, Rung.ENDED][: len(timed)]:
            miss(f"{self.end}: a rung is missing: {rungs}")
        if rungs and rungs[-1] not in (Rung.ENDED, Rung.CONFIRMED):
            miss(f"{self.end}: it never ended: {rungs}")
        if Rung.CONFIRMED in rungs and not self.confirmed:
            miss(f"{self.end}: the server says confirmed, and nobody had")
        if Rung.COVER_ASKED in rungs and self.message not in self.people.elsewhere:
            miss(f"{self.end}: it says that the colleague was asked, who was not")
        held = conversation.urgency(self.message)
        if self.confirmed and (held is None or held.seen_by is None):
            miss(f"{self.end}: confirmed, and not shown as seen")
        late = self.late_s()
        if late and min(late) < -0.001:
            miss(f"{self.end}: a rung came {-min(late):.1f} s too early")
        allowed = (RESTART_S if self.kills else 0) + LEASE_S + LOOK_S + 1.0
        if late and max(late) > allowed:
            miss(f"{self.end}: a rung came {max(late):.1f} s late")

    def _accepted_ms(self) -> int:
        """Its writer may still wait for the answer, its reader for the message; one of them has it by now."""
        held = [client._running.urgent.get(self.message) for client in (self.people.anna, self.people.kim)]
        return max(view.row.at_ms if view is not None else 0 for view in held)

    def late_s(self) -> list[float]:
        """Seconds of each timed rung after its time, by the server's clock; the end counts from when it was planned."""
        reports = {report.rung: report for report in self._reports()}
        accepted_ms = self._accepted_ms()
        late = []
        for rung, report in reports.items():
            if rung is Rung.ENDED and Rung.COVER_ASKED in reports:
                late.append((report.at_ms - reports[Rung.COVER_ASKED].next_ms) / 1000)
            elif rung in _DUE:
                late.append((report.at_ms - accepted_ms - _DUE[rung]) / 1000)
        return late


# --- all of them ------------------------------------------------------------------------------------------------------


async def run(folder: Path, *, rounds: int, seed: int, nodes: bool = False, plant: str = "-") -> Outcome:
    """Runs it in `folder`. plant: a fault of `hurried_server`. Raises ProcessProblem when a server does not start."""
    began, chance = time.monotonic(), random.Random(seed)
    program = [sys.executable, str(Path(__file__).with_name("hurried_server.py")), plant]
    outcome = Outcome(rounds)
    async with (
        serving(folder, program, nodes=nodes) as (owner_link, processes),
        _people(folder, owner_link) as people,
    ):
        for number in range(rounds):
            play = _Round(people, processes, chance, ENDS[number % len(ENDS)])
            await play.play()
            outcome.kills += play.kills
            outcome.reports += len(play._rungs())
            outcome.late_s_max = max([outcome.late_s_max, *play.late_s()])
            outcome.missed += play.missed
    outcome.late_s_max = round(outcome.late_s_max, 2)
    outcome.seconds = round(time.monotonic() - began, 1)
    return outcome


def main() -> int:
    """The command."""
    return command(__doc__, FAULTS, run)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
