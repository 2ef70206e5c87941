"""How well a call goes, and what is sent after that: the watch alone, and in a call with real media."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

from rapport import calls
from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.calling import CallMedia, CallMode, CallRinging, CallView
from rapport.engine.calls.media_watch import MediaWatch
from rapport.ports import EndpointEvent, MediaStats
from rapport_protocol.calls.ladder import Decision, ModeWhy, Rung
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.calls.quality import Level, Sample
from tests.sdk.test_call_media import WITHIN_S, connected, two

FINE, POOR, HOPELESS, SILENT = (100, 0, 40), (80, 20, 40), (10, 90, 3_000), (0, 0, 0)
Second = tuple[int, int, float]


def counted(sent: Sequence[Second], received: Sequence[Second] = ()) -> list[MediaStats]:
    """What an endpoint says second by second: packets that came, that were lost, and the way there and back, ms."""
    told = []
    for at in range(len(sent) + 1):
        sides = []
        for seconds in (received or [FINE] * len(sent), sent):
            before = seconds[:at]
            rtt_ms = before[-1][2] if before else 0
            packets, lost = sum(each[0] for each in before), sum(each[1] for each in before)
            sides.append(Sample(at * 1_000, packets, lost, 0, 0, rtt_ms))
        told.append(MediaStats(0, 0, *sides))
    return told


def judged(watch: MediaWatch, told: list[MediaStats], *, flows: bool = True, since_ms: int = 1_000) -> list[Decision]:
    found = [watch.judge(each, since_ms + each.received.at_ms, flows=flows) for each in told]
    return [each for each in found if each is not None]


def test_a_poor_line_takes_pictures_away_and_a_good_one_brings_them_back() -> None:
    watch = MediaWatch(CallMedia.VIDEO, 0)
    decisions = judged(watch, counted([POOR] * 10 + [FINE] * 40))
    assert [(each.rung, each.why) for each in decisions] == [
        (rung, ModeWhy.NETWORK) for rung in (Rung.SMALL, Rung.AUDIO, Rung.SMALL, Rung.VIDEO)
    ]
    assert (watch.mode, watch.bits_per_s) == (CallMode.VIDEO, 1_500_000)


def test_a_voice_that_does_not_get_through_ends_in_text_and_is_tried_again() -> None:
    watch = MediaWatch(CallMedia.AUDIO, 0)
    decisions = judged(watch, counted([HOPELESS] * 10 + [SILENT] * 25))
    assert [each.rung for each in decisions] == [Rung.TEXT, Rung.AUDIO]


def test_what_comes_counts_while_nothing_is_sent() -> None:
    watch = MediaWatch(CallMedia.VIDEO, 0)
    judged(watch, counted([SILENT] * 10, [POOR] * 10))
    assert watch.mode is CallMode.AUDIO
    assert watch.quality is not None
    assert (watch.quality.level, watch.quality.why) == (Level.POOR, "loss")


def test_the_person_outranks_the_line() -> None:
    watch = MediaWatch(CallMedia.VIDEO, 0)
    watch.choose(CallMode.AUDIO, 500)
    assert judged(watch, counted([FINE] * 60)) == []
    modes = [watch.mode]
    watch.choose(CallMode.VIDEO, 70_000)
    assert [*modes, watch.mode] == [CallMode.AUDIO, CallMode.VIDEO]


def test_nothing_is_decided_while_media_stand_still() -> None:
    watch = MediaWatch(CallMedia.VIDEO, 0)
    told = counted([POOR] * 3 + [FINE] * 3)
    assert judged(watch, told[:4]) == []
    assert judged(watch, counted([POOR] * 30)[4:], flows=False) == []
    assert judged(watch, counted([POOR] * 33)[31:33], since_ms=1_000) == [], "what was before counts no more"
    assert watch.mode is CallMode.VIDEO


class Lossy(AiortcEndpoint):
    """Says of a real call that nothing of it gets through, ten seconds at once; notes what it was told to send."""

    def __init__(self) -> None:
        super().__init__()
        self.modes: list[str] = []
        self._told = False

    async def set_mode(self, mode: str, bits_per_s: int) -> None:
        self.modes.append(mode)
        await super().set_mode(mode, bits_per_s)

    def _tell(self, event: EndpointEvent) -> None:
        if not isinstance(event, MediaStats):
            super()._tell(event)
        elif not self._told:
            self._told = True
            for each in counted([POOR] * 10):
                super()._tell(each)


async def test_the_other_side_is_told_what_the_line_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = itertools.count(1)
    monkeypatch.setattr(calls, "_now_ms", lambda: next(seconds) * 1_000)
    async with two(tmp_path) as (weiss, dana, conv):
        ours, theirs = Lossy(), AiortcEndpoint()
        call = await weiss.client.calls.offer(conv, endpoint=ours)
        await dana.told(CallRinging)
        taken = dana.client.calls.open(call.id)
        await taken.accept(theirs)
        await connected(call, taken)
        async with asyncio.timeout(WITHIN_S):
            view = await taken.until(lambda view: view.mode_there is CallMode.AUDIO)
        assert view.mode_there_why == "network"
        assert call.mode is CallMode.AUDIO
        assert ours.modes[-1] == "audio"
        assert call.quality is not None
        await call.set_mode(CallMode.VIDEO)
        async with asyncio.timeout(WITHIN_S):
            view = await taken.until(lambda view: view.mode_there is CallMode.VIDEO)
        assert view.mode_there_why == "person"
        await call.hang_up()


class Noting(AiortcEndpoint):
    """Notes when nothing comes any more."""

    def __init__(self) -> None:
        super().__init__()
        self.still = asyncio.Event()

    def _flow(self, *, flows: bool) -> None:
        super()._flow(flows=flows)
        if not flows:
            self.still.set()


async def test_a_side_that_sends_nothing_is_not_missed(tmp_path: Path) -> None:
    phases = set()

    def seen(view: CallView) -> bool:
        if view.mode_there is CallMode.TEXT:
            phases.add(view.phase)
        return bool(phases) and view.mode_there is CallMode.AUDIO

    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint(), media=CallMedia.AUDIO)
        await dana.told(CallRinging)
        taken, theirs = dana.client.calls.open(call.id), Noting()
        await taken.accept(theirs)
        await connected(call, taken)
        async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as both:
            both.create_task(taken.until(seen))
            await call.set_mode(CallMode.TEXT)
            await theirs.still.wait()
            await call.set_mode(CallMode.AUDIO)
        assert phases == {DevicePhase.CONNECTED}
        await call.hang_up()
