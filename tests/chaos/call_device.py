"""`python call_device.py FOLDER`: a player whose calls take seconds and whose media are silent; see `player`. Orders:

- calm {client}: waits until it is connected and has taken everything
- dial {client, text}: calls the other one of its conversation, under this id (hexadecimal)
- take {client, text, rate}: accepts that call if it rings within so many seconds; "taken" or ""
- refuse {client, text, rate}: the same, declining
- drop {client, text}: hangs up, if it is in the call
- became {client, text} -> {text}: what stands of that call in the conversation, "" = nothing

Every phase of every call is written to `<client>-calls.jsonl` at once: time, call, phase, reason.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path

from tests.chaos.hurried_calls import hurry

hurry()

from rapport import ConnectionState  # noqa: E402 - times are set before
from rapport.engine.calls import calling_out  # noqa: E402
from rapport.ports import Description, EndpointEvent, MediaConnected  # noqa: E402
from rapport.testing import player  # noqa: E402
from rapport.testing.journaled import JournaledClient  # noqa: E402
from rapport.testing.orders import Order, Reply  # noqa: E402
from rapport_protocol.errors import LocalError  # noqa: E402
from rapport_protocol.ids import MessageId  # noqa: E402
from rapport_protocol.meeting import TurnCredentials  # noqa: E402

calling_out.OFFER_MS = 8_000  # type: ignore[misc]
_FOLDER = Path(sys.argv[1])


class Silent:
    """Satisfies CallEndpoint; connects as soon as both sides have described themselves."""

    gathers_first = False
    restarts = True

    def __init__(self) -> None:
        self._events: asyncio.Queue[EndpointEvent | None] = asyncio.Queue()
        self._sdp = f"v=0\r\na=fingerprint:sha-256 {os.urandom(8).hex()}\r\na=ice-ufrag:{os.urandom(4).hex()}\r\n"

    async def start(self, credentials: TurnCredentials | None, media: str, *, relay_only: bool) -> None:
        """Nothing to start."""

    async def describe(self) -> Description:
        return Description("offer", self._sdp)

    async def answer(self, offer: Description) -> Description:
        self._events.put_nowait(MediaConnected())
        return Description("answer", self._sdp)

    async def take(self, answer: Description) -> None:
        self._events.put_nowait(MediaConnected())

    async def add_candidates(self, candidates: Sequence[tuple[str, str]]) -> None:
        """There are none."""

    async def events(self) -> AsyncIterator[EndpointEvent]:
        while (event := await self._events.get()) is not None:
            yield event

    async def restart(self, credentials: TurnCredentials | None) -> Description:
        self._events.put_nowait(MediaConnected())
        return Description("offer", self._sdp)

    async def set_mode(self, mode: str, bits_per_s: int) -> None:
        """All modes are silent."""

    def another(self) -> Silent:
        return Silent()

    async def close(self) -> None:
        self._events.put_nowait(None)


async def _watch(client: JournaledClient, path: Path) -> None:
    """Writes every phase of every call down, until the process ends."""
    calls, seen = client.sdk.calls, dict[MessageId, tuple[str, str]]()
    changed = calls._engine.calls.watch()
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    while True:
        for call in list(calls._engine.calls.rows):
            view = calls.of(call)
            if view is not None and seen.get(call) != (view.phase, view.reason):
                seen[call] = view.phase, view.reason
                line = {"t": time.time(), "call": call.hex(), "phase": view.phase, "reason": view.reason}
                os.write(file, json.dumps(line).encode() + b"\n")
        await changed.wait()
        changed.clear()


async def _calm(client: JournaledClient, order: Order) -> Reply:
    """Connected, and nothing waits for it."""
    await client.sdk.wait_until(ConnectionState.CONNECTED, timeout_s=60)
    await client.sdk.caught_up()
    return Reply(order.number)


_watching: set[asyncio.Task[None]] = set()


async def _follow(client: JournaledClient, order: Order) -> Reply:
    _watching.add(asyncio.create_task(_watch(client, _FOLDER / f"{order.client}-calls.jsonl")))
    return Reply(order.number)


def _call(order: Order) -> MessageId:
    return MessageId(bytes.fromhex(order.text))


async def _dial(client: JournaledClient, order: Order) -> Reply:
    with suppress(LocalError):  # it is in another call still: then this one is none
        await client.sdk.calls.offer(client.conversations[-1], endpoint=Silent(), id=_call(order))
        return Reply(order.number, text="dialled")
    return Reply(order.number)


async def _rings(client: JournaledClient, order: Order) -> bool:
    def can_answer() -> bool:
        view = client.sdk.calls.of(_call(order))
        return view is not None and view.can_answer

    with suppress(TimeoutError):
        async with asyncio.timeout(order.rate):
            await client.becomes(can_answer)
        return True
    return False


async def _take(client: JournaledClient, order: Order) -> Reply:
    if not await _rings(client, order):
        return Reply(order.number)
    await client.sdk.calls.open(_call(order)).accept(Silent())
    return Reply(order.number, text="taken")


async def _refuse(client: JournaledClient, order: Order) -> Reply:
    if not await _rings(client, order):
        return Reply(order.number)
    await client.sdk.calls.open(_call(order)).decline()
    return Reply(order.number, text="taken")


async def _drop(client: JournaledClient, order: Order) -> Reply:
    with suppress(LocalError):
        await client.sdk.calls.open(_call(order)).hang_up()
    return Reply(order.number)


async def _became(client: JournaledClient, order: Order) -> Reply:
    history = await client.sdk.conversation(client.conversations[-1]).history()
    notes = [message.call.outcome for message in history if message.id == _call(order) and message.call is not None]
    return Reply(order.number, text=notes[0] if notes else "")


player._MORE |= {
    "calm": _calm, "follow": _follow, "dial": _dial, "take": _take, "refuse": _refuse, "drop": _drop, "became": _became,
}  # fmt: skip

if __name__ == "__main__":
    asyncio.run(player.main(_FOLDER))
