/** Waiting rooms: places that are kept, what hosts do, words, join links, and what a false word of the server brings. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { parseRoomLink } from "../../src/crypto/room-links.ts";
import * as planning from "../../src/engine/appointments/appointments-planning.ts";
import { viewCalls } from "../../src/engine/calls/calls.ts";
import { compose } from "../../src/engine/composing.ts";
import { begin } from "../../src/engine/link/starting.ts";
import * as rooms from "../../src/engine/waiting-room/rooms.ts";
import * as hosting from "../../src/engine/waiting-room/rooms-hosting.ts";
import { roomOf } from "../../src/engine/waiting-room/rooms-shown.ts";
import { alertsDue, minutesWaited, type Place, type Room } from "../../src/meetings.ts";
import { LocalError, Rejected } from "../../src/protocol/errors.ts";
import {
  type AccountId,
  type AppointmentId,
  type ConversationId,
  idOf,
  type MessageId,
} from "../../src/protocol/ids.ts";
import type { RoomView } from "../../src/protocol/meeting.ts";
import { RING } from "../../src/protocol/signed.ts";
import { DECLINED_MS } from "../../src/rooms/person.ts";
import { KNOCK_EVERY_MS, TICKET_MS, UNHEARD_MS } from "../../src/rooms/states.ts";
import { callMoved } from "../../src/testing/server-rooms.ts";
import { type Device, faults, invite, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let pair: FakePair;
let dana: Device;
let kim: Device;
let conv: ConversationId;
/** Begins five minutes after a test does: its door is open. */
let hour: AppointmentId;

beforeEach(async () => {
  pair = await startPair();
  ({ dana, kim, conv } = pair);
  hour = await plan(5 * MINUTE);
});
afterEach(async () => {
  await pair.relay.close();
  assert.deepEqual(faults.splice(0), []);
});

async function plan(aheadMs: number): Promise<AppointmentId> {
  const asked = { startMs: pair.relay.clock.ms + aheadMs, minutes: 50, modality: "video", zone: "Europe/London" };
  const { ids } = dana.do((turn) => planning.plan(turn, conv, asked));
  await quiet(dana, kim);
  return ids[0] as AppointmentId;
}

/** So much time passes, a second at a time for the server too. */
async function pass(ms: number, ...devices: Device[]): Promise<void> {
  for (let left = ms; left > 0; left -= 1_000) {
    await later(Math.min(left, 1_000), ...devices);
    pair.relay.server.delivery.rooms();
    await quiet(...devices);
  }
}

function knock(device: Device, at = hour, asked: rooms.Knocking = {}): void {
  device.do((turn) => rooms.knock(turn, at, asked));
}

function room(device: Device, at = hour): Room {
  const found = device.do((turn) => roomOf(turn, at));
  assert.ok(found);
  return found;
}

function placeAt(at: AppointmentId): Place | null {
  return kim.do((turn) => roomOf(turn, at))?.place ?? null;
}

/** Who stands where, as the host sees it. */
function people(at = hour): Record<string, string> {
  const names = new Map([
    [kim.me.account, "Kim"],
    [dana.me.account, "Dana"],
  ]);
  return Object.fromEntries(room(dana, at).people.map(({ account, state }) => [names.get(account) ?? account, state]));
}

async function act(wish: hosting.HostWish, by = dana): Promise<void> {
  const body = by.do((turn) => hosting.actOf(turn, hour, wish));
  const view = await by.request("room.act", body, { path: { appointment: hour } });
  by.do((turn) => hosting.acted(turn, hour, wish, view));
  await quiet(dana, kim);
}

function fresh(): MessageId {
  return idOf(crypto.getRandomValues(new Uint8Array(16)));
}

/** Dana admits Kim, offers the call, and Kim's device accepts it. */
async function comeIn(): Promise<MessageId> {
  const call = fresh();
  await act({ act: "admit", account: kim.me.account, call });
  for (const phase of ["offered", "accepted"] as const) {
    callMoved(pair.relay.server.store, call, [dana.me.account, kim.me.account], phase);
  }
  await quiet(dana, kim);
  return call;
}

describe("a place", () => {
  it("is seen by the host, who is told when somebody comes", async () => {
    knock(kim, hour, { checks: 3, checking: true });
    await quiet(dana, kim);
    assert.deepEqual(people(), { Kim: "checking" });
    knock(kim, hour, { checks: 7 });
    await quiet(dana, kim);
    const [person] = room(dana).people;
    assert.deepEqual([person?.state, person?.checks, person?.expected], ["waiting", 7, true]);
    assert.ok(dana.told("roomChanged").length >= 2);
    assert.deepEqual([room(kim).place?.state, room(kim).people.length, room(kim).door], ["waiting", 1, "open_no_host"]);
    assert.equal(minutesWaited({ sinceMs: 1_000 }, 1_000), 1);
    assert.equal(minutesWaited({ sinceMs: 0 }, 60_001), 2);
    assert.deepEqual(
      [0, 59_999, 60_000, 180_000].map((ms) => alertsDue({ sinceMs: 0 }, ms)),
      [1, 1, 2, 3],
    );
  });

  it("is said again every ten seconds, also after a silence", async () => {
    knock(kim);
    await quiet(dana, kim);
    const { sinceMs } = room(kim).place ?? assert.fail();
    const before = kim.made.filter((name) => name === "room.knock").length;
    await pass(60_000, dana, kim);
    const said = kim.made.filter((name) => name === "room.knock").length - before;
    assert.ok(said >= 5 && said <= 7, `${said}`);
    kim.dropConnection();
    await pass(UNHEARD_MS, dana);
    assert.deepEqual(people(), { Kim: "disconnected" });
    await kim.connect();
    await quiet(dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
    assert.equal(room(kim).place?.sinceMs, sinceMs, "the place and its time were kept");
  });

  it("is said again within ten seconds, however often that failed", async () => {
    knock(kim);
    await quiet(dana, kim);
    const { request } = kim;
    kim.request = async (operation, ...rest) => {
      kim.made.push(operation);
      throw new Rejected(operation === "room.knock" ? "rate_limited" : "not_found", String(rest.length));
    };
    const before = kim.made.length;
    await pass(60_000, kim);
    const tried = kim.made.slice(before).filter((name) => name === "room.knock").length;
    assert.ok(tried >= 5, `${tried}`);
    kim.request = request;
    await pass(KNOCK_EVERY_MS, dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
  });

  it("outlives the process, for two minutes", async () => {
    knock(kim);
    await quiet(dana, kim);
    kim.restart();
    kim.do((turn) => begin(turn, ""));
    await kim.connect();
    await quiet(dana, kim);
    await pass(KNOCK_EVERY_MS, dana, kim);
    assert.deepEqual([room(kim).place?.state, people()], ["waiting", { Kim: "waiting" }]);
    kim.restart();
    await pass(TICKET_MS + UNHEARD_MS, dana);
    assert.deepEqual(people(), { Kim: "expired" });
    kim.do((turn) => begin(turn, ""));
    await kim.connect();
    await quiet(dana, kim);
    assert.deepEqual([room(kim).place, people()], [null, { Kim: "expired" }]);
  });

  it("is waited for anew when it was lost while the person was still there", async () => {
    knock(kim);
    await quiet(dana, kim);
    kim.dropConnection();
    await pass(TICKET_MS + UNHEARD_MS, dana);
    assert.deepEqual(people(), { Kim: "expired" });
    assert.ok(!kim.do((turn) => rooms.expectsCall(turn, hour, dana.me.account)), "a place of long ago lets nobody in");
    await kim.connect();
    await quiet(dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
  });

  it("is given up by its person", async () => {
    knock(kim);
    await quiet(dana, kim);
    kim.do((turn) => rooms.leave(turn, hour));
    await quiet(dana, kim);
    assert.deepEqual([people(), room(kim).place], [{ Kim: "gave_up" }, null]);
    const before = kim.made.length;
    await pass(30_000, kim);
    assert.ok(!kim.made.slice(before).includes("room.knock"));
  });

  it("waits for the door to open", async () => {
    const tomorrow = await plan(12 * MINUTE);
    knock(kim, tomorrow);
    await quiet(dana, kim);
    assert.deepEqual([room(kim, tomorrow).place?.state, room(kim, tomorrow).door], ["invited", "closed"]);
    await pass(2 * MINUTE + KNOCK_EVERY_MS, dana, kim);
    assert.deepEqual(people(tomorrow), { Kim: "waiting" });
  });

  it("ends with its appointment, and when that is cancelled", async () => {
    knock(kim);
    await quiet(dana, kim);
    await later(80 * MINUTE, kim);
    pair.relay.server.delivery.rooms();
    await later(KNOCK_EVERY_MS, kim);
    assert.equal(placeAt(hour), null);
    const next = await plan(5 * MINUTE);
    knock(kim, next);
    await quiet(dana, kim);
    dana.do((turn) => planning.cancel(turn, next, ""));
    await quiet(dana, kim);
    assert.equal(placeAt(next), null);
  });

  it("is one per person: knocking with another device moves it there", async () => {
    const phone = await link(kim, 9);
    await quiet(dana, kim, phone);
    knock(kim);
    await quiet(dana, kim, phone);
    knock(phone);
    await quiet(dana, kim, phone);
    assert.equal(room(dana).people.length, 1);
  });

  it("is for appointments that are known here", () => {
    const unknown = () => kim.do((turn) => hosting.requireRoom(turn, "ab".repeat(16) as AppointmentId));
    assert.throws(unknown, (problem) => problem instanceof LocalError && problem.code === "not_found");
  });
});

describe("a host", () => {
  it("enters, and is seen until they go", async () => {
    knock(kim);
    dana.do((turn) => rooms.enter(turn, hour));
    await quiet(dana, kim);
    assert.deepEqual([room(kim).door, room(dana).asHost], ["host_present", true]);
    await pass(40_000, dana, kim);
    assert.equal(room(kim).door, "host_present");
    dana.dropConnection();
    await dana.connect();
    await quiet(dana, kim);
    knock(kim, hour, { checks: 5 });
    await quiet(dana, kim);
    assert.equal(room(dana).people[0]?.checks, 5, "watched anew on the new connection");
    dana.do((turn) => rooms.leave(turn, hour));
    await quiet(dana, kim);
    assert.deepEqual([room(kim).door, room(dana).asHost, people()], ["open_no_host", false, { Kim: "waiting" }]);
  });

  it("admits by a call: only that lets a waiting device in", async () => {
    knock(kim);
    await quiet(dana, kim);
    const expects = (caller: AccountId) => kim.do((turn) => rooms.expectsCall(turn, hour, caller));
    assert.ok(expects(dana.me.account));
    assert.ok(!expects("ab".repeat(16) as AccountId));
    const call = await comeIn();
    assert.deepEqual([people(), room(kim).door, room(kim).place?.state], [{ Kim: "in_room" }, "in_session", "in_room"]);
    const before = kim.made.length;
    await pass(30_000, dana, kim);
    assert.ok(!kim.made.slice(before).includes("room.knock"), "who is in says nothing at the door");
    callMoved(pair.relay.server.store, call, [dana.me.account, kim.me.account], "ended");
    await quiet(dana, kim);
    assert.deepEqual([people(), room(kim).place], [{ Kim: "left" }, null]);
    assert.ok(!expects(dana.me.account));
  });

  it("and the call with which they are let in does not ring", async () => {
    knock(kim);
    await quiet(dana, kim);
    const offer = (appointment: AppointmentId | null) =>
      dana.do((turn) => {
        const content = { type: "call.offer", media: "audio", description: null, appointment } as const;
        return compose(turn, conv, content, { flags: RING, actUntilMs: turn.nowMs + 45_000 });
      });
    const call = offer(hour);
    await quiet(dana, kim);
    const [view] = kim.do(viewCalls).map((shown) => shown.view);
    assert.deepEqual([view?.id, view?.appointment, view?.admits], [call, hour, true]);
    assert.deepEqual(kim.told("callRinging"), []);
    assert.ok(kim.told("callChanged").some((event) => event.call === call));
  });

  it("falls back to waiting when no call follows", async () => {
    knock(kim);
    await quiet(dana, kim);
    await act({ act: "admit", account: kim.me.account, call: fresh() });
    assert.deepEqual(people(), { Kim: "admitting" });
    await pass(10_000, dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
  });

  it("sends back, with words, and the person waits again", async () => {
    knock(kim);
    await quiet(dana, kim);
    const call = await comeIn();
    await act({ act: "send_back", account: kim.me.account, words: "One moment, please." });
    assert.deepEqual([people(), room(kim).words?.words], [{ Kim: "waiting" }, "One moment, please."]);
    callMoved(pair.relay.server.store, call, [dana.me.account, kim.me.account], "ended");
    await pass(30_000, dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
    assert.ok(!JSON.stringify(kim.shown(conv)).includes("One moment"), "words at a door are no message");
  });

  it("declines with words; who is declined may knock again, who is removed may not", async () => {
    knock(kim);
    await quiet(dana, kim);
    await act({ act: "decline", account: kim.me.account, words: "Tomorrow at nine, please." });
    assert.deepEqual([people(), room(kim).place, room(kim).words?.act], [{ Kim: "declined" }, null, "decline"]);
    knock(kim);
    await pass(DECLINED_MS + KNOCK_EVERY_MS, dana, kim); // a knock that was under way counts for nothing
    assert.deepEqual([people(), room(kim).words], [{ Kim: "waiting" }, null]);
    await act({ act: "remove", account: kim.me.account });
    knock(kim);
    await quiet(dana, kim);
    assert.deepEqual([people(), room(kim).place], [{ Kim: "removed" }, null]);
  });

  it("locks the door to whoever is not there yet", async () => {
    await act({ act: "lock" });
    knock(kim);
    await quiet(dana, kim);
    assert.deepEqual([room(dana).people, room(kim).locked], [[], true]);
    await act({ act: "unlock" });
    await pass(KNOCK_EVERY_MS, dana, kim);
    assert.deepEqual(people(), { Kim: "waiting" });
  });

  it("of two devices never undoes the other's act", async () => {
    knock(kim);
    const tablet = await link(dana, 7);
    await quiet(dana, kim, tablet);
    const old = tablet.do((turn) => hosting.actOf(turn, hour, { act: "decline", account: kim.me.account }));
    await act({ act: "admit", account: kim.me.account, call: fresh() });
    await assert.rejects(
      tablet.request("room.act", old, { path: { appointment: hour } }),
      (problem) => problem instanceof Rejected && problem.code === "conflict",
    );
    assert.deepEqual(people(), { Kim: "admitting" });
  });

  it("is asked twice before somebody else is let in", async () => {
    const [text] = await invite(dana, null);
    const sam = dana.sibling(5);
    await sam.join(text, "Sam");
    await sam.connect();
    await quiet(dana, kim, sam);
    const { url, body } = dana.do((turn) => hosting.newRoomLink(turn, hour, ""));
    await dana.request("room.link", body, { path: { appointment: hour } });
    const { secret, link: id } = sam.do((turn) => hosting.readRoomLink(turn, url));
    const opened = await sam.request("room.use_link", { secret, passcode: "" }, { path: { link: id } });
    sam.do((turn) => rooms.led(turn, hour, { link: id, ...opened }));
    knock(sam);
    await quiet(dana, kim, sam);
    const [person] = room(dana).people;
    assert.deepEqual([person?.account, person?.expected], [sam.me.account, false]);
    const wish = { act: "admit", account: sam.me.account, call: fresh() } as const;
    assert.throws(
      () => dana.do((turn) => hosting.actOf(turn, hour, wish)),
      (problem) => problem instanceof LocalError && problem.code === "forbidden",
    );
    await act({ ...wish, sure: true });
    assert.equal(room(dana).people[0]?.state, "admitting");
    assert.ok(sam.do((turn) => rooms.expectsCall(turn, hour, dana.me.account)));
    assert.ok(!sam.do((turn) => rooms.expectsCall(turn, hour, kim.me.account)), "a client lets nobody in");
  });
});

describe("a join link", () => {
  it("says what it is for, and nothing of it reaches the server but its hash", () => {
    const { url, body } = dana.do((turn) => hosting.newRoomLink(turn, hour, "tulip"));
    const { secret, appointment, base } = parseRoomLink(url);
    assert.deepEqual([appointment, base, body.passcode], [hour, dana.me.base, "tulip"]);
    assert.notDeepEqual(body.secretHash, secret);
    for (const wrong of ["", "https://rapport.test/room#", url.replace("/room", "/i"), url.slice(0, -3), `${url}A`]) {
      assert.throws(() => kim.do((turn) => hosting.readRoomLink(turn, wrong)), LocalError, wrong);
    }
    const elsewhere = url.replace(dana.me.base, "https://other.test");
    assert.throws(
      () => kim.do((turn) => hosting.readRoomLink(turn, elsewhere)),
      (problem) => problem instanceof LocalError && problem.code === "forbidden",
    );
  });

  it("is made by hosts alone", () => {
    assert.throws(
      () => kim.do((turn) => hosting.newRoomLink(turn, hour, "")),
      (problem) => problem instanceof LocalError && problem.code === "forbidden",
    );
  });
});

describe("a server that lies", () => {
  /** The server pushes this of the room to Kim. */
  const push = (view: Partial<RoomView>) => {
    const held = room(kim);
    const { door, opensMs, locked, version } = held;
    const told = { appointment: hour, door, opensMs, locked, version: version + 1, people: [], ...view };
    kim.take({ tag: "room", room: told });
  };
  const own = (state: string) => ({
    account: kim.me.account,
    device: kim.me.device,
    state,
    sinceMs: 1,
    expected: true,
    checks: 0,
    call: fresh(),
  });

  it("about who was admitted lets nobody in", async () => {
    knock(kim);
    await quiet(dana, kim);
    push({ people: [own("in_room")], door: "in_session" });
    const calls = kim.told("roomChanged").length;
    assert.ok(calls > 0);
    assert.ok(!kim.events.some(({ type }) => (type as string).startsWith("call")), "no call, no coming in");
    const stranger = "ab".repeat(16) as AccountId;
    assert.ok(!kim.do((turn) => rooms.expectsCall(turn, hour, stranger)));
  });

  it("about who is expected is not believed", () => {
    const stranger = { ...own("waiting"), account: "ab".repeat(16) as AccountId };
    const version = (dana.do((turn) => roomOf(turn, hour))?.version ?? 0) + 1;
    const view = { appointment: hour, version, door: "open_no_host", opensMs: 0, locked: false, people: [stranger] };
    dana.take({ tag: "room", room: view });
    assert.equal(room(dana).people[0]?.expected, false);
    assert.throws(
      () => dana.do((turn) => hosting.actOf(turn, hour, { act: "admit", account: stranger.account, call: fresh() })),
      LocalError,
    );
  });

  it("with states and doors that nobody knows, or rooms of nobody's, does no harm", async () => {
    knock(kim);
    await quiet(dana, kim);
    push({ door: "ajar", people: [own("flying")] });
    assert.deepEqual([room(kim).door, room(kim).place?.state], ["closed", "invited"]);
    const strange = "cd".repeat(16) as AppointmentId;
    const view = { appointment: strange, version: 1, door: "closed", opensMs: 0, locked: false, people: [] };
    kim.take({ tag: "room", room: view });
    assert.equal(
      kim.do((turn) => roomOf(turn, strange)),
      null,
    );
  });

  it("takes no earlier word for a later one", async () => {
    knock(kim);
    await quiet(dana, kim);
    const before = room(kim);
    push({ version: before.version - 1, people: [own("removed")] });
    assert.deepEqual(room(kim), before);
  });

  it("and a client who speaks as a host is not heard", async () => {
    knock(kim);
    await quiet(dana, kim);
    kim.do((turn) => compose(turn, conv, { type: "room.words", appointment: hour, act: "remove", words: "go away" }));
    await quiet(dana, kim);
    assert.deepEqual([room(dana).words, room(kim).words], [null, null]);
  });
});

it("rooms of what begins soon are watched by themselves", async () => {
  const tonight = await plan(3 * HOUR);
  assert.equal(
    dana.do((turn) => roomOf(turn, tonight)),
    null,
  );
  await later(3 * HOUR - 14 * MINUTE, dana, kim);
  await quiet(dana, kim);
  assert.equal(room(dana, tonight).door, "closed");
  pair.relay.server.delivery.rooms();
  await pass(5 * MINUTE, dana, kim);
  assert.deepEqual([room(dana, tonight).door, room(kim, tonight).door], ["open_no_host", "open_no_host"]);
});
