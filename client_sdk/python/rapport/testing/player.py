"""`python -m rapport.testing.player FOLDER`: clients that do what they are told on standard input and keep journals.

One JSON object per line comes in; one goes out for each when it is done, with the same `number`. Each client is one
device, with its vault in `FOLDER/<client>` and its journal in `FOLDER/<client>.jsonl`. Orders:

- join {client, link, name}: register with a link and connect
- invite {client, role} -> {link}: make a conversation and a link to it
- meet {client, count}: wait until so many conversations have another member; it talks in the newest of them
- say {client, texts}: queue texts, one after the other
- flow {client, text, rate} -> {sent}: queue numbered texts at a rate per second until told to halt
- halt {client}: end the flow
- answered {client, count}: wait until so many own sends were accepted
- settle {client, heard}: wait until every own send is accepted and `heard` messages of other devices were shown
- offer {client} -> {link}: show a code for a further device of the same account
- link {client, link, name} -> {text}: as that further device, take the code; the six digits to confirm
- confirm {client, text}: type the digits on the device that made the offer
- arrive {client, heard}: beside `confirm`: the further device is linked, and so much of its history is there
- revoke {client, name}: remove the own device that is called so; it is owed nothing more
- leave {client}: close it; its vault stays
- open {client}: go on with the vault of one that was closed
- those of `rapport.testing.agreed`: office hours, promises, cards; of `rapport.testing.covered`: urgent, cover; of
  `rapport.testing.hosting`: appointments and the waiting room

It ends with its input.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import msgspec

import rapport
from rapport.terminal import Lines
from rapport.testing.agreed import AGREED
from rapport.testing.calling import CALLING
from rapport.testing.covered import COVERED
from rapport.testing.history import read
from rapport.testing.hosting import HOSTING
from rapport.testing.journal import Journal
from rapport.testing.journaled import JournaledClient
from rapport.testing.orders import Order, Reply

__all__ = ["main"]

_MORE = AGREED | CALLING | COVERED | HOSTING
"""Orders of the other modules."""
_CONNECTED_WITHIN_S: Final = 60.0
"""Seconds until a client is connected for the first time, also through a server's restart."""


class _Player:
    """All clients of this process."""

    def __init__(self, folder: Path, stack: AsyncExitStack, group: asyncio.TaskGroup) -> None:
        self._folder = folder
        self._stack = stack
        self._group = group
        self._clients: dict[str, JournaledClient] = {}
        self._stacks: dict[str, AsyncExitStack] = {}
        self._offers: dict[str, rapport.LinkOffer] = {}
        self._linkings: dict[str, tuple[AsyncExitStack, rapport.DeviceLinking]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, order: Order) -> None:
        """Begins to carry an order out, beside those that are under way."""
        self._tasks.append(self._group.create_task(self._obey(order)))

    def end(self) -> None:
        """Gives up what is under way; the clients close with the stack."""
        for task in self._tasks:
            task.cancel()

    async def _obey(self, order: Order) -> None:
        """Carries it out and answers it."""
        orders: dict[str, Callable[[Order], Awaitable[Reply]]] = {
            "join": self._join,
            "invite": self._invite,
            "meet": self._meet,
            "say": self._say,
            "flow": self._flow,
            "halt": self._halt,
            "answered": self._answered,
            "settle": self._settle,
            "offer": self._offer,
            "link": self._link,
            "confirm": self._confirm,
            "arrive": self._arrive,
            "revoke": self._revoke,
            "leave": self._leave,
            "open": self._open,
        }
        try:
            if order.order in _MORE:
                reply = await _MORE[order.order](self._clients[order.client], order)
            else:
                reply = await orders[order.order](order)
        except (rapport.RapportError, TimeoutError, KeyError) as problem:
            reply = Reply(order.number, problem=f"{type(problem).__name__} {problem}".strip())
        sys.stdout.buffer.write(msgspec.json.encode(reply) + b"\n")
        sys.stdout.buffer.flush()

    # --- one device ---------------------------------------------------------------------------------------------------

    async def _join(self, order: Order) -> Reply:
        await rapport.join(order.link, vault=self._folder / order.client, name=order.name or order.client)
        return await self._open(order)

    async def _open(self, order: Order) -> Reply:
        client = await self._work(order.client)
        await client.sdk.wait_until(rapport.ConnectionState.CONNECTED, timeout_s=_CONNECTED_WITHIN_S)
        await client.sdk.caught_up()
        for conversation in client.sdk.conversations():
            if len(conversation.members) > 1:
                client.belong(conversation.id)
        return Reply(order.number)

    async def _work(self, name: str) -> JournaledClient:
        """Opens a vault and writes down what happens from then on."""
        stack = self._stacks[name] = await self._stack.enter_async_context(AsyncExitStack())
        path = self._folder / f"{name}.jsonl"
        before = read(path.read_bytes()) if path.exists() else ()
        journal = stack.enter_context(Journal(path, name))
        sdk = await stack.enter_async_context(rapport.Client(vault=self._folder / name))
        client = self._clients[name] = JournaledClient(sdk, journal, before)
        self._tasks.append(self._group.create_task(client.follow()))
        return client

    async def _leave(self, order: Order) -> Reply:
        del self._clients[order.client]
        await self._stacks.pop(order.client).aclose()
        return Reply(order.number)

    async def _invite(self, order: Order) -> Reply:
        return Reply(order.number, link=await self._clients[order.client].sdk.invite(role=order.role))

    async def _meet(self, order: Order) -> Reply:
        await self._clients[order.client].meet(order.count)
        return Reply(order.number)

    async def _say(self, order: Order) -> Reply:
        for text in order.texts:
            await self._clients[order.client].say(text)
        return Reply(order.number, sent=len(order.texts))

    async def _flow(self, order: Order) -> Reply:
        return Reply(order.number, sent=await self._clients[order.client].flow(order.text, order.rate))

    async def _halt(self, order: Order) -> Reply:
        self._clients[order.client].halted.set()
        return Reply(order.number)

    async def _answered(self, order: Order) -> Reply:
        await self._clients[order.client].answered(order.count)
        return Reply(order.number)

    async def _settle(self, order: Order) -> Reply:
        await self._clients[order.client].settle(order.heard)
        return Reply(order.number)

    # --- several devices of one account -------------------------------------------------------------------------------

    async def _offer(self, order: Order) -> Reply:
        offer = self._offers[order.client] = await self._clients[order.client].sdk.link()
        self._tasks.append(self._group.create_task(offer.joined()))  # from then on the new device shows digits
        return Reply(order.number, link=offer.url)

    async def _link(self, order: Order) -> Reply:
        stack = await self._stack.enter_async_context(AsyncExitStack())
        opening = rapport.link_device(order.link, vault=self._folder / order.client, label=order.name or order.client)
        linking = await stack.enter_async_context(opening)
        self._linkings[order.client] = (stack, linking)
        return Reply(order.number, text=linking.digits)

    async def _confirm(self, order: Order) -> Reply:
        await self._offers.pop(order.client).confirm(order.text)
        return Reply(order.number)

    async def _arrive(self, order: Order) -> Reply:
        stack, linking = self._linkings.pop(order.client)
        await linking.finished()
        await stack.aclose()
        await (await self._work(order.client)).read_back(order.heard)
        return Reply(order.number)

    async def _revoke(self, order: Order) -> Reply:
        client = self._clients[order.client]
        device = next(device for device in client.sdk.devices() if device.label == order.name)
        await client.sdk.revoke(device.id)
        with Journal(self._folder / f"{order.name}-left.jsonl", order.name) as journal:
            for conversation in client.conversations:
                journal.left(conversation)
        return Reply(order.number)


async def main(folder: Path) -> None:
    """Obeys until the input ends, then closes its clients."""
    decoder = msgspec.json.Decoder(Order)
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as group:
        player = _Player(folder, stack, group)
        async for line in Lines():
            player.start(decoder.decode(line))
        player.end()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
