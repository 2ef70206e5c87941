import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { SYSTEM_CLOCK, systemRandom } from "../src/adapters/clock.ts";
import { PassphraseNeeded, WrongPassphrase } from "../src/adapters/passphrase.ts";
import { MemoryStorage, MemoryVault } from "../src/adapters/vault-memory.ts";
import { RapportClient } from "../src/client/client.ts";
import { missingHere, Unsupported } from "../src/client/support.ts";
import { AuthenticationFailed } from "../src/crypto/failures.ts";
import type { Event } from "../src/events.ts";
import { LocalDevice } from "../src/local-device/local-device.ts";
import { InviteProblem, LinkProblem } from "../src/local-device/problems.ts";
import { type Clock, Unreachable, VaultProblem } from "../src/ports.ts";
import { FormatError, LocalError, RapportError, Rejected } from "../src/protocol/errors.ts";
import type { ConversationId, MessageId } from "../src/protocol/ids.ts";
import { RuleBroken } from "../src/protocol/rules.ts";
import { loadSodium } from "../src/protocol/sodium.ts";
import { FakeServer } from "../src/testing/fake-server.ts";
import { arrived, carried } from "../src/worker/carried.ts";

before(loadSodium);

const DAY_MS = 86_400_000;

/** A clock that goes right and stands wrong. */
function wrongBy(ms: number): Clock {
  return { ...SYSTEM_CLOCK, nowMs: () => SYSTEM_CLOCK.nowMs() + ms };
}

async function clientOf(
  server: FakeServer,
  clock: Clock = SYSTEM_CLOCK,
  storage = new MemoryStorage(),
): Promise<RapportClient> {
  const device = await LocalDevice.open({
    openVault: async () => new MemoryVault(storage),
    wipeVault: async () => storage.wipe(),
    network: () => ({ api: server.api(), connector: server.connector() }),
    clock,
    random: systemRandom,
  });
  const client = new RapportClient({ device });
  await client.ready;
  return client;
}

function until(client: RapportClient, condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (condition()) {
        client.off("changed", look);
        resolve();
      }
    };
    client.on("changed", look);
    look();
  });
}

describe("a client in this thread", { timeout: 60_000 }, () => {
  it("joins, invites, talks, and its handlers and loops hear the same events", async () => {
    const server = new FakeServer({ clock: SYSTEM_CLOCK });
    const dana = await clientOf(server);
    assert.deepEqual([dana.identity, dana.state, dana.storage], [null, "idle", "open"]);
    await dana.join(server.ownerLink(), "Dana");
    const toni = await clientOf(server);
    await toni.join(await dana.invite("client", "Welcome"), "Toni");
    await until(dana, () => (dana.conversations()[0]?.members.length ?? 0) > 1);

    const looped: string[] = [];
    const loop = (async () => {
      for await (const event of toni.events()) {
        looped.push(...(event.type === "messageReceived" ? [event.message.text] : []));
        if (looped.length === 2) {
          break;
        }
      }
    })();
    const handled: string[] = [];
    const handler = ({ message }: Extract<Event, { type: "messageReceived" }>) => void handled.push(message.text);
    toni.on("messageReceived", handler);
    const [conversation] = dana.conversations();
    assert.ok(conversation);
    await conversation.sendText("one");
    await conversation.sendText("two");
    await loop;
    assert.deepEqual(
      [looped, handled],
      [
        ["one", "two"],
        ["one", "two"],
      ],
    );
    toni.off("messageReceived", handler);
    await conversation.sendText("three");
    await until(toni, () => toni.conversations()[0]?.view.unread === 3);
    assert.equal(handled.length, 2);
    assert.equal(
      toni.contacts().some(({ name }) => name === "Dana"),
      true,
    );
    assert.throws(() => toni.conversation("00".repeat(16) as ConversationId), LocalError);
    await assert.rejects(toni.unlock("x"), LocalError);
    await Promise.all([dana.close(), toni.close()]);
  });

  it("does not send a text twice that is asked for twice under one id", async () => {
    const server = new FakeServer({ clock: SYSTEM_CLOCK });
    const dana = await clientOf(server);
    await dana.join(server.ownerLink(), "Dana");
    await dana.invite();
    const [conversation] = dana.conversations();
    const id = "0a".repeat(16) as MessageId;
    const first = await conversation?.sendText("once", { id });
    const second = await conversation?.sendText("once", { id });
    assert.equal(first?.id, second?.id);
    assert.deepEqual(
      (await conversation?.history())?.map(({ text }) => text),
      ["once"],
    );
    await dana.close();
  });

  for (const ms of [-DAY_MS, DAY_MS]) {
    it(`works with a clock that is wrong by ${ms / DAY_MS} days: the server's time counts`, async () => {
      const server = new FakeServer({ clock: SYSTEM_CLOCK });
      const dana = await clientOf(server);
      await dana.join(server.ownerLink(), "Dana");
      const toni = await clientOf(server, wrongBy(ms));
      await toni.join(await dana.invite(), "Toni");
      await until(toni, () => toni.state === "connected");
      await until(dana, () => (dana.conversations()[0]?.members.length ?? 0) > 1);
      await toni.conversations()[0]?.sendText("on time");
      await until(dana, () => dana.conversations()[0]?.view.unread === 1);
      await dana.conversations()[0]?.sendText("so am I", { expireS: 60 });
      await until(toni, () => toni.conversations()[0]?.view.unread === 1);
      const [, answer] = (await toni.conversations()[0]?.history()) ?? [];
      assert.ok(answer && Math.abs(answer.atMs - SYSTEM_CLOCK.nowMs()) < 60_000, "shown at the server's time");
      assert.ok(Math.abs(answer.expiresMs - answer.atMs - 60_000) < 5_000);
      assert.ok(Math.abs(toni.snapshot.aheadMs + ms) < 5_000);
      assert.deepEqual(await toni.securityLog(), []);
      assert.deepEqual(await dana.securityLog(), []);
      await Promise.all([dana.close(), toni.close()]);
    });
  }
});

describe("errors on their way between threads", () => {
  const errors = [
    new InviteProblem("ended"),
    new LinkProblem("wrong_digits", 2),
    new Rejected("rate_limited", "slower", 1_500),
    new PassphraseNeeded(),
    new WrongPassphrase(),
    new VaultProblem("the vault is damaged"),
    new Unreachable(),
    new RuleBroken("weak_key"),
    new AuthenticationFailed("sealed bytes"),
    new FormatError("link"),
    new LocalError("not_found", "no such conversation"),
  ];
  for (const error of errors) {
    it(`keep class and fields: ${error.constructor.name}`, () => {
      const again = arrived(structuredClone(carried(error)));
      assert.equal(again.constructor, error.constructor);
      assert.ok(again instanceof RapportError);
      assert.deepEqual({ ...again }, { ...error });
    });
  }

  it("that are bugs say only what they are", () => {
    const again = arrived(structuredClone(carried(new TypeError("with somebody's text"))));
    assert.equal(again.message, "TypeError");
    assert.ok(!(again instanceof RapportError));
  });
});

describe("a browser that lacks something", () => {
  const everything = {
    isSecureContext: true,
    indexedDB: {},
    navigator: { locks: {} },
    WebAssembly: {},
    BroadcastChannel: {},
    Worker: {},
  };
  it("is told what", () => {
    assert.deepEqual(missingHere(everything), []);
    assert.deepEqual(missingHere({ ...everything, isSecureContext: false, indexedDB: undefined }), [
      "secure page",
      "IndexedDB",
    ]);
    assert.deepEqual(missingHere({ navigator: {} }).length, 6);
    assert.deepEqual(new Unsupported(["Web Locks"]).missing, ["Web Locks"]);
  });
});
