"""A therapist, a colleague and a client over the real services, for tests of cover and of joining with an account."""

from __future__ import annotations

import pytest

from rapport.covers import CoverStage
from rapport.crypto.invites import InviteLink, InviteSecret, parse_link
from rapport.engine.bodies.content import Content
from rapport.engine.composing import compose
from rapport.engine.cover import covering
from rapport.engine.cover.cover_ledger import cover_of
from rapport.engine.joining import accepting, inviting
from rapport.engine.vault.records import CONVERSATIONS
from rapport.events import MessageKind, SecurityEvent
from rapport_protocol.errors import LocalError
from rapport_protocol.ids import ConversationId
from rapport_protocol.requests import Role
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
