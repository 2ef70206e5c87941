"""Several devices of one account: linking as `rapport.link_device` and `client.link` do it, with and without sockets.

phone = await link(dana, seed=11)           engine level (tests/sdk/relay.py): a second Device of Dana's account
await link_client(client, folder)           real server (tests/sdk/served.py): `rapport.Client(vault=folder)` works
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TypeVar

import rapport
from rapport.crypto.linking import (
    LinkAnswer,
    LinkCode,
    LinkDone,
    LinkEnd,
    LinkPackage,
    digits_of,
    link_key,
    open_step,
    parse_code,
    seal_step,
)
from rapport.engine.core import Core
from rapport.engine.devices import linking_steps
from rapport.engine.vault.turn import Turn
from rapport_protocol.ids import DeviceId
from rapport_protocol.requests import LinkOpen, LinkState, LinkStep
from tests.sdk.relay import Device, quiet

__all__ = ["link", "link_client"]

D = TypeVar("D", bound=Device)


async def link(existing: D, seed: int, label: str = "", *, connect: bool = True) -> D:
    """A new device of the same account, linked by `existing`, which is connected. connect: signed in and caught up.

    Every step goes through the server's rendezvous, with the real code, keys and digits at both ends.
    """
    relay, now = existing.relay, existing.relay.clock.now_ms
    fresh = type(existing)(relay, seed)
    code, own = LinkCode.make(existing.random), LinkEnd.make(existing.random)
    assert existing.link is not None
    existing.token = await relay.sign_in.renew(existing.link.principal)
    await relay.call("linking.open", LinkOpen(code.id, own.commitment(code.id)), token=existing.token)

    async def step(number: int, content: bytes, by: Device) -> LinkState:
        name, token = ("linking.step", existing.token) if by is existing else ("linking.answer", None)
        return await relay.call(name, LinkStep(number, content), path={"link": code.id}, token=token)  # type: ignore[no-any-return]

    _, typed = parse_code(code.text())
    theirs = LinkEnd.make(fresh.random)
    await step(1, theirs.public, fresh)
    await step(2, own.public, existing)
    key = link_key(code, own, own.public, theirs.public)
    assert digits_of(link_key(typed, theirs, own.public, theirs.public)) == digits_of(key)
    package, known = existing.do(linking_steps.make_package)
    state = await step(3, seal_step(key, code.id, package, existing.random), existing)
    received = open_step(key, code.id, LinkPackage, state.steps[3])
    me = linking_steps.new_device(received, received.base, fresh.random, now())
    answer = fresh.vault.run_now(
        lambda tx: linking_steps.prepare_device(Turn(tx, me, now(), fresh.random), received, label)
    )
    state = await step(4, seal_step(key, code.id, answer, fresh.random), fresh)
    opened = open_step(key, code.id, LinkAnswer, state.steps[4])
    existing.do(lambda turn: linking_steps.accept_answer(turn, code.id, key, known, opened))
    await quiet(existing)
    state = await relay.call("linking.state", path={"link": code.id})
    done = open_step(key, code.id, LinkDone, state.steps[5])
    linked = fresh.vault.run_now(lambda tx: linking_steps.finish_linked(Turn(tx, me, now(), fresh.random), done))
    fresh.core = Core(linked, fresh.random)
    if connect:
        await fresh.connect()
        await quiet(existing, fresh)
    return fresh


async def link_client(client: rapport.Client, vault: Path, label: str = "") -> DeviceId:
    """A second device of a running client's account, in a new vault. Returns the new device's id."""
    offer = await client.link()

    async def join() -> None:
        async with rapport.link_device(offer.url, vault=vault, label=label) as linking:
            digits.set_result(linking.digits)
            await linking.finished()

    digits: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as both:
        both.create_task(join())
        await offer.joined()
        device = await offer.confirm(await digits)
    return device.id
