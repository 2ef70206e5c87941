/** A contact and a server that attack together, a server that stalls or drops: nothing leaks, nothing sticks. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { MemoryVault } from "../../src/adapters/vault-memory.ts";
import { encodeBody, makeBody } from "../../src/crypto/body.ts";
import { sealBody } from "../../src/crypto/envelope.ts";
import { entryOfDevice, makeDeviceSecrets, nextList } from "../../src/crypto/identity.ts";
import type { ResendBody } from "../../src/engine/bodies/content.ts";
import { accountOf, newestList, takeLists } from "../../src/engine/contacts.ts";
import { Core } from "../../src/engine/core.ts";
import { putContent } from "../../src/engine/directs.ts";
import { choose } from "../../src/engine/keys/sessions.ts";
import { Link, Untrustworthy } from "../../src/engine/link/link.ts";
import { Turns } from "../../src/engine/link/turns.ts";
import { messageId } from "../../src/engine/opening.ts";
import { ServerClock } from "../../src/engine/server-clock.ts";
import { OUTBOX, QUEUES } from "../../src/engine/vault/outgoing.ts";
import { PENDING, SEEN } from "../../src/engine/vault/records.ts";
import { must } from "../../src/engine/vault/tables.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import type { Stream, Transaction } from "../../src/ports.ts";
import { EMPTY } from "../../src/protocol/bytes.ts";
import {
  type ConversationId,
  idBytes,
  idOf,
  type MessageId,
  type StoreEpoch,
  splitIds,
} from "../../src/protocol/ids.ts";
import { MAX_INTEGER } from "../../src/protocol/limits.ts";
import type { ServerMessage } from "../../src/protocol/messages.ts";
import { splitSealedKeys } from "../../src/protocol/sealed-keys.ts";
import { encodeOuter, type Outer } from "../../src/protocol/signed.ts";
import { type Device, faults, invite, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { arrived, attempts, callsOf, dropForGood, loseSessions } from "./lies.ts";

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
  kim.say(conv, "a");
  await quiet(dana, kim);
  dana.say(conv, "b");
  await quiet(dana, kim);
});

afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

/** Somebody who has accepted an invite of Dana's and is connected; nothing has been taken in yet. */
async function invited(seed: number, name: string): Promise<[device: Device, conv: ConversationId]> {
  const [link, shared] = await invite(dana, null);
  const device = dana.sibling(seed);
  await device.join(link, name);
  await device.connect();
  return [device, shared];
}

// --- a contact who lists somebody else's device --------------------------------------------------------------------

test("a contact cannot take another contact's device id and get their messages", async () => {
  const [mallory, withMallory] = await invited(3, "Mallory");
  await quiet(dana, kim, mallory);
  const { me } = mallory;
  const now = pair.relay.clock.ms;
  const chosen = (size: number) => (size === 16 ? idBytes(kim.me.device) : mallory.random(size));
  const stolen = makeDeviceSecrets(me.account, me.secrets.aik, chosen, now);
  const head = mallory.do((turn) => newestList(turn, me.account));
  const evil = nextList(head, [entryOfDevice(stolen)], [], [me.device, signingKeyOf(me)], now);
  dana.do((turn) => takeLists(turn, me.account, [evil.encoded]));
  // Mallory writes as that device, on a session of its own, and the server passes it on.
  loseSessions(mallory, dana);
  const flight = mallory.core?.flight ?? null;
  mallory.core = new Core({ ...me, device: kim.me.device, secrets: stolen }, mallory.random);
  mallory.core.flight = flight;
  mallory.holdOutgoing = true;
  mallory.say(withMallory, "hello");
  await quiet(mallory);
  const [post] = mallory.waiting("post");
  assert.ok(post);
  const key = splitSealedKeys(post.keys)[splitIds(post.devices).indexOf(dana.me.device)];
  assert.ok(key);
  dana.take({ tag: "deliver", seq: 99, at: now, outer: post.outer, nonce: post.nonce, ct: post.ct, key });
  await quiet(dana);
  dana.say(conv, "for Kim alone");
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "for Kim alone");
  assert.ok(dana.alarms().includes("forged_list"));
  assert.equal(
    dana.do((turn) => accountOf(turn, kim.me.device)),
    kim.me.account,
  );
});

test("a direct that is sent again does not speak in a conversation of others", async () => {
  const [mallory, withMallory] = await invited(3, "Mallory");
  await quiet(dana, kim, mallory);
  const { account, device } = mallory.me;
  const now = pair.relay.clock.ms;
  const post: Outer = {
    conv,
    epoch: 3,
    account,
    device,
    id: idOf<MessageId>(new Uint8Array(16).fill(0x78)),
    tsMs: now,
    kind: "post",
    flags: 0,
    actUntilMs: 0,
    commitment: new Uint8Array(32),
  };
  const key = new Uint8Array(195);
  key[0] = 1;
  dana.take({ tag: "deliver", seq: 50, at: now, outer: encodeOuter(post), nonce: new Uint8Array(24), ct: EMPTY, key });
  const target = dana.shown(conv).at(-1);
  assert.ok(target);
  const body = encodeBody(makeBody("reaction", { id: idBytes(target.id), emoji: "!" }, 1, 1));
  const sealed = sealBody({ ...post, kind: "direct" }, body, mallory.random);
  const whole: ResendBody = {
    type: "resend.body",
    id: post.id,
    outer: sealed.outer,
    nonce: sealed.nonce,
    ct: sealed.ciphertext,
    key: sealed.key,
    at: 0,
    size: 0,
  };
  mallory.do((turn) => putContent(turn, withMallory, dana.me.device, must(choose(turn, dana.me.device)), whole));
  await quiet(dana, kim, mallory);
  assert.deepEqual(dana.shown(conv).at(-1)?.reactions, []);
  assert.equal(
    dana.look((tx) => SEEN.has(tx, post.id)),
    false,
  );
  dana.say(conv, "c");
  await later(3_000, dana, kim);
  assert.equal(kim.received().at(-1), "c");
});

// --- time ----------------------------------------------------------------------------------------------------------

/** A stream that says what it was given and then ends. */
function scripted(origin: string, ...messages: readonly ServerMessage[]): Stream {
  const left = [...messages];
  return {
    origin,
    closeCode: null,
    send: async () => undefined,
    receive: async () => left.shift() ?? null,
    close: async () => undefined,
  };
}

for (const server of ["another key", "the pinned key, unsigned"]) {
  test(`who is not the pinned server does not set the clock: ${server}`, async () => {
    const clock = new ServerClock(pair.relay.clock);
    const before = clock.nowMs();
    const core = must(kim.core);
    const turns = new Turns(kim.vault, core, clock, { deliver: () => undefined, failed: () => undefined });
    const over = new AbortController();
    const running = turns.run(over.signal);
    const link = new Link(core, turns, clock, pair.relay.api, {
      signedIn: () => assert.fail("nobody has signed in"),
      heard: () => undefined,
      draining: () => undefined,
    });
    const serverId = server === "another key" ? new Uint8Array(32) : kim.me.serverId;
    const stream = scripted(
      pair.relay.server.origin,
      { tag: "challenge", conn: new Uint8Array(16), nonce: new Uint8Array(32), serverTimeMs: MAX_INTEGER, serverId },
      {
        tag: "hello",
        version: 1,
        features: [],
        storeEpoch: idOf<StoreEpoch>(new Uint8Array(16)),
        lastAuth: null,
        httpToken: new Uint8Array(32),
        sig: new Uint8Array(64),
        bases: [],
        oneTimeKeys: 0,
      },
    );
    await assert.rejects(link.run({ connect: async () => stream }, kim.random, over.signal), Untrustworthy);
    over.abort();
    await running;
    assert.equal(clock.nowMs(), before);
  });
}

test("a server may ask for an hour's patience, not for silence", () => {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, "c");
  dana.take({ tag: "error", code: "busy", re: id, retryable: true, retryAfterMs: MAX_INTEGER });
  const queue = dana.look((tx) => QUEUES.need(tx, conv));
  assert.equal(queue.hold, "later");
  assert.ok(queue.untilMs - pair.relay.clock.ms <= 3_600_000);
});

test("an epoch that is no news makes no second ciphertext", async () => {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, "c");
  const { sealed } = dana.look((tx) => OUTBOX.need(tx, id));
  assert.ok(sealed);
  dana.take({ tag: "epoch_stale", id, epoch: sealed.epoch });
  assert.deepEqual(
    dana.look((tx) => OUTBOX.need(tx, id).sealed),
    sealed,
  );
  await later(61_000, dana);
  const [first, second, ...more] = dana.waiting("post");
  assert.deepEqual(second, first);
  assert.deepEqual(more, []);
});

// --- what is dropped -----------------------------------------------------------------------------------------------

test("dropping the first posts of a new member is noticed, and they come from their sender", async () => {
  const [lou, shared] = await invited(4, "Lou");
  lou.say(shared, "first");
  await quiet(lou);
  assert.equal((await arrived(dana)).length, 2, "Lou's name, and the text");
  const entries = dana.inbox.filter((item) => item.tag !== "deliver");
  await dropForGood(dana);
  dana.inbox = entries;
  await quiet(dana, lou);
  lou.say(shared, "second");
  await later(60_000, dana, lou);
  assert.deepEqual(dana.texts(shared), ["first", "second"]);
  assert.equal(
    dana.look((tx) => PENDING.count(tx, shared)),
    0,
  );
});

/** As 200 days do. */
function forgetIds(tx: Transaction): void {
  for (const [key] of SEEN.list(tx)) {
    SEEN.delete(tx, key);
  }
}

test("nothing is missing after a silence longer than ids are remembered", async () => {
  dana.look(forgetIds);
  const before = callsOf(dana, "messages.fetch");
  kim.say(conv, "c");
  await later(60_000, dana, kim);
  assert.deepEqual(dana.received(), ["a", "c"]);
  assert.equal(callsOf(dana, "messages.fetch"), before);
});

// --- what cannot be taken in ---------------------------------------------------------------------------------------

test("a message that we stumble over is set aside, and does not hold up those beside it", async () => {
  const bad = kim.say(conv, "bad");
  kim.say(conv, "good");
  const messages = await arrived(dana);
  const outers = messages.map((item) => messageId(item.outer));
  assert.ok(outers.includes(bad.id));
  const stumbling = new StumblingVault(dana.vault, bad.id);
  dana.vault = stumbling;
  await later(60_000, dana, kim);
  assert.ok(faults.splice(0).length > 0);
  assert.deepEqual(dana.received(), ["a", "good"]);
  assert.deepEqual(attempts(dana, conv), ["F8 update"]);
});

/** A vault over which our own code falls the first time in a turn that it looks whether a message was seen. */
class StumblingVault extends MemoryVault {
  private readonly inner: MemoryVault;
  private readonly bad: MessageId;

  constructor(inner: MemoryVault, bad: MessageId) {
    super();
    this.inner = inner;
    this.bad = bad;
  }

  override runNow<T>(step: (tx: Transaction) => T): T {
    let fallen = false;
    return this.inner.runNow((tx) => {
      const get = tx.get.bind(tx);
      tx.get = (table, key) => {
        if (table === "seen" && key === this.bad && !fallen) {
          fallen = true;
          throw new RangeError("planted");
        }
        return get(table, key);
      };
      return step(tx);
    });
  }
}
