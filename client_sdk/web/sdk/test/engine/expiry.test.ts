/** Messages with a time: gone from every device when it is over, whatever else happens, and nothing of them stays. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Crash } from "../../src/adapters/vault-memory.ts";
import { compose, editMessage, react, writeText } from "../../src/engine/composing.ts";
import { markRead } from "../../src/engine/delivery.ts";
import { noticeEpoch } from "../../src/engine/recovery/reposting.ts";
import { restorePage } from "../../src/engine/recovery/restoring.ts";
import { search } from "../../src/engine/shown/searching.ts";
import { OUTBOX, SENT } from "../../src/engine/vault/outgoing.ts";
import { CHAINS, CHANGES, CONVERSATIONS, EXPIRING, MESSAGES, PENDING, SEEN } from "../../src/engine/vault/records.ts";
import type { Message } from "../../src/events.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId, StoreEpoch } from "../../src/protocol/ids.ts";
import { PAGE_ITEMS, SEQ_JUMP } from "../../src/protocol/limits.ts";
import type { ArchivePage } from "../../src/protocol/requests.ts";
import { selfConversation } from "../../src/protocol/signed.ts";
import { type Device, faults, later, quiet, settle } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { arrived, dropForGood } from "./lies.ts";
import { link } from "./linked.ts";

const CANARY = "canaryword";
const HOUR_MS = 3_600_000;
let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;
/** What the test expects to be noticed. */
let suspected: string[];

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
  suspected = [];
});

afterEach(async () => {
  assert.deepEqual([...dana.alarms(), ...kim.alarms()], suspected);
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

function whisper(device: Device, text = CANARY, expireS = 60): Message {
  return device.do((turn) => writeText(turn, conv, text, { expireS }));
}

function removed(device: Device): string[] {
  return device.told("messageRemoved").map((event) => event.id);
}

function holdsCanary(device: Device): boolean {
  return Buffer.from(device.storage.everything()).includes(CANARY);
}

/** Where a device still holds something of a message but its id. */
function traces(device: Device, { id }: Message): string[] {
  const found = device.look((tx) => {
    const sent = SENT.get(tx, id);
    return {
      record: MESSAGES.has(tx, id),
      pending: PENDING.has(tx, id),
      changes: CHANGES.count(tx, id) > 0,
      sent: sent !== null && sent.key.length + sent.ct.length > 0,
      signalKey: CHAINS.list(tx).some(([, chain]) => chain.last === id && chain.key.length > 0),
      outbox: OUTBOX.has(tx, id),
      timer: EXPIRING.has(tx, id),
    };
  });
  const all = Object.entries({ text: holdsCanary(device), ...found });
  return all.filter(([, there]) => there).map(([name]) => name);
}

test("it is gone on every device when its time is over", async () => {
  const desk = await link(dana, 3, "Desk");
  const devices = [dana, kim, desk];
  const message = whisper(dana);
  assert.equal(message.expiresMs, 0);
  await quiet(...devices);
  const end = (dana.shown(conv).at(-1)?.atMs ?? 0) + 60_000;
  for (const device of devices) {
    assert.equal(device.shown(conv).at(-1)?.expiresMs, end);
    assert.ok(device.wakeMs !== null && device.wakeMs <= end);
  }
  await later(59_000, ...devices);
  for (const device of devices) {
    assert.equal(device.texts(conv).at(-1), CANARY);
    assert.notDeepEqual(traces(device, message), []);
  }
  await later(1_000, ...devices);
  for (const device of devices) {
    assert.deepEqual([removed(device), traces(device, message)], [[message.id], []]);
  }
  dana.say(conv, "after");
  await quiet(...devices);
  assert.deepEqual(
    devices.map((device) => device.texts(conv).at(-1)),
    ["after", "after", "after"],
  );
});

test("what is said about it goes with it", async () => {
  const message = whisper(dana, "first wording");
  await quiet(dana, kim);
  await later(10_000, dana, kim);
  dana.do((turn) => editMessage(turn, conv, message.id, CANARY));
  kim.do((turn) => react(turn, conv, message.id, "👍"));
  await quiet(dana, kim);
  assert.equal(kim.texts(conv).at(-1), CANARY);
  assert.equal(kim.shown(conv).at(-1)?.expiresMs, dana.shown(conv).at(-1)?.expiresMs);
  dana.dropConnection();
  dana.do((turn) => editMessage(turn, conv, message.id, `${CANARY} again`));
  await later(50_000, dana, kim);
  assert.deepEqual([traces(dana, message), traces(kim, message)], [[], []]);
  assert.equal(
    dana.look((tx) => OUTBOX.count(tx, conv)),
    0,
  );
  const emptied = [dana, kim].flatMap((device) => device.look((tx) => SENT.list(tx)));
  assert.equal(emptied.filter(([, sent]) => sent.key.length === 0).length, 3, "the message, its edit, the reaction");
});

test("history never brings it back", async () => {
  const message = whisper(dana);
  dana.say(conv, "lasting");
  await quiet(dana, kim);
  dana.do((turn) => editMessage(turn, conv, message.id, `${CANARY}!`));
  kim.do((turn) => react(turn, conv, message.id, "👍"));
  await quiet(dana, kim);
  const query = { from: 1, to: 10_000, limit: PAGE_ITEMS };
  const pages: ArchivePage[] = [];
  for (const device of [dana, kim]) {
    const page = await device.request("archive.page", null, { path: { conv }, query });
    pages.push(page as ArchivePage);
  }
  // two names and the lasting text; neither the message nor its edit nor the reaction
  assert.deepEqual(
    pages.map((page) => page.items.length),
    [3, 3],
  );
  await later(60_000, dana, kim);
  for (const [at, device] of [dana, kim].entries()) {
    device.do((turn) => restorePage(turn, conv, pages[at] ?? { items: [], nextSeq: 0 }));
    assert.deepEqual(
      device.texts(conv).filter((text) => text !== "Welcome."),
      ["lasting"],
    );
  }
});

test("a device that was off never shows it", async () => {
  const message = whisper(dana);
  await quiet(dana, kim);
  kim.restart();
  kim.events = [];
  pair.relay.clock.ms += HOUR_MS;
  assert.deepEqual(
    kim.do(({ tx }) => MESSAGES.list(tx, conv).map(([, held]) => held.text)),
    ["Welcome."],
  );
  assert.deepEqual(
    kim.do((turn) => search(turn, CANARY, null, 10)),
    [],
  );
  assert.deepEqual([removed(kim), traces(kim, message)], [[message.id], []]);
});

test("a device that gets it late acknowledges it and never shows it", async () => {
  kim.dropConnection();
  const message = whisper(dana);
  const after = dana.say(conv, "after");
  await quiet(dana);
  pair.relay.clock.ms += HOUR_MS;
  dana.turn();
  await kim.connect();
  await quiet(dana, kim);
  assert.deepEqual(kim.received(), ["after"]);
  assert.deepEqual([kim.told("placeholder"), removed(kim), traces(kim, message)], [[], [], []]);
  assert.equal(kim.look((tx) => SEEN.need(tx, message.id)).entry, null);
  await later(20 * 60_000, dana, kim);
  pair.relay.server.sweep();
  const { items } = pair.relay.server.store.state;
  assert.deepEqual([items.has(message.id), items.has(after.id)], [false, true]);
});

test("its time runs from acceptance, however long it was queued", async () => {
  dana.dropConnection();
  const message = whisper(dana);
  await later(HOUR_MS, dana, kim);
  assert.deepEqual(dana.texts(conv), [CANARY]);
  await dana.connect();
  await quiet(dana, kim);
  assert.equal(kim.texts(conv).at(-1), CANARY);
  await later(60_000, dana, kim);
  assert.deepEqual([traces(dana, message), traces(kim, message)], [[], []]);
});

test("an answer that comes after its time removes it at once", async () => {
  const message = whisper(dana);
  await settle();
  dana.dropConnection(); // accepted, and the answer is lost
  await later(10 * 60_000, kim);
  assert.deepEqual(dana.texts(conv), [CANARY]);
  await dana.connect();
  await quiet(dana, kim);
  assert.deepEqual([dana.texts(conv), removed(dana), traces(dana, message)], [[], [message.id], []]);
});

test("a message that cannot be opened in time is taken away", async () => {
  const { id } = whisper(dana);
  await dropForGood(kim);
  await quiet(dana);
  dana.say(conv, "next");
  await settle();
  pair.relay.server.store.state.items.delete(id);
  dana.dropConnection();
  await later(30_000, kim);
  assert.deepEqual(
    kim.told("placeholder").map((event) => event.id),
    [id],
  );
  pair.relay.clock.ms += 60_000;
  dana.turn();
  await dana.connect();
  await later(HOUR_MS, dana, kim);
  assert.deepEqual(
    kim.told("placeholderRemoved").map((event) => event.id),
    [id],
  );
  assert.equal(kim.texts(conv).at(-1), "next");
  assert.ok(!kim.look((tx) => PENDING.has(tx, id)));
});

test("a lying time of acceptance does not lengthen it", async () => {
  const message = whisper(dana);
  const delivered = await arrived(kim);
  kim.inbox = [];
  kim.take(...delivered.map((item) => ({ ...item, at: item.at + 30 * 86_400_000 })));
  assert.equal(kim.texts(conv).at(-1), CANARY);
  await later(60_000, dana, kim);
  assert.deepEqual(traces(kim, message), []);
});

for (const point of ["before_commit", "after_commit"] as const) {
  test(`a crash at its time changes nothing: ${point}`, async () => {
    const message = whisper(dana);
    await quiet(dana, kim);
    pair.relay.clock.ms += 60_000;
    kim.crashAfterCommits(0, point);
    assert.throws(() => kim.turn(), Crash);
    kim.restart();
    kim.turn();
    assert.deepEqual([traces(kim, message), kim.texts(conv)], [[], ["Welcome."]]);
  });
}

test("unread and delivery marks survive it", async () => {
  const unread = () => kim.look((tx) => CONVERSATIONS.need(tx, conv)).unread;
  const lasting = dana.say(conv, "lasting");
  whisper(dana);
  await quiet(dana, kim);
  assert.equal(unread(), 2);
  await later(60_000, dana, kim);
  assert.equal(unread(), 1);
  whisper(dana);
  await quiet(dana, kim);
  kim.dropConnection();
  kim.do((turn) => markRead(turn, conv)); // names a message that will be gone when it arrives
  await later(60_000, dana);
  await kim.connect();
  await later(10_000, dana, kim);
  assert.equal(dana.look((tx) => MESSAGES.need(tx, lasting.id)).status, "read");
});

test("a change that came alone waits no longer than its message would last", async () => {
  const { id } = whisper(dana, "first wording");
  const withheld = await arrived(kim);
  kim.inbox = kim.inbox.filter((item) => item.tag !== "deliver" || !withheld.includes(item));
  await quiet(dana);
  dana.do((turn) => editMessage(turn, conv, id, CANARY));
  await quiet(dana);
  kim.take(...(await arrived(kim)));
  kim.inbox = [];
  const changes = () => kim.look((tx) => CHANGES.count(tx, id));
  assert.equal(changes(), 1);
  pair.relay.clock.ms += 60_000;
  kim.dropConnection();
  kim.turn();
  assert.deepEqual([changes(), holdsCanary(kim)], [0, false]);
});

for (const lifeS of [60, 86_400]) {
  test(`a linked device takes no unarchived message for a gap: ${lifeS} s`, async () => {
    // over or not: what expires was never meant for a device that is linked later
    for (const text of ["one", null, "two", null, null]) {
      if (text === null) {
        whisper(kim, CANARY, lifeS);
      } else {
        kim.say(conv, text);
      }
      await quiet(dana, kim);
    }
    await later(60_000, dana, kim);
    const desk = await link(dana, 3, "Desk");
    await quiet(dana, kim, desk);
    assert.deepEqual(desk.texts(conv), ["one", "two"]);
    kim.say(conv, "three");
    await later(HOUR_MS, dana, kim, desk);
    assert.deepEqual(desk.texts(conv), ["one", "two", "three"]);
    assert.deepEqual([desk.alarms(), desk.told("placeholder")], [[], []]);
  });
}

test("history that is withheld is noticed beside expired messages", async () => {
  for (const text of ["one", "withheld", null, "two"]) {
    if (text === null) {
      whisper(kim);
    } else {
      kim.say(conv, text);
    }
    await quiet(dana, kim);
  }
  const withheld = dana.shown(conv)[1];
  await later(60_000, dana, kim);
  assert.ok(withheld);
  pair.relay.server.store.state.items.get(withheld.id)?.entries.clear();
  const desk = await link(dana, 3, "Desk");
  await quiet(dana, kim, desk);
  assert.deepEqual([desk.texts(conv), desk.alarms()], [["one", "two"], ["history_gap"]]);
});

test("a restored server does not get it once more after its time", async () => {
  const message = whisper(dana);
  await quiet(dana, kim);
  dana.dropConnection();
  const bases = new Map([[conv, SEQ_JUMP + 3]]); // the backup held two messages less
  dana.do((turn) => noticeEpoch(turn, "e".repeat(32) as StoreEpoch, bases));
  assert.ok(dana.look((tx) => OUTBOX.has(tx, message.id)));
  pair.relay.clock.ms += 60_000;
  dana.turn();
  assert.deepEqual(traces(dana, message), []);
  await dana.connect();
  dana.say(conv, "after");
  await quiet(dana, kim);
  assert.equal(kim.texts(conv).at(-1), "after");
  assert.deepEqual(traces(dana, message), []);
});

test("limits", async () => {
  const code = (work: () => unknown): string => {
    try {
      work();
    } catch (problem) {
      return problem instanceof LocalError ? problem.code : "other";
    }
    return "none";
  };
  for (const expireS of [0, -1, 4, 365 * 86_400 + 1]) {
    const refused = code(() => dana.do((turn) => writeText(turn, conv, CANARY, { expireS })));
    assert.equal(refused, "bad_format", String(expireS));
  }
  const own = selfConversation(dana.me.account);
  assert.equal(
    code(() => dana.do((turn) => writeText(turn, own, CANARY, { expireS: 60 }))),
    "forbidden",
  );
  assert.deepEqual(dana.texts(conv), []);
  for (const expireS of [5, 365 * 86_400]) {
    whisper(dana, CANARY, expireS);
  }
});

test("a life outside of the limits counts as the nearest", async () => {
  for (const expireMs of [1, 400 * 86_400_000]) {
    dana.do((turn) => compose(turn, conv, { type: "text", text: CANARY }, { expireMs }));
  }
  await quiet(dana, kim);
  const lives = kim.shown(conv).map((message) => message.expiresMs - message.atMs);
  assert.deepEqual(lives.slice(-2), [5_000, 365 * 86_400_000]);
});
