/** Finding words in one's own messages; the index follows every change, and folds as the Python SDK does. */

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { afterEach, beforeEach, test } from "node:test";

import { deleteMessage, editMessage, writeText } from "../../src/engine/composing.ts";
import { fold, search } from "../../src/engine/shown/searching.ts";
import { OUTBOX } from "../../src/engine/vault/outgoing.ts";
import { MESSAGES, SEARCH_VERSION, SETTINGS } from "../../src/engine/vault/records.ts";
import { amend } from "../../src/engine/vault/tables.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { selfConversation } from "../../src/protocol/signed.ts";
import { type Device, faults, later, type Pair, quiet } from "./devices.ts";
import { startPair } from "./fake.ts";
import { link } from "./linked.ts";

let pair: Pair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
});

afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function found(device: Device, words: string, where: ConversationId | null = null, limit = 50): string[] {
  return device.do((turn) => search(turn, words, where, limit)).map((message) => message.text);
}

async function say(text: string): Promise<void> {
  dana.say(conv, text);
  await quiet(dana, kim);
}

test("words are found by their beginnings, newest first", async () => {
  for (const text of ["The garden is green", "A gardener came", "Nothing here", "my Garden, again"]) {
    await say(text);
  }
  for (const device of [dana, kim]) {
    assert.deepEqual(found(device, "garden"), ["my Garden, again", "A gardener came", "The garden is green"]);
    assert.deepEqual(found(device, "GARDEN gr"), ["The garden is green"]);
    assert.deepEqual(found(device, "gardener"), ["A gardener came"]);
    assert.deepEqual(found(device, "arden"), []);
    assert.deepEqual(found(device, "garden", null, 1), ["my Garden, again"]);
    assert.deepEqual(found(device, "garden", "0".repeat(32) as ConversationId), []);
  }
  assert.deepEqual(found(kim, "welcome"), ["Welcome."]);
});

test("case, accents and forms make no difference", async () => {
  const cases = [
    ["Übermäßig schöne Grüße", "uber schone grusse"],
    ["ubermassig", "ÜBERMÄSSIG"],
    ["crème brûlée", "creme brulee"],
    ["ﬁnance ① Ⅻ", "finance 1 xii"],
    ["e\u0301te\u0301", "été"],
    ["İstanbul ΣΊΣΥΦΟΣ", "istanbul σισυφος"],
    ["дом Ёлка", "ДОМ елка"],
    ["今日は天気がいい", "天気"],
    ["안녕하세요 여러분", "안녕"],
    ["don't stop; see https://example.org/path_x?a=1", "don path_x example"],
    ["2026-11-22 17:30", "2026 11"],
  ] as const;
  for (const [text, words] of cases) {
    await say(text);
    const last = [dana, kim].map((device) => found(device, words)[0]);
    assert.deepEqual(last, [text, text], words);
  }
});

/** Blocks that no later version of Unicode changes, with all that folding treats unlike lower case. */
const BLOCKS = [
  [0x0, 0x600],
  [0x900, 0x980],
  [0x1e00, 0x2000],
  [0x2100, 0x218c],
  [0x2460, 0x2500],
  [0x3041, 0x3097],
  [0x13a0, 0x13fe],
  [0xab70, 0xabc0],
  [0xac00, 0xd7a4],
  [0xfb00, 0xfb07],
  [0xff01, 0xff9f],
  [0x1d400, 0x1d7cc],
] as const;

test("letters fold as in the Python SDK", () => {
  const hash = createHash("sha256"); // the same number stands in tests/sdk/test_search.py
  for (const [first, end] of BLOCKS) {
    for (let code = first; code < end; code++) {
      hash.update(`${fold(String.fromCodePoint(code))}\n`);
    }
  }
  assert.equal(hash.digest("hex"), "6b13ee69ff9b192e64c3ad643349568a5b737fd559e2ff953b25fbbffbeac3e0");
});

test("without a word of two letters, and with far too many, it says so", () => {
  for (const words of ["", " ", "a", "a b c", "?!", "\ud7ff"]) {
    assert.throws(() => found(dana, words), new LocalError("bad_format", "search: a word of two letters or more"));
  }
  assert.throws(
    () => found(dana, "x".repeat(1_001)),
    (problem) => problem instanceof LocalError && problem.code === "too_large",
  );
});

test("the index follows edits, deletions and expiry", async () => {
  const message = dana.say(conv, "first wording");
  const gone = dana.say(conv, "to be deleted, first");
  dana.do((turn) => writeText(turn, conv, "first and fleeting", { expireS: 60 }));
  await quiet(dana, kim);
  dana.do((turn) => editMessage(turn, conv, message.id, "second wording"));
  dana.do((turn) => deleteMessage(turn, conv, gone.id));
  await quiet(dana, kim);
  for (const device of [dana, kim]) {
    assert.deepEqual(found(device, "first"), ["first and fleeting"]);
    assert.deepEqual([found(device, "second"), found(device, "wording")], [["second wording"], ["second wording"]]);
    assert.deepEqual(found(device, "deleted"), []);
  }
  await later(60_000, dana, kim);
  assert.deepEqual([found(dana, "first"), found(kim, "first")], [[], []]);
});

test("the newest are found across conversations", async () => {
  const own = selfConversation(dana.me.account);
  for (const [number, where] of [conv, own, conv].entries()) {
    dana.say(where, `garden ${number}`);
    await later(1_000, dana, kim);
  }
  assert.deepEqual(found(dana, "garden", null, 2), ["garden 2", "garden 1"]);
  assert.deepEqual(found(dana, "garden", conv, 2), ["garden 2", "garden 0"]);
});

test("what is queued is found, and found once when it is accepted", async () => {
  dana.dropConnection();
  dana.say(conv, "written offline");
  assert.deepEqual([found(dana, "offline"), found(dana, "offline", conv)], [["written offline"], ["written offline"]]);
  assert.equal(
    dana.look((tx) => OUTBOX.count(tx, conv)),
    1,
  );
  await dana.connect();
  await quiet(dana, kim);
  assert.deepEqual([found(dana, "offline"), found(kim, "offline")], [["written offline"], ["written offline"]]);
});

test("restored history is found", async () => {
  kim.say(conv, "old garden");
  await quiet(dana, kim);
  const desk = await link(dana, 3, "Desk");
  await quiet(dana, kim, desk);
  assert.deepEqual(found(desk, "garden"), ["old garden"]);
});

test("a vault without an index gets one at the first search", async () => {
  for (let number = 0; number < 100; number++) {
    dana.say(conv, `garden ${number}`);
  }
  await quiet(dana, kim);
  kim.do(({ tx }) => {
    for (const [key] of tx.list("search")) {
      tx.delete("search", key);
    }
    amend(SETTINGS, tx, "", { searchVersion: 0 });
  });
  assert.equal(found(kim, "garden", null, 200).length, 100);
  assert.equal(
    kim.look((tx) => SETTINGS.need(tx, "").searchVersion),
    SEARCH_VERSION,
  );
  assert.ok(kim.look((tx) => tx.count("search")) > 3);
});

test("a step that fails leaves the index as it was", async () => {
  const message = kim.say(conv, "garden");
  await quiet(dana, kim);
  assert.throws(
    () =>
      kim.do((turn) => {
        editMessage(turn, conv, message.id, "planted");
        throw new RangeError("planted");
      }),
    RangeError,
  );
  assert.deepEqual([found(kim, "planted"), found(kim, "garden")], [[], ["garden"]]);
  assert.equal(kim.look((tx) => MESSAGES.need(tx, message.id)).text, "garden");
});
