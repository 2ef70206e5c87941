/** Sessions and prekeys stay fresh by themselves: successors, heartbeats, weekly keys, the last resort. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { parseRatchetMessage } from "../../src/crypto/ratchet.ts";
import { RENEW_AFTER_MESSAGES, RENEW_AFTER_MS, RENEW_UNANSWERED } from "../../src/crypto/session-choice.ts";
import { TEND_EVERY_MS } from "../../src/engine/agenda.ts";
import { sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { ROTATE_MS } from "../../src/engine/keys/prekeys.ts";
import { choose } from "../../src/engine/keys/sessions.ts";
import { messageId } from "../../src/engine/opening.ts";
import { COUNTERS, SEEN, UPLOADS } from "../../src/engine/vault/records.ts";
import { type ClaimId, type ConversationId, idOf } from "../../src/protocol/ids.ts";
import { ONE_TIME_KEYS } from "../../src/protocol/limits.ts";
import type { Claimed, PrekeysLeft } from "../../src/protocol/requests.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { arrived, callsOf, changeSessions, figure, loseSessions } from "./lies.ts";

const DAY_MS = 86_400_000;
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
  await later(DAY_MS + 1, dana, kim); // a session that was started and not answered is given a day
});

afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function sids(device: Device, peer: Device): string[] {
  return device.look((tx) => sessionsOf(tx, peer.me.device)).map((session) => session.sid);
}

function sendsOn(device: Device, peer: Device): string {
  return device.do((turn) => choose(turn, peer.me.device))?.sid ?? "";
}

function assertCalm(): void {
  assert.deepEqual([dana.alarms(), kim.alarms(), dana.told("placeholder"), kim.told("placeholder")], [[], [], [], []]);
}

// --- sessions --------------------------------------------------------------------------------------------------------

test("a session with many messages is renewed without delaying a post", async () => {
  const before = sids(dana, kim);
  let sent = 0;
  while (!figure(dana, "renewed") && sent < 2 * RENEW_AFTER_MESSAGES) {
    dana.say(conv, String(sent));
    await quiet(dana, kim);
    sent += 1;
  }
  assert.ok(RENEW_AFTER_MESSAGES / 2 < sent && sent < RENEW_AFTER_MESSAGES + 10);
  const fresh = sids(dana, kim).filter((sid) => !before.includes(sid));
  assert.equal(fresh.length, 1);
  assert.ok(before.includes(sendsOn(dana, kim)), "until the peer has answered on it");
  kim.say(conv, "answer");
  await quiet(dana, kim);
  assert.deepEqual([sendsOn(dana, kim), sendsOn(kim, dana)], [fresh[0], fresh[0]]);
  dana.say(conv, "on the fresh one");
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "on the fresh one");
  assert.equal(figure(dana, "renewed") + figure(kim, "renewed"), 1);
  assertCalm();
});

test("an old session is renewed at the next post and not before", async () => {
  await later(RENEW_AFTER_MS + DAY_MS, dana, kim);
  assert.equal(figure(dana, "renewed") + figure(kim, "renewed"), 0);
  kim.say(conv, "c");
  await quiet(dana, kim);
  dana.say(conv, "d");
  await quiet(dana, kim);
  assert.ok(figure(dana, "renewed") + figure(kim, "renewed") >= 1);
  assert.ok(figure(dana, "renewed") <= 1);
  assert.equal(dana.received().at(-1), "c");
  assertCalm();
});

test("a thousand messages without an answer renew too", async () => {
  kim.dropConnection();
  const old = sids(dana, kim);
  changeSessions(dana, kim, (held) => {
    return { ...held, unanswered: RENEW_UNANSWERED, receivedMs: held.receivedMs - 30 * DAY_MS };
  });
  dana.say(conv, "c");
  await quiet(dana);
  assert.equal(figure(dana, "renewed"), 1);
  dana.say(conv, "d");
  await quiet(dana);
  assert.ok(!old.includes(sendsOn(dana, kim)));
  await kim.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received().slice(-2), ["c", "d"]);
  assertCalm();
});

test("without a bundle the old session does, and the server is not hammered", async () => {
  dana.heard = (call, answer) => (call.operation === "prekeys.claim" ? { bundles: [] } : answer);
  const before = callsOf(dana, "prekeys.claim");
  for (let number = 0; number < RENEW_AFTER_MESSAGES + 60; number++) {
    dana.say(conv, String(number));
    await quiet(dana, kim);
  }
  assert.equal(kim.received().length, RENEW_AFTER_MESSAGES + 61);
  assert.equal(callsOf(dana, "prekeys.claim"), before + 1);
  assert.equal(figure(dana, "renewed"), 0);
  assertCalm();
});

test("forty messages without sending are answered by a heartbeat, which is never answered by one", async () => {
  for (let number = 0; number < 41; number++) {
    dana.say(conv, String(number));
    await quiet(dana, kim);
  }
  assert.deepEqual([figure(kim, "heartbeats"), figure(dana, "heartbeats")], [1, 0]);
  const heard = dana.do((turn) => choose(turn, kim.me.device));
  assert.ok(heard && heard.unanswered < 41);
  assertCalm();
});

test("a backlog gets one heartbeat once it is through", async () => {
  kim.dropConnection();
  for (let number = 0; number < 150; number++) {
    dana.say(conv, String(number));
  }
  await quiet(dana);
  await later(10 * 60_000, dana);
  await kim.connect();
  await quiet(dana, kim);
  assert.equal(kim.received().length, 151);
  assert.equal(figure(kim, "heartbeats"), 1);
  assertCalm();
});

test("a week of silence ends with one heartbeat and not with an endless exchange", async () => {
  dana.say(conv, "c");
  await quiet(dana, kim);
  await later(7 * DAY_MS + 2 * TEND_EVERY_MS, dana, kim);
  assert.equal(figure(kim, "heartbeats"), 1);
  const beats = figure(dana, "heartbeats");
  await later(60 * DAY_MS, dana, kim);
  assert.equal(figure(kim, "heartbeats"), 1);
  assert.ok(figure(dana, "heartbeats") === beats && beats <= 1);
  assertCalm();
});

// --- prekeys ---------------------------------------------------------------------------------------------------------

test("the signed prekey is renewed every week, old ones still work, and none is kept for ever", async () => {
  const held = () => kim.look((tx) => tx.count("signed_prekey"));
  const first = held();
  await later(ROTATE_MS + 1, dana, kim);
  assert.equal(held(), first + 1);
  assert.ok(callsOf(kim, "prekeys.upload") >= 1);
  dana.say(conv, "c");
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "c");
  for (let week = 0; week < 16; week++) {
    await later(ROTATE_MS, kim);
  }
  assert.ok(held() <= Math.floor(97 / 7) + 1);
});

test("sessions start on the last-resort key when one-time keys are gone, and new ones are uploaded", async () => {
  kim.dropConnection();
  const devices = [kim.me.device];
  for (let taken = 0; ; taken++) {
    pair.relay.clock.ms += DAY_MS;
    const claim = { claim: idOf<ClaimId>(dana.random(16)), devices };
    const answer = (await dana.request("prekeys.claim", claim, {})) as Claimed;
    if (answer.bundles[0]?.lastResort) {
      break;
    }
    assert.ok(taken <= ONE_TIME_KEYS);
  }
  loseSessions(dana, kim);
  dana.say(conv, "c");
  await quiet(dana);
  await kim.connect();
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "c");
  assert.equal(
    kim.look((tx) => tx.count("replay")),
    1,
  );
  assert.equal(pair.relay.server.store.state.devices.get(kim.me.device)?.oneTime.size, ONE_TIME_KEYS);
  assert.ok(!kim.look((tx) => UPLOADS.has(tx, "")));
});

test("a replayed last-resort handshake is refused", async () => {
  const record = pair.relay.server.store.state.devices.get(kim.me.device);
  assert.ok(record);
  record.oneTime = new Map();
  loseSessions(dana, kim);
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana);
  const [delivered] = await arrived(kim);
  assert.ok(delivered);
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "c");
  const { sid } = parseRatchetMessage(delivered.key);
  kim.look((tx) => {
    tx.delete("session", dana.me.device + sid);
    SEEN.delete(tx, messageId(delivered.outer));
  });
  const before = sids(kim, dana).length;
  kim.take(delivered);
  assert.equal(sids(kim, dana).length, before);
  assert.equal(kim.received().filter((text) => text === "c").length, 1);
});

test("a server that knows of higher prekey ids gets new keys above them, within reason", async () => {
  const last = () => kim.look((tx) => COUNTERS.need(tx, "")).prekeyId;
  const before = last();
  const claimed = (highest: number) => {
    kim.heard = (call, answer) => {
      if (call.operation !== "prekeys.upload") {
        return answer;
      }
      kim.heard = (_call, honest) => honest;
      return { oneTime: ONE_TIME_KEYS, highest } satisfies PrekeysLeft;
    };
  };
  claimed(2 ** 40);
  await later(ROTATE_MS, kim);
  assert.ok(last() < before + 10, "an absurd number would use all ids up");
  claimed(before + 5_000);
  await later(ROTATE_MS, kim);
  assert.ok(last() > before + 5_000);
  loseSessions(dana, kim);
  dana.say(conv, "on new keys");
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "on new keys");
});
