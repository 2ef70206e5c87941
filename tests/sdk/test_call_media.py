"""Calls with real media: aiortc on both sides, a real server between them, sockets and vaults of real programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from msgspec.structs import replace

import rapport
from rapport.adapters.aiortc_endpoint import AiortcEndpoint
from rapport.calling import CallMissed, CallMode, CallOutcome, CallRefused, CallRinging
from rapport.engine.calls.calls_at_work import view_of_call
from rapport.engine.listeners import Listener
from rapport.events import Event
from rapport.ports import Description, EndpointEvent, MediaConnected, MediaFailed
from rapport.testing.calling import cut_off
from rapport_protocol.calls.moves import DevicePhase
from rapport_protocol.errors import ErrorCode, LocalError, Rejected
from rapport_protocol.meeting import TurnCredentials
from tests.sdk.linked import link_client
from tests.sdk.practice import practice

WITHIN_S = 60.0
E = TypeVar("E", bound=Event)


class Somebody:
    """A client and what it was told."""

    def __init__(self, client: rapport.Client) -> None:
        self.client = client
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._listen(client.events()))

    async def _listen(self, events: Listener) -> None:
        async for event in events:
            async with self._news:
                self.events.append(event)
                self._news.notify_all()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_S), self._news:
            await self._news.wait_for(holds)

    async def told(self, kind: type[E]) -> E:
        """The first event of a kind, waited for."""
        await self.until(lambda: any(isinstance(event, kind) for event in self.events))
        return next(event for event in self.events if isinstance(event, kind))

    async def outcome(self, call: rapport.MessageId) -> CallOutcome | None:
        history = await self.client.conversations()[0].history()
        return next((message.call.outcome for message in history if message.id == call and message.call), None)


@asynccontextmanager
async def somebody(folder: Path, link: str = "") -> AsyncIterator[Somebody]:
    if link:
        await rapport.join(link, vault=folder, name=folder.name)
    async with rapport.Client(vault=folder) as client:
        await client.wait_until(rapport.ConnectionState.CONNECTED, WITHIN_S)
        await client.caught_up()
        yield Somebody(client)


@asynccontextmanager
async def two(folder: Path) -> AsyncIterator[tuple[Somebody, Somebody, rapport.ConversationId]]:
    """A therapist, a client of hers, and their conversation."""
    async with AsyncExitStack() as stack:
        weiss = await stack.enter_async_context(somebody(folder / "weiss", await stack.enter_async_context(practice())))
        dana = await stack.enter_async_context(somebody(folder / "dana", await weiss.client.invite()))
        dana.client.calls.hide_address = False  # there is no relay here
        conv = dana.client.conversations()[0].id
        await weiss.until(lambda: len(weiss.client.conversation(conv).members) == 2)
        yield weiss, dana, conv


async def connected(*calls: rapport.LiveCall) -> None:
    async with asyncio.timeout(WITHIN_S):
        for call in calls:
            await call.until(lambda view: view.phase is DevicePhase.CONNECTED)


async def frames(endpoint: AiortcEndpoint, more: int) -> None:
    async with asyncio.timeout(WITHIN_S):
        await endpoint.until_frames(endpoint.frames + more)


async def test_two_people_see_each_other_through_a_cut(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        ours, theirs = AiortcEndpoint(), AiortcEndpoint()
        call = await weiss.client.calls.offer(conv, endpoint=ours)
        ringing = await dana.told(CallRinging)
        assert (ringing.call, ringing.conversation) == (call.id, conv)
        taken = dana.client.calls.open(call.id)
        await taken.accept(theirs)
        await connected(call, taken)
        assert weiss.client.calls.current is call
        assert dana.client.calls.live() == [taken.view]
        await asyncio.gather(frames(ours, 5), frames(theirs, 5))
        assert ours.path == theirs.path == "host/host"
        with cut_off(theirs):
            await call.until(lambda view: view.phase is DevicePhase.RECONNECTING)
        await asyncio.gather(frames(ours, 5), frames(theirs, 5))
        await connected(call, taken)
        assert (call.id, taken.id) == (ringing.call, ringing.call)
        await taken.set_mode(CallMode.AUDIO)
        await call.until(lambda view: view.mode_there is CallMode.AUDIO)
        await taken.hang_up()
        async with asyncio.timeout(WITHIN_S):
            assert (await call.until(lambda view: not view.is_live)).reason == "hung_up"
        await weiss.until(lambda: call.view.ended_ms > 0)
        assert await dana.outcome(call.id) is CallOutcome.ANSWERED
        assert ours.packets > 0
        assert theirs.packets > 0


async def test_a_client_calls_and_another_device_answers(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        await link_client(weiss.client, tmp_path / "phone", "phone")
        async with somebody(tmp_path / "phone") as phone:
            ours, theirs = AiortcEndpoint(), AiortcEndpoint()
            call = await dana.client.calls.offer(conv, endpoint=ours, media=rapport.CallMedia.AUDIO)
            await asyncio.gather(weiss.told(CallRinging), phone.told(CallRinging))
            await phone.client.calls.open(call.id).accept(theirs)
            await connected(call, phone.client.calls.open(call.id))
            elsewhere = weiss.client.calls.open(call.id)
            async with asyncio.timeout(WITHIN_S):
                view = await elsewhere.until(lambda view: view.answered_on is not None)
            assert view.answered_on == phone.client.device
            late = AiortcEndpoint()
            await elsewhere.accept(late)  # somebody else was faster: nothing happens
            assert not elsewhere.view.here
            await call.hang_up()
            async with asyncio.timeout(WITHIN_S):
                await elsewhere.until(lambda view: not view.is_live)
            assert await weiss.outcome(call.id) is CallOutcome.ANSWERED_ELSEWHERE
            assert not [event for event in weiss.events if isinstance(event, CallMissed)]


async def test_a_call_goes_on_another_device_and_comes_back(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        await link_client(dana.client, tmp_path / "tablet", "tablet")
        async with somebody(tmp_path / "tablet") as tablet:
            tablet.client.calls.hide_address = False
            call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
            await asyncio.gather(dana.told(CallRinging), tablet.told(CallRinging))
            here = dana.client.calls.open(call.id)
            await here.accept(AiortcEndpoint())
            await connected(call, here)
            for mover, left in ((tablet, dana), (dana, tablet)):
                endpoint, before = AiortcEndpoint(), call.endpoint
                there = mover.client.calls.open(call.id)
                await until_elsewhere(there)
                await there.take_over(endpoint)
                await until_elsewhere(left.client.calls.open(call.id))
                assert left.client.calls.current is None
                await connected(there)
                await frames(endpoint, 5)
                async with asyncio.timeout(WITHIN_S):
                    await call.until(lambda view: view.phase is DevicePhase.CONNECTED and call.endpoint is not before)  # noqa: B023
                assert isinstance(call.endpoint, AiortcEndpoint)
                await frames(call.endpoint, 5)
                assert mover.client.calls.current is there
            await call.hang_up()
            async with asyncio.timeout(WITHIN_S):
                await here.until(lambda view: not view.is_live)
            assert not [
                event for who in (weiss, dana, tablet) for event in who.events if isinstance(event, CallRefused)
            ]
            late = AiortcEndpoint()
            with pytest.raises(LocalError) as refused:
                await here.take_over(late)
            assert refused.value.code is ErrorCode.CONFLICT


async def until_elsewhere(call: rapport.LiveCall) -> None:
    async with asyncio.timeout(WITHIN_S):
        await call.until(lambda view: view.phase is DevicePhase.ELSEWHERE)


async def test_a_program_that_ends_hangs_up(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        taken = dana.client.calls.open(call.id)
        await taken.accept(AiortcEndpoint())
        await connected(call, taken)
        await dana.client.__aexit__(None, None, None)
        async with asyncio.timeout(WITHIN_S):
            assert (await call.until(lambda view: not view.is_live)).reason == "hung_up"


async def test_media_that_cannot_be_made_end_the_call_as_failed(tmp_path: Path) -> None:
    class Broken(AiortcEndpoint):
        async def describe(self) -> Description:
            raise OSError

    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        taken = dana.client.calls.open(call.id)
        await taken.accept(Broken())
        async with asyncio.timeout(WITHIN_S):
            assert (await taken.until(lambda view: not view.is_live)).reason == "failed"
            await call.until(lambda view: not view.is_live)


class Deaf(AiortcEndpoint):
    """Media whose words cannot be read."""

    closed = False

    async def events(self) -> AsyncIterator[EndpointEvent]:
        if not self.closed:
            raise OSError
        yield MediaFailed()

    async def close(self) -> None:
        self.closed = True
        await super().close()


async def test_media_that_cannot_be_heard_end_the_call_as_failed(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        taken = dana.client.calls.open(call.id)
        await taken.accept(Deaf())
        async with asyncio.timeout(WITHIN_S):
            assert (await taken.until(lambda view: not view.is_live)).reason == "failed"
            await call.until(lambda view: not view.is_live)


async def test_an_offer_that_is_cancelled_does_not_ring_on(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, _, conv):
        calls = weiss.client._running.calls
        changed = calls.watch()
        offering = asyncio.create_task(weiss.client.calls.offer(conv, endpoint=AiortcEndpoint()))
        await asyncio.sleep(0)  # it asks the engine, which has not done it
        offering.cancel()
        async with asyncio.timeout(WITHIN_S):
            while not calls.rows or weiss.client.calls.live():
                await changed.wait()
                changed.clear()
        assert [view_of_call(row).reason for row in calls.rows.values()] == ["cancelled"]
        assert offering.cancelled()


async def test_a_call_that_is_taken_twice_has_media_once(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        taken, first, second = dana.client.calls.open(call.id), AiortcEndpoint(), Deaf()
        await asyncio.gather(taken.accept(first), taken.accept(second))
        await taken.accept(first)
        assert taken.endpoint is first
        assert second.closed
        await connected(call, taken)
        await call.hang_up()


class Started(AiortcEndpoint):
    """Notes how it was started, and what it was then to send."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[tuple[str, bool]] = []
        self.modes: list[str] = []

    async def start(self, credentials: TurnCredentials | None, media: str, *, relay_only: bool) -> None:
        self.started.append((media, relay_only))
        await super().start(credentials, media, relay_only=relay_only)

    async def set_mode(self, mode: str, bits_per_s: int) -> None:
        self.modes.append(mode)
        await super().set_mode(mode, bits_per_s)


@pytest.mark.parametrize("answers", [True, False], ids=["no relay", "no answer"])
async def test_a_clients_address_is_hidden_unless_they_choose_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    async def refused(**_: object) -> TurnCredentials:
        raise Rejected(ErrorCode.NOT_FOUND)

    async with two(tmp_path) as (weiss, dana, conv):
        if not answers:
            monkeypatch.setattr(dana.client.calls, "turn", refused)
        for chosen, hidden in ((None, True), (True, True), (False, False)):
            dana.client.calls.hide_address = chosen
            endpoint = Started()
            call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint(), media=rapport.CallMedia.AUDIO)
            await dana.until(lambda: dana.client.calls.of(call.id) is not None)  # noqa: B023
            taken = dana.client.calls.open(call.id)
            await taken.accept(endpoint)
            async with asyncio.timeout(WITHIN_S):
                await taken.until(lambda _: bool(endpoint.started))  # noqa: B023
                assert endpoint.started == [("audio", hidden)]
                await call.hang_up()
                await taken.until(lambda view: not view.is_live)
        assert weiss.client.calls.hide_address is None


async def test_who_called_by_voice_is_not_seen_because_the_other_called_by_video(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        theirs = Started()
        high = rapport.MessageId(b"\xff" * 16)
        low = rapport.MessageId(bytes(16))
        live, call = await asyncio.gather(
            dana.client.calls.offer(conv, endpoint=theirs, media=rapport.CallMedia.AUDIO, id=low),
            weiss.client.calls.offer(conv, endpoint=AiortcEndpoint(), id=high),
        )
        await connected(call)
        assert live.id == high
        await connected(live)
        async with asyncio.timeout(WITHIN_S):
            await call.until(lambda view: view.mode_there_why != "")
        assert call.view.mode_there is CallMode.AUDIO
        endpoint = live.endpoint
        assert endpoint is theirs
        assert (theirs.started, theirs.modes) == ([("video", False)], ["audio"])
        await live.set_mode(CallMode.VIDEO)
        async with asyncio.timeout(WITHIN_S):
            await call.until(lambda view: view.mode_there is CallMode.VIDEO)
        await live.hang_up()


async def test_media_that_cannot_describe_themselves_are_closed(tmp_path: Path) -> None:
    class Broken(AiortcEndpoint):
        gathers_first = False  # type: ignore[misc]
        closed = False

        async def describe(self) -> Description:
            raise OSError

        async def close(self) -> None:
            self.closed = True
            await super().close()

    async with two(tmp_path) as (weiss, _, conv):
        broken = Broken()
        with pytest.raises(OSError):
            await weiss.client.calls.offer(conv, endpoint=broken)
        assert broken.closed
        assert weiss.client.calls.live() == []


async def test_calls_that_are_forgotten_are_in_nobodys_way(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        dana.client.calls.open(call.id)
        await call.hang_up()
        engine = dana.client._running
        await dana.until(lambda: not dana.client.calls.live())
        rows = engine.calls.rows
        engine.calls.update([])  # a day later
        assert dana.client.calls.current is None
        engine.calls.update(rows.values())
        engine.calls.update([replace(row, call=rapport.MessageId(bytes(16))) for row in rows.values()])
        dana.client.calls.open(rapport.MessageId(bytes(16)))
        assert list(dana.client.calls._live) == [rapport.MessageId(bytes(16))]


async def test_credentials_are_for_calls_that_live(tmp_path: Path) -> None:
    async with two(tmp_path) as (weiss, dana, conv):
        call = await weiss.client.calls.offer(conv, endpoint=AiortcEndpoint())
        await dana.told(CallRinging)
        assert (await dana.client.calls.turn(call=call.id)).urls == []
        await call.hang_up()
        async with asyncio.timeout(WITHIN_S):
            await dana.client.calls.open(call.id).until(lambda view: not view.is_live)
        with pytest.raises(Rejected) as refused:
            await dana.client.calls.turn(call=call.id)
        assert refused.value.code is ErrorCode.NOT_FOUND
        with pytest.raises(LocalError):
            dana.client.calls.open(rapport.MessageId(bytes(16)))


async def test_an_endpoint_begins_anew_with_the_same_fingerprint() -> None:
    """What a browser asks for by restarting ICE; a new certificate would be taken for somebody in the middle."""
    one, other = AiortcEndpoint(), AiortcEndpoint()
    try:
        await one.start(None, "audio", relay_only=False)
        await other.start(None, "audio", relay_only=False)
        first = await one.describe()
        answer = await other.answer(first)
        await one.take(answer)
        assert isinstance(await anext(aiter(one.events())), MediaConnected)
        again = await one.restart(None)
        answered = await other.answer(again)
        await one.take(answered)
        async with asyncio.timeout(WITHIN_S):
            async for event in one.events():
                assert not isinstance(event, MediaFailed)
                if one.path:
                    break
        assert fingerprint(first) == fingerprint(again)
        assert fingerprint(answer) == fingerprint(answered)
        assert again.sdp != first.sdp
    finally:
        await one.close()
        await other.close()


def fingerprint(description: Description) -> list[str]:
    found = sorted(line for line in description.sdp.splitlines() if line.startswith("a=fingerprint"))
    assert found
    return found


async def test_candidates_that_cannot_be_read_are_left_out() -> None:
    endpoint = AiortcEndpoint()
    try:
        await endpoint.start(None, "audio", relay_only=False)
        for text in ("", "candidate:", "1 1 udp", "1 1 udp x 192.0.2.1 9 typ host", "1 1 udp 1 192.0.2.1 9 typ what"):
            await endpoint.add_candidates([("0", text)])
        await endpoint.describe()
    finally:
        await endpoint.close()
        await endpoint.close()
