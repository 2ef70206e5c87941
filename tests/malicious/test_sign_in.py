"""A server that is another one, passes a sign-in on, or says that a device was ahead of itself."""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from rapport import ConnectionState, SecurityKind
from rapport_protocol.limits import MAX_INTEGER
from rapport_protocol.messages import Auth, Challenge, ClientMessage, Hello, ServerMessage
from rapport_protocol.signed import AuthTranscript, SigningKey
from tests.malicious.proxy import Liar, Proxy, Wire
from tests.malicious.rows import catches
from tests.malicious.stage import Person, Stage

pytestmark = pytest.mark.malicious


async def again(stage: Stage, person: Person) -> None:
    """The connection breaks and is made anew."""
    losses, before = person.losses, person.connections
    await stage.proxy.wire_of(person.client.device).hang_up()
    await person.is_cut_off(losses)
    person.client.network(available=True)
    if not stage.lying:
        await person.until(lambda: person.connections > before)


class OtherKey(Liar):
    """The server has another key than the one that was pinned."""

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if isinstance(message, Challenge):
            return [replace(message, server_id=SigningKey(secrets.token_bytes(32)).public)]
        return [message]


@catches("sign-in passed on to another server")
async def test_nothing_is_said_to_a_server_with_another_key(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(OtherKey())
    said = len(stage.proxy.said)
    await again(stage, dana)
    if stage.lying:
        await dana.noticed(SecurityKind.WRONG_SERVER)
        assert not [message for _, message in stage.proxy.said[said:] if isinstance(message, Auth)]
        stage.honest()
        dana.client.network(available=True)
        await dana.wait_until(ConnectionState.CONNECTED)
    await dana.say("only to the right one")
    await kim.hears("only to the right one")
    await stage.verdict(Dana=[SecurityKind.WRONG_SERVER])


class Ahead(Liar):
    """This device has signed in before with more than it has now, says the server."""

    def __init__(self, device: bytes, origin: str, server_id: bytes) -> None:
        self.device, self.origin, self.server_id = device, origin, server_id

    async def from_server(self, wire: Wire, message: ServerMessage) -> Iterable[ServerMessage]:
        if not isinstance(message, Hello) or wire.device != self.device:
            return [message]
        transcript = AuthTranscript(
            self.origin, self.server_id, secrets.token_bytes(16), secrets.token_bytes(32), secrets.token_bytes(32),
            wire.account, wire.device, MAX_INTEGER, 1,
        )  # fmt: skip
        return [replace(message, last_auth=transcript.encode() + secrets.token_bytes(64))]


@catches("false state revision")
async def test_a_device_believes_only_its_own_signature_that_it_was_ahead(stage: Stage) -> None:
    dana, kim = await stage.pair()
    stage.lie(Ahead(dana.client.device, stage.proxy.base, stage.app.server_id))
    before = dana.connections
    await again(stage, dana)
    await dana.until(lambda: dana.connections > before)
    if stage.lying:
        await dana.noticed(SecurityKind.FORGED_SIGN_IN)
    await dana.say("on the same sessions")
    await kim.hears("on the same sessions")
    assert "rollbacks" not in dana.client.figures()
    await stage.verdict(Dana=[SecurityKind.FORGED_SIGN_IN])


class PassedOn(Liar):
    """What the device signs is passed on to the real server, under whose name the proxy does not stand."""

    def __init__(self, auths: list[Auth]) -> None:
        self.auths = auths

    async def from_device(self, wire: Wire, message: ClientMessage) -> Iterable[ClientMessage]:
        if isinstance(message, Auth):
            self.auths.append(message)
        return [message]


@catches("sign-in passed on to another server")
async def test_a_sign_in_that_is_passed_on_opens_nothing(stage: Stage) -> None:
    """A second address stands between: a device that was lured there signs that address, not the server's."""
    dana, kim = await stage.pair()
    lure, auths = Proxy(), list[Auth]()
    lure.liar = PassedOn(auths)
    lure.server = stage.proxy.base
    base = await lure.listen() if stage.lying else stage.proxy.base
    try:
        await dana.reopen(base)
        if stage.lying:
            await dana.until(lambda: dana.client.state in {ConnectionState.RECONNECTING, ConnectionState.CLOSED})
            assert {auth.origin for auth in auths} == {base}
            assert not [message for _, message in lure.heard if isinstance(message, Hello)]
            await dana.reopen(stage.proxy.base)
        await dana.wait_until(ConnectionState.CONNECTED)
    finally:
        await lure.close()
    await dana.say("at the right address")
    await kim.hears("at the right address")
    await stage.verdict()
