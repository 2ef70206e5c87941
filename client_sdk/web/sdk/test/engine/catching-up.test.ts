/** What happened without this device: after linking, after being away, after archive keys were missing. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { listsOf } from "../../src/engine/contacts.ts";
import { revoke } from "../../src/engine/devices/own-devices.ts";
import { AWAY_MS } from "../../src/engine/recovery/catching-up.ts";
import { LOG_MOST, ONCE_MS, readLog, SENTENCES } from "../../src/engine/security-log.ts";
import * as errands from "../../src/engine/vault/errands.ts";
import { SENT } from "../../src/engine/vault/outgoing.ts";
import { keepPromised, requirePromised } from "../../src/engine/vault/promised-pins.ts";
import { MESSAGES, SEEN } from "../../src/engine/vault/records.ts";
import { makeSecurityEvent } from "../../src/events.ts";
import { firstChain, headOf, versionOf } from "../../src/protocol/device-lists.ts";
import type { ConversationId, DeviceId } from "../../src/protocol/ids.ts";
import { RuleBroken } from "../../src/protocol/rules.ts";
import { type Device, faults, later, quiet, settle } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { callsOf, flipped } from "./lies.ts";
import { link } from "./linked.ts";

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
});

afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

test("a linked device has the whole history, in order, and introduces itself", async () => {
  for (let number = 0; number < 300; number++) {
    (number % 2 ? kim : dana).say(conv, String(number));
  }
  await quiet(dana, kim);
  const desk = await link(dana, 5, "Desk");
  await later(60_000, dana, kim, desk);
  assert.deepEqual(desk.texts(conv), dana.texts(conv));
  assert.ok(callsOf(desk, "archive.page") >= 2);
  assert.deepEqual([desk.received(), desk.alarms(), desk.told("placeholder")], [[], [], []]);
  assert.equal(desk.look((tx) => SENT.list(tx).filter(([, sent]) => sent.conv === conv)).length, 1, "its profile");
});

test("a device that was away for longer than its mailbox lasts misses nothing", async () => {
  const tablet = await link(kim, 12);
  await later(60_000, dana, kim, tablet);
  tablet.dropConnection();
  dana.say(conv, "while it was away");
  await quiet(dana, kim);
  for (let week = 0; week < 7; week++) {
    await later(7 * DAY_MS, dana, kim);
    for (const device of [dana, kim]) {
      device.dropConnection();
      await device.connect();
    }
    pair.relay.server.sweep();
    dana.say(conv, `week ${week}`);
    await quiet(dana, kim);
  }
  assert.ok(7 * 7 * DAY_MS > AWAY_MS);
  assert.ok(pair.relay.server.store.state.devices.get(tablet.me.device)?.dormant);
  await tablet.connect();
  await later(120_000, dana, kim, tablet);
  const missed = ["while it was away", ...Array.from({ length: 7 }, (_, week) => `week ${week}`)];
  assert.deepEqual(tablet.texts(conv).slice(-8), missed);
  tablet.say(conv, "here again");
  await quiet(dana, kim, tablet);
  assert.equal(dana.received().at(-1), "here again");
  assert.deepEqual([tablet.alarms(), dana.alarms()], [[], []]);
});

test("what was posted since a device caught up comes in order, whatever the catalogue counts already", async () => {
  kim.dropConnection();
  await later(AWAY_MS, dana);
  await kim.connect();
  await settle();
  kim.take(...kim.inbox.splice(0));
  dana.say(conv, "first");
  dana.say(conv, "second");
  await quiet(dana);
  const onTheWay = kim.inbox.splice(0).filter((message) => message.tag === "deliver" && message.seq > 0);
  assert.equal(onTheWay.length, 2);
  await quiet(kim); // asks for the catalogue
  assert.equal(callsOf(kim, "conversation.list"), 1);
  for (const message of onTheWay.reverse()) {
    kim.take(message);
  }
  await later(60_000, dana, kim);
  assert.deepEqual(kim.received().slice(-2), ["first", "second"]);
});

test("archive keys that are missing are asked of siblings, every ten minutes at most, and then history opens", async () => {
  const [phone, tablet] = [await link(dana, 11), await link(dana, 12)];
  await later(60_000, dana, kim, phone, tablet);
  dana.do((turn) => revoke(turn, tablet.me.device));
  await later(60_000, dana, kim, phone);
  kim.say(conv, "under the new key");
  await quiet(dana, kim, phone);
  const { id } = phone.shown(conv).at(-1) ?? assert.fail();
  phone.look((tx) => {
    assert.equal(tx.count("archive_key"), 1);
    for (const [key] of tx.list("archive_key")) {
      tx.delete("archive_key", key);
    }
    MESSAGES.delete(tx, id);
    SEEN.delete(tx, id);
  });
  dana.dropConnection();
  phone.holdOutgoing = true;
  const again = (): void =>
    phone.do((turn) => {
      turn.tx.put("history", conv, { next: 1, upto: 1_000 });
      errands.plan(turn, "history", conv);
    });
  again();
  await later(60_000, phone, kim);
  again();
  await later(8 * 60_000, phone, kim);
  assert.equal(phone.waiting("direct").length, 1, "asked once so far");
  phone.holdOutgoing = false;
  phone.sendAll();
  await dana.connect();
  await later(20 * 60_000, dana, kim, phone);
  assert.equal(phone.look((tx) => MESSAGES.get(tx, id))?.text, "under the new key");
  assert.deepEqual(phone.alarms(), []);
});

test("what was promised of a contact must come true", () => {
  dana.do((turn) => {
    const { account } = kim.me;
    const { aik } = kim.me.secrets;
    const chain = firstChain(account, aik, listsOf(turn, account));
    const head = headOf(chain);
    const pin = { account, aik, version: versionOf(head), listHash: head.hash, verified: true, name: "Kim" };
    assert.equal(requirePromised(turn, account, chain), null);
    keepPromised(turn, { ...pin, aik: flipped(aik) });
    assert.throws(() => requirePromised(turn, account, chain), new RuleBroken("other_account"));
    keepPromised(turn, { ...pin, version: pin.version + 1 });
    assert.throws(() => requirePromised(turn, account, chain), new RuleBroken("version_taken"));
    keepPromised(turn, { ...pin, listHash: "0".repeat(64) });
    assert.throws(() => requirePromised(turn, account, chain), new RuleBroken("version_taken"));
    keepPromised(turn, pin);
    assert.deepEqual(requirePromised(turn, account, chain), pin);
    assert.equal(requirePromised(turn, account, chain), null, "asked for once");
  });
  assert.deepEqual(dana.alarms(), ["equivocation", "equivocation"]);
});

test("the security log keeps each thing once an hour, and no kind pushes another out", () => {
  const log = () => kim.do((turn) => readLog(turn, LOG_MOST));
  const notice = () => kim.do((turn) => turn.show(makeSecurityEvent("order", { conversation: conv })));
  notice();
  notice();
  assert.deepEqual(
    log().map((entry) => [entry.kind, entry.conversation, entry.sentence]),
    [["order", conv, SENTENCES.order]],
  );
  pair.relay.clock.ms += ONCE_MS + 1;
  notice();
  assert.equal(log().length, 2);
  pair.relay.clock.ms += 1;
  kim.do((turn) => {
    for (let number = 0; number < 2 * LOG_MOST; number++) {
      const device = number.toString(16).padStart(32, "0") as DeviceId;
      turn.show(makeSecurityEvent("key_refused", { device }));
    }
  });
  const kept = log();
  assert.equal(kept.filter((entry) => entry.kind === "order").length, 2);
  const most = Math.floor(LOG_MOST / Object.keys(SENTENCES).length);
  assert.equal(kept.filter((entry) => entry.kind === "key_refused").length, most);
  assert.equal(kept[0]?.kind, "key_refused");
  assert.equal(kim.do((turn) => readLog(turn, 3)).length, 3);
});
