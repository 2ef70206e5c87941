"""Replays scenarios/messages.json through the codec: what is frozen on the wire, and how it may grow."""

from __future__ import annotations

import json
from typing import Any, Literal, get_args

import msgspec
import pytest
from msgspec import UNSET, Struct, UnsetType

from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS, Codec, UnknownTag
from rapport_protocol.errors import ErrorCode, FormatError
from rapport_protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from rapport_protocol.messages import ClientMessage, ServerMessage
from tests.house.tree import ROOT

Json = msgspec.Raw


class Step(Struct, forbid_unknown_fields=True, rename={"speaker": "from"}):
    """One message. What a server says is read by a client, and the other way round."""

    speaker: Literal["client", "server"]
    msgpack: str
    json: Json | UnsetType = UNSET
    reads: Json | UnsetType = UNSET
    outcome: Literal["message", "unknown_tag", "bad_frame"] = "message"
    why: str = ""


class Conversation(Struct, forbid_unknown_fields=True):
    """Messages in their order."""

    name: str
    about: str
    steps: list[Step]


class Conversations(Struct, forbid_unknown_fields=True):
    """The file."""

    about: str
    conversations: list[Conversation]


FILE = ROOT / "client_sdk/protocol/scenarios/messages.json"
CONVERSATIONS = msgspec.json.decode(FILE.read_bytes(), type=Conversations).conversations
STEPS = [
    pytest.param(step, id=f"{conversation.name}: {number} {step.why}".strip())
    for conversation in CONVERSATIONS
    for number, step in enumerate(conversation.steps)
]


def reader(step: Step, subprotocol: str) -> Codec[Any, Any]:
    return CLIENT_CODECS[subprotocol] if step.speaker == "server" else SERVER_CODECS[subprotocol]


def writer(step: Step, subprotocol: str) -> Codec[Any, Any]:
    return SERVER_CODECS[subprotocol] if step.speaker == "server" else CLIENT_CODECS[subprotocol]


def compact(value: Json | UnsetType) -> bytes:
    assert not isinstance(value, UnsetType)
    return json.dumps(json.loads(bytes(value)), separators=(",", ":")).encode()


def frames(step: Step) -> list[tuple[str, bytes]]:
    """The step in each serialisation that it is given in."""
    given = [(SUBPROTOCOL_MSGPACK, bytes.fromhex(step.msgpack))]
    return given if isinstance(step.json, UnsetType) else [*given, (SUBPROTOCOL_JSON, compact(step.json))]


@pytest.mark.parametrize("step", STEPS)
def test_every_frame_reads_as_it_should(step: Step) -> None:
    for subprotocol, frame in frames(step):
        codec = reader(step, subprotocol)
        if step.outcome == "message":
            meant = compact(step.json if isinstance(step.reads, UnsetType) else step.reads)
            assert codec.decode(frame) == reader(step, SUBPROTOCOL_JSON).decode(meant), subprotocol
        else:
            with pytest.raises(FormatError) as refusal:
                codec.decode(frame)
            assert isinstance(refusal.value, UnknownTag) == (step.outcome == "unknown_tag"), subprotocol
            assert refusal.value.code is (
                ErrorCode.UNSUPPORTED if step.outcome == "unknown_tag" else ErrorCode.BAD_FRAME
            ), subprotocol


@pytest.mark.parametrize("step", STEPS)
def test_every_message_is_written_as_it_stands(step: Step) -> None:
    if step.outcome != "message" or not isinstance(step.reads, UnsetType):
        return  # bytes of another version, or of none
    message = reader(step, SUBPROTOCOL_JSON).decode(compact(step.json))
    for subprotocol, frame in frames(step):
        assert writer(step, subprotocol).encode(message) == frame, subprotocol


def test_every_message_of_the_contract_is_spoken() -> None:
    spoken = {
        (step.speaker, json.loads(bytes(step.json))[0])
        for conversation in CONVERSATIONS
        for step in conversation.steps
        if step.outcome == "message" and not isinstance(step.json, UnsetType)
    }
    contract = {
        (speaker, kind.__struct_config__.tag)
        for speaker, union in (("client", ClientMessage), ("server", ServerMessage))
        for kind in get_args(union)
    }
    assert spoken == contract
