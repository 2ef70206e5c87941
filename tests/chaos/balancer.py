"""`python -m tests.chaos.balancer PORT HOST:PORT HOST:PORT`: what stands before several nodes.

Shares new connections out among the nodes whose `/readyz` answers 200, as any load balancer does. Connections that
stand are left alone: their clients notice by themselves.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import suppress

__all__ = ["main"]

LOOK_EVERY_S = 0.5
ANSWER_WITHIN_S = 1.0
"""A node that takes longer than this is left out."""
CONNECT_WITHIN_S = 2.0
_AT_ONCE_BYTES = 65_536


class _Node:
    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.host, self.port = host, int(port)
        self.ready = True

    async def watch(self) -> None:
        while True:
            self.ready = await self._answers()
            await asyncio.sleep(LOOK_EVERY_S)

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


async def main(port: int, addresses: list[str]) -> None:
    """Listens until it is ended; says so on standard output."""
    nodes = [_Node(address) for address in addresses]
    turns = itertools.cycle(nodes)

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Ends the connection when no node can be reached: the client comes again."""
        for _ in nodes:
            node = next(turns)
            if not node.ready and any(other.ready for other in nodes):
                continue
            try:
                async with asyncio.timeout(CONNECT_WITHIN_S):
                    there = await asyncio.open_connection(node.host, node.port)
            except (OSError, TimeoutError):
                continue
            await asyncio.gather(_pass(reader, there[1]), _pass(there[0], writer))
            return
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", port)
    async with server, asyncio.TaskGroup() as group:
        for node in nodes:
            group.create_task(node.watch())
        print("listening", flush=True)  # noqa: T201 - what whoever started it waits for


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))
