"""`python -m tests.bench.office --therapists 200 --clients 49 --nodes 2`: how soon everybody hears of it.

Each therapist has so many clients, who hold a stream each, half on every node, over PostgreSQL and Redis, and watch
their therapist's office. All offices open at the same full minute and close at the next one: measured is from that
instant to the moment at which a watcher has read the frame that says so. Then therapists publish a change: measured is
from the request written to the frame read, one after the other and all at once. All of it shares the machine: servers,
stores, and the one process that holds every client. Accounts and first documents are put into the database directly.
Prints one JSON object; exit code 0 when an edge and a change reach everybody within a second.
"""

from __future__ import annotations

import asyncio
import base64
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import asyncpg
from msgspec import Struct

from rapport.testing.nodes import NodeSet
from rapport_protocol.codec import BodyCodec
from rapport_protocol.messages import WatchOffice
from rapport_protocol.office.document import OfficeDocument
from rapport_protocol.office.hours import OfficeHours, WeeklyWindow
from rapport_protocol.requests import OPERATIONS, OfficePublish
from tests.bench.presence import Times, times_of, within
from tests.bench.presence_crowd import Crowd, Person, command, pass_s, staged, watch_all
from tests.bench.reconnect import SETTINGS

BAR_S: Final = 1.0
"""An edge or a change reaches every watcher within this."""
READY_S: Final = 15.0
"""Between the last document and the instant at which the offices open: everybody has been answered by then."""
CHANGES: Final = 20
"""Therapists who publish one after the other."""
MINUTE_MS: Final = 60_000


class Outcome(Struct):
    """What the command prints. Times in seconds."""

    accounts: int
    nodes: int
    sign_ins_per_s: float
    opening: Times
    closing: Times
    one_change: Times
    changes_together: int
    together: Times
    instrument_cpu_s_of_opening: float
    """What the process of the clients needed to read the frames of `opening`."""
    kept: bool


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _document(person: Person, version: int, opens_ms: int) -> bytes:
    """Open for one minute of every week, from this full minute on."""
    day, minute = divmod(opens_ms // MINUTE_MS, 1440)
    hours = OfficeHours("Etc/UTC", (WeeklyWindow((day + 3) % 7, minute, minute + 1),))  # 1970 began on a Thursday
    return OfficeDocument.make(
        person.account, person.device, person.key, hours, version=version, issued_ms=_now_ms()
    ).encode()


async def _put(url: str, therapists: Sequence[Person], opens_ms: int) -> None:
    """First documents, straight into the table."""
    db = await asyncpg.connect(url)
    try:
        practice = await db.fetchval("SELECT practice FROM practice")
        rows = [(practice, person.account, 1, _document(person, 1, opens_ms)) for person in therapists]
        columns = ["practice", "account", "version", "document"]
        await db.copy_records_to_table("office_document", records=rows, columns=columns)
    finally:
        await db.close()


class Run:
    """The measurements, one after the other."""

    def __init__(
        self, crowd: Crowd, therapists: Sequence[Person], several: NodeSet, http: aiohttp.ClientSession
    ) -> None:
        self._crowd, self._therapists, self._several, self._http = crowd, therapists, several, http
        self._version = 1
        self._frames = {person.account: len(crowd.watchers[person.account]) for person in therapists}

    async def edge(self, at_ms: int) -> tuple[Times, float]:
        """Waits for an instant at which all offices open or close; and the processor time of this process meanwhile."""
        instant = time.monotonic() + (at_ms - _now_ms()) / 1000
        before = time.process_time()
        found = await self._crowd.reached(
            lambda: dict.fromkeys(self._frames, instant), sum(self._frames.values()), instant - time.monotonic() + 15
        )
        return times_of(found), round(time.process_time() - before, 2)

    async def changes(self, count: int, at_a_time: int) -> Times:
        """Some publish another document."""
        found: list[float] = []
        for start in range(0, count, at_a_time):
            some = self._therapists[start : start + at_a_time]
            self._version += 1
            requests: list[asyncio.Task[None]] = []

            def begin(
                some: Sequence[Person] = some, requests: list[asyncio.Task[None]] = requests
            ) -> dict[bytes, float]:
                documents = [_document(person, self._version, 0) for person in some]
                began = time.monotonic()
                for person, document in zip(some, documents, strict=True):
                    requests.append(asyncio.create_task(self._publish(person, document)))
                return {person.account: began for person in some}

            found += await self._crowd.reached(begin, sum(self._frames[person.account] for person in some), 15)
            await asyncio.gather(*requests)
        return times_of(found)

    async def _publish(self, person: Person, document: bytes) -> None:
        stream, node = self._crowd.streams[person.account], self._several.nodes[self._crowd.node_of[person.account]]
        token = base64.urlsafe_b64encode(stream.token).rstrip(b"=").decode()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/msgpack"}
        row, body = OPERATIONS["office.publish"], BodyCodec.encode(OfficePublish(document), json=False)
        async with self._http.request(row.method, node.origin + row.path, data=body, headers=headers) as response:
            if response.status != 200:
                raise RuntimeError(f"publishing was answered {response.status}")


async def _measure(therapists: int, clients: int, nodes: int, folder: Path) -> Outcome:
    async with staged(folder, therapists, clients, nodes, _settings()) as stage, _session() as http:
        opens_ms = -(-(_now_ms() + int(READY_S * 1000)) // MINUTE_MS) * MINUTE_MS
        await _put(stage.database, stage.leaders, opens_ms)
        await watch_all(stage, WatchOffice)
        run = Run(stage.crowd, stage.leaders, stage.several, http)
        return await _all(run, opens_ms, therapists, stage.accounts, nodes, stage.sign_ins_per_s)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


async def _all(run: Run, opens_ms: int, therapists: int, accounts: int, nodes: int, rate: float) -> Outcome:
    opening, instrument = await run.edge(opens_ms)
    closing, _ = await run.edge(opens_ms + MINUTE_MS)
    await pass_s(1)
    one_change = await run.changes(min(CHANGES, therapists), 1)
    await pass_s(1)
    together = await run.changes(therapists, therapists)
    return Outcome(
        accounts=accounts,
        nodes=nodes,
        sign_ins_per_s=rate,
        opening=opening,
        closing=closing,
        one_change=one_change,
        changes_together=therapists,
        together=together,
        instrument_cpu_s_of_opening=instrument,
        kept=all(within(times, BAR_S) for times in (opening, closing, one_change)),
    )


def _settings() -> dict[str, str]:
    rates = {f"rates.{name}.{key}": "1000000" for name in ("watch", "office") for key in ("burst", "per_s")}
    return {**SETTINGS, **rates}


def main() -> int:
    """The command."""
    return command("python -m tests.bench.office", __doc__ or "", _measure)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
