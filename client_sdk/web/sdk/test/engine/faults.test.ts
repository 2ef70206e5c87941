/** A fault of our own harms what it concerns, nothing else: undone, told without what it held, and tried again. */

import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { writeText } from "../../src/engine/composing.ts";
import { markRead } from "../../src/engine/delivery.ts";
import { begin } from "../../src/engine/link/starting.ts";
import { onFault } from "../../src/engine/vault/faults.ts";
import { OUTBOX, QUEUES } from "../../src/engine/vault/outgoing.ts";
import { PENDING } from "../../src/engine/vault/records.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { Device, later, type Pair, quiet, type Relay } from "./devices.ts";
import { startPair } from "./fake.ts";

/** A device whose source of chance fails once, at the n-th call from now. */
class Stumbling extends Device {
  /** So many calls of that size are left, the failing one included; 0 = all succeed. */
  #left = 0;
  #size = 0;

  constructor(relay: Relay, seed: number) {
    super(relay, seed);
    const honest = this.random;
    this.random = (size) => {
      if (size === this.#size && this.#left > 0) {
        this.#left -= 1;
        if (this.#left === 0) {
          throw new TypeError("planted-secret");
        }
      }
      return honest(size);
    };
  }

  stumbleAt(nth: number, size: number): void {
    this.#left = nth;
    this.#size = size;
  }

  get hasStumbled(): boolean {
    return this.#left === 0 && this.#size > 0;
  }
}

let sentences: string[];
let pair: Pair;
let dana: Stumbling;
let kim: Stumbling;
let conv: ConversationId;

beforeEach(async () => {
  const made: Stumbling[] = [];
  pair = await startPair((relay, seed) => {
    const device = new Stumbling(relay, seed);
    made.push(device);
    return device;
  });
  [dana, kim] = [made[0] ?? assert.fail(), made[1] ?? assert.fail()];
  conv = pair.conv;
  sentences = [];
  onFault((sentence) => sentences.push(sentence));
});

test("an errand that fails is tried again in an hour", async () => {
  dana.say(conv, "hello");
  await quiet(dana, kim);
  kim.stumbleAt(1, 16);
  kim.do((turn) => markRead(turn, conv));
  await quiet(dana, kim);
  assert.ok(kim.hasStumbled);
  assert.deepEqual(sentences, ["an errand failed (read): TypeError"]);
  kim.say(conv, "still here");
  await quiet(dana, kim);
  assert.deepEqual(dana.received(), ["still here"]);
  const read = () => dana.told("messageStatus").filter((event) => event.status === "read").length;
  assert.equal(read(), 0);
  await later(2 * 3_600_000, dana, kim);
  assert.equal(read(), 1);
});

test("a call whose answer cannot be used is made again later", async () => {
  kim.dropConnection();
  dana.say(conv, "hello");
  await quiet(dana);
  dana.dropConnection();
  dana.heard = (call, answer) => (call.operation === "messages.receipts" ? {} : answer);
  await dana.connect();
  await quiet(dana);
  assert.deepEqual(sentences, ["an errand failed (receipts): TypeError"]);
  assert.equal(dana.made.filter((name) => name === "messages.receipts").length, 1);
  dana.heard = (_, answer) => answer;
  await kim.connect();
  await later(2 * 3_600_000, dana, kim);
  assert.equal(dana.shown(conv).at(-1)?.status, "delivered");
});

test("a post that cannot be sealed holds up its own conversation only", async () => {
  dana.dropConnection();
  for (const text of "abc") {
    dana.say(conv, text);
  }
  dana.stumbleAt(5, 24); // a nonce of the second post
  await dana.connect();
  await quiet(dana, kim);
  assert.ok(dana.hasStumbled);
  assert.deepEqual(sentences, ["posts could not be sealed: TypeError"]);
  assert.equal(
    dana.look((tx) => QUEUES.need(tx, conv).hold),
    "later",
  );
  assert.ok(dana.look((tx) => OUTBOX.list(tx, conv)).every(([, post]) => post.sealed === null));
  assert.deepEqual(kim.received(), []);
  await later(61_000, dana, kim);
  assert.deepEqual(kim.received(), ["a", "b", "c"]);
});

test("a step that throws undoes only itself", () => {
  const write = (text: string) => (turn: Parameters<typeof writeText>[0]) => writeText(turn, conv, text);
  const results: readonly unknown[] = dana.turn(
    write("one"),
    (turn) => {
      write("two")(turn);
      throw new TypeError("planted-secret");
    },
    write("three"),
  );
  assert.deepEqual(
    results.map((result) => Object.keys(Object(result))),
    [["value"], ["problem"], ["value"]],
  );
  assert.deepEqual(dana.texts(conv), ["one", "three"]);
});

test("a message that cannot be taken in is set aside alone, and tried again by the next version", async () => {
  dana.say(conv, "a");
  await quiet(dana, kim);
  kim.dropConnection();
  for (const text of "bcd") {
    dana.say(conv, text);
  }
  await quiet(dana);
  await kim.connect();
  await pair.relay.settle();
  kim.stumbleAt(2, 24); // the nonce of the second archive entry
  await quiet(dana, kim);
  assert.ok(kim.hasStumbled);
  assert.deepEqual(sentences, ["a message could not be taken in: TypeError"]);
  assert.deepEqual(
    kim.look((tx) => PENDING.list(tx, conv)).map(([, held]) => [held.failure, held.attempt]),
    [["F8", "update"]],
  );
  await later(11_000, dana, kim);
  assert.deepEqual(kim.texts(conv), ["Welcome.", "a", "b", "", "d"]);
  assert.equal(kim.shown(conv).at(-2)?.placeholder, "update");
  kim.do((turn) => begin(turn, "the next version"));
  await later(11_000, dana, kim);
  assert.deepEqual(kim.texts(conv), ["Welcome.", "a", "b", "c", "d"]);
});
