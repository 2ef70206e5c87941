"""Orders about office hours, promises and cards, for player processes: the same as `player-agreed.ts`.

- publish {client, text}: our office hours, the rules as hexadecimal MessagePack; done when the server has them
- card {client, text}: our card says this about us
- extend {client, text}: as the therapist, the waiting text is answered by then, milliseconds
- slot {client}: as the client, an appointment would be better
- agrees {client, text}: wait until what is shown here is this, as the JSON of `described`
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

import rapport
from rapport.agreements import Card
from rapport.testing.journaled import JournaledClient
from rapport.testing.orders import Order, Reply
from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.status import OfficeStatus
from rapport_protocol.requests import Role

__all__ = ["AGREED", "described"]

_WITHIN_S: Final = 30.0
"""So long the two sides may take to come to the same."""


def described(sdk: rapport.Client) -> dict[str, Any]:
    """What is shown in the first conversation: of the therapist, of what waits, of what a text would be promised."""
    conversation = sdk.conversations()[0]
    therapist = next(member.account for member in conversation.members if member.role is not Role.CLIENT)
    shown, promised, waiting, card = (
        sdk.office.of(therapist), conversation.promise(), conversation.waiting, conversation.card
    )  # fmt: skip
    state = shown.state
    return {
        "version": shown.version,
        "status": str(state.status) if state else None,
        "until": state.until_ms if state else None,
        "next_open": state.next_open_ms if state and state.status is not OfficeStatus.OPEN else None,
        "due": promised.due_ms if promised else None,
        "waiting": [waiting.due_ms, waiting.missed, waiting.extended, waiting.slot_wanted] if waiting else None,
        "card": card.about if card else None,
    }


async def _publish(client: JournaledClient, order: Order) -> Reply:
    await client.sdk.office.publish(OfficeHours.parse(bytes.fromhex(order.text)))
    async with asyncio.timeout(_WITHIN_S):
        await client.becomes(lambda: not client.sdk.office.mine.pending)
    return Reply(order.number)


async def _card(client: JournaledClient, order: Order) -> Reply:
    await client.sdk.office.set_card(Card(about=order.text))
    return Reply(order.number)


async def _extend(client: JournaledClient, order: Order) -> Reply:
    await client.sdk.conversations()[0].extend_promise(int(order.text))
    return Reply(order.number)


async def _slot(client: JournaledClient, order: Order) -> Reply:
    await client.sdk.conversations()[0].ask_for_slot()
    return Reply(order.number)


async def _agrees(client: JournaledClient, order: Order) -> Reply:
    wanted = msgspec.json.decode(order.text)
    try:
        async with asyncio.timeout(_WITHIN_S):
            await client.becomes(lambda: described(client.sdk) == wanted)
    except TimeoutError:
        return Reply(order.number, problem=f"shows {msgspec.json.encode(described(client.sdk)).decode()}")
    return Reply(order.number)


AGREED: Final[dict[str, Callable[[JournaledClient, Order], Awaitable[Reply]]]] = {
    "publish": _publish,
    "card": _card,
    "extend": _extend,
    "slot": _slot,
    "agrees": _agrees,
}
"""By the name of the order."""
