/** Doors and calls: whose call lets in while somebody waits, tests devices, writes, or has gone; and how long one is in. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, it } from "node:test";

import type { CallView } from "../../src/call-views.ts";
import * as planning from "../../src/engine/appointments/appointments-planning.ts";
import { viewCalls } from "../../src/engine/calls/calls.ts";
import { compose } from "../../src/engine/composing.ts";
import * as rooms from "../../src/engine/waiting-room/rooms.ts";
import * as hosting from "../../src/engine/waiting-room/rooms-hosting.ts";
import { roomOf } from "../../src/engine/waiting-room/rooms-shown.ts";
import type { AppointmentId, ConversationId, MessageId } from "../../src/protocol/ids.ts";
import { RING } from "../../src/protocol/signed.ts";
import { TICKET_MS } from "../../src/rooms/states.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
});
afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

/** An hour that begins in five minutes. */
async function plan(modality: string): Promise<AppointmentId> {
  const asked = { startMs: pair.relay.clock.ms + 300_000, minutes: 50, modality, zone: "Europe/London" };
  const [appointment] = dana.do((turn) => planning.plan(turn, conv, asked)).ids;
  await quiet(dana, kim);
  assert.ok(appointment);
  return appointment;
}

async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    await later(Math.min(left, 1_000), dana, kim);
    pair.relay.server.delivery.rooms();
    await quiet(dana, kim);
  }
}

async function knock(appointment: AppointmentId, checking = false): Promise<void> {
  kim.do((turn) => rooms.knock(turn, appointment, { checking }));
  await quiet(dana, kim);
}

/** Dana seals an offer for that appointment. */
async function call(appointment: AppointmentId): Promise<MessageId> {
  const content = { type: "call.offer", media: "audio", description: null, appointment } as const;
  const id = dana.do((turn) => compose(turn, conv, content, { flags: RING, actUntilMs: turn.nowMs + 45_000 }));
  await quiet(dana, kim);
  return id;
}

function view(id: MessageId): CallView {
  const found = kim.do(viewCalls).find((shown) => shown.view.id === id);
  assert.ok(found);
  return found.view;
}

const rung = () => kim.told("callRinging").map((event) => event.call);

it("a call that would have let in rings once the door is left", async () => {
  const hour = await plan("video");
  await knock(hour);
  const id = await call(hour);
  assert.deepEqual([view(id).admits, view(id).phase, rung()], [true, "ringing_here", []]);
  kim.do((turn) => rooms.leave(turn, hour));
  await quiet(dana, kim);
  assert.deepEqual([view(id).admits, view(id).phase, rung()], [false, "ringing_here", [id]]);
});

it("a call rings while devices are tested, and lets in when they are ready", async () => {
  const hour = await plan("video");
  await knock(hour, true);
  const id = await call(hour);
  assert.deepEqual([view(id).admits, view(id).phase, rung()], [false, "ringing_here", [id]]);
  await knock(hour);
  assert.deepEqual([view(id).admits, view(id).canAnswer, view(id).phase], [true, true, "ringing_here"]);
  assert.equal(kim.told("callChanged").at(-1)?.call, id);
});

it("who writes is in without a call for as long as they are there, and a call to them rings", async () => {
  const hour = await plan("chat");
  await knock(hour);
  const wish = { act: "admit", account: kim.me.account, call: "ab".repeat(16) as MessageId } as const;
  const body = dana.do((turn) => hosting.actOf(turn, hour, wish));
  const answer = await dana.request("room.act", body, { path: { appointment: hour } });
  dana.do((turn) => hosting.acted(turn, hour, wish, answer));
  await quiet(dana, kim);
  const place = () => kim.do((turn) => roomOf(turn, hour))?.place;
  assert.equal(place()?.state, "in_room");
  const knocks = () => kim.made.filter((name) => name === "room.knock").length;
  const before = knocks();
  await pass(TICKET_MS + 10_000);
  assert.equal(place()?.state, "in_room");
  assert.ok(knocks() - before >= 12, "nothing else tells the server that they are still there");
  const id = await call(hour);
  assert.deepEqual([view(id).admits, rung()], [false, [id]]);
});
