/** Appointments and waiting rooms as a page has them: clients over a server in memory, with time in the hand. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import type { RapportClient } from "../src/client/client.ts";
import { type Appointment, makeHours } from "../src/index.ts";
import { fromUtf8 } from "../src/protocol/bytes.ts";
import type { AppointmentId, ConversationId } from "../src/protocol/ids.ts";
import { HandClock } from "../src/testing/hand-clock.ts";
import { type FakeServer, MemoryStorage, openClient, startFakeServer } from "../src/testing/index.ts";

const START_MS = Date.UTC(2030, 2, 18, 8);
const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const ROUNDS = 20_000;

describe("meetings, for a page", { timeout: 60_000 }, () => {
  const clock = new HandClock(START_MS);
  const storage = new MemoryStorage();
  let server: FakeServer;
  let dana: RapportClient;
  let kim: RapportClient;
  let conv: ConversationId;

  before(async () => {
    server = await startFakeServer({ clock });
    [dana, kim] = [await openClient(server), await openClient(server, storage)];
    await dana.join(server.ownerLink(), "Dana");
    await kim.join(await dana.invite(), "Kim");
    await until(() => dana.conversations().some(({ members }) => members.some(({ name }) => name === "Kim")));
    conv = dana.conversations()[0]?.id ?? assert.fail();
  });
  after(() => Promise.all([dana, kim].map((client) => client.close())));

  /** Lets things happen until it is so; little time passes, so that connections come back. */
  async function until(isSo: () => boolean): Promise<void> {
    for (let round = 0; !isSo(); round++) {
      assert.ok(round < ROUNDS, "in time");
      await new Promise(setImmediate);
      if (round % 100 === 99) {
        clock.forward(10);
      }
    }
  }

  /** So much time passes, a second at a time. */
  async function pass(ms: number): Promise<void> {
    for (const end = clock.ms + ms; clock.ms < end; ) {
      clock.forward(1_000);
      await new Promise(setImmediate);
    }
  }

  /** What takes a connection: things go on happening while it is waited for. */
  async function done<T>(work: Promise<T>): Promise<T> {
    const outcome = work.then(
      (value) => ({ value }),
      (problem: unknown) => ({ problem }),
    );
    let over: Awaited<typeof outcome> | null = null;
    void outcome.then((held) => {
      over = held;
    });
    await until(() => over !== null);
    const ended = await outcome;
    if ("problem" in ended) {
      throw ended.problem;
    }
    return ended.value;
  }

  const planned = async (startMs: number): Promise<Appointment> => {
    const plan = { startMs, minutes: 50, modality: "video", title: "An hour", zone: "Europe/London" } as const;
    const [made] = await done(dana.appointments.plan(conv, plan));
    assert.ok(made);
    await until(() => kim.appointments.of(made.id) !== null);
    return made;
  };

  it("plans, moves and cancels", async () => {
    const heard: AppointmentId[] = [];
    kim.on("appointmentChanged", ({ appointment }) => heard.push(appointment));
    const { id, startMs } = await planned(START_MS + 30 * HOUR_MS);
    assert.deepEqual(heard, [id]);
    assert.equal(kim.appointments.next(clock.ms)?.id, id);
    assert.deepEqual(
      kim.appointments.list(startMs, startMs + 1).map(({ title }) => title),
      ["An hour"],
    );
    assert.deepEqual(kim.appointments.list(0, startMs), []);
    const moved = await done(dana.appointments.move(id, startMs + HOUR_MS));
    assert.deepEqual([moved?.startMs, moved?.movedFromMs], [startMs + HOUR_MS, startMs]);
    await until(() => kim.appointments.of(id)?.version === 2);
    await done(dana.appointments.cancel(id, "Ill."));
    await until(() => kim.appointments.of(id)?.cancelled === true);
    assert.equal(kim.appointments.next(clock.ms), null);
    const history = await kim.conversation(conv).history();
    assert.deepEqual(
      history.map(({ appointment }) => appointment?.act),
      ["made", "moved", "cancelled"],
    );
    await assert.rejects(done(kim.appointments.cancel(id)), { code: "forbidden" });
    await assert.rejects(done(dana.appointments.move("ab".repeat(16) as AppointmentId, START_MS + HOUR_MS)), {
      code: "not_found",
    });
  });

  it("warns of other appointments and of closed hours", async () => {
    const weekly = [0, 1, 2, 3, 4].map((day) => ({ day, start: 9 * 60, end: 17 * 60 }));
    await done(dana.office.publish({ ...makeHours("Europe/London"), weekly }));
    await until(() => !dana.office.mine.pending);
    const { id, startMs } = await planned(Date.UTC(2030, 2, 20, 10));
    assert.deepEqual(
      dana.appointments.warnings(startMs + 30 * MINUTE_MS, 50).map(({ kind }) => kind),
      ["conflict"],
    );
    assert.deepEqual(dana.appointments.warnings(startMs + 30 * MINUTE_MS, 50, id), []);
    assert.deepEqual(
      dana.appointments.warnings(Date.UTC(2030, 2, 20, 20), 50).map(({ kind }) => kind),
      ["closed"],
    );
    assert.deepEqual(dana.appointments.warnings(startMs + 50 * MINUTE_MS, 50), []);
  });

  it("gives out calendars that say nothing", async () => {
    const { id } = await planned(clock.ms + 40 * HOUR_MS);
    const file = fromUtf8(await done(dana.appointments.calendar(id)));
    assert.match(file, /^BEGIN:VCALENDAR\r\n/);
    assert.ok(!file.includes("An hour") && !file.includes("Dana"));
    const [one, other] = [await done(dana.appointments.feed()), await done(dana.appointments.feed())];
    assert.ok(one.startsWith(server.origin) && one !== other);
    await done(dana.appointments.endFeed());
  });

  it("keeps a place over a reload, and lets the host see who waits", async () => {
    const { id } = await planned(clock.ms + 5 * MINUTE_MS);
    await done(kim.waitingRoom.knock(id, { checks: 7 }));
    await until(() => dana.waitingRoom.waiting().length === 1);
    const [waiting] = dana.waitingRoom.waiting();
    assert.deepEqual([waiting?.person.expected, waiting?.person.checks], [true, 7]);
    await kim.close();
    await pass(5_000);
    kim = await openClient(server, storage);
    await until(() => kim.waitingRoom.of(id)?.place?.state === "waiting");
    await pass(60_000);
    assert.deepEqual(
      dana.waitingRoom.waiting().map(({ person }) => person.sinceMs),
      [waiting?.person.sinceMs],
    );
    await done(dana.waitingRoom.enter(id));
    await until(() => kim.waitingRoom.of(id)?.door === "host_present");
    await done(dana.waitingRoom.decline(id, waiting?.person.account ?? assert.fail(), "In five minutes, please."));
    await until(() => kim.waitingRoom.of(id)?.words?.words === "In five minutes, please.");
    assert.deepEqual([kim.waitingRoom.of(id)?.place, dana.waitingRoom.waiting()], [null, []]);
    await assert.rejects(done(kim.waitingRoom.enter(id)), { code: "forbidden" });
    await assert.rejects(done(dana.waitingRoom.knock(id)), { code: "forbidden" });
    await assert.rejects(done(dana.waitingRoom.admit(id, waiting?.person.account ?? assert.fail())), {
      code: "conflict",
    });
    await done(dana.waitingRoom.leave(id));
  });

  it("lets in by a link, one device, and voids it after five wrong words", async () => {
    const { id, startMs, minutes } = await planned(clock.ms + 5 * MINUTE_MS);
    const kept = new MemoryStorage();
    let sam = await openClient(server, kept);
    await sam.join(await done(dana.invite()), "Sam");
    const url = await done(dana.waitingRoom.makeLink(id, "tulip"));
    await assert.rejects(done(sam.waitingRoom.useLink(url)), { code: "not_found" });
    assert.deepEqual(await done(sam.waitingRoom.useLink(url, "tulip")), { appointment: id, startMs, minutes });
    await assert.rejects(done(kim.waitingRoom.useLink(url, "tulip")), { code: "not_found" });
    await sam.close();
    sam = await openClient(server, kept); // a reload: the link is gone, what it has said is kept
    assert.deepEqual(sam.waitingRoom.of(id)?.guest, { appointment: id, startMs, minutes });
    assert.equal(dana.waitingRoom.of(id)?.guest, null);
    await done(sam.waitingRoom.knock(id));
    await until(() => dana.waitingRoom.waiting().some(({ person }) => !person.expected));
    const person = dana.waitingRoom.waiting()[0]?.person ?? assert.fail();
    await assert.rejects(done(dana.waitingRoom.admit(id, person.account)), { code: "forbidden" });
    const call = await done(dana.waitingRoom.admit(id, person.account, { sure: true }));
    assert.match(call, /^[0-9a-f]{32}$/);
    const other = await done(dana.waitingRoom.makeLink(id, "rose"));
    for (let round = 0; round < 5; round++) {
      await assert.rejects(done(sam.waitingRoom.useLink(other, `wrong ${round}`)), { code: "not_found" });
    }
    await assert.rejects(done(sam.waitingRoom.useLink(other, "rose")), { code: "not_found" });
    const third = await done(dana.waitingRoom.makeLink(id, ""));
    assert.deepEqual(await done(dana.waitingRoom.useLink(third)), { appointment: id, startMs, minutes }, "only a look");
    await assert.rejects(done(sam.waitingRoom.endLink(third)), { code: "forbidden" });
    await done(dana.waitingRoom.endLink(third));
    await assert.rejects(done(sam.waitingRoom.useLink(third)), { code: "not_found" });
    await assert.rejects(done(sam.waitingRoom.useLink("https://rapport.test/i/abc#AQ")), { code: "bad_format" });
    await sam.close();
  });

  it("takes the host's word on how it went", async () => {
    const { id } = await planned(clock.ms + 5 * MINUTE_MS);
    await assert.rejects(done(dana.appointments.setOutcome(id, "completed", 45)), { code: "bad_time" });
    await pass(6 * MINUTE_MS);
    await done(dana.appointments.setOutcome(id, "completed", 45));
    await until(() => kim.appointments.of(id)?.outcome === "completed");
    assert.equal(kim.appointments.of(id)?.minutesHeld, 45);
  });
});
