"""A later client meets this server: what it appends is ignored, what it invents is answered `unsupported`."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from rapport_protocol.errors import ErrorCode
from rapport_protocol.ids import ItemId
from rapport_protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import Accepted, Ack, AckItem, ClientMessage, Deliver, Failure, Renew, Token
from rapport_protocol.signed import Outer
from tests.scenarios.test_messages import CONVERSATIONS
from tests.server.device import Device, connected
from tests.server.node import running

UNKNOWN = [
    step
    for conversation in CONVERSATIONS
    for step in conversation.steps
    if step.speaker == "client" and step.outcome == "unknown_tag"
]


async def say_later(device: Device, message: ClientMessage, *appended: Any) -> None:
    """The message as a later version writes it, with fields that this one does not know."""
    if device.codec.text:
        fields = [*json.loads(device.codec.encode(message)), *appended]
        await device.send_raw(json.dumps(fields).encode())
    else:
        fields = [*msgspec.msgpack.decode(device.codec.encode(message)), *appended]
        await device.send_raw(msgspec.msgpack.encode(fields))


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def test_appended_fields_are_ignored(subprotocol: str) -> None:
    async with running() as node:
        toni, dana, invited = await node.pair()
        async with connected(node, toni, subprotocol) as sender, connected(node, dana, subprotocol) as reader:
            post = sender.post(invited.conv, [dana.device])
            await say_later(sender, post, "of later", [1, 2])
            accepted = await sender.skip_to(Accepted)
            delivered = await reader.skip_to(Deliver)
            assert (delivered.outer, delivered.seq) == (post.outer, accepted.seq)
            await say_later(reader, Ack([AckItem(ItemId(Outer.parse(delivered.outer).id))]), 7)
            await say_later(reader, Renew(), None)
            await reader.skip_to(Token)
        async with connected(node, dana, subprotocol, caught_up=False) as again:
            await again.say(Renew())
            assert not isinstance(await again.hear_any(), Deliver), "the acknowledgement was not understood"


@pytest.mark.parametrize("subprotocol", [SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON])
async def test_unknown_tags_are_answered_and_the_stream_goes_on(subprotocol: str) -> None:
    async with running() as node:
        owner = await node.owner()
        async with connected(node, owner, subprotocol) as device:
            assert UNKNOWN
            for step in UNKNOWN:
                assert isinstance(step.json, msgspec.Raw)
                await device.send_raw(bytes(step.json) if device.codec.text else bytes.fromhex(step.msgpack))
                failure = await device.hear(Failure)
                assert (failure.code, failure.re, failure.retryable) == (ErrorCode.UNSUPPORTED, None, False)
            await device.say(Renew())
            await device.hear(Token)
