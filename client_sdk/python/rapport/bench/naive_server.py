"""What one would write first.

JSON, one SQLite commit per message through aiosqlite, the standard event loop. Same conversation as the real server's
hot path, without any of its checks: a post is stored and committed, accepted, sent to two readers, and deleted when
both have acknowledged; each acknowledgement is a message with a commit of its own. `python -m
rapport.bench.naive_server PORT DATABASE`.
"""

import asyncio
import json
import sys
import time
from typing import Any

import aiosqlite
from aiohttp import WSMsgType, web

__all__: list[str] = []


class _Naive:
    def __init__(self, path: str) -> None:
        self.path = path
        self.sockets: dict[str, web.WebSocketResponse] = {}
        self.lock = asyncio.Lock()
        """Without it, one commit would cover whatever other handlers have just written: a group commit by accident."""

    async def start(self, _app: web.Application) -> None:
        self.db = await aiosqlite.connect(self.path)
        await self.db.execute("PRAGMA journal_mode=WAL")
        await self.db.execute("PRAGMA synchronous=FULL")
        await self.db.execute("CREATE TABLE message (id TEXT PRIMARY KEY, seq INTEGER, body TEXT, waiting INTEGER)")
        await self.db.commit()
        self.seq = 0

    async def stop(self, _app: web.Application) -> None:
        await self.db.close()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        self.sockets[request.query["device"]] = ws
        async for message in ws:
            if message.type is WSMsgType.TEXT:
                await self.on_message(ws, json.loads(message.data))
        return ws

    async def on_message(self, ws: web.WebSocketResponse, said: dict[str, Any]) -> None:
        if said["type"] == "ack":
            async with self.lock:
                await self.db.execute("UPDATE message SET waiting = waiting - 1 WHERE id = ?", (said["id"],))
                await self.db.execute("DELETE FROM message WHERE id = ? AND waiting <= 0", (said["id"],))
                await self.db.commit()
            return
        self.seq += 1
        at = int(time.time() * 1000)
        body = said["body"]
        async with self.lock:
            row = (said["id"], self.seq, body, len(said["to"]))
            await self.db.execute("INSERT INTO message VALUES (?, ?, ?, ?)", row)
            await self.db.commit()
        await ws.send_str(json.dumps({"type": "accepted", "id": said["id"], "seq": self.seq, "at": at}))
        for device, key in said["to"].items():
            deliver = {"type": "deliver", "id": said["id"], "seq": self.seq, "at": at, "body": body, "key": key}
            await self.sockets[device].send_str(json.dumps(deliver))


def _main() -> None:
    naive = _Naive(sys.argv[2])
    app = web.Application()
    app.on_startup.append(naive.start)
    app.on_cleanup.append(naive.stop)
    app.router.add_get("/v1/stream", naive.handle)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    _main()
