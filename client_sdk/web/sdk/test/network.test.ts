import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { encode } from "@msgpack/msgpack";
import { originOf } from "../src/adapters/addresses.ts";
import { SYSTEM_CLOCK } from "../src/adapters/clock.ts";
import { HttpApi } from "../src/adapters/http.ts";
import { WebSocketConnector } from "../src/adapters/websocket.ts";
import { StreamClosed, Unreachable } from "../src/ports.ts";
import { encodeMessage } from "../src/protocol/codec.ts";
import { FormatError, LocalError } from "../src/protocol/errors.ts";
import { SUBPROTOCOL_MSGPACK } from "../src/protocol/limits.ts";

let answer: RequestListener = () => undefined;
const sockets: Duplex[] = [];
let upgraded: (socket: Duplex) => void = () => undefined;
let subprotocol = SUBPROTOCOL_MSGPACK;
let server: Server;
let origin = "";

before(async () => {
  server = createServer((request, response) => answer(request, response));
  server.on("upgrade", (request, socket: Duplex) => {
    const key = `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
    const accept = createHash("sha1").update(key).digest("base64");
    const protocol = subprotocol === "" ? "" : `Sec-WebSocket-Protocol: ${subprotocol}\r\n`;
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n${protocol}Sec-WebSocket-Accept: ${accept}\r\n\r\n`,
    );
    socket.on("error", () => undefined);
    sockets.push(socket);
    upgraded(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
after(() => {
  for (const socket of sockets) {
    socket.destroy();
  }
  server.closeAllConnections();
  server.close();
});

describe("a server's address", () => {
  it("is the origin of a link, as it is signed", () => {
    assert.equal(originOf("HTTPS://Example.ORG:443/i/abc#secret"), "https://example.org");
    assert.equal(originOf("http://[::1]:8720/o#x"), "http://[::1]:8720");
    for (const wrong of ["", "example.org", "ftp://example.org", "https://user@example.org/", "https://"]) {
      assert.throws(() => originOf(wrong), LocalError, wrong);
    }
  });
});

describe("one request", () => {
  const ask = () => new HttpApi(origin).call("conversation.list", null, { token: Uint8Array.of(251, 255, 3) });
  const problem = (content: string, kind = "application/problem+json; charset=utf-8"): void => {
    answer = (_, response) => response.writeHead(409, { "Content-Type": kind }).end(content);
  };

  it("carries body, query, ids and token", async () => {
    let seen: unknown;
    answer = (request, response) => {
      seen = [request.method, request.url, request.headers.authorization, request.headers.cookie];
      response.writeHead(200, { "Content-Type": "application/msgpack" }).end(encode([[], []]));
    };
    const path = { account: "0b".repeat(16) };
    const options = { path, query: { from: 2, limit: 3 }, token: Uint8Array.of(251, 255, 3) };
    await new HttpApi(origin).call("devices.lists", null, options).catch(() => undefined);
    assert.deepEqual(seen, ["GET", `/v1/accounts/${path.account}/devices?from=2&limit=3`, "Bearer -_8D", undefined]);
  });

  it("is refused with the server's code, also one of a later version", async () => {
    problem('{"code": "rate_limited", "status": 429, "title": "slower", "retryable": true, "retry_after_ms": 1500}');
    await assert.rejects(ask(), { code: "rate_limited", detail: "slower", retryAfterMs: 1500 });
    problem('{"code": "not_invented", "status": 429, "title": "", "retryable": true}');
    await assert.rejects(ask(), { code: "unavailable", retryAfterMs: 0 });
    problem('{"code": "not_invented", "status": 429, "title": ""}');
    await assert.rejects(ask(), { name: "Error", code: "not_invented" });
  });

  it("was not answered when a portal, a redirect or nobody speaks", async () => {
    problem("<h1>Pay for this network</h1>", "text/html");
    await assert.rejects(ask(), Unreachable);
    answer = (_, response) => response.writeHead(302, { Location: `${origin}/elsewhere` }).end();
    await assert.rejects(ask(), Unreachable);
    answer = (_, response) => response.destroy();
    await assert.rejects(ask(), Unreachable);
    await assert.rejects(new HttpApi("http://127.0.0.1:1").call("conversation.list", null), Unreachable);
  });

  it("is not read beyond 4 MiB, nor taken for something that it is not", async () => {
    answer = (_, response) =>
      response.writeHead(200, { "Content-Type": "application/msgpack" }).end(Buffer.alloc(5 * 1024 * 1024));
    await assert.rejects(ask(), (error) => error instanceof FormatError && error.code === "too_large");
    answer = (_, response) => response.writeHead(200, { "Content-Type": "application/msgpack" }).end("nonsense");
    await assert.rejects(ask(), FormatError);
    problem("nonsense");
    await assert.rejects(ask(), FormatError);
  });

  it("is given up by its signal and by the end of the client", async () => {
    answer = () => undefined;
    const giving = new AbortController();
    const first = new HttpApi(origin).call("conversation.list", null, { signal: giving.signal });
    giving.abort();
    await assert.rejects(first, Unreachable);
    const api = new HttpApi(origin);
    const second = api.call("conversation.list", null);
    await api.close();
    await assert.rejects(second, Unreachable);
  });
});

function frame(opcode: number, content: Uint8Array): Buffer {
  assert.ok(content.length < 126);
  return Buffer.concat([Buffer.of(0x80 | opcode, content.length), content]);
}

describe("a stream", () => {
  const connect = () => new WebSocketConnector(origin).connect(new AbortController().signal);
  const pong = { tag: "pong" } as const;
  const ping = { tag: "ping" } as const;

  it("brings messages in order, skips what this version does not know, and ends with the server's code", async () => {
    upgraded = (socket) => {
      socket.write(frame(2, encode(["of a later version", 1])));
      socket.write(frame(2, encodeMessage(ping)));
      socket.end(frame(8, Buffer.from([0x0f, 0xa1])));
    };
    const stream = await connect();
    assert.equal(stream.origin, origin);
    assert.deepEqual(await stream.receive(), ping);
    assert.equal(await stream.receive(), null);
    assert.equal(stream.closeCode, 4001);
    await assert.rejects(stream.send(pong), StreamClosed);
    await stream.close();
  });

  it("is refused without our subprotocol, and when nobody listens", async () => {
    subprotocol = "";
    upgraded = () => undefined;
    await assert.rejects(connect(), StreamClosed);
    subprotocol = SUBPROTOCOL_MSGPACK;
    const nobody = new WebSocketConnector("http://127.0.0.1:1");
    await assert.rejects(nobody.connect(new AbortController().signal), StreamClosed);
  });

  it("is given up by its signal while it opens", async () => {
    const silent = createServer();
    silent.on("upgrade", () => undefined);
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const giving = new AbortController();
    const port = (silent.address() as AddressInfo).port;
    const opening = new WebSocketConnector(`http://127.0.0.1:${port}`).connect(giving.signal);
    giving.abort(new RangeError("enough"));
    await assert.rejects(opening, RangeError);
    silent.closeAllConnections();
    silent.close();
  });

  it("says that it broke, and does not read nonsense", async () => {
    upgraded = (socket) => socket.destroy();
    const broken = await connect();
    await assert.rejects(broken.receive(), StreamClosed);
    upgraded = (socket) => socket.write(frame(1, Buffer.from("text")));
    const text = await connect();
    await assert.rejects(text.receive(), FormatError);
    upgraded = (socket) => socket.write(frame(2, Buffer.from("nonsense")));
    const nonsense = await connect();
    await assert.rejects(nonsense.receive(), FormatError);
    await Promise.all([text.close(), nonsense.close()]);
  });

  it("waits with sending while the socket is full", async () => {
    upgraded = (socket) => socket.pause();
    const stream = await connect();
    let sent = 0;
    const sending = (async () => {
      for (; sent < 400_000; sent++) {
        await stream.send(pong);
      }
    })().catch((error: unknown) => error);
    let before = -1;
    while (before !== sent || sent === 0) {
      before = sent;
      await SYSTEM_CLOCK.sleep(100, new AbortController().signal);
    }
    assert.ok(sent < 400_000, "nothing held the sender back");
    sockets.at(-1)?.destroy();
    assert.ok((await sending) instanceof StreamClosed);
  });
});

describe("the clock", () => {
  it("sleeps until it is woken by its signal", async () => {
    const waking = new AbortController();
    const slept = SYSTEM_CLOCK.sleep(2 ** 40, waking.signal);
    waking.abort(new RangeError("woken"));
    await assert.rejects(slept, RangeError);
    await SYSTEM_CLOCK.sleep(1, new AbortController().signal);
    assert.ok(Math.abs(SYSTEM_CLOCK.nowMs() - Date.now()) < 1_000);
    await once(AbortSignal.timeout(1), "abort");
  });
});
