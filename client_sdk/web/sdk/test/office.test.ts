/** Office hours as a page has them: clients over a server in memory, with time in the hand. */

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";

import type { RapportClient } from "../src/client/client.ts";
import { makeHours, type OfficeHours } from "../src/office/hours.ts";
import { HoursRefused } from "../src/office/rules.ts";
import { LocalError, Rejected } from "../src/protocol/errors.ts";
import type { AccountId } from "../src/protocol/ids.ts";
import { HandClock } from "../src/testing/hand-clock.ts";
import { type FakeServer, openClient, startFakeServer } from "../src/testing/index.ts";
import { arrived, carried } from "../src/worker/carried.ts";

const HOUR_MS = 3_600_000;
/** Monday, 18 March 2030, 08:00 UTC: an hour before the office opens. */
const MORNING_MS = Date.UTC(2030, 2, 18, 8);
const HOURS = makeHours("Europe/London", {
  weekly: [0, 1, 2, 3, 4].map((day) => ({ day, start: 540, end: 1020 })),
  promise: { kind: "open_time", minutes: 60 },
});
const ROUNDS = 20_000;

describe("office hours of a client", { timeout: 60_000 }, () => {
  const clock = new HandClock(MORNING_MS);
  let server: FakeServer;
  let dana: RapportClient;
  let kim: RapportClient;
  let account: AccountId;

  before(async () => {
    server = await startFakeServer({ clock });
    [dana, kim] = [await openClient(server), await openClient(server)];
    account = await dana.join(server.ownerLink(), "Dana");
    await kim.join(await dana.invite(), "Kim");
    await until(() => dana.conversations()[0]?.members.length === 2);
  });
  after(() => Promise.all([dana.close(), kim.close()]));

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

  const statusOf = (client: RapportClient) => client.office.of(account, clock.ms).state?.status;
  const conversationOf = (client: RapportClient) => client.conversations()[0] ?? assert.fail();

  it("are not confirmed before they are published, and shown as soon as they are", async () => {
    assert.deepEqual(dana.office.mine, { hours: null, version: 0, validUntilMs: 0, pending: false });
    assert.equal(kim.office.of(account, clock.ms).confirmed, false);
    assert.equal(conversationOf(kim).promise(clock.ms), null);
    const twice: OfficeHours = { ...HOURS, weekly: [...HOURS.weekly, ...HOURS.weekly] };
    const repairs = await dana.office.publish(twice);
    assert.deepEqual(
      [...new Set(repairs.map(({ code }) => code))].sort(),
      ["merged", "sorted"].filter((code) => repairs.some((repair) => repair.code === code)),
    );
    assert.ok(repairs.length > 0);
    assert.deepEqual(dana.office.mine.hours, HOURS);
    await until(() => statusOf(kim) === "closed");
    const shown = kim.office.of(account, clock.ms);
    assert.deepEqual([shown.confirmed, shown.hours, shown.version], [true, HOURS, 1]);
    assert.equal(shown.state?.nextOpenMs, MORNING_MS + HOUR_MS);
    assert.deepEqual(kim.snapshot.officeSaid[account], { status: "closed", untilMs: MORNING_MS + HOUR_MS });
    assert.deepEqual(conversationOf(kim).promise(clock.ms), { dueMs: MORNING_MS + 2 * HOUR_MS, by: account });
    assert.deepEqual([conversationOf(dana).promise(clock.ms), conversationOf(dana).office], [null, null]);
    assert.deepEqual(dana.office.mine.pending, false);
    assert.deepEqual(structuredClone(kim.snapshot).offices[account]?.held?.hours, HOURS);
  });

  it("open and close by the server's word at their times", async () => {
    const heard: string[] = [];
    const note = () => heard.push(kim.snapshot.officeSaid[account]?.status ?? "nothing");
    kim.on("officeChanged", note);
    clock.forward(MORNING_MS + HOUR_MS - clock.ms);
    await until(() => heard.includes("open") && statusOf(kim) === "open");
    kim.off("officeChanged", note);
  });

  it("are stepped away from and come back to", async () => {
    await dana.office.stepAway(clock.ms + HOUR_MS);
    await until(() => statusOf(kim) === "away");
    await dana.office.comeBack();
    await until(() => statusOf(kim) === "open");
    await assert.rejects(dana.office.stepAway(clock.ms + 8 * 24 * HOUR_MS), HoursRefused);
    await assert.rejects(kim.office.stepAway(clock.ms + HOUR_MS), LocalError);
  });

  it("are without the server's word once the connection is gone, and stand as they were signed", async () => {
    await kim.network(false);
    await until(() => kim.state !== "connected");
    assert.deepEqual([kim.snapshot.officeSaid, statusOf(kim)], [{}, "open"]);
    await kim.network(true);
    await until(() => kim.snapshot.officeSaid[account]?.status === "open");
  });

  it("say who waits, until when, and how that went", async () => {
    const changes: string[] = [];
    dana.on("promiseChanged", ({ conversation }) => changes.push(conversation));
    const { id, promisedMs } = await conversationOf(kim).sendText("when?");
    await until(() => dana.waiting(clock.ms).length === 1);
    const [waiting] = dana.waiting(clock.ms);
    assert.deepEqual([waiting?.message, waiting?.dueMs, waiting?.missed], [id, promisedMs, false]);
    assert.equal(dana.waiting(promisedMs)[0]?.missed, true);
    assert.deepEqual(kim.waiting(clock.ms), []);
    await conversationOf(dana).extendPromise(promisedMs + HOUR_MS);
    await conversationOf(kim).askForSlot();
    await until(() => dana.waiting(clock.ms)[0]?.slotWanted === true);
    await until(() => kim.snapshot.views.some((view) => view.waiting?.extended === true));
    await conversationOf(dana).sendText("tomorrow at nine?");
    await until(() => dana.waiting(clock.ms).length === 0 && changes.length > 0);
    assert.deepEqual(await dana.kept(0, promisedMs * 2), { kept: 1, of: 1 });
    assert.deepEqual(conversationOf(kim).automaticAnswers(await conversationOf(kim).history(), clock.ms), []);
  });

  it("have a card beside them, and holidays to make dates of", async () => {
    const card = { about: "Psychotherapist", how: "", limits: "", country: "GB", lines: [] };
    await dana.office.setCard(card);
    await until(() => conversationOf(kim).card !== null);
    assert.deepEqual([conversationOf(kim).card, conversationOf(dana).card, dana.office.card], [card, card, card]);
    const { days, regions } = await dana.office.holidays("GB", "ENG", 2031);
    assert.deepEqual([days[1], regions.length], [{ date: "2031-12-25", name: "Christmas Day" }, 4]);
    await assert.rejects(dana.office.holidays("Narnia"), Rejected);
  });

  it("that are refused say why, on the page too", async () => {
    const [problem] = await Promise.allSettled([dana.office.publish(makeHours("Mars/Olympus"))]);
    assert.ok(problem.status === "rejected");
    const there = arrived(structuredClone(carried(problem.reason)));
    assert.ok(there instanceof HoursRefused);
    assert.deepEqual(there.problems, [{ code: "unknown_zone", where: "zone" }]);
  });
});
