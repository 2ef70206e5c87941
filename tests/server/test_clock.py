"""The clock that the nodes of a database share: follows it, never goes back, goes on without it."""

from __future__ import annotations

import itertools
import time

import pytest

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_server.adapters.clock import StoreClock

DAY_MS = 86_400_000


class Database:
    """Something with a clock, at the end of a line that takes `round_s`; the seconds pass only here."""

    def __init__(self) -> None:
        self.seconds, self.unix_ms, self.round_s, self.there = 1000.0, 1_800_000_000_000, 0.0, True

    def monotonic(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds
        self.unix_ms += int(seconds * 1000)

    async def now_ms(self) -> int:
        self.pass_s(self.round_s / 2)
        answer = self.unix_ms
        self.pass_s(self.round_s / 2)
        if not self.there:
            raise Rejected(ErrorCode.UNAVAILABLE)
        return answer


@pytest.fixture
def database() -> Database:
    return Database()


@pytest.fixture
def clock(database: Database) -> StoreClock:
    return StoreClock(database.monotonic)


def test_before_the_first_answer_it_is_the_machine_s_own(clock: StoreClock) -> None:
    assert abs(clock.now_ms() - time.time_ns() // 1_000_000) < 60_000


@pytest.mark.parametrize("own_ahead_ms", [DAY_MS, -DAY_MS, 300_000, -300_000])
async def test_it_is_the_database_s_however_wrong_the_machine_s_is(
    own_ahead_ms: int, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: (database.unix_ms + own_ahead_ms) * 1_000_000)
    clock = StoreClock(database.monotonic)
    assert clock.now_ms() == database.unix_ms + own_ahead_ms
    database.round_s = 0.5
    await clock.ask(database)
    assert clock.now_ms() == database.unix_ms
    database.pass_s(29)
    assert clock.now_ms() == database.unix_ms


async def test_it_never_goes_back_and_meets_the_database_again(clock: StoreClock, database: Database) -> None:
    await clock.ask(database)
    database.unix_ms -= 60_000
    seen = [clock.now_ms()]
    for passed in range(180):
        if passed % 30 == 0:
            await clock.ask(database)
        database.pass_s(1)
        seen.append(clock.now_ms())
    assert all(0 < later - earlier <= 1000 for earlier, later in itertools.pairwise(seen))
    assert seen[90] - seen[0] == 45_000, "half the speed while it is ahead"
    assert seen[-1] == database.unix_ms


async def test_forward_it_jumps(clock: StoreClock, database: Database) -> None:
    await clock.ask(database)
    database.unix_ms += DAY_MS
    await clock.ask(database)
    assert clock.now_ms() == database.unix_ms


async def test_an_answer_that_took_long_is_not_believed(clock: StoreClock, database: Database) -> None:
    await clock.ask(database)
    database.unix_ms += 10_000
    database.round_s = 4.0
    await clock.ask(database)
    assert clock.now_ms() == database.unix_ms - 10_000


async def test_a_database_that_cannot_be_asked_changes_nothing(clock: StoreClock, database: Database) -> None:
    await clock.ask(database)
    database.there = False
    with pytest.raises(Rejected):
        await clock.ask(database)
    database.pass_s(3600)
    assert clock.now_ms() == database.unix_ms
