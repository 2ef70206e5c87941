/** Promises: what a text is promised, who waits until when, and that the order of arrival does not matter. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { parseBody } from "../../src/crypto/body.ts";
import { openBody } from "../../src/crypto/envelope.ts";
import { deleteMessage, writeText } from "../../src/engine/composing.ts";
import { hoursNow } from "../../src/engine/office/office.ts";
import { publish } from "../../src/engine/office/office-publishing.ts";
import { clamped, kept, takeExtension, waitingOf } from "../../src/engine/office/promises.ts";
import { askForSlot, extend } from "../../src/engine/promises-said.ts";
import { putMessage } from "../../src/engine/shown/showing.ts";
import { SENT } from "../../src/engine/vault/outgoing.ts";
import { MESSAGES } from "../../src/engine/vault/records.ts";
import { makeHours } from "../../src/office/hours.ts";
import { promisedBy } from "../../src/office/promise.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId, MessageId } from "../../src/protocol/ids.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";

const HOUR_MS = 3_600_000;
const HOURS = makeHours("Europe/London", {
  weekly: [0, 1, 2, 3, 4].map((day) => ({ day, start: 540, end: 1020 })),
  promise: { kind: "open_time", minutes: 60 },
});
/** Monday, 18 March 2030: an hour after the office opens. */
const DUE_MS = Date.UTC(2030, 2, 18, 10);

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
  dana.do((turn) => publish(turn, HOURS));
  await quiet(dana);
  const document = pair.relay.server.store.state.offices.get(dana.me.account) ?? assert.fail();
  kim.take({ tag: "office", account: dana.me.account, status: "closed", until: 0, document });
});
afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

async function said(by: Device, text: string): Promise<MessageId> {
  const { id } = by.say(conv, text);
  await quiet(kim, dana);
  return id;
}

function waiting(device: Device) {
  return device.do((turn) => waitingOf(turn, conv));
}

/** The body of a post that this device has sent. */
function bodyOf(device: Device, id: MessageId) {
  return device.look((tx) => {
    const { outer, nonce, ct, key, hash } = SENT.need(tx, id);
    return parseBody(
      openBody(outer, nonce, ct, { kind: "key", key, bodyHash: hash, ref: "0".repeat(32) as MessageId }),
    );
  });
}

describe("a promise", () => {
  it("is shown to the client, travels with the text, and is what the therapist sees", async () => {
    const id = await said(kim, "when?");
    const own = kim.shown(conv).find((message) => message.id === id);
    assert.equal(own?.promisedMs, DUE_MS);
    assert.equal(dana.shown(conv).find((message) => message.id === id)?.promisedMs, DUE_MS);
    const { officeVersion, promised } = bodyOf(kim, id);
    assert.deepEqual([officeVersion, promised], [1, DUE_MS]);
    for (const device of [kim, dana]) {
      const now = waiting(device);
      assert.deepEqual([now?.message, now?.dueMs, now?.extended], [id, DUE_MS, false]);
    }
    const later = await said(kim, "and another");
    assert.equal(waiting(dana)?.message, id);
    const answer = await said(dana, "now");
    assert.deepEqual([bodyOf(dana, answer).officeVersion, bodyOf(dana, answer).promised], [1, null]);
    assert.deepEqual([waiting(kim), waiting(dana)], [null, null]);
    await said(kim, "thanks");
    assert.notEqual(waiting(dana)?.message, later);
  });

  it("is missed at its instant, put off by the therapist alone, and asked to be an appointment by the client", async () => {
    const id = await said(kim, "when?");
    const { clock } = pair.relay;
    const before = dana.told("promiseChanged").length;
    await later(DUE_MS - clock.ms, dana, kim);
    assert.equal(dana.told("promiseChanged").length, before + 1);
    assert.throws(() => kim.do((turn) => extend(turn, conv, clock.ms + HOUR_MS)), LocalError);
    assert.throws(() => dana.do((turn) => askForSlot(turn, conv)), LocalError);
    assert.throws(() => dana.do((turn) => extend(turn, conv, DUE_MS)), LocalError);
    dana.do((turn) => extend(turn, conv, DUE_MS + HOUR_MS));
    kim.do((turn) => askForSlot(turn, conv));
    await quiet(dana, kim);
    for (const device of [kim, dana]) {
      const now = waiting(device);
      assert.deepEqual([now?.message, now?.dueMs, now?.extended, now?.slotWanted], [id, DUE_MS + HOUR_MS, true, true]);
    }
    assert.deepEqual(
      dana.do((turn) => kept(turn, 0, DUE_MS * 2)),
      { kept: 0, of: 0 },
    );
    await said(dana, "so sorry");
    assert.deepEqual(
      dana.do((turn) => kept(turn, 0, DUE_MS * 2)),
      { kept: 1, of: 1 },
    );
    assert.deepEqual(
      kim.do((turn) => kept(turn, 0, DUE_MS * 2)),
      { kept: 0, of: 0 },
    );
    await said(kim, "again?");
    await later(100 * HOUR_MS, dana, kim);
    assert.deepEqual(
      dana.do((turn) => kept(turn, 0, DUE_MS * 2)),
      { kept: 1, of: 2 },
    );
    assert.throws(() => dana.do((turn) => extend(turn, conv, 2 ** 60)), LocalError);
  });

  it("waits for nothing once the question is deleted, and a deleted answer answers nothing", async () => {
    const id = await said(kim, "when?");
    const answer = await said(dana, "now");
    dana.do((turn) => deleteMessage(turn, conv, answer));
    await quiet(dana, kim);
    assert.equal(waiting(kim)?.message, id);
    kim.do((turn) => deleteMessage(turn, conv, id));
    await quiet(dana, kim);
    assert.deepEqual([waiting(kim), waiting(dana)], [null, null]);
  });

  it("is answered by what has expired, and waits for nothing that has", async () => {
    kim.do((turn) => writeText(turn, conv, "for a minute", { expireS: 60 }));
    await quiet(dana, kim);
    assert.ok(waiting(dana));
    await later(61_000, dana, kim);
    assert.deepEqual([waiting(kim), waiting(dana)], [null, null]);
    const first = await said(kim, "taken back later");
    await said(kim, "stays");
    dana.do((turn) => writeText(turn, conv, "for a minute", { expireS: 60 }));
    await quiet(dana, kim);
    await later(61_000, dana, kim);
    assert.deepEqual([waiting(kim), waiting(dana)], [null, null]);
    kim.do((turn) => deleteMessage(turn, conv, first)); // what is left was answered, too
    await quiet(dana, kim);
    assert.deepEqual([waiting(kim), waiting(dana)], [null, null]);
  });

  it("of a text that could not leave is made anew, and never before what the therapist has signed", async () => {
    kim.dropConnection();
    const { id, promisedMs } = kim.say(conv, "offline");
    assert.equal(promisedMs, DUE_MS);
    pair.relay.clock.ms = DUE_MS;
    await kim.connect();
    await quiet(dana, kim);
    assert.equal(bodyOf(kim, id).promised, DUE_MS + HOUR_MS);
    assert.equal(waiting(dana)?.dueMs, DUE_MS + HOUR_MS);
    const nowMs = pair.relay.clock.ms;
    const signed = promisedBy(HOURS, nowMs) ?? 0;
    assert.equal(
      dana.do((turn) => clamped(turn, dana.me.account, 5, 1, nowMs)),
      signed,
    );
    assert.equal(
      dana.do((turn) => clamped(turn, dana.me.account, signed + 5, 1, nowMs)),
      signed + 5,
    );
    assert.equal(
      dana.do((turn) => clamped(turn, dana.me.account, 5, 9, nowMs)),
      5,
    );
    assert.equal(
      dana.do((turn) => clamped(turn, dana.me.account, 5, 1, Number.MAX_SAFE_INTEGER)),
      5,
      "a time that is no date",
    );
  });

  it("is the next question's when an answer and more time for the first one come in one turn", async () => {
    const first = await said(kim, "when?");
    const answer = await said(dana, "soon");
    const second = await said(kim, "and today?");
    const record = kim.look((tx) => MESSAGES.need(tx, answer));
    kim.do((turn) => putMessage(turn, { ...record, deleted: true }));
    assert.equal(waiting(kim)?.message, first);
    kim.do((turn) => {
      putMessage(turn, record);
      const extended = { type: "promise.extended", id: first, until: DUE_MS + HOUR_MS } as const;
      takeExtension(turn, conv, dana.me.account, extended);
    });
    assert.equal(waiting(kim)?.message, second);
  });

  it("is not made by hours that do not count", async () => {
    dana.dropConnection();
    await later(36 * 24 * HOUR_MS, kim);
    assert.equal(
      kim.do((turn) => hoursNow(turn, dana.me.account)),
      null,
    );
    const { promisedMs } = kim.say(conv, "anybody?");
    assert.equal(promisedMs, 0);
  });
});
