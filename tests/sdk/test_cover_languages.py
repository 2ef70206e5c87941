"""Both SDKs come to the same about a cover, whatever was said, by whom, where and in which order."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from rapport.covers import CoverStage
from rapport.engine.bodies.agreements import (
    CoverAccepted,
    CoverCard,
    CoverOffer,
    CoverReady,
    CoverRefused,
    CoverRequest,
)
from rapport.engine.bodies.content import content_type
from rapport.engine.bodies.cover import CoverContent, Heard, fits, fold
from rapport_protocol.ids import AccountId, ConversationId, DeviceId, MessageId
from rapport_protocol.limits import INVITE_LIFE_MS
from rapport_protocol.requests import Role
from tests.house.tree import ROOT

pytestmark = pytest.mark.node

COVERS: Final = ROOT / "client_sdk/web/sdk/test/driven/covers.ts"
CASES: Final = 4_000
REQUEST: Final = b"\x01" * 16
ACCOUNTS: Final = [AccountId(bytes([number]) * 16) for number in range(1, 4)]
"""Therapist, colleague, client; whoever else speaks in a case is one of them in another place."""


def content(chance: random.Random, at: int) -> CoverContent:
    whom = ACCOUNTS[chance.choices((0, 1, 2), (1, 1, 6))[0]]
    match at:
        case 0:
            return CoverRequest(REQUEST, whom, "Kim", chance.random() < 0.5, "until May")
        case 1:
            return CoverReady(REQUEST, "link")
        case 2:
            return CoverRefused(REQUEST)
        case 3:
            return CoverOffer(REQUEST, ACCOUNTS[chance.choices((0, 1, 2), (1, 6, 1))[0]], "Ben", "link", note="")
        case 4:
            return CoverAccepted(REQUEST)
        case _:
            return CoverCard(REQUEST, whom, "Sleeps badly.")


PLACES: Final = ((0, 1), (1, 0), (1, 0), (0, 2), (2, 0), (0, 1))
"""By and to whom each step is said where everybody is honest."""


def step(chance: random.Random, number: int) -> Heard:
    at = chance.randrange(6)
    by, other = PLACES[at] if chance.random() < 0.85 else chance.sample((0, 1, 2), 2)
    pair = ConversationId(bytes([10 + by + other + (3 if chance.random() < 0.1 else 0)]) * 16)
    seq = chance.choice((0, *range(1, 12)))
    at_ms = chance.choice((1_000, 2_000, INVITE_LIFE_MS))
    message = MessageId(bytes([chance.randrange(256), number]) * 8)
    device = DeviceId(b"d" * 16)
    return Heard(content(chance, at), message, pair, ACCOUNTS[by], device, ACCOUNTS[other], seq, at_ms)


def asked(me: AccountId, now_ms: int, over: bool, roles: tuple[Role, Role], steps: list[Heard]) -> str:
    def shown(heard: Heard) -> dict[str, Any]:
        fields = {name: getattr(heard.content, name) for name in heard.content.__struct_fields__}
        said = {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}
        return {
            "content": {"type": content_type(heard.content), **said},
            "id": heard.id.hex(),
            "conv": heard.conv.hex(),
            "by": heard.by.hex(),
            "device": heard.device.hex(),
            "other": heard.other.hex(),
            "seq": heard.seq,
            "atMs": heard.at_ms,
        }

    whole = {"me": me.hex(), "now": now_ms, "over": over, "roles": roles, "steps": [shown(each) for each in steps]}
    return json.dumps(whole)


def answer(me: AccountId, now_ms: int, over: bool, roles: tuple[Role, Role], steps: list[Heard]) -> Any:
    """What the other SDK must say."""
    state = fold(me, steps, now_ms, over=over)
    may = [fits(each.content, *roles) for each in steps]
    if state is None:
        return [None, may]
    shown = {
        "request": state.request.hex(),
        "side": state.side,
        "stage": state.stage,
        "conversation": state.conversation.hex(),
        "therapist": state.therapist.hex(),
        "colleague": state.colleague.hex(),
        "client": state.client.hex(),
        "name": state.name,
        "note": state.note,
        "lasting": state.lasting,
        "atMs": state.at_ms,
    }
    return [shown, may]


def test_both_come_to_the_same(node_js: Path) -> None:
    chance = random.Random(7)
    cases = [
        (
            chance.choice(ACCOUNTS),
            chance.choice((3_000, INVITE_LIFE_MS + 1_500, 3 * INVITE_LIFE_MS)),
            chance.random() < 0.1,
            (chance.choice(list(Role)), chance.choice(list(Role))),
            [step(chance, number) for number in range(chance.randrange(1, 9))],
        )
        for _ in range(CASES)
    ]
    lines = "".join(asked(*case) + "\n" for case in cases)
    done = subprocess.run([node_js, COVERS], input=lines, capture_output=True, text=True, timeout=60, check=True)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    wanted = [json.loads(json.dumps(answer(*case))) for case in cases]
    for case, one, two in zip(cases, said, wanted, strict=True):
        assert one == two, asked(*case)
    reached = {state["stage"] for state, _ in wanted if state is not None}
    assert reached == set(CoverStage) - {CoverStage.AGREEING}, "every stage but the one that the fold does not know"
