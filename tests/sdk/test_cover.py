"""Cover and hand-over among therapist, colleague and client; joining by an invite with the account that there is.

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
from rapport.crypto.invites import InviteLink, InviteSecret, parse_link
from rapport.engine import accepting, cover_ledger, covering, errands, inviting, own_devices
from rapport.engine.agreements import CoverAccepted, CoverCard, CoverOffer, CoverReady, CoverRefused, CoverRequest
from rapport.engine.composing import compose
from rapport.engine.content import Content
from rapport.engine.cover_ledger import OFFER_OTHERS_MS, REQUESTS_MOST, cover_of
from rapport.engine.outgoing import QUEUES
from rapport.engine.records import CONVERSATIONS
from rapport.engine.turn import Turn
from rapport.events import CoverChanged, MessageKind, SecurityEvent
from rapport_protocol.errors import ErrorCode, LocalError
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.requests import Role
from tests.sdk.linked import link
from tests.sdk.relay import Device, Relay, later, quiet


class Three:
    """Anna, therapist and owner; Ben, her colleague; Kim, Anna's client. `all` are connected and at rest."""

    relay: Relay
    anna: Device
    ben: Device
    kim: Device
    colleagues: ConversationId
    client: ConversationId

    @classmethod
    async def start(cls, device: type[Device] = Device) -> Three:
        three = cls()
        three.relay = Relay()
        owner_link = await three.relay.start()
        three.anna, three.ben, three.kim = (device(three.relay, seed) for seed in (1, 2, 3))
        await three.anna.join(owner_link, "Anna")
        await three.anna.connect()
        three.colleagues = await three.bring(three.anna, three.ben, Role.THERAPIST, "Ben")
        three.client = await three.bring(three.anna, three.kim, Role.CLIENT, "Kim")
        return three

    async def invite(self, by: Device, role: Role = Role.CLIENT) -> tuple[str, ConversationId]:
        invite = by.do(lambda turn: inviting.new_invite(turn, role, "Welcome."))
        await quiet(by)
        made, conv = by.do(lambda turn: inviting.invite_link(turn, invite))
        return made, ConversationId(conv)

    async def bring(self, by: Device, who: Device, role: Role, name: str) -> ConversationId:
        made, conv = await self.invite(by, role)
        await who.join(made, name)
        await who.connect()
        await quiet(by, who)
        return conv

    @property
    def all(self) -> list[Device]:
        return [self.anna, self.ben, self.kim]

    async def close(self) -> None:
        await self.relay.close()

    # --- a cover, step by step ----------------------------------------------------------------------------------------

    def ask(self, *, lasting: bool = False) -> bytes:
        message = self.anna.do(
            lambda turn: covering.request_cover(turn, self.colleagues, self.client, "until May", lasting=lasting)
        )
        assert message.kind is MessageKind.COVER_REQUEST
        return message.request

    async def offered(self) -> bytes:
        request = self.ask()
        await quiet(*self.all)
        self.ben.do(lambda turn: covering.agree(turn, request))
        await quiet(*self.all)
        return request

    def stages(self, request: bytes, *devices: Device) -> list[CoverStage | None]:
        return [stage(device, request) for device in devices or self.all]


def stage(device: Device, request: bytes) -> CoverStage | None:
    state = device.do(lambda turn: cover_of(turn, request))
    return state.stage if state else None


def say(device: Device, conv: ConversationId, content: Content) -> None:
    """What only a lying device would say: it goes out without a look at the rules."""
    device.do(lambda turn: compose(turn, conv, content))


def kinds(device: Device, conv: ConversationId) -> list[MessageKind]:
    return [message.kind for message in device.shown(conv) if message.kind not in (MessageKind.CARD, MessageKind.TEXT)]


def alarms(*devices: Device) -> list[SecurityEvent]:
    return [event for device in devices for event in device.events if isinstance(event, SecurityEvent)]


def joined(device: Device) -> list[ConversationId]:
    """Its conversations of two people."""
    found = device.look(lambda tx: list(CONVERSATIONS.list(tx)))
    return [ConversationId(key) for key, held in found if held.membership and len(held.membership.members) == 2]


def outcome(device: Device, made: str) -> ConversationId | None:
    return device.do(lambda turn: accepting.outcome(turn, secret_of(made).id))


def secret_of(made: str) -> InviteSecret:
    parsed = parse_link(made)
    assert isinstance(parsed, InviteLink)
    return parsed.secret


def take(device: Device, made: str) -> None:
    parsed = parse_link(made)
    assert isinstance(parsed, InviteLink)
    device.do(lambda turn: accepting.accept(turn, parsed))


async def refused(device: Device, made: str) -> LocalError:
    """Why the invite is not taken."""
    with pytest.raises(LocalError) as problem:
        take(device, made)
        await later(20_000, device)
        outcome(device, made)
    return problem.value


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    started = await Three.start()
    yield started
    assert not alarms(*started.all)
    await started.close()


# --- joining with the account that there is ---------------------------------------------------------------------------


async def test_a_client_joins_a_second_pair_on_all_devices(three: Three) -> None:
    phone = await link(three.kim, seed=11)
    made, conv = await three.invite(three.ben)
    take(three.kim, made)
    await quiet(*three.all, phone)
    assert outcome(three.kim, made) == conv
    for device in (three.kim, phone, three.ben):
        assert conv in joined(device)
    three.ben.say(conv, "hello")
    phone.say(conv, "here I am")
    await quiet(*three.all, phone)
    assert three.kim.texts(conv) == ["Welcome.", "hello", "here I am"]
    assert phone.texts(conv) == three.ben.texts(conv) == ["hello", "here I am"]
    take(three.kim, made)
    await quiet(*three.all)
    assert outcome(three.kim, made) == conv, "asking again finds it done"
    assert outcome(phone, made) == conv
    assert not alarms(phone)


async def test_therapists_invite_each_other(three: Three) -> None:
    made, conv = await three.invite(three.ben, Role.THERAPIST)
    take(three.anna, made)
    await quiet(*three.all)
    assert outcome(three.anna, made) == conv
    stranger = Device(three.relay, 9)
    second, _ = await three.invite(three.ben, Role.THERAPIST)
    with pytest.raises(Exception, match="forbidden"):
        await stranger.join(second, "Nobody")


async def test_why_an_invite_is_not_taken_is_said_in_words(three: Three) -> None:
    made, _ = await three.invite(three.ben)
    assert (await refused(three.ben, made)).detail.startswith("this invite is your own")
    assert "for a client" in (await refused(three.anna, made)).detail
    for_a_colleague, _ = await three.invite(three.ben, Role.THERAPIST)
    assert "for a therapist" in (await refused(three.kim, for_a_colleague)).detail
    take(three.kim, made)
    await quiet(*three.all)
    other = Device(three.relay, 9)
    await other.join((await three.invite(three.anna))[0], "Lee")
    await other.connect()
    assert (await refused(other, made)).code is ErrorCode.EXPIRED
    late, _ = await three.invite(three.ben)
    three.relay.clock.forward(INVITE_LIFE_MS + 1)
    assert (await refused(other, late)).detail.startswith("this invite was used already or has expired")
    elsewhere = late.replace(parse_link(late).base, "https://elsewhere.example")
    assert "another server" in (await refused(other, elsewhere)).detail


async def test_two_devices_take_the_same_invite_at_once(three: Three) -> None:
    phone = await link(three.kim, seed=11)
    made, conv = await three.invite(three.ben)
    take(three.kim, made)
    take(phone, made)
    await later(20_000, *three.all, phone)
    assert outcome(three.kim, made) == outcome(phone, made) == conv
    assert not alarms(phone)


async def test_the_outcome_is_there_as_soon_as_the_errand_is_over(three: Three) -> None:
    phone = await link(three.kim, seed=11)
    made, conv = await three.invite(three.ben)
    for device in (three.kim, phone):
        take(device, made)
        await device.pump()  # it has looked at the invite, and signs its join
    await quiet(three.kim)
    errand = accepting.accept_errand(secret_of(made).id)
    while phone.do(lambda turn: errands.get(turn, errand)) is not None:
        await later(1_000, phone)
    assert outcome(phone, made) == conv, "the other device was first"
    assert not alarms(phone)


async def test_another_entry_comes_before_the_join(three: Three) -> None:
    phone = await link(three.ben, seed=11)
    made, conv = await three.invite(three.ben)
    take(three.kim, made)
    await three.kim.pump()
    three.ben.do(lambda turn: own_devices.revoke(turn, phone.me.device))  # closes the conversation to it: an entry
    await quiet(three.ben)
    await later(20_000, *three.all)
    assert outcome(three.kim, made) == conv
    assert len({device.look(lambda tx: CONVERSATIONS.need(tx, conv).epoch) for device in (three.kim, three.ben)}) == 1
    assert three.kim.look(lambda tx: CONVERSATIONS.need(tx, conv).epoch) == 4


# --- cover ------------------------------------------------------------------------------------------------------------


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


async def test_a_flood_of_requests_is_bounded(three: Three) -> None:
    for number in range(REQUESTS_MOST + 3):
        three.anna.do(lambda turn, number=number: cover_ledger._make_room(turn, number.to_bytes(16, "big")))  # type: ignore[misc]
        three.relay.clock.forward(1)
    assert three.anna.look(cover_ledger._REQUESTS.count) == REQUESTS_MOST
    assert not three.anna.look(lambda tx: cover_ledger._REQUESTS.has(tx, bytes(16)))


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
