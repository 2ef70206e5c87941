/** Every failure class: kept, shown as waiting, healed within two round trips, or visibly given up. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { editMessage } from "../../src/engine/composing.ts";
import { ASK_WITHIN_MS } from "../../src/engine/healing/asking.ts";
import { putSession, sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { SENT } from "../../src/engine/vault/outgoing.ts";
import { MESSAGES } from "../../src/engine/vault/records.ts";
import { concat } from "../../src/protocol/bytes.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { Deliver } from "../../src/protocol/messages.ts";
import { type Device, faults, later, type Pair, quiet, settle } from "./devices.ts";
import { startPair } from "./fake.ts";
import {
  arrived,
  attempts,
  breakSessions,
  callsOf,
  changeSessions,
  dropForGood,
  flipped,
  lieAboutFetched,
  loseSessions,
  tamper,
  zeros,
} from "./lies.ts";

let pair: Pair;
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

test("F2: a lost session heals", async () => {
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  assert.deepEqual(attempts(kim, conv), ["F2 fetch"]);
  await later(5_000, dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
  assert.deepEqual(attempts(kim, conv), []);
  assert.deepEqual([kim.told("placeholder"), kim.alarms()], [[], []]);
  kim.say(conv, "d");
  dana.say(conv, "e");
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c", "e"]);
  assert.deepEqual(dana.received(), ["a", "d"]);
});

test("F2: several messages on a lost session heal with one request", async () => {
  loseSessions(kim, dana);
  for (const text of "cdefg") {
    dana.say(conv, text);
  }
  await quiet(dana, kim);
  const claims = callsOf(kim, "prekeys.claim");
  await later(5_000, dana, kim);
  assert.deepEqual(kim.received(), [..."bcdefg"]);
  assert.equal(callsOf(kim, "prekeys.claim"), claims + 1);
});

test("F3: a session out of step heals", async () => {
  breakSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
  dana.say(conv, "d");
  kim.say(conv, "e");
  await quiet(dana, kim);
  await later(20_000, dana, kim);
  assert.deepEqual(kim.received(), ["b", "c", "d"]);
  assert.equal(dana.received().at(-1), "e");
});

test("F1: a used position heals", async () => {
  dana.say(conv, "c");
  await settle();
  changeSessions(kim, dana, (held) => ({ ...held, receiveN: 900 }));
  await kim.pump();
  assert.deepEqual(attempts(kim, conv), ["F1 fetch"]);
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("F4: a prekey that is gone heals", async () => {
  loseSessions(dana, kim);
  dana.say(conv, "c");
  kim.holdOutgoing = true;
  await quiet(dana);
  kim.look((tx) => {
    for (const [key] of tx.list("one_time")) {
      tx.delete("one_time", key);
    }
  });
  kim.holdOutgoing = false;
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("F7: a swapped body is fetched and asked for", async () => {
  dana.say(conv, "c");
  await tamper(kim, (item) => ({ ...item, ct: zeros(item.ct) }));
  await kim.pump();
  assert.deepEqual(attempts(kim, conv), ["F7 fetch"]);
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("F7: a body that the server never gives comes from its sender", async () => {
  dana.say(conv, "c");
  await tamper(kim, (item) => ({ ...item, ct: zeros(item.ct) }));
  lieAboutFetched(kim, (item) => [{ ...item, ct: new Uint8Array(0) }]);
  await quiet(dana, kim);
  await later(30_000, dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
  const seqs = [kim, dana].map((device) =>
    device
      .shown(conv)
      .map((message) => message.seq)
      .slice(-2),
  );
  assert.deepEqual(seqs[0], seqs[1]);
});

test("F8: a format of a later version waits for an update", async () => {
  const { id } = dana.say(conv, "c");
  await tamper(kim, (item) => ({ ...item, outer: concat(Uint8Array.of(2), item.outer.slice(1)) }));
  await kim.pump();
  assert.deepEqual(attempts(kim, conv), ["F8 update"]);
  await later(10_000, dana, kim);
  assert.deepEqual(kim.told("placeholder"), [{ type: "placeholder", conversation: conv, id, reason: "update" }]);
  dana.say(conv, "d");
  await later(3_000, dana, kim);
  assert.deepEqual(kim.received(), ["b", "d"]);
});

test("F9: a message the server dropped is noticed and comes from its sender", async () => {
  dana.say(conv, "dropped");
  await dropForGood(kim);
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b"]);
  dana.say(conv, "next");
  await quiet(dana, kim);
  assert.deepEqual(attempts(kim, conv), ["F9 fetch"]);
  await later(3_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), ["dropped", "next"]);
  assert.deepEqual(attempts(kim, conv), []);
});

test("F0: a message its supposed sender never sent is removed and reported", async () => {
  const { id } = dana.say(conv, "dropped");
  await dropForGood(kim);
  await quiet(dana);
  dana.look((tx) => [SENT.delete(tx, id), MESSAGES.delete(tx, id)]);
  dana.say(conv, "next");
  await quiet(dana, kim);
  dana.dropConnection();
  await later(11_000, kim);
  assert.deepEqual(kim.told("placeholder"), [{ type: "placeholder", conversation: conv, id, reason: "missing" }]);
  assert.equal(kim.shown(conv).at(-2)?.id, id);
  await dana.connect();
  await later(3_000, dana, kim);
  assert.deepEqual(kim.told("placeholderRemoved"), [{ type: "placeholderRemoved", conversation: conv, id }]);
  assert.ok(kim.alarms().includes("no_such_message"));
  assert.equal(kim.texts(conv).at(-1), "next");
});

test("a placeholder stands in its place and heals", async () => {
  loseSessions(kim, dana);
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  dana.dropConnection();
  await later(10_000, kim);
  assert.deepEqual(kim.told("placeholder"), [{ type: "placeholder", conversation: conv, id, reason: "waiting" }]);
  const shown = kim.shown(conv).at(-1);
  assert.deepEqual([shown?.id, shown?.placeholder, shown?.text], [id, "waiting", ""]);
  await dana.connect();
  await later(1_000, dana, kim);
  assert.deepEqual(
    kim.told("messageChanged").map((event) => event.message.text),
    ["c"],
  );
  assert.deepEqual(kim.received(), ["b"]);
  assert.equal(kim.texts(conv).at(-1), "c");
});

test("later messages wait two seconds and never overtake", async () => {
  const kept = kim.look((tx) => sessionsOf(tx, dana.me.device));
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  kim.look((tx) => kept.map((session) => putSession(tx, dana.me.device, session)));
  dana.say(conv, "d");
  await quiet(dana);
  dana.dropConnection();
  await quiet(kim);
  assert.deepEqual(kim.received(), ["b"]);
  await later(2_000, kim);
  const order = kim.events.filter(({ type }) => type === "messageReceived" || type === "placeholder");
  assert.deepEqual(
    order.map(({ type }) => type),
    ["messageReceived", "placeholder", "messageReceived"],
  );
  assert.equal(kim.shown(conv).at(-1)?.text, "d");
  await dana.connect();
  await later(30_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), ["c", "d"]);
});

test("nobody helps: the placeholder stays for good, and few sessions were started for it", async () => {
  loseSessions(kim, dana);
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  dana.dropConnection();
  await later(ASK_WITHIN_MS + 86_400_000, kim);
  assert.deepEqual(kim.told("placeholder").at(-1), { type: "placeholder", conversation: conv, id, reason: "lost" });
  assert.deepEqual(attempts(kim, conv), ["F2 none"]);
  assert.ok(callsOf(kim, "prekeys.claim") <= 1 + 5);
  await dana.connect();
  await quiet(dana, kim);
  const unread = dana.told("notReadable").map((event) => [event.id, event.device]);
  assert.deepEqual(unread, [[id, kim.me.device]]);
});

test("only devices that it was sealed for get a key again", async () => {
  loseSessions(kim, dana);
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  dana.look((tx) => SENT.put(tx, id, { ...SENT.need(tx, id), devices: [dana.me.device] }));
  await later(20_000, dana, kim);
  assert.equal(kim.told("placeholder").at(-1)?.reason, "not_addressed");
});

test("a change of a message that cannot be read yet is applied when it heals", async () => {
  const { id } = dana.say(conv, "c");
  await tamper(kim, (item) => ({ ...item, key: flipped(item.key) }));
  await kim.pump();
  dana.do((turn) => editMessage(turn, conv, id, "c, better"));
  await quiet(dana, kim);
  await later(20_000, dana, kim);
  assert.equal(kim.texts(conv).at(-1), "c, better");
});

test("lost acknowledgements are repeated and nothing is shown twice", async () => {
  kim.holdOutgoing = true;
  for (const text of "cde") {
    dana.say(conv, text);
  }
  await quiet(dana, kim);
  kim.dropConnection();
  kim.holdOutgoing = false;
  await kim.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), [..."bcde"]);
  kim.dropConnection();
  await kim.connect();
  assert.deepEqual(await arrived(kim), []);
});

test("a lost answer means the same bytes again", async () => {
  dana.say(conv, "c");
  await settle();
  assert.equal(dana.inbox.filter((item) => item.tag === "accepted").length, 1);
  dana.restart();
  dana.holdOutgoing = true;
  await dana.connect();
  assert.equal(dana.waiting("post").length, 1);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
  const seqs = [dana.shown(conv), kim.shown(conv).slice(1)].map((shown) => shown.map((message) => message.seq));
  assert.deepEqual(seqs[0], seqs[1]);
});

test("repeated and reordered deliveries are taken once", async () => {
  for (const text of "cdef") {
    dana.say(conv, text);
  }
  const items = await arrived(kim);
  kim.inbox = [];
  for (const at of [2, 0, 0, 3, 1, 0, 1, 2, 3]) {
    kim.take(items[at] as Deliver);
  }
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), [..."bcdef"]);
  assert.deepEqual(kim.alarms(), []);
});

test("a session that a peer starts is acknowledged once", async () => {
  loseSessions(dana, kim);
  kim.holdOutgoing = true;
  dana.say(conv, "c");
  await quiet(dana, kim);
  const notes = kim.waiting("direct");
  assert.deepEqual(
    notes.map((note) => [note.nonce.length, note.ct.length]),
    [[0, 0]],
  );
  kim.holdOutgoing = false;
  kim.sendAll();
  await quiet(dana, kim);
  const newest = dana.look((tx) => sessionsOf(tx, kim.me.device)).at(-1);
  assert.ok(newest?.confirmed && newest.prekeyHeader.length === 0);
});
