"""Orders about urgent messages, cover and hand-over, for player processes: the same as `player-covered.ts`.

- accept {client, link}: join by an invite with the account that there is
- cover {client, text}: as the therapist, ask the colleague of one pair to be there for the client of the other
- yes {client}: once somebody waits for our yes, say it
- no {client}: once somebody waits for our yes, say no
- hand {client, text}: once the client has said yes, send the hand-over card
- stands {client, text}: wait until the newest cover stands there
- urgent {client, text}: as the client, write it to the therapist, marked as urgent
- sees {client}: as the therapist, once something urgent of the client has come, confirm it
- seen {client}: as the client, wait until the therapist has confirmed, sealed, that a person has seen it
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import rapport
from rapport.covers import CoverSide, CoverState
from rapport.testing.journaled import JournaledClient
from rapport.testing.orders import Order, Reply
from rapport_protocol.requests import Role

__all__ = ["COVERED"]

_WITHIN_S: Final = 30.0
"""So long the others may take."""

T = TypeVar("T")
_Obeyed = Callable[[JournaledClient, Order], Awaitable[Reply]]


async def _once(sdk: rapport.Client, look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` finds, as soon as it does; it looks after every event. TimeoutError."""
    events = sdk.events()
    async with asyncio.timeout(_WITHIN_S):
        while (found := await look()) is None:
            await anext(events)
    return found


def _pair_with(sdk: rapport.Client, *roles: Role) -> rapport.Conversation:
    """A conversation with somebody else of such a role."""
    return next(
        conversation
        for conversation in sdk.conversations()
        if any(member.account != sdk.account and member.role in roles for member in conversation.members)
    )


async def _ours(sdk: rapport.Client) -> CoverState:
    async def look() -> CoverState | None:
        return next(iter(await sdk.cover.pending()), None)

    return await _once(sdk, look)


async def _accept(client: JournaledClient, order: Order) -> None:
    client.belong((await client.sdk.accept_invite(order.link)).id)


async def _cover(client: JournaledClient, order: Order) -> None:
    sdk = client.sdk
    colleague = _pair_with(sdk, Role.THERAPIST, Role.OWNER)
    await sdk.cover.request(colleague, _pair_with(sdk, Role.CLIENT), note=order.text)


async def _yes(client: JournaledClient, _order: Order) -> None:
    state = await _ours(client.sdk)
    if state.side is CoverSide.CLIENT:
        client.belong((await client.sdk.cover.accept(state.request)).id)
    else:
        await client.sdk.cover.agree(state.request)


async def _no(client: JournaledClient, _order: Order) -> None:
    sdk = client.sdk
    await sdk.cover.refuse((await _ours(sdk)).request)


async def _hand(client: JournaledClient, order: Order) -> None:
    sdk = client.sdk
    await sdk.cover.send_card((await _ours(sdk)).request, order.text)


async def _stands(client: JournaledClient, order: Order) -> None:
    sdk = client.sdk

    async def look() -> CoverState | None:
        return next((state for state in (await sdk.cover.all())[:1] if state.stage == order.text), None)

    await _once(sdk, look)


async def _urgent(client: JournaledClient, order: Order) -> None:
    sdk = client.sdk
    await _pair_with(sdk, Role.THERAPIST, Role.OWNER).send_text(order.text, urgent=True)


async def _sees(client: JournaledClient, _order: Order) -> None:
    sdk = client.sdk
    conversation = _pair_with(sdk, Role.CLIENT)

    async def look() -> rapport.Message | None:
        found = [message for message in await conversation.history() if message.urgent]
        return next(iter(found), None)

    await conversation.confirm_urgent((await _once(sdk, look)).id)


async def _seen(client: JournaledClient, _order: Order) -> None:
    sdk = client.sdk
    conversation = _pair_with(sdk, Role.THERAPIST, Role.OWNER)
    by = next(member.account for member in conversation.members if member.account != sdk.account)

    async def look() -> bool | None:
        stand = [conversation.urgency(message.id) for message in await conversation.history() if message.urgent]
        return (bool(stand) and all(urgency is not None and urgency.seen_by == by for urgency in stand)) or None

    await _once(sdk, look)


def _order(work: Callable[[JournaledClient, Order], Awaitable[None]]) -> _Obeyed:
    async def carried_out(client: JournaledClient, order: Order) -> Reply:
        await work(client, order)
        return Reply(order.number)

    return carried_out


COVERED: Final[dict[str, _Obeyed]] = {
    "accept": _order(_accept),
    "cover": _order(_cover),
    "yes": _order(_yes),
    "no": _order(_no),
    "hand": _order(_hand),
    "stands": _order(_stands),
    "urgent": _order(_urgent),
    "sees": _order(_sees),
    "seen": _order(_seen),
}
"""By the name of the order."""
