"""Linking over a real server: what the two people see, what an attacker at the code or at the server gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import rapport
from rapport import ConversationChanged, ErrorCode, LinkTrouble
from rapport.crypto.linking import LinkAnswer, LinkDone, LinkEnd, LinkPackage, open_step, parse_code, seal_step
from rapport.engine.contacts import lists_of
from rapport.engine.devices import linking_steps
from rapport.linking import LinkOffer, LinkProblem
from rapport_protocol.ids import LinkId
from rapport_protocol.requests import LinkStep, Prekeys
from tests.sdk.linked import link_client
from tests.sdk.served import Served, served

WITHIN_S = 60.0


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as up:
        yield up


@asynccontextmanager
async def owner(server: Served, folder: Path) -> AsyncIterator[rapport.Client]:
    await rapport.join(await server.practice(), vault=folder / "dana", name="Dana")
    async with rapport.Client(vault=folder / "dana") as client:
        await client.caught_up()
        yield client


async def until(client: rapport.Client, holds: Callable[[], bool]) -> None:
    """Waits for something that events tell of."""
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while not holds():
            await anext(events)


async def read(client: rapport.Client, text: str) -> None:
    """Waits until a text stands in the client's newest conversation."""
    events = client.events()
    async with asyncio.timeout(WITHIN_S):
        while True:
            found = client.conversations()
            if found and text in [message.text for message in await found[0].history()]:
                return
            await anext(events)


# --- as it should be --------------------------------------------------------------------------------------------------


async def test_two_devices_of_one_account_converse_with_somebody(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        await rapport.join(await dana.invite(), vault=tmp_path / "kim", name="Kim")
        async with rapport.Client(vault=tmp_path / "kim") as kim:
            await kim.conversations()[0].send_text("before the link")
            await read(dana, "before the link")
            device = await link_client(dana, tmp_path / "phone", "Phone")
            assert [held.id for held in dana.devices()] == [dana.device, device]
            async with rapport.Client(vault=tmp_path / "phone") as phone:
                assert (phone.account, phone.device, phone.role) == (dana.account, device, dana.role)
                await read(phone, "before the link")
                assert [member.name for member in phone.conversations()[0].members] == ["Dana", "Kim"]
                await phone.conversations()[0].send_text("from the phone")
                await read(kim, "from the phone")
                await read(dana, "from the phone")
                await until(kim, lambda: "Phone" in [held.label for held in kim.contact_devices(dana.account)])


async def test_a_removed_client_is_told_and_can_be_wiped(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        device = await link_client(dana, tmp_path / "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            await phone.caught_up()
            events = phone.events()
            await dana.revoke(device)
            async with asyncio.timeout(WITHIN_S):
                while not isinstance(await anext(events), rapport.SignedOut):
                    pass
            assert [held.id for held in dana.devices()] == [dana.device]
            await phone.sign_out()
        assert list((tmp_path / "phone").iterdir()) == []


async def test_the_first_device_can_be_removed_by_another(server: Served, tmp_path: Path) -> None:
    """It holds the identity key and made the account; it is told all the same, and does not come back."""
    async with owner(server, tmp_path) as dana:
        await link_client(dana, tmp_path / "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            await phone.caught_up()
            events = dana.events()
            await phone.revoke(dana.device)
            async with asyncio.timeout(WITHIN_S):
                while not isinstance(await anext(events), rapport.SignedOut):
                    pass
            assert [held.id for held in phone.devices()] == [phone.device]
    async with rapport.Client(vault=tmp_path / "dana") as again:
        events = again.events()
        async with asyncio.timeout(WITHIN_S):
            while not isinstance(await anext(events), rapport.SignedOut):
                pass


async def test_signing_out_removes_the_device_and_its_vault(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        await link_client(dana, tmp_path / "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            await phone.caught_up()
            await phone.sign_out()
        assert list((tmp_path / "phone").iterdir()) == []
        await until(dana, lambda: [held.id for held in dana.devices()] == [dana.device])


async def test_the_last_device_only_wipes(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        await dana.sign_out()
    assert list((tmp_path / "dana").iterdir()) == []


async def test_a_bare_code_needs_the_servers_address(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        offer = await dana.link()
        with pytest.raises(rapport.LocalError, match="where the server is"):
            rapport.link_device(offer.code, vault=tmp_path / "phone", label="")
        joining = asyncio.create_task(offer.joined())
        async with rapport.link_device(
            offer.code.lower(), vault=tmp_path / "phone", label="", server=server.base
        ) as linking:
            await joining
            assert len(linking.digits) == 6


# --- as it should not be ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def met(dana: rapport.Client, folder: Path) -> AsyncIterator[tuple[LinkOffer, rapport.DeviceLinking]]:
    """An offer that a device has opened; the digits are not typed yet."""
    offer = await dana.link()
    joining = asyncio.create_task(offer.joined())
    async with rapport.link_device(offer.url, vault=folder / "phone", label="Phone") as linking:
        await joining
        yield offer, linking


def other(digits: str) -> str:
    return f"{(int(digits) + 1) % 1_000_000:06d}"


async def test_wrong_digits_can_be_typed_three_times(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, linking):
        waiting = asyncio.create_task(linking.finished())
        for left in (2, 1):
            with pytest.raises(LinkProblem) as problem:
                await offer.confirm(other(linking.digits))
            assert (problem.value.trouble, problem.value.tries_left) == (LinkTrouble.WRONG_DIGITS, left)
        with pytest.raises(LinkProblem) as ended:
            await offer.confirm(other(linking.digits))
        assert ended.value.trouble is LinkTrouble.ENDED
        with pytest.raises(LinkProblem):  # not even the right ones any more
            await offer.confirm(linking.digits)
        async with asyncio.timeout(WITHIN_S):
            with pytest.raises(LinkProblem) as told:
                await waiting
        assert told.value.trouble is LinkTrouble.ENDED
        assert len(dana.devices()) == 1
    assert list((tmp_path / "phone").iterdir()) == []


async def test_after_one_slip_the_right_digits_count(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, linking):
        with pytest.raises(LinkProblem):
            await offer.confirm("no digits")
        finishing = asyncio.create_task(linking.finished())
        device = await offer.confirm(f"{linking.digits[:3]} {linking.digits[3:]}")
        assert await finishing == dana.account
        assert (device.label, device.this) == ("Phone", False)


async def test_a_code_is_for_one_device(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, _linking):
        with pytest.raises(LinkProblem) as taken:
            async with rapport.link_device(offer.url, vault=tmp_path / "thief", label=""):
                pass
        assert taken.value.trouble is LinkTrouble.TAKEN
    assert list((tmp_path / "thief").iterdir()) == []


async def test_a_newer_offer_and_a_cancelled_one_end_the_old(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        first = await dana.link()
        await dana.link()
        with pytest.raises(LinkProblem) as gone:
            await first.joined()
        assert gone.value.trouble is LinkTrouble.EXPIRED
        async with met(dana, tmp_path) as (offer, linking):
            waiting = asyncio.create_task(linking.finished())
            await offer.cancel()
            with pytest.raises(LinkProblem) as ended:
                await waiting
            assert ended.value.trouble is LinkTrouble.ENDED
            with pytest.raises(LinkProblem):
                await offer.confirm(linking.digits)


async def test_three_minutes_are_the_limit(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, linking):
        await server.clock.advance(181)
        with pytest.raises(LinkProblem) as late:
            await offer.confirm(linking.digits)
        assert late.value.trouble is LinkTrouble.EXPIRED
        with pytest.raises(LinkProblem):
            await linking.finished()


async def test_a_vault_of_an_account_is_left_alone(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path):
        pass
    async with owner(server, tmp_path / "other") as anna:
        offer = await anna.link()
        with pytest.raises(rapport.LocalError) as refused:
            async with rapport.link_device(offer.url, vault=tmp_path / "dana", label=""):
                pass
        assert refused.value.code is ErrorCode.CONFLICT
    async with rapport.Client(vault=tmp_path / "dana") as dana:
        assert len(dana.devices()) == 1


async def test_a_device_that_gives_up_leaves_nothing(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        async with met(dana, tmp_path) as (_offer, linking):
            waiting = asyncio.create_task(linking.finished())
            await asyncio.sleep(0)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        assert list((tmp_path / "phone").iterdir()) == []
        assert len(dana.devices()) == 1
        await link_client(dana, tmp_path / "phone")
        assert len(dana.devices()) == 2


# --- a server, or somebody who saw the code, in between ---------------------------------------------------------------


async def test_a_server_cannot_show_another_key_than_the_committed_one(server: Served, tmp_path: Path) -> None:
    """It knows the code (somebody filmed it): its own e_pub does not fit the commitment."""
    async with owner(server, tmp_path) as dana:
        offer = await dana.link()
        _, code = parse_code(offer.url)
        mallory = LinkEnd(b"\x07" * 32)
        linking = rapport.link_device(offer.url, vault=tmp_path / "phone", label="")

        async def in_between() -> None:
            api = linking._api
            state = await api.call("linking.state", path={"link": code.id})
            while len(state.steps) < 2:  # type: ignore[attr-defined]
                await asyncio.sleep(0)
                state = await api.call("linking.state", path={"link": code.id})
            await dana._running.request("linking.step", {"link": code.id}, {}, LinkStep(2, mallory.public))

        async with asyncio.TaskGroup() as both:
            both.create_task(in_between())
            with pytest.raises(LinkProblem) as forged:
                async with linking:
                    pass
        assert forged.value.trouble is LinkTrouble.FORGED


async def test_whoever_opens_the_code_first_has_other_digits(server: Served, tmp_path: Path) -> None:
    """The thief's device shows digits of its own: the person, who reads the right device, never types them."""
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, thief):
        with pytest.raises(LinkProblem):
            async with rapport.link_device(offer.url, vault=tmp_path / "mine", label="") as mine:
                assert mine.digits != thief.digits
        assert len(dana.devices()) == 1


async def test_an_answer_that_is_no_device_of_the_account_is_refused(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, linking):
        key, link, api = linking._key, LinkId(linking._secret.id), linking._api
        confirming = asyncio.create_task(offer.confirm(linking.digits))
        state = await linking._meeting.until(4)
        package = open_step(key, link, LinkPackage, state.steps[3])
        foreign = linking_steps.new_device(package, "http://x", _random, 1).secrets
        bent = bytearray(foreign.entry().encode())
        bent[-1] ^= 1
        answer = LinkAnswer(bytes(bent), _prekeys(), "x")
        await api.call("linking.answer", LinkStep(4, seal_step(key, link, answer, _random)), path={"link": link})
        with pytest.raises(LinkProblem) as forged:
            await confirming
        assert forged.value.trouble is LinkTrouble.FORGED
        assert len(dana.devices()) == 1


async def test_an_end_without_the_new_device_is_refused(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana, met(dana, tmp_path) as (offer, linking):
        key, link = linking._key, LinkId(linking._secret.id)
        package, _ = await dana._running.do(linking_steps.make_package)
        path = {"link": link}
        sealed = seal_step(key, link, package, _random)
        await dana._running.request("linking.step", path, {}, LinkStep(3, sealed))
        finishing = asyncio.create_task(linking.finished())
        await linking._meeting.until(5)
        lists = await dana._running.do(lambda turn: lists_of(turn, turn.me.account))
        done = LinkDone((lists[-1].encoded,))
        await dana._running.request("linking.step", path, {}, LinkStep(5, seal_step(key, link, done, _random)))
        with pytest.raises(LinkProblem) as forged:
            await finishing
        assert forged.value.trouble is LinkTrouble.FORGED
        assert offer.code not in repr(offer)
    assert list((tmp_path / "phone").iterdir()) == []


def _random(size: int) -> bytes:
    return bytes(range(size)) if size < 256 else bytes(size)


def _prekeys() -> Prekeys:
    return Prekeys(bytes(108), bytes(1260), [])


async def test_hosts_hear_of_history_that_comes_later(server: Served, tmp_path: Path) -> None:
    async with owner(server, tmp_path) as dana:
        await rapport.join(await dana.invite(), vault=tmp_path / "kim", name="Kim")
        async with rapport.Client(vault=tmp_path / "kim") as kim:
            await kim.conversations()[0].send_text("history")
            await read(dana, "history")
        await link_client(dana, tmp_path / "phone")
        async with rapport.Client(vault=tmp_path / "phone") as phone:
            events, conv = phone.events(), dana.conversations()[0].id
            async with asyncio.timeout(WITHIN_S):
                while await anext(events) != ConversationChanged(conv):
                    pass
            assert [message.text for message in await phone.conversations()[0].history()] == ["history"]
