"""Cover and hand-over among therapist, colleague and client.

The test run takes some commits of each device for crashes; `python -m tests.sdk.test_cover` takes every one (6 s).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from rapport.adapters.vault_memory import Crash, CrashPoint
from rapport.covers import CoverSide, CoverStage
from rapport.crypto.invites import InviteLink, parse_link
from rapport.engine.bodies.agreements import (
    CoverAccepted,
    CoverCard,
    CoverOffer,
    CoverReady,
    CoverRefused,
    CoverRequest,
)
from rapport.engine.bodies.cover import link_in
from rapport.engine.cover import cover_ledger, covering
from rapport.engine.cover.cover_ledger import OFFER_OTHERS_MS, REQUESTS_EACH, REQUESTS_MOST, cover_of, steps_of
from rapport.engine.joining import accepting
from rapport.engine.vault.outgoing import QUEUES
from rapport.engine.vault.turn import Turn
from rapport.events import CoverChanged, MessageKind
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import AccountId
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.requests import Role
from tests.sdk.linked import link
from tests.sdk.relay import Device, later, quiet
from tests.sdk.three import Three, alarms, joined, kinds, say, stage


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    started = await Three.start()
    yield started
    assert not alarms(*started.all)
    await started.close()


async def test_the_whole_way(three: Three) -> None:
    request = three.ask()
    assert three.stages(request) == [CoverStage.ASKED, None, None]
    await quiet(*three.all)
    assert three.stages(request) == [CoverStage.ASKED, CoverStage.ASKED, None]
    three.ben.do(lambda turn: covering.agree(turn, request))
    assert stage(three.ben, request) is CoverStage.AGREEING
    await quiet(*three.all)
    assert three.stages(request) == [CoverStage.OFFERED, CoverStage.READY, CoverStage.OFFERED]
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await quiet(*three.all)
    assert three.stages(request) == [CoverStage.ACCEPTED, CoverStage.READY, CoverStage.ACCEPTED]
    three.anna.do(lambda turn: covering.hand_over(turn, request, "Sleeps badly."))
    await quiet(*three.all)
    assert three.stages(request) == [CoverStage.HANDED_OVER, CoverStage.HANDED_OVER, CoverStage.ACCEPTED]
    assert kinds(three.ben, three.colleagues) == [MessageKind.COVER_REQUEST, MessageKind.COVER_CARD]
    assert three.ben.texts(three.colleagues)[-2:] == ["until May", "Sleeps badly."]
    assert kinds(three.kim, three.client) == kinds(three.anna, three.client) == [MessageKind.COVER_OFFER]
    [conv] = set(joined(three.kim)) & set(joined(three.ben))
    three.kim.say(conv, "hello Ben")
    await quiet(*three.all)
    assert three.ben.texts(conv) == ["hello Ben"]
    state = three.kim.do(lambda turn: cover_of(turn, request))
    assert state is not None
    assert (state.side, state.name, state.colleague) == (CoverSide.CLIENT, "Ben", three.ben.me.account)
    assert CoverChanged(request) in three.kim.events


async def test_a_link_that_was_being_taken_for_itself_says_yes_too(three: Three) -> None:
    request = await three.offered()
    offered = parse_link(link_in(three.kim.me.account, three.kim.do(lambda turn: steps_of(turn, request))) or "")
    assert isinstance(offered, InviteLink)
    three.kim.drop_connection()
    three.kim.do(lambda turn: accepting.accept(turn, offered))
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await three.kim.connect()
    await quiet(*three.all)
    assert three.stages(request)[0] is CoverStage.ACCEPTED


async def test_every_device_comes_to_the_same(three: Three) -> None:
    more = [await link(device, seed) for device, seed in zip(three.all, (11, 12, 13), strict=True)]
    request = three.ask()
    await quiet(*three.all, *more)
    more[1].do(lambda turn: covering.agree(turn, request))
    three.anna.drop_connection()  # whoever asked is off: her other device hands the link on, a little later
    await quiet(three.ben, three.kim, *more)
    assert stage(three.kim, request) is None
    await later(OFFER_OTHERS_MS + 1, three.ben, three.kim, *more)
    await three.anna.connect()
    await later(OFFER_OTHERS_MS + 1, *three.all, *more)
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    more[2].do(lambda turn: covering.accept_cover(turn, request))
    await later(20_000, *three.all, *more)
    more[0].do(lambda turn: covering.hand_over(turn, request, "card"))
    await quiet(*three.all, *more)
    wanted = [CoverStage.HANDED_OVER, CoverStage.HANDED_OVER, CoverStage.ACCEPTED]
    assert three.stages(request) == three.stages(request, *more) == wanted
    for device in (three.anna, more[0], three.kim, more[2]):
        assert kinds(device, three.client) == [MessageKind.COVER_OFFER], "one offer, whoever made it"
    fresh = await link(three.anna, seed=14)
    await later(60_000, *three.all, *more, fresh)
    assert stage(fresh, request) is CoverStage.HANDED_OVER, "history tells a new device"
    assert not alarms(*more, fresh)


@pytest.mark.parametrize("who", ["colleague", "client"])
async def test_a_no_ends_it(three: Three, who: str) -> None:
    if who == "colleague":
        request = three.ask()
        await quiet(*three.all)
        three.ben.do(lambda turn: covering.refuse(turn, request))
        await quiet(*three.all)
        assert three.stages(request) == [CoverStage.REFUSED, CoverStage.REFUSED, None]
    else:
        request = await three.offered()
        three.kim.do(lambda turn: covering.refuse(turn, request))
        await quiet(*three.all)
        assert three.stages(request) == [CoverStage.DECLINED, CoverStage.READY, CoverStage.DECLINED]
    for device, deed in (
        (three.ben, covering.agree),
        (three.ben, covering.refuse),
        (three.kim, covering.accept_cover),
        (three.kim, covering.refuse),
    ):
        with pytest.raises(LocalError):
            device.do(lambda turn, deed=deed: deed(turn, request))  # type: ignore[misc]
    with pytest.raises(LocalError):
        three.anna.do(lambda turn: covering.hand_over(turn, request, "card"))
    assert len(joined(three.kim)) == 1


async def test_an_offer_is_over_after_seven_days(three: Three) -> None:
    request = await three.offered()
    three.relay.clock.forward(INVITE_LIFE_MS)
    assert three.stages(request) == [CoverStage.OVER, CoverStage.OVER, CoverStage.OVER]
    with pytest.raises(LocalError) as over:
        three.kim.do(lambda turn: covering.accept_cover(turn, request))
    assert over.value.code is ErrorCode.EXPIRED


async def test_a_used_link_is_over_at_once(three: Three) -> None:
    request = await three.offered()
    steps = three.kim.do(lambda turn: cover_ledger.steps_of(turn, request))
    offer = next(step.content for step in steps if isinstance(step.content, CoverOffer))
    thief = Device(three.relay, 9)
    await thief.join(offer.link, "Somebody")
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await later(20_000, *three.all)
    assert stage(three.kim, request) is CoverStage.OVER
    assert stage(three.anna, request) is CoverStage.OFFERED, "not a no: nobody has refused"
    assert len(joined(three.kim)) == 1


async def test_an_offer_with_somebody_elses_link_is_refused(three: Three) -> None:
    stranger = Device(three.relay, 9)
    await three.bring(three.anna, stranger, Role.THERAPIST, "Max")
    made, conv = await three.invite(stranger)
    for number, lie in enumerate((made, "http://127.0.0.1:8080/nothing")):
        request = bytes([number]) * 16
        say(three.anna, three.client, CoverOffer(request, three.ben.me.account, "Ben", lie))
        await quiet(*three.all)
        three.kim.do(lambda turn, request=request: covering.accept_cover(turn, request))  # type: ignore[misc]
        await later(20_000, *three.all)
        assert stage(three.kim, request) is CoverStage.DECLINED
    assert conv not in joined(three.kim)


async def test_steps_from_others_unknown_and_repeated_are_ignored(three: Three) -> None:
    request = await three.offered()
    before = three.stages(request)
    made, _ = await three.invite(three.ben)
    unknown, ben, kim = b"\x07" * 16, three.ben.me.account, three.kim.me.account
    say(three.kim, three.client, CoverReady(request, made))  # a client is no colleague
    say(three.kim, three.client, CoverRequest(unknown, ben, "Ben"))
    say(three.kim, three.client, CoverOffer(unknown, ben, "Ben", made))
    say(three.kim, three.client, CoverAccepted(unknown))
    say(three.ben, three.colleagues, CoverAccepted(request))  # a colleague cannot consent for the client
    say(three.ben, three.colleagues, CoverReady(request, made))  # twice
    say(three.ben, three.colleagues, CoverRefused(request))  # after the yes
    say(three.ben, three.colleagues, CoverCard(request, kim, "card"))  # the colleague's own card
    say(three.anna, three.client, CoverOffer(request, ben, "Ben", made))  # twice
    say(three.anna, three.client, CoverOffer(b"\x08" * 16, kim, "Kim", made))  # no third person
    await quiet(*three.all)
    assert three.stages(request) == before
    assert three.stages(unknown) == [None, None, None]
    assert stage(three.kim, b"\x08" * 16) is None
    assert kinds(three.kim, three.client) == [MessageKind.COVER_OFFER, MessageKind.COVER_OFFER]
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await quiet(*three.all)
    say(three.kim, three.client, CoverRefused(request))  # after the yes
    await quiet(*three.all)
    assert three.stages(request) == [CoverStage.ACCEPTED, CoverStage.READY, CoverStage.ACCEPTED]


async def test_a_flood_of_requests_drives_out_its_own(three: Three) -> None:
    request = await three.offered()
    for number in range(REQUESTS_EACH + 3):
        say(three.ben, three.colleagues, CoverRequest(number.to_bytes(16, "big"), three.kim.me.account, "Kim"))
    await quiet(*three.all)
    known = [state.request for state in three.anna.do(cover_ledger.covers)]
    assert len(known) == REQUESTS_EACH
    assert stage(three.kim, request) is CoverStage.OFFERED, "with others it is as it was"
    for number in range(REQUESTS_MOST):
        of, key = AccountId(number.to_bytes(16, "big")), bytes([1]) + number.to_bytes(15, "big")
        three.anna.do(lambda turn, key=key, of=of: cover_ledger._make_room(turn, key, of))  # type: ignore[misc]
        three.relay.clock.forward(1)
    assert three.anna.look(cover_ledger._REQUESTS.count) == REQUESTS_MOST


async def test_the_link_of_whoever_was_asked_is_used_though_another_one_says_yes_too(three: Three) -> None:
    max_ = Device(three.relay, 9)
    pair = await three.bring(three.anna, max_, Role.THERAPIST, "Max")
    request = three.ask()
    await quiet(*three.all)
    made, _ = await three.invite(max_)
    say(max_, pair, CoverReady(request, made))
    await quiet(*three.all, max_)
    three.ben.do(lambda turn: covering.agree(turn, request))
    await quiet(*three.all, max_)
    three.kim.do(lambda turn: covering.accept_cover(turn, request))
    await later(20_000, *three.all)
    assert three.stages(request) == [CoverStage.ACCEPTED, CoverStage.READY, CoverStage.ACCEPTED]
    assert len(joined(max_)) == 1


# --- crashes ----------------------------------------------------------------------------------------------------------


async def settle(three: Three) -> None:
    """Until all are at rest; whoever crashes on the way is started again."""
    while True:
        try:
            for device in three.all:
                if not device.storage.locked or device.link is None:
                    device.restart()
                    await device.connect()
            await later(20_000, *three.all)
        except Crash:
            continue
        return


async def until(
    three: Three, device: Device, request: bytes, wanted: CoverStage, deed: Callable[[Turn], object]
) -> None:
    """What a person does until it is done: after a crash they look, and try again what is not there."""
    for _ in range(4):
        await settle(three)
        if stage(device, request) is wanted:
            return
        with suppress(Crash, LocalError):
            device.do(deed)
    await settle(three)
    assert stage(device, request) is wanted


async def whole_way(three: Three) -> None:
    """From the request to the card, whoever crashes."""
    request = b""
    while not request:
        with suppress(Crash):
            request = three.ask()
        await settle(three)
        known = three.anna.do(cover_ledger.covers)
        request = known[0].request if known else b""
    await until(three, three.ben, request, CoverStage.READY, lambda turn: covering.agree(turn, request))
    await until(three, three.kim, request, CoverStage.ACCEPTED, lambda turn: covering.accept_cover(turn, request))
    card: Callable[[Turn], object] = lambda turn: covering.hand_over(turn, request, "card")  # noqa: E731
    await until(three, three.anna, request, CoverStage.HANDED_OVER, card)
    assert three.stages(request) == [CoverStage.HANDED_OVER, CoverStage.HANDED_OVER, CoverStage.ACCEPTED]
    assert kinds(three.ben, three.colleagues) == [MessageKind.COVER_REQUEST, MessageKind.COVER_CARD]
    assert kinds(three.kim, three.client) == [MessageKind.COVER_OFFER]
    assert len(set(joined(three.kim)) & set(joined(three.ben))) == 1
    for device in three.all:
        assert device.look(QUEUES.count) == 0


async def crash_at(who: int, nth: int, point: CrashPoint) -> int:
    """One run with a crash at the n-th commit of a device, -1 = none; returns how many commits it made."""
    three = await Three.start()
    try:
        device = three.all[who]
        before = device.storage.rev
        if nth >= 0:
            device.crash_after_commits(nth, point)
        await whole_way(three)
        assert not alarms(*three.all), f"{who} {nth} {point}"
        return device.storage.rev - before
    finally:
        await three.close()


@pytest.mark.parametrize("point", list(CrashPoint))
@pytest.mark.parametrize("who", [0, 1, 2])
async def test_a_crash_at_some_commits(who: int, point: CrashPoint) -> None:
    """Every fourth one; the command takes all."""
    for nth in range(who, await crash_at(who, -1, point), 4):
        await crash_at(who, nth, point)


async def _every() -> None:
    for who in range(3):
        for point in CrashPoint:
            count = await crash_at(who, -1, point)
            for nth in range(count):
                await crash_at(who, nth, point)
            sys.stdout.write(f"device {who}, {point}: {count} crashes\n")


if __name__ == "__main__":
    asyncio.run(_every())
