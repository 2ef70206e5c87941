"""Presence through the public face, against a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
from rapport import ConnectionState, PresenceChanged, PresenceState
from rapport.chat.trusting import subtitle_of
from rapport.engine.listeners import Listener
from rapport.engine.presence import WhoIsThere
from rapport.engine.views import ConversationView
from rapport.events import Event, Member
from rapport_protocol.ids import AccountId, ConversationId
from rapport_protocol.limits import WATCHED_ACCOUNTS
from rapport_protocol.messages import ClientMessage, Presence, Present, Watch
from rapport_protocol.requests import Role
from tests.sdk.served import Served, served
from tests.sdk.test_client import meet, seen

ONLINE, AWAY, OFFLINE, UNKNOWN = PresenceState


@pytest.fixture
async def server() -> AsyncIterator[Served]:
    async with served() as running:
        yield running


async def changed(events: Listener, state: PresenceState) -> PresenceChanged:
    """The next change of presence, which must be to this state."""
    event = await seen(events, PresenceChanged)
    assert event.state is state
    return event


async def becomes(events: Listener, state: PresenceState) -> None:
    """Waits until presence is this; on a new connection "offline" may be said before the server has answered."""
    while (await seen(events, PresenceChanged)).state is not state:
        pass


async def later(server: Served) -> None:
    await server.clock.advance(10)
    assert server.app is not None
    server.app._parts.presence.nudge()


async def test_a_client_is_seen_once_it_allows_it(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        assert (dana.presence.allowed, kim.presence.allowed) == (True, False)
        assert dana.presence.of(kim.account) in {OFFLINE, UNKNOWN}
        assert kim.presence.of(dana.account) is UNKNOWN, "clients do not watch"
        await kim.presence.allow(True)
        assert (await changed(couple.dana_events, ONLINE)).account == kim.account
        assert dana.presence.of(kim.account) is ONLINE
        assert "here now" in subtitle_of(dana, couple.danas)
        await later(server)
        kim.presence.away()
        await changed(couple.dana_events, AWAY)
        await later(server)
        kim.presence.back()
        await changed(couple.dana_events, ONLINE)
        await later(server)
        await kim.presence.allow(False)
        await changed(couple.dana_events, OFFLINE)
        assert "here" not in subtitle_of(dana, couple.danas)
        assert kim.presence.of(dana.account) is UNKNOWN


async def test_without_a_connection_nobody_is_known_to_be_there(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        dana, kim = couple.dana, couple.kim
        await kim.presence.allow(True)
        await changed(couple.dana_events, ONLINE)
        dana.network(available=False)
        await changed(couple.dana_events, UNKNOWN)
        assert dana.presence.of(kim.account) is UNKNOWN
        dana.network(available=True)
        await becomes(couple.dana_events, ONLINE)
        await later(server)
        dana.network(available=False)
        await changed(couple.dana_events, UNKNOWN)
        kim.network(available=False)
        await kim.wait_until(ConnectionState.SUSPENDED, 30)
        await server.down()
        await server.up()
        dana.network(available=True)
        await changed(couple.dana_events, OFFLINE)


async def test_what_was_allowed_is_kept(server: Served, tmp_path: Path) -> None:
    async with AsyncExitStack() as clients:
        couple = await meet(server, tmp_path, clients)
        await couple.kim.presence.allow(True)
        await changed(couple.dana_events, ONLINE)
        await later(server)
        await couple.kim.__aexit__(None, None, None)
        await changed(couple.dana_events, OFFLINE)
        await later(server)
        async with rapport.Client(tmp_path / "kim") as kim:
            assert kim.presence.allowed
            await changed(couple.dana_events, ONLINE)


# --- what is said, without a server -----------------------------------------------------------------------------------

ANNA, BEN, CLEO = (AccountId(bytes((letter,)) * 16) for letter in b"abc")


def view(*members: AccountId, conv: bytes = b"1", active_ms: int = 0) -> ConversationView:
    shown = tuple(Member(account, "", Role.CLIENT) for account in members)
    return ConversationView(ConversationId(conv * 16), shown, 0, active_ms, 0, False)


class Talk:
    """One machine, and what it says and shows."""

    def __init__(self, role: Role) -> None:
        self.said: list[ClientMessage] = []
        self.shown: list[Event] = []
        self.presence = WhoIsThere(ANNA, role)
        self.presence.show = self.shown.append

    def connect(self) -> list[ClientMessage]:
        self.said.clear()
        self.presence.connected(self.said.append)
        return self.said


def test_defaults_are_not_said_and_the_rest_is_said_again_on_every_connection() -> None:
    client = Talk(Role.CLIENT)
    client.presence.update([view(ANNA, BEN)], {})
    assert client.connect() == []
    client.presence.update([], {"presence": "shown"})
    assert client.said == [Present("online")]
    client.presence.update([], {"presence": "shown"})
    client.presence.away(away=True)
    assert client.said == [Present("online"), Present("away")]
    client.presence.disconnected()
    client.presence.update([], {"presence": "of a later version"})
    assert client.connect() == [Present("hidden")], "the server may hold the other one for ten seconds"
    therapist = Talk(Role.THERAPIST)
    assert therapist.connect() == []
    therapist.presence.update([view(ANNA, BEN)], {"presence": "off"})
    assert therapist.said == [Watch(BEN)]
    assert therapist.connect() == [Watch(BEN)]


def test_contacts_are_watched_as_they_come_and_go() -> None:
    talk = Talk(Role.OWNER)
    talk.connect()
    talk.presence.update([view(ANNA, CLEO), view(ANNA, BEN, conv=b"2")], {})
    talk.presence.update([view(ANNA, BEN)], {})
    talk.presence.update([view(ANNA, BEN)], {})
    assert talk.said == [Watch(BEN + CLEO), Watch(BEN)]
    talk.presence.take(Presence(CLEO, "online"))
    assert talk.shown == [], "nobody asked"
    many = [view(AccountId(number.to_bytes(16, "big")), conv=b"m", active_ms=number) for number in range(2000)]
    talk.presence.update(many, {})
    assert talk.said[-1] == Watch(b"".join(number.to_bytes(16, "big") for number in range(1000, 2000)))
    assert WATCHED_ACCOUNTS == 1000


def test_nothing_is_known_before_the_server_has_answered_or_after_it_is_gone() -> None:
    talk = Talk(Role.THERAPIST)
    talk.presence.update([view(ANNA, BEN, CLEO)], {})
    assert talk.presence.of(BEN) is UNKNOWN
    talk.connect()
    assert talk.presence.of(BEN) is UNKNOWN
    talk.presence.take(Presence(BEN, "away"))
    talk.presence.caught_up()
    assert (talk.presence.of(BEN), talk.presence.of(CLEO)) == (AWAY, OFFLINE)
    talk.presence.take(Presence(BEN, "a later one"))
    talk.presence.take(Presence(CLEO, "online"))
    talk.presence.disconnected()
    assert talk.presence.of(CLEO) is talk.presence.of(BEN) is UNKNOWN
    talk.connect()
    talk.presence.caught_up()
    assert talk.shown == [
        PresenceChanged(BEN, AWAY),
        PresenceChanged(BEN, OFFLINE),
        PresenceChanged(CLEO, ONLINE),
        PresenceChanged(CLEO, UNKNOWN),
        PresenceChanged(CLEO, OFFLINE),
    ]


def test_a_client_watches_only_when_told_to() -> None:
    talk = Talk(Role.CLIENT)
    talk.presence.update([view(ANNA, BEN)], {})
    talk.connect()
    talk.presence.watch()
    talk.presence.update([view(ANNA, BEN)], {})
    assert talk.said == [Watch(BEN)]
