/** Who comes in how, who was sent back, and which call goes on: what the screens of the live hour follow. */

import assert from "node:assert/strict";
import { it } from "node:test";
import type { AccountId, AppointmentId, CallView, ConversationId, MessageId, RapportClient, Room } from "@rapport/sdk";
import { atDoors, waitingNames } from "../src/doors.ts";
import { entryOf, joinMedia } from "../src/entering.ts";
import { doorNews, guestView, succeeding } from "../src/live-views.ts";
import { forgetSentBack, isSentBack, markSentBack, sentBackMs } from "../src/sent-back.ts";

const id = <Kind>(name: string): Kind => name.repeat(32) as Kind;
const [APPOINTMENT, MIRA, SAM] = [id<AppointmentId>("a"), id<AccountId>("b"), id<AccountId>("c")];

const CALL: CallView = {
  id: id<MessageId>("1"),
  conversation: id<ConversationId>("2"),
  incoming: true,
  media: "video",
  phase: "ended",
  withAccount: id<AccountId>("d"),
  appointment: APPOINTMENT,
  atMs: 1_000,
  untilMs: 0,
  connectedMs: 2_000,
  endedMs: 9_000,
  reason: "hung_up",
  rings: false,
  awayThere: false,
  answeredOn: null,
  answeredElsewhere: false,
  onDevice: null,
  modeThere: "video",
  modeThereWhy: "person",
  canAnswer: false,
  here: false,
  admits: false,
};

const PLACE = { step: "waiting", state: "waiting", checks: 0, sinceMs: 500, heardMs: 900 } as const;
const ROOM: Room = {
  appointment: APPOINTMENT,
  door: "host_present",
  opensMs: 0,
  locked: false,
  version: 1,
  people: [],
  words: null,
  place: PLACE,
  asHost: false,
  guest: null,
};

/** What the views read of a client: Mira's, with these rooms and calls, and this appointment where she is on it. */
function client(rooms: readonly Room[], calls: readonly CallView[] = [], held: object | null = null): RapportClient {
  return {
    state: "connected",
    snapshot: { aheadMs: 0 },
    identity: { account: MIRA, role: "client" },
    conversations: () => [],
    appointments: { of: () => held },
    calls: { live: () => calls },
    waitingRoom: { all: () => rooms, of: () => rooms[0] ?? null, waiting: () => [] },
  } as unknown as RapportClient;
}

it("the other call is followed when both have called, and no other end leads anywhere", () => {
  const other = { ...CALL, id: id<MessageId>("3"), phase: "connecting" } as const;
  assert.equal(succeeding({ ...CALL, reason: "glare" }, other), other.id);
  assert.equal(succeeding({ ...CALL, reason: "hung_up" }, other), null);
  assert.equal(succeeding({ ...CALL, reason: "glare" }, null), null);
  assert.equal(succeeding({ ...CALL, reason: "glare" }, { ...CALL, reason: "glare" }), null);
  assert.equal(succeeding({ ...CALL, reason: "glare" }, { ...other, conversation: id<ConversationId>("4") }), null);
});

it("nobody was asked to wait outside whose admission failed, or who was asked before this call", () => {
  assert.equal(isSentBack(CALL, ROOM, false), false, "let in and not connected: they wait on");
  assert.equal(isSentBack(CALL, ROOM, true), true, "they were in and are before the door");
  assert.equal(isSentBack(CALL, { ...ROOM, place: { ...PLACE, state: "in_room" } }, true), false);
  const words = { act: "send_back", words: "A moment.", atMs: 3_000 };
  assert.equal(isSentBack(CALL, { ...ROOM, words }, false), true);
  assert.equal(isSentBack({ ...CALL, connectedMs: 0, atMs: 4_000 }, { ...ROOM, words }, false), false, "older words");
  assert.equal(isSentBack(CALL, { ...ROOM, words: { ...words, act: "decline" } }, false), false);
  assert.equal(isSentBack(CALL, null, true), false);
});

it("who is sent back is one person of a group", () => {
  markSentBack(APPOINTMENT, MIRA, 7_000);
  assert.deepEqual([sentBackMs(APPOINTMENT, MIRA), sentBackMs(APPOINTMENT, SAM)], [7_000, null]);
  forgetSentBack(APPOINTMENT, MIRA);
  assert.equal(sentBackMs(APPOINTMENT, MIRA), null);
});

it("one comes in as one has said at the door only while one looks at it, and in no page where one has not waited", () => {
  assert.equal(entryOf({ waited: true, atDoor: true, visible: true }), "as_wanted");
  assert.equal(entryOf({ waited: true, atDoor: false, visible: true }), "quietly");
  assert.equal(entryOf({ waited: true, atDoor: true, visible: false }), "quietly");
  assert.equal(entryOf({ waited: false, atDoor: false, visible: true }), null);
  assert.equal(joinMedia({ modality: "video" }, "audio", true), "video");
  assert.equal(joinMedia({ modality: "audio" }, "video", true), "audio");
  assert.equal(joinMedia(null, "video", true), "video", "a guest's is as it is offered");
  assert.equal(joinMedia(null, "audio", true), "audio");
  assert.equal(joinMedia(null, "video", false), "audio");
});

it("who is in where people write is told so, on an appointment and by a join link, also when the host is late", () => {
  const guest = { appointment: APPOINTMENT, startMs: Date.now(), minutes: 50 };
  const view = guestView(guest);
  const isIn = { ...ROOM, door: "in_session", place: { ...PLACE, state: "in_room" } } as const;
  const late = { ...view, modality: "chat", lateMinutes: 5 } as const;
  const chat = { host: SAM, modality: "chat" };
  assert.equal(doorNews(client([isIn], [], chat), late, isIn, null).news, "writing");
  assert.equal(doorNews(client([isIn]), view, { ...isIn, guest }, null).news, "writing");
  assert.equal(doorNews(client([isIn]), view, { ...isIn, guest }, { ...CALL, phase: "connected" }).news, "admitted");
  const rings = { ...CALL, phase: "ringing_here", admits: true } as const;
  assert.equal(
    doorNews(client([ROOM]), view, ROOM, rings).news,
    "here",
    "not in before the server has taken the answer",
  );
  assert.equal(doorNews(client([ROOM], [], chat), { ...view, modality: "chat" }, ROOM, null).news, "here");
});

it("a place is shown on every screen but its own, and not beside its call", () => {
  const stands = (rooms: readonly Room[], calls: readonly CallView[] = [], shown: AppointmentId | null = null) =>
    atDoors(client(rooms, calls), shown).map((door) => door.stands);
  assert.deepEqual(stands([ROOM]), ["waits"]);
  assert.deepEqual(stands([ROOM], [], APPOINTMENT), []);
  assert.deepEqual(stands([{ ...ROOM, place: null }]), []);
  assert.deepEqual(stands([{ ...ROOM, place: { ...PLACE, state: "declined" } }]), []);
  assert.deepEqual(stands([ROOM], [{ ...CALL, phase: "ringing_here", admits: true }]), ["called"]);
  assert.deepEqual(stands([ROOM], [{ ...CALL, phase: "waking", admits: true }]), ["waits"], "the server was not asked");
  assert.deepEqual(stands([ROOM], [{ ...CALL, phase: "connected", here: true }]), []);
  const isIn = { ...ROOM, place: { ...PLACE, state: "in_room" } } as const;
  assert.deepEqual(stands([isIn]), []);
  assert.deepEqual(stands([{ ...isIn, guest: { appointment: APPOINTMENT, startMs: 0, minutes: 50 } }]), ["writing"]);
  assert.deepEqual(waitingNames(client([ROOM])), []);
});
