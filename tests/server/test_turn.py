"""Credentials of the relay: who gets some, for how long, and that nobody learns more by asking."""

from __future__ import annotations

import base64
import hmac
import os

import pytest

from rapport_protocol.calls.arbiter import RING_MS, CallStep
from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import AppointmentId, MessageId
from rapport_protocol.meeting import AppointmentTimes, Modality, PutAppointments, TurnCredentials, TurnWanted
from rapport_protocol.requests import Role
from rapport_server.config import Config, ConfigurationProblem, Turn, check
from tests.server.node import Node, Refused, running
from tests.server.people import Person
from tests.server.test_calls import calling

SECRET = "a secret that coturn knows too"
URLS = ["turn:turn.example.org:3478?transport=udp", "turns:turn.example.org:5349?transport=tcp"]
WITH_RELAY = Turn(urls=URLS, secret=SECRET, ttl_s=300)
MINUTE_MS = 60_000
DAY_MS = 86_400_000


async def given(node: Node, who: Person, wanted: TurnWanted) -> TurnCredentials:
    answer = await node.ask("turn.credentials", who, wanted)
    assert isinstance(answer, TurnCredentials)
    return answer


async def refused(node: Node, who: Person, wanted: TurnWanted) -> Refused:
    with pytest.raises(Refused) as caught:
        await node.ask("turn.credentials", who, wanted)
    return caught.value


async def not_found(node: Node, who: Person, wanted: TurnWanted) -> bool:
    return (await refused(node, who, wanted)).problem.code == ErrorCode.NOT_FOUND


async def test_they_are_what_coturn_checks() -> None:
    async with running(turn=WITH_RELAY) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            found = await given(node, client, TurnWanted(call))
            until_s, _, opaque = found.username.partition(":")
            assert int(until_s) * 1000 == found.until_ms == node.clock.now_ms() + 300_000
            assert len(bytes.fromhex(opaque)) == 16
            password = hmac.digest(SECRET.encode(), found.username.encode(), "sha1")
            assert found.credential == base64.b64encode(password).decode()
            assert (found.urls, found.relay_only) == (URLS, True)
            mine_too = await given(node, therapist, TurnWanted(call))
            assert mine_too.username != found.username, "one person's quota is not another's"
            node.clock.pass_ms(1000)
            later = await given(node, client, TurnWanted(call))
            assert later.username.partition(":")[2] == opaque, "one person in one call has one quota"
            await theirs.says(call, CallStep.DECLINE)
            again = await mine.offers(opened, client)
            assert (await given(node, client, TurnWanted(again))).username.partition(":")[2] != opaque
            for planted in (client.account, client.device, call, SECRET.encode()):
                assert planted.hex() not in repr(found) + found.username


async def test_who_may_have_some_while_a_call_lives() -> None:
    async with running(turn=WITH_RELAY) as node:
        therapist, client, opened = await node.pair()
        _, other, _ = await node.pair(Role.CLIENT, therapist)
        stranger = await node.owner()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = TurnWanted(await theirs.offers(opened, therapist))
            assert call.call is not None
            assert await not_found(node, client, call), "a client that calls waits until somebody has accepted"
            await given(node, therapist, call)
            for who in (other, stranger):
                assert await not_found(node, who, call)
            await mine.says(call.call, CallStep.ACCEPT)
            await given(node, client, call)
            await given(node, therapist, call)
            await theirs.says(call.call, CallStep.HANGUP)
            for who in (client, therapist):
                assert await not_found(node, who, call), "it is over"
            mine_first = TurnWanted(await mine.offers(opened, client))
            await given(node, therapist, mine_first)
            node.clock.pass_ms(RING_MS)
            for who in (client, therapist):
                assert await not_found(node, who, mine_first), "its time is over, though no timer has fired"
            assert node.app._parts.services.turn.given == 4


async def test_the_callee_s_other_devices_have_none_once_one_has_answered() -> None:
    async with running(turn=WITH_RELAY) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine, calling(node, client) as theirs:
            call = await mine.offers(opened, client)
            await theirs.says(call, CallStep.ACCEPT)
            record = await node.store.call((await node.signed_in(client)).practice, call)
            assert record is not None
            assert record.callee_leg is not None
            assert record.callee_leg.device == client.device
            turn = node.app._parts.services.turn
            tablet = await node.signed_in(client)
            elsewhere = type(tablet)(tablet.practice, tablet.account, type(tablet.device)(os.urandom(16)), tablet.role)
            with pytest.raises(Exception, match="no such thing"):
                await turn.credentials(elsewhere, TurnWanted(call))


async def test_a_test_before_an_appointment_is_short_and_seldom() -> None:
    async with running(turn=WITH_RELAY, rates=Config().rates) as node:
        therapist, client, opened = await node.pair()
        stranger = await node.owner()
        meeting = AppointmentId(os.urandom(16))
        start_ms = node.clock.now_ms() + 2 * DAY_MS
        members = b"".join(sorted((therapist.account, client.account)))
        times = AppointmentTimes(meeting, opened.conv, 1, start_ms, 50, Modality.VIDEO, "Europe/London", members)
        await node.ask("appointment.put", therapist, PutAppointments([times]))
        wanted = TurnWanted(appointment=meeting)
        assert await not_found(node, client, wanted), "more than a day before"
        node.clock.pass_ms(DAY_MS + MINUTE_MS)
        await node.signed_in(client)
        await node.signed_in(stranger)
        found = await given(node, client, wanted)
        assert found.until_ms == node.clock.now_ms() + MINUTE_MS
        assert (await refused(node, client, wanted)).problem.code == ErrorCode.RATE_LIMITED
        for _ in range(2):
            assert await not_found(node, stranger, wanted)
        node.clock.pass_ms(2 * MINUTE_MS)
        await given(node, client, wanted)


async def test_what_cannot_be_asked() -> None:
    async with running(turn=WITH_RELAY) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine:
            call = await mine.offers(opened, client)
            both = TurnWanted(call, AppointmentId(os.urandom(16)))
            for wanted in (TurnWanted(), both):
                assert (await refused(node, client, wanted)).problem.code == ErrorCode.BAD_FORMAT
            plain = await mine.device.accepted(mine.device.post(opened.conv, [client.device]))
            for absent in (plain.id, MessageId(os.urandom(16))):
                assert await not_found(node, client, TurnWanted(absent))
            assert await not_found(node, client, TurnWanted(appointment=AppointmentId(os.urandom(16))))


async def test_without_a_relay_there_is_nothing_to_reach() -> None:
    async with running(turn=Turn(relay_only=False)) as node:
        therapist, client, opened = await node.pair()
        async with calling(node, therapist) as mine:
            call = await mine.offers(opened, client)
            found = await given(node, client, TurnWanted(call))
            assert (found.urls, found.username, found.credential, found.relay_only) == ([], "", "", False)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationProblem, match=r"turn\.secret"):
        check(Config(turn=Turn(urls=URLS, secret="short")))
    with pytest.raises(ConfigurationProblem, match=r"turn\.urls"):
        check(Config(turn=Turn(urls=["https://turn.example.org"], secret=SECRET)))
    check(Config(turn=WITH_RELAY))
