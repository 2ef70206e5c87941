"""Joining by an invite with the account that there is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from rapport.crypto.invites import parse_link
from rapport.engine.devices import own_devices
from rapport.engine.vault.records import CONTACTS, CONVERSATIONS
from rapport_protocol.errors import ErrorCode
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.requests import InviteView, Role
from tests.sdk.linked import link
from tests.sdk.relay import Device, Relay, later, quiet
from tests.sdk.three import Three, alarms, joined, outcome, refused, secret_of, take


@pytest.fixture
async def three() -> AsyncIterator[Three]:
    started = await Three.start()
    yield started
    assert not alarms(*started.all)
    await started.close()


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
    assert phone.calls[0].operation == "membership.append"
    await phone.perform_call(phone.calls.popleft())  # refused before it has heard that the other device was first
    assert outcome(phone, made) is None, "not a failure yet"
    await later(20_000, three.kim, phone)
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


class Lies:
    """The server shows another invite than the one that was asked for."""

    def __init__(self, relay: Relay, lie: Callable[[InviteView, InviteView], InviteView], other: str) -> None:
        self.honest, self.lie, self.other = relay.call, lie, secret_of(other).id

    async def call(self, operation: str, body: Any = None, **named: Any) -> Any:
        answer = await self.honest(operation, body, **named)
        if operation != "invite.view":
            return answer
        return self.lie(answer, await self.honest(operation, path={"invite": self.other}))


LIES: dict[str, Callable[[InviteView, InviteView], InviteView]] = {
    "another card": lambda view, other: replace(view, card=other.card),
    "another chain": lambda view, other: replace(view, chain=other.chain),
    "no invite in the chain": lambda view, _: replace(view, chain=view.chain[:1]),
    "another conversation": lambda view, other: replace(view, conv=other.conv),
    "no lists": lambda view, _: replace(view, lists=[]),
    "garbage": lambda view, _: replace(view, card=b"x" * 100),
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_server_that_shows_another_invite_is_not_believed(three: Three, lie: str) -> None:
    made, _ = await three.invite(three.ben)
    other, _ = await three.invite(three.anna)
    before = joined(three.kim)
    three.relay.call = Lies(three.relay, LIES[lie], other).call  # type: ignore[method-assign]
    assert (await refused(three.kim, made)).code is ErrorCode.INVALID_SIGNATURE
    assert joined(three.kim) == before
    assert "membership.append" not in three.relay.calls, "nothing was signed for it"
    assert three.kim.look(lambda tx: CONTACTS.get(tx, three.ben.me.account)) is None, "nobody is pinned"
