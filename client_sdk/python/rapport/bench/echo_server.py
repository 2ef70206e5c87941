"""The physical limit: what aiohttp on uvloop does when it only echoes. `python -m rapport.bench.echo_server PORT`."""

import sys

import uvloop
from aiohttp import WSMsgType, web

__all__: list[str] = []


async def _echo(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=False, autoping=False)
    await ws.prepare(request)
    async for message in ws:
        if message.type is WSMsgType.BINARY:
            await ws.send_bytes(message.data)
    return ws


def _main() -> None:
    app = web.Application()
    app.router.add_get("/v1/stream", _echo)
    loop = uvloop.new_event_loop()
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, loop=loop, access_log=None)


if __name__ == "__main__":
    _main()
