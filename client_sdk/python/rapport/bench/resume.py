"""`rapport bench resume`: how long a device takes that comes back to a full mailbox.

On the wire: a raw socket connects, signs in, acknowledges what it is given and stops at `caught_up`; the time is the
server's and the network's. In the SDK: a real client with a vault opens, decrypts and commits everything; two real
clients have conversed before, so that it is sealed like any other conversation.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, TypedDict

import rapport
from rapport.adapters.addresses import ServerAddress
from rapport.adapters.http import HttpApi
from rapport.bench.figures import Spread, spread
from rapport.bench.load import RelayPair
from rapport.bench.practice import BenchPractice, sign_in
from rapport.bench.relay import relay_pair
from rapport.bench.servers import CORES, RATES_RAISED, Served, served
from rapport.bench.wire import ACCEPTED, DELIVER, ack_frame
from rapport.crypto.identity import DeviceSecrets
from rapport.events import Event, MemberJoined, MessageReceived, MessageStatus, Status
from rapport_protocol.connection import ConnectionState
from rapport_protocol.ids import ConversationId
from rapport_protocol.limits import UNANSWERED_SENDS
from rapport_protocol.membership_entries import MemberRole
from rapport_protocol.requests import Role

__all__ = ["ResumeReport", "drain", "fill", "resume"]

WIRE_MS: Final = 500.0
"""Milliseconds that a mailbox of 1,000 messages may take on the wire."""
SDK_S: Final = 30.0
"""Seconds that one of 10,000 may take in the SDK."""
_CAUGHT_UP: Final = b"\x91\xa9caught_up"
_QUEUED_AT_ONCE: Final = 500
"""Messages that the sending client queues before it waits for their answers."""


class ResumeReport(TypedDict):
    """What the command prints. kept: within the bars, which are for 1,000 and 10,000 messages."""

    wire_messages: int
    wire_ms: Spread
    sdk_messages: int
    sdk_s: float
    sdk_messages_per_s: float
    kept: bool


def resume(wire: int, rounds: int, sdk: int, tell: Callable[[str], None]) -> ResumeReport:
    """Measures; filling the SDK's mailbox takes most of the time. `tell` gets progress lines."""
    with tempfile.TemporaryDirectory(prefix="rapport-bench-") as folder:
        quiet = {**RATES_RAISED, "log.level": "error"}
        (Path(folder) / "wire").mkdir()
        with served(Path(folder) / "wire", quiet, core=CORES[0]) as server:
            tell(f"on the wire: {rounds} times {wire} messages")
            wire_ms = spread([taken * 1000 for taken in asyncio.run(_on_the_wire(server, wire, rounds))])
        (Path(folder) / "sdk").mkdir()
        with served(Path(folder) / "sdk", quiet, core=CORES[0]) as server:
            tell(f"in the SDK: {sdk} messages")
            sdk_s = asyncio.run(_in_the_sdk(server, Path(folder), sdk))
    return {
        "wire_messages": wire,
        "wire_ms": wire_ms,
        "sdk_messages": sdk,
        "sdk_s": round(sdk_s, 2),
        "sdk_messages_per_s": round(sdk / sdk_s, 1),
        "kept": wire_ms["median"] <= WIRE_MS and sdk_s <= SDK_S,
    }


# --- on the wire ----------------------------------------------------------------------------------------------------


async def _on_the_wire(server: Served, count: int, rounds: int) -> list[float]:
    """Seconds from opening the socket to `caught_up`, per round."""
    api = HttpApi(ServerAddress.parse(server.origin))
    try:
        practice = BenchPractice(server.origin, api)
        owner = await practice.owner(server.link)
        invite = await practice.invite(owner, MemberRole.OWNER, MemberRole.CLIENT)
        client = await practice.join(invite)
    finally:
        await api.close()
    pair = relay_pair(server.origin, invite.conv, owner, client)
    for reader in pair.readers:
        reader.socket.close()
    taken = []
    for _ in range(rounds):
        fill(pair, count)
        began = time.perf_counter()
        found = drain(server.origin, client.devices[0], pair)
        taken.append(time.perf_counter() - began)
        if len(found) != count:
            raise RuntimeError(f"{len(found)} messages of {count} were waiting")
    pair.sender.socket.close()
    return taken


def drain(origin: str, device: DeviceSecrets, pair: RelayPair) -> list[bytes]:
    """Comes back as this reader of the pair; message ids of all that waited, in the order in which they came."""
    peer, _ = sign_in(origin, device)
    found: list[bytes] = []
    acknowledged = 0
    while (payload := peer.next_payload()) != _CAUGHT_UP:
        if payload.startswith(DELIVER):
            at = len(payload) - pair.id_from_end
            found.append(payload[at : at + 16])
        if len(found) == acknowledged + UNANSWERED_SENDS:
            peer.socket.sendall(ack_frame(found[acknowledged:], None))
            acknowledged = len(found)
    peer.socket.sendall(ack_frame(found[acknowledged:], None))
    peer.socket.close()
    return found


def fill(pair: RelayPair, count: int) -> None:
    """Posts for a device that is away, as many at a time as may be unanswered."""
    for start in range(0, count, UNANSWERED_SENDS):
        posts = min(UNANSWERED_SENDS, count - start)
        pair.sender.socket.sendall(b"".join(pair.head + os.urandom(16) + pair.tail for _ in range(posts)))
        while posts:
            posts -= pair.sender.next_payload().startswith(ACCEPTED)


# --- in the SDK -----------------------------------------------------------------------------------------------------


async def _in_the_sdk(server: Served, folder: Path, count: int) -> float:
    """Seconds from opening the client to its last message being shown."""
    link = server.owner_link
    await rapport.join(link, vault=folder / "dana", name="Dana")
    async with rapport.Client(vault=folder / "dana") as dana:
        events = dana.events()
        await rapport.join(await dana.invite(Role.CLIENT), vault=folder / "cleo", name="Cleo")
        conversation = dana.conversation(await _joined(events))
        async with rapport.Client(vault=folder / "cleo") as cleo:
            await cleo.wait_until(ConnectionState.CONNECTED, 30)
            await cleo.caught_up()
        answered = 0
        for start in range(0, count, _QUEUED_AT_ONCE):
            for number in range(start, min(start + _QUEUED_AT_ONCE, count)):
                await conversation.send_text(f"message {number}")
            async for event in events:
                answered += isinstance(event, MessageStatus) and event.status is Status.SENT
                if answered >= min(start + _QUEUED_AT_ONCE, count):
                    break
    began = time.perf_counter()
    async with rapport.Client(vault=folder / "cleo") as cleo:
        shown = 0
        async for event in cleo.events():
            shown += isinstance(event, MessageReceived)
            if shown == count:
                break
    return time.perf_counter() - began


async def _joined(events: AsyncIterator[Event]) -> ConversationId:
    """The conversation that somebody joins next."""
    async for event in events:
        if isinstance(event, MemberJoined):
            return event.conversation
    raise RuntimeError("the client was closed")
