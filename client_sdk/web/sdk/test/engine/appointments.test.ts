/** Appointments between a therapist and a client: planned, moved, cancelled, reminded, held against the server's rows. */

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";

import { Crash } from "../../src/adapters/vault-memory.ts";
import { viewAppointments } from "../../src/engine/appointments/appointments.ts";
import * as planning from "../../src/engine/appointments/appointments-planning.ts";
import { sayLate } from "../../src/engine/appointments/appointments-planning.ts";
import { takeReminder } from "../../src/engine/appointments/reminders.ts";
import { compose } from "../../src/engine/composing.ts";
import * as errands from "../../src/engine/vault/errands.ts";
import { type Appointment, ticketOf } from "../../src/meetings.ts";
import { concat } from "../../src/protocol/bytes.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import { type AppointmentId, type ConversationId, idBytes } from "../../src/protocol/ids.ts";
import type { AppointmentTimes } from "../../src/protocol/meeting.ts";
import { encodeReminder } from "../../src/protocol/reminders.ts";
import type { AppointmentRecord } from "../../src/testing/server-state.ts";
import { type Device, faults, later, quiet } from "./devices.ts";
import { type FakePair, startPair } from "./fake.ts";
import { link } from "./linked.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

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

function now(): number {
  return pair.relay.clock.nowMs();
}

/** A whole hour, so many hours from now at least. */
function inHours(hours: number): number {
  return Math.ceil(now() / HOUR) * HOUR + hours * HOUR;
}

async function plan(asked: Partial<planning.Plan> = {}): Promise<AppointmentId[]> {
  const whole = { startMs: inHours(48), minutes: 50, modality: "video", zone: "Europe/London", ...asked };
  const { ids } = dana.do((turn) => planning.plan(turn, conv, whole));
  await quiet(dana, kim);
  return ids;
}

async function planOne(asked: Partial<planning.Plan> = {}): Promise<AppointmentId> {
  const [id] = await plan(asked);
  assert.ok(id);
  return id;
}

function all(device: Device): Appointment[] {
  return Object.values(device.do(viewAppointments)).filter((one) => one !== null);
}

function one(device: Device, id: AppointmentId): Appointment {
  const found = device.do(viewAppointments)[id];
  assert.ok(found);
  return found;
}

function news(device: Device): (string | undefined)[] {
  return device
    .shown(conv)
    .filter(({ kind }) => kind === "appointment")
    .map(({ appointment }) => appointment?.act);
}

function held(id: AppointmentId): AppointmentRecord {
  const record = pair.relay.server.store.state.appointments.get(id);
  assert.ok(record);
  return record;
}

/** From now on the server says something else of the appointment than it was told. */
function lie(id: AppointmentId, times: Partial<AppointmentTimes>): void {
  const record = held(id);
  pair.relay.server.store.state.appointments.set(id, { ...record, times: { ...record.times, ...times } });
}

/** Both ask the server for what it has. */
async function askAgain(): Promise<void> {
  for (const device of [dana, kim]) {
    device.do(planning.askAll);
  }
  await quiet(dana, kim);
}

describe("planning", () => {
  it("is told to the other, sealed, with its words", async () => {
    const id = await planOne({ title: "First hour", note: "Bring the diary" });
    const seen = one(kim, id);
    assert.deepEqual(
      [seen.title, seen.note, seen.minutes, seen.modality, seen.host, seen.mine, seen.differs, seen.pending],
      ["First hour", "Bring the diary", 50, "video", dana.me.account, false, false, false],
    );
    assert.deepEqual(one(dana, id), { ...seen, mine: true });
    assert.deepEqual([...seen.members].sort(), [dana.me.account, kim.me.account].sort());
    assert.deepEqual(news(kim), ["made"]);
    assert.equal(kim.shown(conv).at(-1)?.text, "First hour");
    const [event] = kim.told("appointmentChanged");
    assert.deepEqual(event, { type: "appointmentChanged", conversation: conv, appointment: id });
    assert.ok(!JSON.stringify([...pair.relay.server.store.state.appointments.values()]).includes("First hour"));
  });

  it("is pending without a connection, and leaves when there is one", async () => {
    dana.dropConnection();
    const { ids } = dana.do((turn) =>
      planning.plan(turn, conv, { startMs: inHours(48), minutes: 30, modality: "phone", zone: "Europe/London" }),
    );
    await quiet(dana, kim);
    assert.deepEqual([one(dana, ids[0] as AppointmentId).pending, all(kim).length], [true, 0]);
    dana.restart();
    await dana.connect();
    await quiet(dana, kim);
    assert.deepEqual([one(dana, ids[0] as AppointmentId).pending, all(kim).length], [false, 1]);
  });

  it("keeps the wall time of its zone over a change of clocks", async () => {
    const startMs = Date.UTC(2030, 2, 20, 14);
    const ids = await plan({ startMs, weekly: 3 });
    const starts = ids.map((id) => one(kim, id).startMs);
    assert.deepEqual(starts, [startMs, startMs + 7 * DAY, startMs + 14 * DAY - HOUR]);
    const [series] = ids.map((id) => one(kim, id).series);
    assert.ok(series);
    assert.ok(ids.every((id) => one(kim, id).series === series));
    assert.deepEqual(news(kim), ["made"]);
    assert.equal(kim.shown(conv).at(-1)?.appointment?.count, 3);
  });

  it("refuses what can be no appointment", () => {
    const whole = { startMs: inHours(48), minutes: 50, modality: "video", zone: "Europe/London" };
    const wrong: [Partial<planning.Plan>, string][] = [
      [{ startMs: now() }, "bad_time"],
      [{ minutes: 0 }, "bad_format"],
      [{ minutes: 10_000 }, "bad_format"],
      [{ minutes: 20.5 }, "bad_format"],
      [{ weekly: 53 }, "bad_format"],
      [{ zone: "Mars/Olympus", weekly: 2 }, "bad_format"],
      [{ title: "x".repeat(201) }, "too_large"],
      [{ note: "ä".repeat(1001) }, "too_large"],
    ];
    for (const [asked, code] of wrong) {
      const work = () => dana.do((turn) => planning.plan(turn, conv, { ...whole, ...asked }));
      assert.throws(work, (problem) => problem instanceof LocalError && problem.code === code, code);
    }
    const byClient = () => kim.do((turn) => planning.plan(turn, conv, whole));
    assert.throws(byClient, (problem) => problem instanceof LocalError && problem.code === "forbidden");
    assert.deepEqual([all(dana), all(kim)], [[], []]);
  });

  it("is said once, wherever the host's device crashes", async () => {
    for (let nth = 0; nth < 8; nth++) {
      for (const point of ["before_commit", "after_commit"] as const) {
        const before = all(kim).length;
        dana.crashAfterCommits(nth, point);
        const crashed = await planned(inHours(72 + 2 * nth) + (point === "after_commit" ? HOUR : 0));
        const made = all(kim).length - before;
        assert.ok(made === 1 || (made === 0 && crashed), `${nth} ${point}: ${made}`);
      }
    }
    assert.deepEqual(
      all(kim),
      all(dana).map((each) => ({ ...each, mine: false })),
    );
    assert.equal(news(kim).length, all(kim).length);
    assert.equal(pair.relay.server.store.state.appointments.size, all(kim).length);
  });
});

/** Plans one and lets everything come to rest, over a crash of the host's device. True if there was one. */
async function planned(startMs: number): Promise<boolean> {
  try {
    await plan({ startMs });
    dana.turn(); // a crash that is still to come comes now, or never
    return false;
  } catch (problem) {
    if (!(problem instanceof Crash)) {
      throw problem;
    }
    dana.restart();
    await dana.connect();
    await quiet(dana, kim);
    return true;
  }
}

describe("a change", () => {
  it("keeps the old time of what is moved, and leaves the series alone", async () => {
    const ids = await plan({ weekly: 2 });
    const [id, other] = ids as [AppointmentId, AppointmentId];
    const [before, untouched] = [one(kim, id), one(kim, other)];
    dana.do((turn) => planning.move(turn, id, before.startMs + HOUR, 30));
    await quiet(dana, kim);
    const after = one(kim, id);
    assert.deepEqual(
      [after.startMs, after.movedFromMs, after.minutes, after.version, after.differs, after.title],
      [before.startMs + HOUR, before.startMs, 30, 2, false, before.title],
    );
    assert.deepEqual(one(kim, other), untouched);
    assert.deepEqual(news(kim), ["made", "moved"]);
  });

  it("cancels for both, with words, and nothing more can be changed", async () => {
    const id = await planOne();
    dana.do((turn) => planning.cancel(turn, id, "I am ill, sorry."));
    await quiet(dana, kim);
    assert.deepEqual([one(kim, id).cancelled, one(kim, id).note], [true, "I am ill, sorry."]);
    assert.deepEqual(news(kim), ["made", "cancelled"]);
    const again = () => dana.do((turn) => planning.move(turn, id, inHours(50), null));
    assert.throws(again, (problem) => problem instanceof LocalError && problem.code === "conflict");
    const byClient = () => kim.do((turn) => planning.cancel(turn, id, ""));
    assert.throws(byClient, (problem) => problem instanceof LocalError && problem.code === "forbidden");
  });

  it("of two devices at once is made by one of them; the other is told", async () => {
    const id = await planOne();
    const tablet = await link(dana, 7);
    await quiet(dana, kim, tablet);
    assert.equal(one(tablet, id).startMs, one(dana, id).startMs);
    const [here, there] = [one(dana, id).startMs + HOUR, one(dana, id).startMs + 2 * HOUR];
    dana.do((turn) => planning.move(turn, id, here, null));
    const put = tablet.do((turn) => planning.move(turn, id, there, null));
    await quiet(dana, tablet, kim);
    const won = held(id).times.startMs;
    assert.ok([here, there].includes(won));
    for (const device of [dana, tablet, kim]) {
      assert.deepEqual([one(device, id).startMs, one(device, id).version, one(device, id).pending], [won, 2, false]);
    }
    assert.deepEqual(
      tablet.do((turn) => errands.planned(turn, "appointment_put", put)),
      false,
    );
    assert.deepEqual(news(kim), ["made", "moved"]);
    const refused = [...dana.told("appointmentRefused"), ...tablet.told("appointmentRefused")];
    assert.deepEqual(refused, [{ type: "appointmentRefused", conversation: conv, appointment: id, code: "conflict" }]);
  });

  it("says how late it is with the newest word of any device of the host", async () => {
    const id = await planOne();
    const tablet = await link(dana, 7);
    await quiet(dana, kim, tablet);
    dana.do((turn) => sayLate(turn, id, 15, ""));
    await quiet(dana, kim, tablet);
    tablet.do((turn) => sayLate(turn, id, 20, ""));
    await quiet(dana, kim, tablet);
    const minutes = [dana, tablet, kim].map((device) => one(device, id).lateMinutes);
    assert.deepEqual(minutes, [20, 20, 20]);
  });

  it("says that it begins later, and on time after all", async () => {
    const id = await planOne();
    dana.do((turn) => sayLate(turn, id, 15, "The bus stands still."));
    await quiet(dana, kim);
    assert.deepEqual([one(kim, id).lateMinutes, one(kim, id).lateWords], [15, "The bus stands still."]);
    kim.do((turn) => compose(turn, conv, { type: "appointment.late", appointment: id, minutes: 90, words: "me" }));
    await quiet(dana, kim);
    assert.deepEqual(
      [one(dana, id).lateMinutes, one(kim, id).lateMinutes],
      [15, 15],
      "a client's word counts for nothing",
    );
    dana.do((turn) => sayLate(turn, id, 0, ""));
    await quiet(dana, kim);
    assert.deepEqual([one(kim, id).lateMinutes, one(kim, id).lateWords, one(dana, id).lateMinutes], [0, "", 0]);
  });

  it("is not late any more once it was moved, or cancelled", async () => {
    const id = await planOne();
    const late = () => [dana, kim].map((device) => one(device, id).lateMinutes);
    dana.do((turn) => sayLate(turn, id, 15, ""));
    await quiet(dana, kim);
    assert.deepEqual(late(), [15, 15]);
    dana.do((turn) => planning.move(turn, id, inHours(50), null));
    await quiet(dana, kim);
    assert.deepEqual(late(), [0, 0]);
    dana.do((turn) => sayLate(turn, id, 20, ""));
    await quiet(dana, kim);
    assert.deepEqual(late(), [20, 20]);
    dana.do((turn) => planning.cancel(turn, id, ""));
    await quiet(dana, kim);
    assert.deepEqual(late(), [0, 0]);
  });
});

describe("reminders", () => {
  const remind = async (...devices: Device[]) => {
    pair.relay.server.delivery.rooms();
    await quiet(...devices);
  };

  it("tell both sides who can be reached", async () => {
    const id = await planOne({ startMs: inHours(30) });
    kim.dropConnection();
    await later(inHours(6) - now() + 1, dana);
    await remind(dana);
    const [reminder] = dana.told("appointmentReminder");
    assert.deepEqual([reminder?.minutes, reminder?.appointment], [1440, id]);
    assert.deepEqual(one(dana, id).reached, [dana.me.account]);
    await kim.connect();
    await remind(kim, dana);
    assert.equal(kim.told("appointmentReminder").length, 1);
    assert.deepEqual([...one(dana, id).reached].sort(), [dana.me.account, kim.me.account].sort());
  });

  it("that come late say nothing: after the start, or when the next one is due", async () => {
    const startMs = inHours(30);
    const id = await planOne({ startMs });
    const told = (minutes: number) => {
      const about = encodeReminder({ appointment: id, minutes, startMs });
      kim.do((turn) => takeReminder(turn, about));
      return kim.told("appointmentReminder").map((each) => each.minutes);
    };
    pair.relay.clock.ms += startMs - 9 * MINUTE - now();
    assert.deepEqual(told(1_440), []);
    await quiet(kim);
    assert.equal(kim.made.filter((name) => name === "appointment.reached").length, 1, "it has come nevertheless");
    assert.deepEqual(told(10), [10]);
    pair.relay.clock.ms += 9 * MINUTE;
    assert.deepEqual(told(10), [10]);
  });

  it("are not shown when they name another start than the sealed one", async () => {
    const id = await planOne({ startMs: inHours(30) });
    lie(id, { startMs: inHours(25) });
    await later(2 * HOUR, dana, kim);
    await remind(dana, kim);
    assert.deepEqual([dana.told("appointmentReminder"), kim.told("appointmentReminder")], [[], []]);
    assert.ok(!kim.made.includes("appointment.reached"));
  });
});

describe("the server's rows", () => {
  const lies: [string, () => Partial<AppointmentTimes>][] = [
    ["another start", () => ({ startMs: inHours(60) })],
    ["another length", () => ({ minutes: 20 })],
    ["another way to meet", () => ({ modality: "in_person" })],
    ["a cancellation", () => ({ cancelled: true })],
    ["somebody else on it", () => ({ members: concat(idBytes(dana.me.account), idBytes("ab".repeat(16))) })],
    ["fewer people on it", () => ({ members: idBytes(dana.me.account) })],
  ];
  for (const [what, times] of lies) {
    it(`that say ${what} are said to differ, and change nothing that is shown`, async () => {
      const id = await planOne();
      const before = one(kim, id);
      lie(id, { ...times(), members: times().members ?? held(id).times.members });
      pair.relay.server.store.state.appointments.get(id)?.reached.clear();
      await askAgain();
      if (what === "fewer people on it" || what === "somebody else on it") {
        assert.equal(one(dana, id).differs, true, "the host still sees the row");
        return; // the server does not show it to who is not on it: see below
      }
      assert.deepEqual(one(kim, id), { ...before, differs: true });
    });
  }

  it("that are missing, or of another version, count as differing after a minute", async () => {
    const id = await planOne();
    const record = held(id);
    pair.relay.server.store.state.appointments.delete(id);
    await askAgain();
    assert.equal(one(kim, id).differs, false);
    await later(MINUTE + 1, dana, kim);
    assert.equal(one(kim, id).differs, true);
    assert.ok(kim.told("appointmentChanged").length >= 2);
    pair.relay.server.store.state.appointments.set(id, record);
    await askAgain();
    assert.equal(one(kim, id).differs, false);
    lie(id, { version: 5 });
    await askAgain();
    await later(MINUTE + 1, dana, kim);
    assert.equal(one(kim, id).differs, true);
  });

  it("that a restored server lacks are put again by their host, and nobody is told", async () => {
    const backup = pair.relay.server.backup();
    const id = await planOne();
    dana.do((turn) => planning.move(turn, id, inHours(60), null));
    await quiet(dana, kim);
    const before = one(kim, id);
    const said = news(kim).length;
    pair.relay.server.restore(backup);
    for (const device of [dana, kim]) {
      device.dropConnection();
      await device.connect();
    }
    await later(MINUTE * 2, dana, kim);
    assert.deepEqual([held(id).times.version, held(id).times.startMs], [2, before.startMs]);
    await askAgain();
    assert.deepEqual([one(kim, id), news(kim).length], [before, said]);
  });

  it("without a sealed post are shown to nobody", async () => {
    const id = await planOne();
    const { times } = held(id);
    const invented = "cd".repeat(16) as AppointmentId;
    const state = pair.relay.server.store.state;
    state.appointments.set(invented, { ...held(id), times: { ...times, appointment: invented } });
    await askAgain();
    assert.deepEqual([all(kim).length, all(dana).length], [1, 1]);
  });

  it("are asked for page by page", async () => {
    const ids: AppointmentId[] = [];
    for (let round = 0; round < 5; round++) {
      ids.push(...(await plan({ startMs: inHours(48 + round), weekly: 52 })));
    }
    dana.dropConnection();
    const before = dana.made.length;
    await dana.connect();
    await quiet(dana, kim);
    const pages = dana.made.slice(before).filter((name) => name === "appointment.list").length;
    assert.deepEqual([all(dana).length, pages], [260, 2]);
    assert.ok(all(dana).every(({ differs }) => !differs));
    await later(MINUTE + 1, dana);
    assert.ok(all(dana).every(({ differs }) => !differs));
  });
});

describe("posts about appointments", () => {
  const content = (appointment: AppointmentId, start: number, version: number) =>
    ({
      type: "appointment",
      occurrences: [{ appointment, start }],
      version,
      minutes: 50,
      modality: "video",
      zone: "Europe/London",
      title: "mine now",
      note: "",
      series: null,
      moved_from: 0,
      cancelled: false,
    }) as const;

  it("count from therapists alone", async () => {
    const id = await planOne();
    const before = one(dana, id);
    kim.do((turn) => compose(turn, conv, content(id, inHours(100), 9)));
    kim.do((turn) => compose(turn, conv, content("ee".repeat(16) as AppointmentId, inHours(100), 1)));
    await quiet(dana, kim);
    assert.deepEqual([one(dana, id), all(dana).length, all(kim).length], [before, 1, 1]);
    assert.deepEqual(news(dana), ["made"]);
  });

  it("count by version, in whatever order they come", async () => {
    const id = await planOne();
    const start = one(dana, id).startMs;
    dana.do((turn) => compose(turn, conv, content(id, start + 3 * HOUR, 3)));
    dana.do((turn) => compose(turn, conv, content(id, start + 2 * HOUR, 2)));
    await quiet(dana, kim);
    assert.deepEqual([one(kim, id).version, one(kim, id).startMs], [3, start + 3 * HOUR]);
  });

  it("come to the same on a device that is linked later", async () => {
    const ids = await plan({ weekly: 2, title: "Weekly" });
    dana.do((turn) => planning.move(turn, ids[0] as AppointmentId, inHours(70), null));
    await quiet(dana, kim);
    const phone = await link(kim, 8);
    await quiet(dana, kim, phone);
    assert.deepEqual(all(phone), all(kim));
  });
});

describe("the ticket", () => {
  it("says what to do now", async () => {
    const id = await planOne();
    const appointment = one(kim, id);
    const { startMs, endMs } = appointment;
    const primary = (atMs: number, call: { appointment: string; phase: string } | null = null) =>
      ticketOf(appointment, null, call, atMs).primary;
    assert.equal(primary(startMs - DAY), "test");
    assert.equal(primary(startMs - 10 * MINUTE - 1), "test");
    assert.equal(primary(startMs - 10 * MINUTE), "wait");
    assert.equal(primary(startMs, { appointment: id, phase: "connected" }), "return");
    assert.equal(primary(startMs, { appointment: id, phase: "ended" }), "wait");
    assert.equal(primary(endMs), "none");
    assert.equal(ticketOf({ ...appointment, lateMinutes: 10 }, null, null, endMs).primary, "wait");
    assert.equal(ticketOf({ ...appointment, cancelled: true }, null, null, startMs).primary, "none");
    assert.equal(ticketOf({ ...appointment, modality: "phone" }, null, null, startMs).primary, "none");
    assert.equal(ticketOf(appointment, null, null, startMs - 61_000).startsInMinutes, 2);
  });
});
