/** Asking for keys again: whom, how often, what is answered, and what a lying server can make of it. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import type { ResendRequest } from "../../src/engine/bodies/content.ts";
import { putContent } from "../../src/engine/directs.ts";
import { ASK_WITHIN_MS } from "../../src/engine/healing/asking.ts";
import { putSession, sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { choose } from "../../src/engine/keys/sessions.ts";
import { begin } from "../../src/engine/link/starting.ts";
import { KNOWN_MOST, RAW_MOST } from "../../src/engine/pending.ts";
import { DIRECTS, SENT } from "../../src/engine/vault/outgoing.ts";
import { PENDING } from "../../src/engine/vault/records.ts";
import { concat } from "../../src/protocol/bytes.ts";
import type { ConversationId, MessageId } from "../../src/protocol/ids.ts";
import { SEQ_JUMP } from "../../src/protocol/limits.ts";
import type { Deliver } from "../../src/protocol/messages.ts";
import { u64 } from "../../src/protocol/signed.ts";
import { type Device, faults, later, type Pair, quiet } from "./devices.ts";
import { startPair } from "./fake.ts";
import {
  attempts,
  breakSessions,
  callsOf,
  closed,
  dropForGood,
  figure,
  flipped,
  lieAboutFetched,
  loseSessions,
  tamper,
} from "./lies.ts";
import { link } from "./linked.ts";

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

function askFor(asker: Device, asked: Device, id: MessageId, commitment = new Uint8Array(32)): void {
  asker.do((turn) => {
    const session = choose(turn, asked.me.device);
    assert.ok(session);
    const request: ResendRequest = { type: "resend.request", items: [{ id, commitment, body: false }] };
    putContent(turn, conv, asked.me.device, session, request);
  });
}

// --- others of the sender's devices ----------------------------------------------------------------------------------

test("another device of the sender helps when the sender is away", async () => {
  const phone = await link(dana, 11);
  await later(3_000, dana, phone, kim);
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, phone);
  await quiet(dana, phone, kim);
  dana.dropConnection();
  await later(5_000, kim, phone);
  assert.deepEqual(attempts(kim, conv), ["F2 ask"]);
  await later(2 * 3_600_000, kim, phone);
  assert.deepEqual(attempts(kim, conv), []);
  assert.equal(kim.texts(conv).at(-1), "c");
  assert.equal(figure(phone, "resends"), 1);
  assert.deepEqual(kim.alarms(), []);
});

test("another device answers only whom the sender wrote to", async () => {
  const phone = await link(dana, 11);
  await later(3_000, dana, phone, kim);
  const { id } = dana.say(conv, "c");
  await quiet(dana, phone, kim);
  const tablet = await link(kim, 12);
  await later(3_000, dana, phone, kim, tablet);
  tablet.say(conv, "hello");
  phone.say(conv, "hello");
  await quiet(dana, phone, kim, tablet);
  const refusals = figure(phone, "refusals");
  askFor(tablet, phone, id);
  await quiet(dana, phone, kim, tablet);
  assert.deepEqual([figure(phone, "refusals"), figure(phone, "resends")], [refusals + 1, 0]);
});

// --- how often -------------------------------------------------------------------------------------------------------

test("many failures in ten minutes become few requests", async () => {
  lieAboutFetched(kim, () => []);
  const texts = Array.from({ length: 12 }, (_, number) => String(number));
  for (const text of texts) {
    dana.say(conv, text);
    await tamper(kim, (item) => ({ ...item, key: flipped(item.key) }));
    await kim.pump();
    dana.holdOutgoing = true; // it does not answer
    await quiet(kim);
    dana.holdOutgoing = false;
    dana.dropConnection();
    await dana.connect();
  }
  assert.ok(figure(kim, "asked") <= 5, "one post had failed at a time: as many requests");
  await later(11 * 60_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-12), texts);
});

test("nobody helps, and the sender learns of it", async () => {
  loseSessions(kim, dana);
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  dana.dropConnection();
  await later(ASK_WITHIN_MS + 86_400_000, kim);
  assert.equal(figure(kim, "gave_up"), 1);
  const waiting = kim.look((tx) => DIRECTS.list(tx).map(([, held]) => held.device));
  assert.ok(waiting.every((device) => device === dana.me.device));
  await dana.connect();
  await quiet(dana, kim);
  const { account, device } = kim.me;
  assert.deepEqual(dana.told("notReadable"), [{ type: "notReadable", conversation: conv, id, account, device }]);
  assert.equal(figure(dana, "unreadable_elsewhere"), 1);
});

test("a body of the largest size is sent again in parts", async () => {
  const text = "x".repeat(15_000);
  const { id } = dana.say(conv, text);
  await quiet(dana);
  assert.ok(dana.look((tx) => SENT.need(tx, id)).ct.length > 15_000);
  await dropForGood(kim);
  dana.say(conv, "next");
  await later(3_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), [text, "next"]);
  assert.deepEqual(attempts(kim, conv), []);
});

test("a wrong commitment is refused", async () => {
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  askFor(kim, dana, id, new Uint8Array(32).fill(1));
  await quiet(dana, kim);
  assert.deepEqual([figure(dana, "refusals"), figure(dana, "resends")], [1, 0]);
  askFor(kim, dana, id);
  await quiet(dana, kim);
  assert.deepEqual([figure(dana, "refusals"), figure(dana, "resends")], [1, 1]);
});

// --- after an update -------------------------------------------------------------------------------------------------

test("an updated program opens what the old one could not", async () => {
  kim.do((turn) => begin(turn, "1.0"));
  const { id } = dana.say(conv, "of tomorrow");
  await tamper(kim, (item) => ({ ...item, outer: concat(Uint8Array.of(2), item.outer.slice(1)) }));
  await quiet(kim);
  kim.look((tx) => {
    const held = PENDING.need(tx, id); // as if only the program had been too old
    assert.ok(held.envelope);
    const outer = concat(Uint8Array.of(1), held.envelope.outer.slice(1));
    PENDING.put(tx, id, { ...held, envelope: { ...held.envelope, outer } }, { group: conv, order: held.envelope.seq });
  });
  kim.do((turn) => begin(turn, "1.0"));
  assert.deepEqual(attempts(kim, conv), ["F8 update"], "the same program does not try again");
  kim.do((turn) => begin(turn, "1.1"));
  await quiet(dana, kim);
  assert.deepEqual(attempts(kim, conv), []);
  assert.equal(kim.texts(conv).at(-1), "of tomorrow");
});

// --- a server that floods --------------------------------------------------------------------------------------------

/** A message that nobody wrote: of a session that nobody has. */
function invented(number: number, where: Uint8Array | null = null): Deliver {
  const sent = dana.look((tx) => SENT.list(tx).find(([, held]) => held.conv === conv)?.[1]);
  assert.ok(sent);
  const id = concat(u64(number), u64(0));
  const head =
    where === null ? sent.outer.slice(0, 59) : concat(sent.outer.slice(0, 3), where, sent.outer.slice(19, 59));
  const outer = concat(head, id, sent.outer.slice(75));
  const key = concat(Uint8Array.of(1, 0, 1), new Uint8Array(192));
  return { tag: "deliver", seq: 100 + number, at: 1, outer, nonce: sent.nonce, ct: sent.ct, key };
}

test("a flood is kept within bounds, and real messages still come", async () => {
  kim.holdOutgoing = true;
  const flood = Array.from({ length: KNOWN_MOST + 30 }, (_, number) => invented(number));
  for (let at = 0; at < flood.length; at += 256) {
    kim.take(...flood.slice(at, at + 256));
  }
  const held = closed(kim, conv);
  assert.equal(held.length, KNOWN_MOST);
  assert.equal(held.filter((each) => each.envelope?.ct.length).length, RAW_MOST);
  const acks = kim.waiting("ack");
  assert.equal(
    acks.reduce((sum, ack) => sum + ack.parked.length, 0),
    KNOWN_MOST,
  );
  assert.ok(acks.every((ack) => ack.ok.length === 0));
  assert.equal(figure(kim, "left_waiting"), 30);
  kim.outgoing = [];
  kim.holdOutgoing = false;
  dana.say(conv, "real");
  await quiet(kim);
  assert.ok(kim.texts(conv).includes("real"));
});

for (const seq of [2 ** 53 - 1, 2 * SEQ_JUMP]) {
  test(`an absurd number is not believed: ${seq}`, async () => {
    const { id } = dana.say(conv, "c");
    await tamper(kim, (item) => ({ ...item, seq }));
    kim.holdOutgoing = true;
    await kim.pump();
    assert.deepEqual(kim.outgoing, [], "neither acknowledged nor parked: it comes again");
    kim.holdOutgoing = false;
    assert.deepEqual(kim.alarms(), ["order"]);
    kim.dropConnection();
    await kim.connect();
    await quiet(dana, kim);
    assert.equal(kim.texts(conv).at(-1), "c");
    dana.say(conv, "d");
    await quiet(dana, kim);
    assert.deepEqual(kim.texts(conv).slice(-2), ["c", "d"]);
    assert.equal(kim.shown(conv).at(-2)?.id, id);
  });
}

test("strange conversations are not asked for without end", async () => {
  for (let number = 0; number < 270; number++) {
    kim.take(invented(number, concat(u64(number), u64(7))));
  }
  assert.equal(
    kim.look((tx) => PENDING.count(tx)),
    256,
  );
  assert.equal(figure(kim, "left_waiting"), 14);
});

test("a fetched message with an absurd number is asked of its sender", async () => {
  const sessions = kim.look((tx) => sessionsOf(tx, dana.me.device));
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  kim.look((tx) => sessions.map((session) => putSession(tx, dana.me.device, session))); // what is fetched would open
  lieAboutFetched(kim, (item) => [{ ...item, seq: 2 ** 53 - 1 }]);
  await later(20_000, dana, kim);
  assert.equal(kim.texts(conv).at(-1), "c");
  assert.ok((kim.shown(conv).at(-1)?.seq ?? 0) < 1_000);
});

test("a body that is here is not given up for none", async () => {
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  lieAboutFetched(kim, (item) => [{ ...item, ct: new Uint8Array(0) }]);
  await later(20_000, dana, kim);
  assert.equal(kim.texts(conv).at(-1), "c");
  assert.equal(callsOf(kim, "messages.fetch"), 1);
});

test("what opens only by the archive mends the session that it came on", async () => {
  const tablet = await link(kim, 12);
  await later(3_000, dana, kim, tablet);
  dana.say(conv, "to both");
  await quiet(dana, kim, tablet);
  breakSessions(kim, dana);
  const claims = callsOf(kim, "prekeys.claim");
  const broken = new Set(kim.look((tx) => sessionsOf(tx, dana.me.device)).map((session) => session.sid));
  dana.say(conv, "c");
  await quiet(dana, tablet); // it writes the archive entry
  await later(20_000, dana, kim, tablet);
  assert.equal(kim.texts(conv).at(-1), "c");
  assert.deepEqual([figure(dana, "resends"), callsOf(kim, "prekeys.claim")], [0, claims + 1]);
  kim.say(conv, "d");
  dana.say(conv, "e");
  await later(20_000, dana, kim, tablet);
  assert.equal(kim.texts(conv).at(-1), "e");
  const chosen = dana.do((turn) => choose(turn, kim.me.device));
  assert.ok(chosen !== null && !broken.has(chosen.sid), "and what comes next is on a sound one");
});

test("a session that was made for asking is not relied on for ever", async () => {
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana, kim);
  await later(60_000, dana, kim);
  const claims = callsOf(kim, "prekeys.claim");
  await later(3_600_000, dana, kim);
  breakSessions(kim, dana);
  dana.say(conv, "d");
  await quiet(dana, kim);
  await later(60_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), ["c", "d"]);
  assert.equal(callsOf(kim, "prekeys.claim"), claims + 1);
});
