"""Two devices of one account post into one conversation at once: contiguous numbers, nobody overtakes themselves.

`python -m tests.sdk.test_two_workers` posts 10,000 (about two minutes); the test run posts some hundred.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

import rapport
import rapport.testing
from tests.sdk.linked import link_client

WITHIN_S = 300.0
WORKERS = ("dana", "phone")


async def work(client: rapport.Client, conv: rapport.ConversationId, name: str, count: int) -> None:
    conversation = client.conversation(conv)
    for number in range(count):
        await conversation.send_text(f"{name} {number}")


async def arrived(
    client: rapport.Client, listener: AsyncIterator[rapport.Event], conv: rapport.ConversationId, count: int
) -> list[rapport.Message]:
    """Once so many texts, of others and of one's own, have their place."""
    placed: set[bytes] = set()
    async with asyncio.timeout(WITHIN_S):
        while len(placed) < count:
            match await anext(listener):
                case rapport.MessageReceived(message=message):
                    placed.add(message.id)
                case rapport.MessageStatus(id=message_id, seq=seq) if seq:
                    placed.add(message_id)
                case _:
                    pass
    shown: list[rapport.Message] = []
    while page := await client.conversation(conv).history(before=shown[0].id if shown else None, limit=500):
        shown = page + shown
    return [message for message in shown if message.kind is rapport.MessageKind.TEXT]


async def two_workers(folder: Path, posts: int) -> dict[str, float]:
    """Returns how many posts there were, and how many per second."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(rapport.testing.server())
        await rapport.join(await server.owner_link(), vault=folder / "dana", name="Dana")
        dana = await stack.enter_async_context(rapport.Client(vault=folder / "dana"))
        await rapport.join(await dana.invite(), vault=folder / "kim", name="Kim")
        kim = await stack.enter_async_context(rapport.Client(vault=folder / "kim"))
        await link_client(dana, folder / "phone")
        phone = await stack.enter_async_context(rapport.Client(vault=folder / "phone"))
        for client in (dana, kim, phone):
            await client.caught_up()
        conv = kim.conversations()[0].id
        for client in (dana, phone):
            while conv not in [each.id for each in client.conversations() if len(each.members) == 2]:
                await anext(client.events())
        began = time.monotonic()
        waiting = [asyncio.create_task(arrived(client, client.events(), conv, posts)) for client in (dana, kim, phone)]
        async with asyncio.TaskGroup() as group:
            for name, client in zip(WORKERS, (dana, phone), strict=True):
                group.create_task(work(client, conv, name, posts // 2))
        views = await asyncio.gather(*waiting)
        seconds = time.monotonic() - began
    check(views, posts)
    return {"posts": posts, "seconds": round(seconds, 1), "posts_per_s": round(posts / seconds, 1)}


def check(views: list[list[rapport.Message]], posts: int) -> None:
    orders = [[(message.seq, message.text) for message in view] for view in views]
    assert orders[0] == orders[1] == orders[2]
    seqs = [seq for seq, _ in orders[0]]
    assert seqs == sorted(set(seqs))
    for name in WORKERS:
        own = [text for _, text in orders[0] if text.startswith(name)]
        assert own == [f"{name} {number}" for number in range(posts // 2)]
    control = seqs[-1] - seqs[0] + 1 - posts  # names and receipts take places too
    assert 0 <= control < posts // 2 + 20


@pytest.mark.long
async def test_two_devices_post_into_one_conversation_at_once(tmp_path: Path) -> None:
    outcome = await two_workers(tmp_path, 300)
    assert outcome["posts"] == 300


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        sys.stdout.write(f"{asyncio.run(two_workers(Path(made), 10_000))}\n")
