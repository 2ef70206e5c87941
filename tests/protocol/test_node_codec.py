"""The TypeScript codec takes and refuses the same frames as the Python one, golden ones and broken ones."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from rapport_protocol.codec import CLIENT_CODECS, SERVER_CODECS, Codec
from rapport_protocol.errors import FormatError
from rapport_protocol.ids import AccountId, ConversationId, DeviceId
from rapport_protocol.limits import SUBPROTOCOL_MSGPACK
from tests.chaos.mutations import Attacker, Mutator
from tests.house.tree import ROOT

pytestmark = pytest.mark.node

VERDICTS = ROOT / "client_sdk/web/sdk/test/driven/verdicts.ts"
FRAMES = 5_000
READERS: dict[str, Codec[Any, Any]] = {
    "client": SERVER_CODECS[SUBPROTOCOL_MSGPACK],
    "server": CLIENT_CODECS[SUBPROTOCOL_MSGPACK],
}
"""By who speaks."""


def verdict(reader: Codec[Any, Any], frame: bytes) -> str:
    try:
        reader.decode(frame)
    except FormatError:
        return "refused"
    return "message"


def test_both_codecs_take_the_same_frames(node_js: Path) -> None:
    mutator = Mutator(11)
    attacker = Attacker(AccountId(b"a" * 16), DeviceId(b"d" * 16), ConversationId(b"c" * 16), [DeviceId(b"e" * 16)])
    frames = [mutator.payload(attacker, SUBPROTOCOL_MSGPACK) for _ in range(FRAMES)]
    asked = [(speaker, frame) for frame in frames for speaker in READERS]
    lines = "".join(f"{speaker} {frame.hex()}\n" for speaker, frame in asked)
    done = subprocess.run([node_js, VERDICTS], input=lines, capture_output=True, text=True, timeout=60, check=True)
    said = done.stdout.splitlines()
    wanted = [verdict(READERS[speaker], frame) for speaker, frame in asked]
    differing = [
        (speaker, frame.hex()) for (speaker, frame), one, two in zip(asked, said, wanted, strict=True) if one != two
    ]
    assert differing == []
    assert min(wanted.count("message"), wanted.count("refused")) > FRAMES / 2
