/**
 * Two tabs of one device send as fast as they can while the tab whose worker holds the vault is killed at random: no
 * text is lost or comes twice, no ratchet forks, no nonce is used again.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, it } from "node:test";
import type { BrowserContext, Page } from "playwright-core";
import { SYSTEM_CLOCK, systemRandom } from "../../src/adapters/clock.ts";
import { HttpApi } from "../../src/adapters/http.ts";
import { MemoryVault } from "../../src/adapters/vault-memory.ts";
import { WebSocketConnector } from "../../src/adapters/websocket.ts";
import { RapportClient } from "../../src/client/client.ts";
import { parseRatchetMessage } from "../../src/crypto/ratchet.ts";
import { LocalDevice } from "../../src/local-device/local-device.ts";
import type { Connector, Stream } from "../../src/ports.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import type { ServerMessage } from "../../src/protocol/messages.ts";
import { loadSodium } from "../../src/protocol/sodium.ts";
import { bundled, launched, staged } from "../../src/testing/chromium.ts";
import { serve, type TestServer } from "./server.ts";

const SENDS = 1_000;
const KILLS = 20;
const NEVER = new AbortController().signal;

let folder: string;
let server: TestServer;
let context: BrowserContext;
let address: string;
let other: RapportClient | null = null;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "rapport-tabs-"));
  server = await serve(folder);
  context = await launched(join(folder, "profile"));
  address = await staged(context, server.origin, await bundled(join(import.meta.dirname, "tab-page.ts")));
});
after(async () => {
  await other?.close();
  await context?.close();
  await server?.stop();
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
});

/** What was seen on the wire: which message used a nonce, or a position of a ratchet. */
const used = new Map<string, string>();
const reused: string[] = [];

function use(what: string, message: string): void {
  const first = used.get(what) ?? message;
  used.set(what, first);
  if (first !== message) {
    reused.push(what);
  }
}

function watched(connector: Connector): Connector {
  const look = (message: ServerMessage | null): void => {
    if (message?.tag === "deliver" && message.key.length > 0) {
      const id = toHex(message.outer);
      const { sid, dh, n, nonce } = parseRatchetMessage(message.key);
      use(`position ${sid} ${toHex(dh)} ${n}`, id);
      use(`key nonce ${toHex(nonce)}`, id);
      if (message.nonce.length > 0) {
        use(`body nonce ${toHex(message.nonce)}`, id);
      }
    }
  };
  return {
    async connect(signal) {
      const stream: Stream = await connector.connect(signal);
      const receive = stream.receive.bind(stream);
      stream.receive = async () => {
        const message = await receive();
        look(message);
        return message;
      };
      return stream;
    },
  };
}

async function peer(link: string): Promise<RapportClient> {
  await loadSodium();
  const device = await LocalDevice.open({
    openVault: async () => new MemoryVault(),
    wipeVault: async () => undefined,
    network: (origin) => ({ api: new HttpApi(origin), connector: watched(new WebSocketConnector(origin)) }),
    clock: SYSTEM_CLOCK,
    random: systemRandom,
  });
  const client = new RapportClient({ device });
  await client.ready;
  await client.join(link, "peer");
  return client;
}

async function opened(): Promise<Page> {
  const page = await context.newPage();
  await page.goto(address);
  await page.waitForFunction(() => "tab" in globalThis);
  return page;
}

/** The oldest tab holds the vault: workers get the lock in the order of asking. */
async function killed(page: Page, crash: boolean): Promise<void> {
  if (crash) {
    const crashed = new Promise((resolve) => page.once("crash", resolve));
    const session = await context.newCDPSession(page);
    session.send("Page.crash").catch(() => undefined); // nobody answers
    await crashed;
  }
  await page.close();
}

it("nothing is lost or sent twice when the tab that holds the vault keeps dying", { timeout: 600_000 }, async () => {
  const issued = new Map<string, string>();
  const stored = new Set<string>();
  await context.exposeFunction("nextText", (last: string | null) => {
    if (last !== null) {
      stored.add(last);
    }
    if (stored.size >= SENDS) {
      return null;
    }
    const id = randomBytes(16).toString("hex");
    issued.set(id, `text ${issued.size}`);
    return { id, text: issued.get(id) };
  });

  const first = await opened();
  const link = await first.evaluate(async (link) => {
    await tab.client.ready;
    await tab.client.join(link, "Dana");
    return tab.client.invite("client");
  }, server.ownerLink);
  other = await peer(link);
  const shown = new Map<string, string[]>();
  const order = new Map<string, number>();
  other.on("messageReceived", ({ message }) => {
    shown.set(message.id, [...(shown.get(message.id) ?? []), message.text]);
    order.set(message.id, message.seq);
  });
  const alarms: string[] = [];
  other.on("securityEvent", ({ kind }) => void alarms.push(kind));
  await first.waitForFunction(() => (tab.client.conversations()[0]?.members.length ?? 0) > 1);

  const tabs = [first, await opened()];
  const races = tabs.map((page) => page.evaluate(() => tab.race()).catch(() => undefined));
  let kills = 0;
  while (kills < KILLS) {
    const pause = 100 + Math.random() * 1_400;
    await SYSTEM_CLOCK.sleep(pause, NEVER);
    const owner = tabs.shift();
    assert.ok(owner);
    await killed(owner, kills % 2 === 1);
    kills += 1;
    const next = await opened();
    tabs.push(next);
    races.push(next.evaluate(() => tab.race()).catch(() => undefined));
  }
  await Promise.all(races);
  assert.ok(stored.size >= SENDS, `${stored.size} of ${SENDS} sends were answered`);

  const missing = () => [...stored].filter((id) => !shown.has(id));
  for (let wait = 0; missing().length > 0 && wait < 1_200; wait++) {
    await SYSTEM_CLOCK.sleep(100, NEVER);
  }
  assert.deepEqual(missing(), [], "answered, and never shown at the other end");
  for (const [id, texts] of shown) {
    assert.deepEqual(texts, [issued.get(id)], "shown once, as it was sent");
  }
  assert.deepEqual(reused, []);
  assert.deepEqual(alarms, []);
  assert.equal(new Set(order.values()).size, order.size, "two messages at one place");
  const failures = Object.entries(other.snapshot.figures).filter(([figure, count]) => /^F\d/.test(figure) && count > 0);
  assert.deepEqual(failures, [], "every message opened at once");
  const [, survivor] = tabs;
  const problems = await survivor?.evaluate(() => tab.client.securityLog());
  assert.deepEqual(problems, []);
});
