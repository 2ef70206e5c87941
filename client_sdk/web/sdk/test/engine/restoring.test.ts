/** After a restore: what only we can sign and what we had posted comes back, whoever holds it, however long it takes. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import {
  entryOfDevice,
  makeDeviceSecrets,
  newLastResort,
  newOneTime,
  newSignedPrekey,
  nextList,
} from "../../src/crypto/identity.ts";
import { newestList } from "../../src/engine/contacts.ts";
import { revoke } from "../../src/engine/devices/own-devices.ts";
import { putNote } from "../../src/engine/directs.ts";
import { registrationAgain } from "../../src/engine/joining/registration.ts";
import { sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { BUNDLELESS, DIRECTS, OUTBOX, SENT } from "../../src/engine/vault/outgoing.ts";
import { CONVERSATIONS, epochOf } from "../../src/engine/vault/records.ts";
import { signingKeyOf } from "../../src/engine/vault/turn.ts";
import { versionOf } from "../../src/protocol/device-lists.ts";
import type { ConversationId, DeviceId } from "../../src/protocol/ids.ts";
import { encodeLastResortKey, encodeOneTimeBundle, encodeSignedPrekey } from "../../src/protocol/prekeys.ts";
import { Device, faults, invite, later, quiet, settle } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { figure } from "./lies.ts";
import { link } from "./linked.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
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

type Backup = ReturnType<FakePair["relay"]["server"]["backup"]>;

/** The server comes back with this store; nobody is connected. */
async function restored(backup: Backup, ...devices: readonly Device[]): Promise<void> {
  for (const device of devices) {
    device.dropConnection();
  }
  await settle();
  pair.relay.server.restore(backup);
}

async function remove(device: Device, other: Device): Promise<void> {
  device.do((turn) => revoke(turn, other.me.device));
  await quiet(device);
}

function epoch(device: Device): number {
  return device.look((tx) => epochOf(CONVERSATIONS.need(tx, conv)));
}

test("what was posted since the backup is posted again, once, in its order and before what is new", async () => {
  const backup = pair.relay.server.backup();
  for (const text of ["one", "two", "three"]) {
    dana.say(conv, text);
    await quiet(dana, kim);
  }
  kim.say(conv, "four");
  await quiet(dana, kim);
  await restored(backup, dana, kim);
  const { chain } = dana.look((tx) => CONVERSATIONS.need(tx, conv));
  dana.say(conv, "five");
  await dana.connect();
  await kim.connect();
  await later(60_000, dana, kim);
  const texts = ["one", "two", "three", "four", "five"];
  assert.deepEqual(kim.received(), ["b", "one", "two", "three", "five"]);
  assert.deepEqual([dana.texts(conv).slice(2), kim.texts(conv).slice(3)], [texts, texts]);
  assert.deepEqual([figure(dana, "restores"), figure(dana, "reposted"), figure(kim, "reposted")], [1, 3, 1]);
  assert.deepEqual([dana.alarms(), kim.alarms()], [[], []]);
  const desk = await link(dana, 5);
  await later(60_000, dana, kim, desk);
  assert.deepEqual(new Set(desk.texts(conv)), new Set(["a", "b", ...texts]));
  const own = desk.shown(conv).filter((message) => message.account === dana.me.account);
  assert.deepEqual(
    own.map((message) => message.text),
    ["b", "one", "two", "three", "five"],
  );
  assert.notEqual(dana.look((tx) => CONVERSATIONS.need(tx, conv)).chain, chain, "a chain of its own after the loss");
});

test("what a removed device had signed its account brings back", async () => {
  const phone = await link(dana, 11);
  const tablet = await link(dana, 12);
  await quiet(dana, kim, phone, tablet);
  const backup = pair.relay.server.backup();
  await remove(phone, tablet);
  await later(2 * HOUR_MS, dana, kim, phone);
  const between = epoch(dana);
  await remove(dana, phone);
  await later(2 * HOUR_MS, dana, kim);
  const held = epoch(dana);
  assert.ok(held > between && between > 3, "a checkpoint of each");
  await restored(backup, dana, kim, phone, tablet);
  await dana.connect();
  await kim.connect();
  dana.say(conv, "after");
  await later(3 * HOUR_MS, dana, kim);
  const stands = pair.relay.server.store.state.conversations.get(conv)?.epoch;
  assert.deepEqual([stands, epoch(kim)], [held, held]);
  assert.equal(kim.received().at(-1), "after");
});

test("a conversation comes back without the device that opened it", async () => {
  const phone = await link(dana, 11);
  await quiet(dana, kim, phone);
  const backup = pair.relay.server.backup();
  const [address, opened] = await invite(dana, null);
  const guest = new Device(pair.relay, 21);
  await guest.join(address, "Guest");
  await guest.connect();
  await quiet(dana, phone, guest);
  await restored(backup, dana, kim, phone, guest);
  await phone.connect(); // and Dana's first device never again
  await quiet(phone);
  const register = guest.do(registrationAgain);
  assert.ok(register);
  await guest.request("account.register", register, {});
  await guest.connect();
  guest.say(opened, "is anybody there?");
  await later(HOUR_MS, phone, guest);
  assert.equal(phone.received().at(-1), "is anybody there?");
});

test("lists are brought back however long a device was away meanwhile", async () => {
  const phone = await link(dana, 11);
  await quiet(dana, kim, phone);
  const backup = pair.relay.server.backup();
  await remove(dana, phone);
  await quiet(dana, kim);
  await restored(backup, dana, kim, phone);
  await dana.connect(); // it learns of the restore, and is cut off before it can do anything about it
  dana.dropConnection();
  pair.relay.clock.ms += 10 * DAY_MS;
  await dana.connect();
  await kim.connect();
  await quiet(dana, kim);
  const version = versionOf(dana.do((turn) => newestList(turn, dana.me.account)));
  const lists = pair.relay.server.store.state.accounts.get(dana.me.account)?.lists;
  assert.equal(lists?.at(-1)?.version, version);
  dana.say(conv, "after");
  await later(HOUR_MS, dana, kim);
  assert.equal(kim.received().at(-1), "after");
  assert.equal(
    dana.look((tx) => OUTBOX.count(tx, conv)),
    0,
  );
});

/** A second device of this account, listed with its prekeys, which nobody holds a copy of. */
async function addUnheard(device: Device): Promise<DeviceId> {
  const { me, random } = device;
  const { ms } = pair.relay.clock;
  const secrets = makeDeviceSecrets(me.account, me.secrets.aik, random, ms);
  const head = device.do((turn) => newestList(turn, me.account));
  const listed = nextList(head, [entryOfDevice(secrets)], [], [me.device, signingKeyOf(me)], ms);
  const prekeys = {
    signed: encodeSignedPrekey(newSignedPrekey(secrets, random, 1, ms)[1]),
    lastResort: encodeLastResortKey(newLastResort(secrets, random, 2, ms)[1]),
    oneTime: newOneTime(secrets, random, 3, 2, ms).map(([, bundle]) => encodeOneTimeBundle(bundle)),
  };
  await device.request("devices.update", { list: listed.encoded, prekeys }, {});
  return secrets.device;
}

test("a listed device without prekeys holds nobody up", async () => {
  const backup = pair.relay.server.backup();
  const added = await addUnheard(kim);
  await quiet(dana, kim);
  await restored(backup, dana, kim);
  await kim.connect(); // brings the list back, without the prekeys of the device that it names
  await dana.connect();
  await quiet(dana, kim);
  const { id } = dana.say(conv, "to both");
  await later(60_000, dana, kim);
  assert.equal(kim.received().at(-1), "to both");
  assert.ok(dana.look((tx) => SENT.need(tx, id)).devices.includes(added), "it is told, and may ask");
  assert.ok(dana.look((tx) => BUNDLELESS.has(tx, added)));
  assert.deepEqual(
    dana.look((tx) => sessionsOf(tx, added)),
    [],
  );
});

test("whoever was removed is sent no note", async () => {
  const phone = await link(kim, 11);
  await quiet(dana, kim, phone);
  dana.say(conv, "to both");
  await later(60_000, dana, kim, phone);
  const newest = (device: Device) => {
    const session = dana.look((tx) => sessionsOf(tx, device.me.device)).at(-1);
    assert.ok(session);
    return session;
  };
  const session = newest(phone);
  await remove(kim, phone);
  await quiet(dana, kim);
  dana.dropConnection();
  const directs = () => dana.look((tx) => DIRECTS.count(tx));
  dana.do((turn) => putNote(turn, conv, phone.me.device, session));
  assert.equal(directs(), 0);
  dana.do((turn) => putNote(turn, conv, kim.me.device, newest(kim)));
  assert.equal(directs(), 1);
});

test("what the backup holds and is still on its way is waited for", async () => {
  dana.say(conv, "lost on the connection");
  await settle();
  kim.inbox = [];
  dana.say(conv, "held back for it");
  await quiet(dana, kim);
  await restored(pair.relay.server.backup(), dana, kim);
  await kim.connect();
  await dana.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received().slice(-2), ["lost on the connection", "held back for it"]);
});
