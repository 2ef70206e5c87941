"""Linking over HTTP: who may write which step, and how both sides see each other's."""

from __future__ import annotations

import os

import pytest

from rapport_protocol.ids import LinkId
from rapport_protocol.limits import LINK_CONTENT_BYTES, LINK_LIFE_MS
from rapport_protocol.requests import LinkOpen, LinkState, LinkStep
from rapport_server.config import RateLimit, RateLimits
from tests.server.node import Node, Refused, running
from tests.server.people import Person


async def code(node: Node, operation: str, who: Person | None, step: LinkStep, link: bytes) -> str:
    with pytest.raises(Refused) as refused:
        await node.ask(operation, who, step, link=link)
    return refused.value.problem.code


async def test_two_devices_meet() -> None:
    async with running() as node:
        owner, link = await node.owner(), LinkId(os.urandom(16))
        state = await node.ask("linking.open", owner, LinkOpen(link, b"c" * 32))
        ends = node.clock.now_ms() + LINK_LIFE_MS
        assert state == LinkState(ends, node.clock.now_ms(), [b"c" * 32])
        package = b"p" * LINK_CONTENT_BYTES
        written = [b"c" * 32]
        for operation, who, step, content in (
            ("linking.answer", None, 1, b"n" * 32),
            ("linking.step", owner, 2, b"e" * 32),
            ("linking.step", owner, 3, package),
            ("linking.answer", None, 4, b"answer"),
            ("linking.step", owner, 5, b"done"),
        ):
            written.append(content)
            answer = await node.ask(operation, who, LinkStep(step, content), link=link)
            seen = await node.ask("linking.state", None, link=link, json=step % 2 == 1)
            assert answer == seen == LinkState(ends, node.clock.now_ms(), written)
        node.clock.pass_ms(LINK_LIFE_MS)
        with pytest.raises(Refused) as refused:
            await node.ask("linking.state", None, link=link)
        assert refused.value.problem.code == "not_found"


async def test_each_side_writes_its_own_steps() -> None:
    async with running() as node:
        owner, client, _ = await node.pair()
        link = LinkId(os.urandom(16))
        await node.ask("linking.open", owner, LinkOpen(link, b"c" * 32))
        assert await code(node, "linking.step", owner, LinkStep(1, b"n" * 32), link) == "bad_format"
        assert await code(node, "linking.answer", None, LinkStep(2, b"e" * 32), link) == "bad_format"
        assert await code(node, "linking.answer", None, LinkStep(1, b"n" * 31), link) == "bad_format"
        assert await code(node, "linking.answer", None, LinkStep(4, b"answer"), link) == "rule_broken"
        await node.ask("linking.answer", None, LinkStep(1, b"n" * 32), link=link)
        assert await code(node, "linking.answer", None, LinkStep(1, b"m" * 32), link) == "conflict"
        assert await code(node, "linking.step", client, LinkStep(2, b"e" * 32), link) == "not_found"
        assert await code(node, "linking.answer", None, LinkStep(1, b"n" * 32), os.urandom(16)) == "not_found"
        assert await code(node, "linking.step", owner, LinkStep(6, b"more"), link) == "bad_frame"
        with pytest.raises(Refused) as refused:
            await node.ask("linking.open", client, LinkOpen(link, b"c" * 32))
        assert refused.value.problem.code == "conflict"


async def test_who_has_no_account_is_counted_by_address() -> None:
    generous = {name: RateLimit(1_000_000, 1_000_000.0) for name in RateLimits.__struct_fields__}
    few = RateLimits(**generous | {"link_answer": RateLimit(2, 0.1), "link_state": RateLimit(3, 0.1)})
    async with running(few) as node:
        link = os.urandom(16)
        for _ in range(2):
            assert await code(node, "linking.answer", None, LinkStep(1, b"n" * 32), link) == "not_found"
        assert await code(node, "linking.answer", None, LinkStep(1, b"n" * 32), link) == "rate_limited"
        for expected in ("not_found", "not_found", "not_found", "rate_limited"):
            with pytest.raises(Refused) as refused:
                await node.ask("linking.state", None, link=link)
            assert refused.value.problem.code == expected
