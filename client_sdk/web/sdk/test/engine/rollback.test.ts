/** A vault that went back to an earlier state of itself: noticed by our own signature, and by nothing else. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import * as signIn from "../../src/engine/sign-in.ts";
import { CONVERSATIONS, COUNTERS, MESSAGES, PENDING } from "../../src/engine/vault/records.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import { concat } from "../../src/protocol/bytes.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { encodeAuthTranscript, signAuth } from "../../src/protocol/signed.ts";
import { type Device, faults, later, quiet, settle } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { copied, figure, loseSessions, rollBack } from "./lies.ts";

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

test("a copy that is put back starts anew and nobody loses anything", async () => {
  const yesterday = copied(kim);
  for (let number = 0; number < 5; number++) {
    kim.say(conv, `k${number}`);
    dana.say(conv, `d${number}`);
    await quiet(dana, kim);
  }
  kim.dropConnection();
  await kim.connect(); // a sign-in of the state that will be lost
  await quiet(dana, kim);
  const sessions = () => kim.look((tx) => sessionsOf(tx, dana.me.device));
  const sids = new Set(sessions().map((session) => session.sid));
  const { prekeyId } = kim.look((tx) => COUNTERS.need(tx, ""));
  const { chain } = kim.look((tx) => CONVERSATIONS.need(tx, conv));
  await rollBack(kim, yesterday);
  assert.equal(figure(kim, "rollbacks"), 1);
  assert.ok(kim.look((tx) => COUNTERS.need(tx, "")).prekeyId > prekeyId + 2 ** 20);
  assert.ok(sessions().length > 0);
  assert.ok(sessions().every((session) => session.stopped || !sids.has(session.sid)));
  kim.say(conv, "after");
  dana.say(conv, "answer");
  await quiet(dana, kim);
  await later(3 * 86_400_000, dana, kim);
  kim.say(conv, "again");
  await quiet(dana, kim);
  assert.deepEqual(dana.received().slice(-2), ["after", "again"]);
  assert.ok(kim.texts(conv).includes("answer")); // it may come as history
  assert.notEqual(kim.look((tx) => CONVERSATIONS.need(tx, conv)).chain, chain);
  assert.ok(sessions().every((session) => session.stopped === sids.has(session.sid)));
  const texts = dana.texts(conv).filter((text) => /^[dk]\d$/.test(text));
  assert.deepEqual(texts, ["k0", "d0", "k1", "d1", "k2", "d2", "k3", "d3", "k4", "d4"]);
  for (const device of [dana, kim]) {
    assert.equal(
      device.look((tx) => PENDING.count(tx, conv)),
      0,
    );
    assert.equal(new Set(device.texts(conv)).size, device.texts(conv).length);
  }
});

test("what a rolled back device has forgotten it does not deny", async () => {
  const yesterday = copied(kim);
  dana.dropConnection();
  const { id } = kim.say(conv, "sent by the lost state");
  await quiet(kim);
  kim.dropConnection();
  await kim.connect();
  await rollBack(kim, yesterday);
  await quiet(kim);
  kim.look((tx) => MESSAGES.delete(tx, id)); // nor is it in the archive
  loseSessions(dana, kim);
  await dana.connect();
  await later(60_000, dana, kim);
  assert.ok(!dana.alarms().includes("no_such_message"));
  const shown = dana.shown(conv).filter((message) => message.id === id);
  assert.deepEqual(
    shown.map((message) => message.placeholder !== null),
    [true],
  );
});

test("a place that was passed over is looked for in the archive", async () => {
  dana.say(conv, "lost on the connection");
  await settle();
  kim.inbox = [];
  kim.say(conv, "accepted behind it");
  await later(3_000, dana, kim);
  assert.equal(kim.received().at(-1), "b");
  const behind = copied(kim);
  kim.dropConnection();
  await kim.connect();
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "lost on the connection"); // acknowledged by the state that will be lost
  await rollBack(kim, behind);
  await later(3_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), ["lost on the connection", "accepted behind it"]);
});

/** Signs in while the server shows this as the device's last sign-in. */
function signInWith(device: Device, lastAuth: Uint8Array | null): void {
  const { server } = pair.relay;
  const challenge = server.challenge();
  const state = device.do(signIn.prepare);
  const proof = signIn.prove(device.me, challenge, server.origin, state.rev, device.random);
  const { hello } = server.answer(challenge, proof.auth);
  device.do((turn) => signIn.signedIn(turn, { ...hello, lastAuth }, state));
}

function signedAuth({ me }: Device, stateRev: number): Uint8Array {
  const transcript = {
    origin: pair.relay.server.origin,
    serverId: me.serverId,
    conn: new Uint8Array(16),
    serverNonce: new Uint8Array(32),
    clientNonce: new Uint8Array(32),
    account: me.account,
    device: me.device,
    stateRev,
    serverTimeMs: 1,
  };
  return concat(encodeAuthTranscript(transcript), signAuth(transcript, signingKeyOf(me)));
}

test("a server that says we were ahead changes nothing", async () => {
  const honest = signedAuth(kim, 1);
  const withRev = (rev: bigint) => {
    const forged = honest.slice();
    new DataView(forged.buffer).setBigUint64(forged.length - 64 - 16, rev);
    return forged;
  };
  const claims = [
    ["2^63", withRev(2n ** 63n)],
    ["unsigned", withRev(2n ** 40n)],
    ["another device's", signedAuth(dana, 2 ** 40)],
    ["empty", new Uint8Array(0)],
    ["older", honest],
  ] as const;
  const { chain } = kim.look((tx) => CONVERSATIONS.need(tx, conv));
  for (const [claim, lastAuth] of claims) {
    kim.events = [];
    signInWith(kim, lastAuth);
    assert.equal(figure(kim, "rollbacks"), 0, claim);
    assert.equal(kim.look((tx) => CONVERSATIONS.need(tx, conv)).chain, chain, claim);
    assert.ok(
      kim.look((tx) => sessionsOf(tx, dana.me.device)).every((session) => !session.stopped),
      claim,
    );
    assert.deepEqual(kim.alarms(), claim === "older" ? [] : ["forged_sign_in"], claim);
  }
});

test("our own signature under a higher revision is believed", async () => {
  signInWith(kim, signedAuth(kim, 2 ** 40));
  assert.deepEqual([figure(kim, "rollbacks"), kim.alarms()], [1, []]);
});

for (const [clock, ms] of Object.entries({ "goes on": 1_000, "stands still": 0, "goes back": -3_600_000 })) {
  for (const attempts of [0, 1]) {
    const tried = `${attempts} attempts that nobody heard, a clock that ${clock}`;
    test(`a copy that has written as much since does not remember to have signed it: ${tried}`, async () => {
      kim.dropConnection();
      await kim.connect();
      await quiet(dana, kim);
      const yesterday = copied(kim);
      kim.dropConnection();
      kim.say(conv, "lost with the state");
      pair.relay.clock.ms += ms;
      await kim.connect();
      kim.say(conv, "sent by the lost state");
      await quiet(dana, kim);
      const signed = kim.storage.rev;
      kim.dropConnection();
      kim.vault.release();
      kim.storage = yesterday;
      kim.restart();
      pair.relay.clock.ms += ms;
      for (let attempt = 0; attempt < attempts; attempt++) {
        kim.do(signIn.prepare);
      }
      while (kim.storage.rev <= signed) {
        kim.say(conv, "written offline");
      }
      await kim.connect();
      await quiet(dana, kim);
      assert.equal(figure(kim, "rollbacks"), 1);
      assert.equal(dana.received().at(-1), "written offline");
      assert.equal(dana.texts(conv).filter((text) => text.startsWith("sent")).length, 1);
    });
  }
}

test("a sign-in whose answer was lost is no rollback", async () => {
  const { server } = pair.relay;
  for (let attempt = 0; attempt < 2; attempt++) {
    kim.dropConnection();
    await later(1_000, dana);
    const challenge = server.challenge();
    const state = kim.do(signIn.prepare);
    const proof = signIn.prove(kim.me, challenge, server.origin, state.rev, kim.random);
    server.answer(challenge, proof.auth); // and nothing of it comes back
  }
  await kim.connect();
  assert.deepEqual([figure(kim, "rollbacks"), kim.alarms()], [0, []]);
});
