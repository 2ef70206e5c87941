"""`python -m tests.chaos.balancer PORT HOST:PORT HOST:PORT`: what stands before several nodes.

Leads new connections to the nodes whose `/readyz` answers 200, the emptier one first, as load balancers do. Connections
that stand are left alone, and their clients notice faults by themselves; only when a node has been ready for a while
and has much less than another one, some of the other's are ended, so that every round finds clients at both nodes.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

__all__ = ["main"]

LOOK_EVERY_S = 0.5
ANSWER_WITHIN_S = 1.0
"""A node that takes longer than this is left out."""
CONNECT_WITHIN_S = 2.0
STEADY_LOOKS = 6
"""After so many good answers in a row a node gets its share of the connections that stand."""
_AT_ONCE_BYTES = 65_536


class _Node:
    """One node: whether it is ready, and the connections that were led to it."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        self.good = 1
        """Good answers in a row; 0 after a bad one."""
        self.clients: list[asyncio.StreamWriter] = []

    async def look(self) -> None:
        """Asks it whether it is ready."""
        self.good = self.good + 1 if await self._answers() else 0

    async def _answers(self) -> bool:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                try:
                    writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Passes one connection on until it ends; False when the node cannot be reached."""
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                there_reader, there_writer = await asyncio.open_connection(self.host, self.port)
        except (OSError, TimeoutError):
            return False
        self.clients.append(writer)
        try:
            await asyncio.gather(_pass(reader, there_writer), _pass(there_reader, writer))
        finally:
            self.clients.remove(writer)
        return True


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while content := await reader.read(_AT_ONCE_BYTES):
            writer.write(content)
            await writer.drain()
    except OSError:
        pass
    finally:
        with suppress(OSError):
            writer.close()


def _level(nodes: list[_Node]) -> None:
    """Ends connections of the fullest node, so that their clients come again and are led to the emptiest one."""
    if all(node.good >= STEADY_LOOKS for node in nodes):
        fewest, *_, most = sorted(nodes, key=lambda node: len(node.clients))
        for writer in most.clients[: (len(most.clients) - len(fewest.clients)) // 2]:
            writer.close()


async def main(port: int, addresses: list[str]) -> None:
    """Listens until it is ended; says so on standard output."""
    nodes = [_Node(address) for address in addresses]

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends the connection when no node can be reached: the client comes again."""
        for node in sorted(nodes, key=lambda node: (not node.good, len(node.clients))):
            if await node.carry(reader, writer):
                return
        writer.close()

    async with await asyncio.start_server(take, "127.0.0.1", port) as server:
        serving = asyncio.create_task(server.serve_forever())
        print("listening", flush=True)  # noqa: T201 - what whoever started it waits for
        while not serving.done():
            await asyncio.gather(*(node.look() for node in nodes))
            _level(nodes)
            await asyncio.wait([serving], timeout=LOOK_EVERY_S)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
