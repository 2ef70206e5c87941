/** Automatic answers: what a client is shown while the office is not open, made of texts and signed hours alone. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { automaticAnswers } from "../../src/engine/office/office-answers.ts";
import { type Held, promiseOf } from "../../src/engine/office-shown.ts";
import { asShown } from "../../src/engine/shown/showing.ts";
import { NEW_MESSAGE } from "../../src/engine/vault/records.ts";
import type { Message } from "../../src/events.ts";
import { makeHours, type OfficeHours } from "../../src/office/hours.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "../../src/protocol/ids.ts";

const [KIM, DANA, ROBIN] = ["a1", "b2", "c3"].map((pair) => pair.repeat(16)) as [AccountId, AccountId, AccountId];
const MINUTE_MS = 60_000;
/** Monday, 18 March 2030, 18:00 UTC: an hour after the office has closed. */
const EVENING_MS = Date.UTC(2030, 2, 18, 18);
const OPENS_MS = Date.UTC(2030, 2, 19, 9);
const HOURS = makeHours("Europe/London", {
  weekly: [0, 1, 2, 3, 4].map((day) => ({ day, start: 540, end: 1020 })),
  promise: { kind: "open_time", minutes: 60 },
});

function held(hours: OfficeHours, version: number, issuedMs: number, lifeMs = 30 * 86_400_000): Held {
  const bytes = new Uint8Array(0);
  const device = "d4".repeat(16) as DeviceId;
  const stamp = { version, issuedMs, validUntilMs: issuedMs + lifeMs };
  return { hours, document: { account: DANA, device, ...stamp, rules: bytes, signature: bytes } };
}

function text(account: AccountId, minute: number, more: Partial<Message> = {}): Message {
  const made = asShown({
    ...NEW_MESSAGE,
    id: minute.toString(16).padStart(32, "0") as MessageId,
    conv: "11".repeat(16) as ConversationId,
    account,
    device: "d4".repeat(16) as DeviceId,
    seq: minute + 1,
    atMs: EVENING_MS + minute * MINUTE_MS,
    kind: "text",
    text: "of somebody",
    status: "received",
    order: minute,
  });
  return { ...made, ...more };
}

function after(messages: readonly Message[], documents: readonly Held[]): number[] {
  const at = (id: MessageId) => messages.findIndex((message) => message.id === id);
  return automaticAnswers(messages, KIM, documents).map((answer) => at(answer.after));
}

const DOCUMENT = held(HOURS, 1, EVENING_MS - 10 * 86_400_000);

test("one stands after a client's first text, and the next after a quarter of an hour of silence", () => {
  const messages = [text(KIM, 0, { promisedMs: 7 }), text(KIM, 10), text(DANA, 20), text(KIM, 34), text(KIM, 49)];
  assert.deepEqual(after(messages, [DOCUMENT]), [0, 4]);
  const [answer] = automaticAnswers(messages, KIM, [DOCUMENT]);
  assert.deepEqual(
    [answer?.atMs, answer?.state.status, answer?.nextOpenMs, answer?.dueMs],
    [EVENING_MS, "closed", OPENS_MS, 7],
  );
  assert.equal(automaticAnswers(messages.slice(4), KIM, [DOCUMENT])[0]?.dueMs, null);
});

test("none stands while the office is open, for a therapist's text, or without signed hours of that time", () => {
  const day = text(KIM, 0, { atMs: OPENS_MS });
  assert.deepEqual(after([day, text(DANA, 1), text(KIM, 2, { kind: "card" })], [DOCUMENT]), []);
  assert.deepEqual(after([text(KIM, 0)], []), []);
  assert.deepEqual(after([text(KIM, 0)], [held(HOURS, 1, EVENING_MS - 60_000, 60_000)]), []);
  assert.deepEqual(after([text(KIM, 0)], [held(HOURS, 1, EVENING_MS + 91_000)]), []);
  assert.deepEqual(after([text(KIM, 0, { placeholder: "waiting" })], [DOCUMENT]), []);
});

test("a text is judged by the hours that were signed when it was written", () => {
  const open = held({ ...HOURS, weekly: [{ day: 0, start: 0, end: 1440 }] }, 2, EVENING_MS + 30 * MINUTE_MS);
  assert.deepEqual(after([text(KIM, 0), text(KIM, 60)], [DOCUMENT, open]), [0]);
});

test("on leave the colleague's promise counts, if we hold their hours", () => {
  const leave = { ...HOURS, leaves: [{ first: "2030-03-18", last: "2030-03-24", cover: ROBIN }] };
  const back = Date.UTC(2030, 2, 25, 10);
  assert.deepEqual(promiseOf(leave, null, EVENING_MS), { dueMs: back, byCover: false });
  assert.deepEqual(promiseOf(leave, HOURS, EVENING_MS), { dueMs: OPENS_MS + 60 * MINUTE_MS, byCover: true });
  assert.deepEqual(promiseOf(leave, { ...HOURS, promise: null }, EVENING_MS), { dueMs: back, byCover: false });
  assert.deepEqual(promiseOf(HOURS, HOURS, EVENING_MS), { dueMs: OPENS_MS + 60 * MINUTE_MS, byCover: false });
  assert.equal(promiseOf({ ...HOURS, promise: null }, null, EVENING_MS), null);
});
