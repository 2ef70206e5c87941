/** Posts of ours that do not arrive: named to the person a day later, or shown by what the peer writes. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { TEND_EVERY_MS } from "../../src/engine/agenda.ts";
import { OVERDUE_MS } from "../../src/engine/office/overdue.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import { type Device, faults, later, type Pair, quiet } from "./devices.ts";
import { startPair } from "./fake.ts";
import { arrived, dropForGood } from "./lies.ts";
import { link } from "./linked.ts";

const MINUTE_MS = 60_000;
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

/** The server delivers nothing of what it has. */
async function withhold(device: Device): Promise<void> {
  const posts = await arrived(device);
  device.inbox = device.inbox.filter((item) => item.tag !== "deliver" || !posts.includes(item));
}

test("an active device without a post after a day is named once", async () => {
  const { id } = dana.say(conv, "withheld");
  await quiet(dana);
  await withhold(kim);
  kim.say(conv, "still here");
  await quiet(dana);
  await withhold(kim);
  await later(OVERDUE_MS + 2 * TEND_EVERY_MS, dana);
  const { account, device } = kim.me;
  const named = { type: "notDelivered", conversation: conv, id, account, device, parked: false };
  assert.deepEqual(dana.told("notDelivered"), [named]);
  assert.ok(dana.alarms().includes("not_delivered"));
  await later(5 * TEND_EVERY_MS, dana);
  assert.deepEqual(dana.told("notDelivered"), [named]);
});

test("a device that is away is no news and nobody is accused", async () => {
  kim.dropConnection();
  dana.say(conv, "c");
  await later(4 * TEND_EVERY_MS, dana);
  assert.deepEqual([dana.told("notDelivered"), dana.alarms()], [[], []]);
});

test("the second device of a member is looked at too", async () => {
  const laptop = await link(kim, 12);
  await later(3_000, dana, kim, laptop);
  const { id } = dana.say(conv, "c");
  await quiet(dana, kim);
  await withhold(laptop);
  laptop.say(conv, "from the laptop");
  await quiet(dana, kim);
  await later(OVERDUE_MS + 2 * TEND_EVERY_MS, dana, kim);
  assert.deepEqual(
    dana.told("notDelivered").map((event) => [event.id, event.device]),
    [[id, laptop.me.device]],
  );
});

test("a dropped last post shows in what the peer writes", async () => {
  dana.say(conv, "the last one");
  await quiet(dana);
  await dropForGood(kim);
  const heard: string[][] = [];
  for (const text of ["are you there?", "hello?", "hello??"]) {
    await later(11 * MINUTE_MS, dana, kim);
    kim.say(conv, text);
    kim.say(conv, "and at once another");
    await quiet(dana, kim);
    heard.push(dana.alarms());
  }
  // the peer may have written the first one before it was through with its mailbox
  assert.deepEqual(heard, [[], ["not_delivered"], ["not_delivered"]]);
});

test("a peer that has it all is not suspected", async () => {
  for (let number = 0; number < 6; number++) {
    dana.say(conv, `d${number}`);
    await later(11 * MINUTE_MS, dana, kim);
    kim.say(conv, `k${number}`);
    await later(11 * MINUTE_MS, dana, kim);
  }
  assert.deepEqual([dana.alarms(), kim.alarms()], [[], []]);
});
