/**
 * Sending when devices, membership, prekeys or the server get in the way: repaired, in order, never sealed for
 * strangers.
 */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import {
  type DeviceSecrets,
  entryOfDevice,
  makeDeviceSecrets,
  newLastResort,
  newOneTime,
  newSignedPrekey,
  nextList,
} from "../../src/crypto/identity.ts";
import { parseRatchetMessage } from "../../src/crypto/ratchet.ts";
import { receive } from "../../src/engine/arrivals.ts";
import { newestList } from "../../src/engine/contacts.ts";
import { NOTE_MS } from "../../src/engine/directs.ts";
import { newInvite } from "../../src/engine/joining/inviting.ts";
import { sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { choose } from "../../src/engine/keys/sessions.ts";
import { messageId } from "../../src/engine/opening.ts";
import { claimFor } from "../../src/engine/sealing.ts";
import { DIRECTS, OUTBOX, QUEUES, SENT } from "../../src/engine/vault/outgoing.ts";
import { CHAINS, UPLOADS } from "../../src/engine/vault/records.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import { EMPTY } from "../../src/protocol/bytes.ts";
import {
  type ClaimId,
  type ConversationId,
  type DeviceId,
  idBytes,
  idOf,
  type MessageId,
} from "../../src/protocol/ids.ts";
import { ONE_TIME_KEYS } from "../../src/protocol/limits.ts";
import type { Deliver, ServerMessage } from "../../src/protocol/messages.ts";
import { encodeLastResortKey, encodeOneTimeBundle, encodeSignedPrekey } from "../../src/protocol/prekeys.ts";
import { splitSealedKeys } from "../../src/protocol/sealed-keys.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { closed, figure, loseSessions } from "./lies.ts";

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

const numbers = (upto: number) => Array.from({ length: upto }, (_, number) => String(number));

/** A second device of this account, listed and with prekeys; nobody runs it. */
async function addDevice(device: Device): Promise<DeviceSecrets> {
  const { me, random } = device;
  const now = device.relay.clock.ms;
  const secrets = makeDeviceSecrets(me.account, me.secrets.aik, random, now);
  const head = device.do((turn) => newestList(turn, me.account));
  const listed = nextList(head, [entryOfDevice(secrets)], [], [me.device, signingKeyOf(me)], now);
  const prekeys = {
    signed: encodeSignedPrekey(newSignedPrekey(secrets, random, 1, now)[1]),
    lastResort: encodeLastResortKey(newLastResort(secrets, random, 2, now)[1]),
    oneTime: newOneTime(secrets, random, 3, 2, now).map(([, bundle]) => encodeOneTimeBundle(bundle)),
  };
  await device.request("devices.update", { list: listed.encoded, prekeys });
  return secrets;
}

/** A post that is sealed and does not leave; the server is said to answer it. */
function refusedBy(text: string, answer: (id: MessageId) => ServerMessage): MessageId {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, text);
  dana.outgoing = [];
  dana.holdOutgoing = false;
  dana.take(answer(id));
  return id;
}

test("a new device is sealed for after its signed list was seen", async () => {
  dana.dropConnection();
  const added = await addDevice(kim);
  const { id } = dana.say(conv, "to both");
  dana.holdOutgoing = true;
  await dana.connect();
  const [first] = dana.waiting("post");
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  const { devices, outer, nonce, ct } = dana.look((tx) => SENT.need(tx, id));
  assert.deepEqual(devices, [kim.me.device, added.device].sort());
  assert.deepEqual([first?.outer, first?.nonce, first?.ct], [outer, nonce, ct]);
  assert.equal(kim.received().at(-1), "to both");
});

test("posts sent behind a refused one follow in order", async () => {
  dana.dropConnection();
  await addDevice(kim);
  for (const number of numbers(80)) {
    dana.say(conv, number);
  }
  await dana.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", ...numbers(80)]);
  assert.deepEqual(dana.texts(conv).slice(2), numbers(80));
});

test("a device in no signed list gets no key", async () => {
  const missing = new Uint8Array(16).fill(14);
  refusedBy("c", (id) => ({ tag: "device_mismatch", id, missing, stale: EMPTY }));
  await quiet(dana, kim);
  assert.deepEqual(dana.alarms(), ["unlisted_device"]);
  assert.equal(
    dana.look((tx) => QUEUES.need(tx, conv).hold),
    "alarm",
  );
  assert.deepEqual(kim.received(), ["b"]);
  dana.dropConnection();
  await dana.connect();
  await later(121_000, dana, kim); // the server has come to its senses
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("a device heard of lately is not believed to be gone", async () => {
  const stale = idBytes(kim.me.device);
  const id = refusedBy("c", (about) => ({ tag: "device_mismatch", id: about, missing: EMPTY, stale }));
  await quiet(dana, kim);
  assert.deepEqual(dana.alarms(), ["withheld_device"]);
  const held = dana.look((tx) => OUTBOX.need(tx, id));
  assert.deepEqual(
    held.sealed?.keys.map(([device]) => device),
    [kim.me.device],
  );
});

test("a stale epoch seals anew under the same id and place", async () => {
  dana.holdOutgoing = true;
  const ids = [dana.say(conv, "c").id, dana.say(conv, "d").id];
  const [first] = dana.waiting("post");
  dana.outgoing = [];
  const posts = () => ids.map((id) => dana.look((tx) => OUTBOX.need(tx, id)));
  const before = posts();
  for (const post of before) {
    // as if they had been sealed before the newest entry came
    const older = { ...post, sealed: post.sealed && { ...post.sealed, epoch: 2 } };
    dana.look((tx) => OUTBOX.put(tx, post.id, older, { group: conv, order: post.order }));
  }
  dana.take({ tag: "epoch_stale", id: ids[0] ?? assert.fail(), epoch: 3 });
  const [again] = dana.waiting("post");
  const after = posts();
  dana.holdOutgoing = false;
  dana.sendAll();
  dana.dropConnection();
  await dana.connect();
  await quiet(dana, kim);
  assert.notDeepEqual(again?.nonce, first?.nonce);
  assert.deepEqual(again?.outer.subarray(0, 75), first?.outer.subarray(0, 75));
  assert.deepEqual(
    after.map(({ chain, sseq, prev }) => [chain, sseq, prev]),
    before.map(({ chain, sseq, prev }) => [chain, sseq, prev]),
  );
  assert.deepEqual(kim.received(), ["b", "c", "d"]);
});

test("a stale epoch that is none seals nothing anew: the same bytes go out later", async () => {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, "c");
  const first = dana.waiting("post");
  dana.outgoing = [];
  dana.take({ tag: "epoch_stale", id, epoch: 3 });
  assert.equal(
    dana.look((tx) => QUEUES.need(tx, conv).hold),
    "later",
  );
  assert.deepEqual(dana.waiting("post"), []);
  await later(60_000, dana);
  assert.deepEqual(dana.waiting("post"), first);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("a newer epoch that the chain never comes to is not asked about without end", async () => {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, "c");
  for (let refusals = 0; dana.waiting("post").length > 0; refusals++) {
    assert.ok(refusals < 20);
    dana.outgoing = [];
    dana.take({ tag: "epoch_stale", id, epoch: 99 });
    await quiet(dana);
  }
  await later(60_000, dana);
  assert.equal(dana.waiting("post").length, 1);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("nothing overtakes what is on its way from before a refusal", async () => {
  dana.holdOutgoing = true;
  const [c, d] = [dana.say(conv, "c").id, dana.say(conv, "d").id];
  dana.outgoing = [];
  dana.take({ tag: "device_mismatch", id: c, missing: EMPTY, stale: EMPTY });
  dana.say(conv, "e");
  await quiet(dana);
  const sent = () => dana.waiting("post").map((post) => messageId(post.outer));
  assert.deepEqual(sent(), [c]);
  dana.take({ tag: "blocked", id: d, by: c });
  await later(1_000, dana);
  assert.equal(new Set(sent()).size, 3);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c", "d", "e"]);
});

test("what is blocked by a post whose refusal is lost is sent again with it, after a pause", async () => {
  dana.holdOutgoing = true;
  const [c, d] = [dana.say(conv, "c").id, dana.say(conv, "d").id];
  dana.outgoing = [];
  dana.take({ tag: "blocked", id: d, by: c });
  const sent = () => dana.waiting("post").map((post) => messageId(post.outer));
  assert.deepEqual([sent(), dana.wakeMs], [[], pair.relay.clock.ms + 1_000]);
  await later(1_000, dana);
  assert.deepEqual(sent(), [c, d]);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c", "d"]);
});

test("a post that is refused for good is given up and the rest goes on", async () => {
  dana.holdOutgoing = true;
  const { id } = dana.say(conv, "bad");
  dana.say(conv, "good");
  dana.outgoing = [];
  dana.take({ tag: "error", code: "forbidden", re: id, retryable: false, retryAfterMs: 0 });
  assert.deepEqual(dana.waiting("void"), [{ tag: "void", conv, id }]);
  dana.holdOutgoing = false;
  dana.dropConnection();
  await dana.connect();
  await quiet(dana, kim);
  const failed = dana.told("messageStatus").filter((event) => event.status === "failed");
  assert.deepEqual(
    failed.map((event) => event.id),
    [id],
  );
  assert.equal(kim.texts(conv).at(-1), "good");
  // the good one names the bad one as its predecessor: its author says that there is none
  await later(20_000, dana, kim);
  assert.equal(kim.texts(conv).at(-1), "good");
  const chain = () => kim.look((tx) => CHAINS.need(tx, conv + dana.me.device));
  const before = chain();
  dana.say(conv, "more");
  await later(20_000, dana, kim);
  assert.deepEqual(kim.texts(conv).slice(-2), ["good", "more"]);
  assert.notEqual(chain().chain, before.chain);
  assert.equal(chain().sseq, 1);
});

test("patience is kept when the server asks for it", async () => {
  refusedBy("c", (re) => ({ tag: "error", code: "rate_limited", re, retryable: true, retryAfterMs: 5_000 }));
  assert.equal(dana.wakeMs, pair.relay.clock.ms + 5_000);
  await later(4_000, dana, kim);
  dana.dropConnection();
  await dana.connect(); // a new connection is no reason to hurry
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b"]);
  await later(1_000, dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("sessions start on the last-resort key when one-time keys are gone", async () => {
  kim.dropConnection();
  let taken = 0;
  for (let last = false; !last; taken++) {
    pair.relay.clock.ms += 86_400_000;
    const claim = { claim: idOf<ClaimId>(dana.random(16)), devices: [kim.me.device] };
    const answer = await dana.request("prekeys.claim", claim);
    last = answer.bundles[0]?.lastResort ?? assert.fail();
  }
  assert.ok(taken <= ONE_TIME_KEYS + 1);
  loseSessions(dana, kim);
  dana.say(conv, "c");
  await quiet(dana);
  await kim.connect();
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "c");
  assert.equal(
    kim.look((tx) => tx.list("replay").length),
    1,
  );
  assert.equal(pair.relay.server.store.state.devices.get(kim.me.device)?.oneTime.size, ONE_TIME_KEYS);
  assert.equal(
    kim.look((tx) => UPLOADS.has(tx, "")),
    false,
  );
});

test("a replayed last-resort handshake is refused", async () => {
  for (const device of [dana, kim]) {
    pair.relay.server.store.state.devices.get(device.me.device)?.oneTime.clear();
  }
  loseSessions(dana, kim);
  loseSessions(kim, dana);
  dana.say(conv, "c");
  await quiet(dana);
  const delivered = kim.inbox.find((item): item is Deliver => item.tag === "deliver") ?? assert.fail();
  await quiet(dana, kim);
  assert.equal(kim.received().at(-1), "c");
  const { sid } = parseRatchetMessage(delivered.key);
  kim.look((tx) => {
    tx.delete("session", dana.me.device + sid);
    tx.delete("seen", messageId(delivered.outer));
  });
  const held = () => kim.look((tx) => sessionsOf(tx, dana.me.device).length);
  const before = held();
  kim.take(delivered);
  assert.equal(held(), before);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("a claim that is made again within nine minutes has the same id", () => {
  const claim = (...devices: DeviceId[]) => dana.do((turn) => claimFor(turn, conv, devices).claim);
  const other = "0e".repeat(16) as DeviceId;
  const first = claim(kim.me.device);
  assert.equal(claim(kim.me.device), first);
  pair.relay.clock.ms += 9 * 60_000;
  assert.equal(claim(kim.me.device), first);
  pair.relay.clock.ms += 1;
  const second = claim(kim.me.device);
  assert.notEqual(second, first);
  assert.notEqual(claim(kim.me.device, other), second);
});

test("a direct whose time is over does not leave", async () => {
  loseSessions(kim, dana);
  kim.say(conv, "c");
  await quiet(kim);
  dana.holdOutgoing = true;
  await quiet(dana);
  assert.equal(
    dana.look((tx) => DIRECTS.count(tx)),
    1,
  ); // acknowledges the new session
  dana.dropConnection();
  pair.relay.clock.ms += NOTE_MS;
  await dana.connect();
  assert.deepEqual([dana.waiting("direct"), dana.look((tx) => DIRECTS.count(tx))], [[], 0]);
});

test("a one-time key is gone once a message has opened with it", async () => {
  const left = () => kim.look((tx) => tx.list("one_time").length);
  const before = left();
  loseSessions(dana, kim);
  dana.say(conv, "c");
  await quiet(dana, kim);
  assert.deepEqual([kim.received().at(-1), left()], ["c", before - 1]);
});

test("both start at the same time and settle on one session", async () => {
  loseSessions(dana, kim);
  loseSessions(kim, dana);
  dana.say(conv, "from dana");
  kim.say(conv, "from kim");
  await quiet(dana, kim);
  assert.deepEqual([kim.received().at(-1), dana.received().at(-1)], ["from dana", "from kim"]);
  for (const number of numbers(6)) {
    (Number(number) % 2 ? dana : kim).say(conv, number);
    await quiet(dana, kim);
  }
  const sending = (device: Device, peer: Device) => device.do((turn) => choose(turn, peer.me.device));
  const [one, other] = [sending(dana, kim), sending(kim, dana)];
  assert.deepEqual([one?.prekeyHeader.length, other?.prekeyHeader.length], [0, 0]);
  assert.equal(one?.sid, other?.sid);
});

test("long silence of one side is no problem", async () => {
  kim.dropConnection();
  for (const number of numbers(300)) {
    dana.say(conv, number);
    if (Number(number) % 64 === 0) {
      await quiet(dana);
    }
  }
  await later(14 * 86_400_000, dana);
  await kim.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", ...numbers(300)]);
});

test("the same bytes go out until they are answered", async () => {
  dana.holdOutgoing = true;
  dana.say(conv, "c");
  const first = dana.waiting("post");
  dana.dropConnection();
  await dana.connect();
  const second = dana.waiting("post");
  dana.restart();
  await dana.connect();
  const third = dana.waiting("post");
  assert.deepEqual([second, third], [first, first]);
  assert.equal(splitSealedKeys(first[0]?.keys ?? EMPTY).length, 1);
  dana.holdOutgoing = false;
  dana.sendAll();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("roles decide who may invite", () => {
  assert.throws(() => kim.do((turn) => newInvite(turn, "client", null)), { code: "forbidden" });
  assert.throws(() => dana.do((turn) => newInvite(turn, "owner", null)), { code: "forbidden" });
  assert.throws(() => dana.do((turn) => newInvite(turn, "client", "x".repeat(5_000))), { code: "too_large" });
});

test("a repeated delivery is acknowledged again with the same entry, and is no failure", async () => {
  dana.say(conv, "c");
  await pair.relay.settle();
  const item = kim.inbox.splice(0).find((message) => message.tag === "deliver") ?? assert.fail();
  kim.holdOutgoing = true;
  kim.take(item);
  const [first] = kim.outgoing.splice(0);
  kim.take(item);
  assert.deepEqual(kim.waiting("ack"), [first]);
  assert.deepEqual([closed(kim, conv), figure(kim, "F0")], [[], 1]);
  assert.deepEqual(kim.received(), ["b", "c"]);
});

test("a post that is delivered as a direct is refused as altered", async () => {
  kim.holdOutgoing = true;
  kim.say(conv, "c");
  const { outer, nonce, ct, keys: key } = kim.waiting("post")[0] ?? assert.fail();
  dana.take({ tag: "deliver", seq: 0, at: pair.relay.clock.ms, outer, nonce, ct, key });
  assert.deepEqual(dana.alarms(), ["altered"]);
  assert.deepEqual(dana.received(), ["a"]);
});

test("an acknowledgement never carries more than a window", async () => {
  kim.dropConnection();
  for (const number of numbers(300)) {
    dana.say(conv, number);
  }
  await quiet(dana);
  await kim.connect();
  await pair.relay.settle();
  const batch = kim.inbox.splice(0);
  const flight = kim.core?.flight ?? assert.fail();
  kim.holdOutgoing = true;
  const parkMany = (turn: Parameters<typeof receive>[0]) => {
    for (const number of numbers(300)) {
      turn.park(number.padStart(32, "0") as MessageId);
    }
  };
  kim.turn((turn) => receive(turn, flight, batch), parkMany);
  const sizes = kim.waiting("ack").map(({ ok, parked }) => [ok.length, parked.length] as const);
  assert.ok(sizes.every(([ok, parked]) => ok + parked <= 256));
  const sum = (of: 0 | 1) => sizes.reduce((total, size) => total + size[of], 0);
  assert.deepEqual([sum(0), sum(1)], [batch.filter((item) => item.tag === "deliver").length, 300]);
});
