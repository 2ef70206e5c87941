/** The sentences about offices, promises and urgent messages, word for word, in the zone of the reader. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CLOSED, HOURS } from "../gallery/hours.ts";
import { NOW_MS } from "../gallery/people.ts";
import {
  changesOf,
  clashes,
  entriesOf,
  fieldOf,
  leaveProblem,
  minutesOf,
  previewMoments,
  windowOf,
  withDates,
  withLeave,
  withoutEntry,
  withWindow,
} from "../src/hours-draft.ts";
import {
  composerWords,
  dueWords,
  hoursWords,
  leftWords,
  policyWords,
  promiseLine,
  type Speech,
  stateLine,
  theirTimes,
  urgentWords,
  withoutPromise,
} from "../src/office-words.ts";
import { textsFor } from "../src/texts/texts.ts";
import { timesFor } from "../src/times.ts";
import type { OfficeHours, OfficeView, UrgencyView } from "../src/views.ts";

Object.defineProperty(navigator, "languages", { value: ["en-GB"] });

/** A reader of British English in a zone; spaces that do not break are written as spaces. */
function reader(zone: string, nowMs = NOW_MS): Speech {
  return { texts: textsFor("en"), times: timesFor("en-GB", nowMs, zone) };
}

const plain = (words: string) => words.replaceAll("\u00a0", " ");
const LONDON = reader("Europe/London");
const MONDAY_9 = Date.UTC(2026, 10, 16, 9);
const TUESDAY_15 = Date.UTC(2026, 10, 17, 15);
const AT_17 = Date.UTC(2026, 10, 15, 23);

describe("an office in words", () => {
  const table: readonly (readonly [Partial<OfficeView>, string, string])[] = [
    [{}, "Closed — opens Mon 09:00", "Closed now. Dana will answer by Tue 15:00"],
    [
      { status: "open", untilMs: Date.UTC(2026, 10, 15, 22, 30), promise: { name: "Dana Okafor", dueMs: AT_17 } },
      "Open until 22:30",
      "Open now. Dana will answer today by 23:00",
    ],
    [
      { status: "in_session", untilMs: Date.UTC(2026, 10, 15, 22), promise: { name: "Dana Okafor", dueMs: AT_17 } },
      "In an appointment until 22:00",
      "In an appointment now. Dana will answer by 23:00",
    ],
    [
      { status: "away", untilMs: Date.UTC(2026, 10, 15, 22) },
      "Away until 22:00",
      "Away now. Dana will answer by Tue 15:00",
    ],
    [
      {
        status: "on_leave",
        untilMs: Date.UTC(2027, 0, 4),
        promise: { name: "Ines Brandt", dueMs: Date.UTC(2026, 10, 18, 15), cover: true },
      },
      "On leave until 4 January 2027",
      "On leave now. A message to Ines will be answered by Wed 15:00",
    ],
    [
      { status: "on_leave", untilMs: null, promise: null },
      "On leave",
      "On leave now. Dana promises no time for an answer.",
    ],
    [{ nextOpenMs: null, promise: null }, "Closed", "Closed now. Dana promises no time for an answer."],
    [
      { nextOpenMs: Date.UTC(2026, 10, 30, 9) },
      "Closed — opens Mon 30 November, 09:00",
      "Closed now. Dana will answer by Tue 15:00",
    ],
    [{ status: null, promise: null }, "Hours not confirmed", "Hours not confirmed."],
    [{ status: null, promise: null, hours: null, held: false }, "Hours not loaded", "Hours not loaded."],
  ];
  for (const [change, state, composer] of table) {
    it(`${state} / ${composer}`, () => {
      const office = { ...CLOSED, ...change };
      assert.equal(plain(stateLine(office, LONDON)), state);
      const { now, lead, by } = composerWords(office, LONDON);
      assert.equal(plain([now, lead, by].filter(Boolean).join(" ")), composer);
    });
  }

  it("promises nothing where hours are not confirmed, and says why", () => {
    assert.match(withoutPromise({ ...CLOSED, status: null, promise: null }, LONDON), /could not be checked/u);
    assert.match(withoutPromise({ ...CLOSED, status: null, held: false, promise: null }, LONDON), /no hours here yet/u);
  });

  it("says the therapist's times too where the clocks differ, and only there", () => {
    assert.equal(theirTimes(CLOSED, LONDON), "");
    const berlin = reader("Europe/Berlin");
    assert.equal(plain(stateLine(CLOSED, berlin)), "Closed — opens Mon 10:00");
    assert.equal(
      plain(promiseLine({ name: "Dana Okafor", dueMs: TUESDAY_15 }, false, berlin)),
      "Dana will answer by Tue 16:00",
    );
    assert.equal(plain(theirTimes(CLOSED, berlin)), "In London: opens Mon 09:00, answer by Tue 15:00");
    const samoa = reader("Pacific/Apia");
    assert.equal(plain(stateLine(CLOSED, samoa)), "Closed — opens 22:00", "it is Monday there already");
    assert.equal(plain(theirTimes({ ...CLOSED, hours: { ...HOURS, zone: "No/Where" } }, samoa)), "", "an unknown zone");
  });
});

describe("a week in words", () => {
  const week = (...windows: readonly (readonly [number, number, number])[]): OfficeHours => ({
    ...HOURS,
    weekly: windows.map(([day, start, end]) => ({ day, start, end })),
  });
  for (const [hours, words] of [
    [HOURS, "Mon to Thu, 09:00–17:00, London time"],
    [
      week([0, 540, 720], [0, 780, 1020], [1, 540, 720], [1, 780, 1020], [2, 720, 1140], [3, 540, 720], [3, 780, 1020]),
      "Mon, Tue, Thu 09:00–12:00, 13:00–17:00. Wed 12:00–19:00, London time",
    ],
    [week([4, 1320, 1560]), "Fri 22:00–02:00, London time"],
    [week(), "No weekly hours, London time"],
  ] as const) {
    it(words, () => assert.equal(plain(hoursWords(hours, LONDON)), words));
  }

  it("says what is promised in general", () => {
    const said = (promise: OfficeHours["promise"]) => plain(policyWords(promise, "Dana Okafor", LONDON));
    assert.equal(said(HOURS.promise), "Dana answers by 15:00 on the next open day.");
    assert.equal(said({ kind: "open_time", minutes: 480 }), "Dana answers within 8 hours of open office.");
    assert.equal(said({ kind: "open_time", minutes: 60 }), "Dana answers within 1 hour of open office.");
    assert.equal(said(null), "");
  });
});

describe("who waits", () => {
  const nowMs = Date.UTC(2026, 10, 17, 10, 56);
  const tuesday = reader("Europe/London", nowMs);
  for (const [dueMs, missed, words, left] of [
    [Date.UTC(2026, 10, 16, 17), true, "Was due Mon 17:00", "Late"],
    [Date.UTC(2026, 10, 17, 15), false, "By 15:00 today", "4 h"],
    [Date.UTC(2026, 10, 17, 11, 16), false, "By 11:16 today", "20 min"],
    [Date.UTC(2026, 10, 18, 15), false, "By Wed 15:00", "1 d"],
    [null, false, "No time promised", ""],
  ] as const) {
    it(words, () => {
      assert.equal(plain(dueWords({ dueMs, missed }, tuesday)), words);
      assert.equal(leftWords({ dueMs, missed }, nowMs, tuesday), left);
    });
  }
});

it("writes a time that no calendar has, since others may name it", () => {
  const { times } = LONDON;
  for (const write of [times.by, times.time, times.date, times.day, times.short, times.moment]) {
    assert.equal(write(Number.MAX_SAFE_INTEGER), write(Date.UTC(9999, 0, 1)));
  }
  assert.equal(times.isToday(Number.MAX_SAFE_INTEGER), false);
});

describe("an urgent message", () => {
  it("of another day says so", () => {
    const { marked, rest } = urgentWords(
      { ...told, rung: "ended", nextMs: 0 },
      reader("Europe/London", at(21, 50) + 2 * 86_400_000),
    );
    assert.equal(plain(marked), "Marked urgent at Sun 21:50.");
    assert.equal(plain(rest), "Nothing more is tried since Sun 21:50. Nobody has seen it yet.");
  });

  const at = (hour: number, minute: number) => Date.UTC(2026, 10, 15, hour, minute);
  const told: UrgencyView = {
    name: "Dana Okafor",
    cover: "Ines Brandt",
    markedMs: at(21, 50),
    rung: "told",
    atMs: at(21, 50),
    nextMs: at(21, 55),
    silent: false,
    seen: null,
  };
  const table: readonly (readonly [Partial<UrgencyView>, string])[] = [
    [{ rung: "queued", nextMs: 0 }, "It has not left this device yet and goes out by itself. Nobody has seen it yet."],
    [
      { rung: "stored" },
      "The server has it. None of Dana’s devices has taken it yet. Dana’s devices are told again at 21:55. Nobody has seen it yet.",
    ],
    [
      {},
      "Dana’s device was told at 21:50 and has not answered. Dana’s devices are told again at 21:55. Nobody has seen it yet.",
    ],
    [
      { rung: "asked_again", atMs: at(21, 55), nextMs: at(22, 5) },
      "Dana’s devices were told again at 21:55 and have not answered. Ines Brandt is asked at 22:05. Nobody has seen it yet.",
    ],
    [
      { rung: "asked_again", atMs: at(21, 55), nextMs: at(22, 5), cover: "" },
      "Dana’s devices were told again at 21:55 and have not answered. There is no colleague who could be asked next. Nobody has seen it yet.",
    ],
    [
      { rung: "cover_asked", atMs: at(22, 5), nextMs: at(22, 20) },
      "Ines Brandt was asked at 22:05 and has not answered. The server waits for a confirmation until 22:20. Nobody has seen it yet.",
    ],
    [
      { rung: "no_cover", cover: "", atMs: at(22, 5), nextMs: at(22, 20) },
      "There is no colleague who could be asked. The server waits for a confirmation until 22:20. Nobody has seen it yet.",
    ],
    [{ rung: "ended", atMs: at(22, 20), nextMs: 0 }, "Nothing more is tried since 22:20. Nobody has seen it yet."],
    [
      { rung: "confirmed", nextMs: 0 },
      "The server says that it was confirmed, but no confirmation of a person is here. Nobody has seen it yet.",
    ],
    [
      { silent: true },
      "Dana’s device was told at 21:50 and has not answered. The server does not report any more, so it is not known who was told. Nobody has seen it yet.",
    ],
    [{ rung: "stored", seen: { name: "Ines Brandt", atMs: at(21, 58) } }, "Seen by Ines Brandt at 21:58."],
  ];
  for (const [change, words] of table) {
    it(words, () => {
      const { marked, rest } = urgentWords({ ...told, ...change }, LONDON);
      assert.equal(marked, "Marked urgent at 21:50.");
      assert.equal(rest, words);
    });
  }

  it("says seen on a person's sealed word alone, whatever the server says", () => {
    for (const rung of [
      "queued",
      "stored",
      "told",
      "asked_again",
      "cover_asked",
      "no_cover",
      "ended",
      "confirmed",
    ] as const) {
      for (const silent of [false, true]) {
        const { rest } = urgentWords({ ...told, rung, silent }, LONDON);
        assert.ok(rest.endsWith("Nobody has seen it yet.") && !rest.includes("Seen by"), rest);
      }
    }
  });
});

describe("the editor's draft", () => {
  it("reads times of the clock, and takes an earlier end for the next day", () => {
    assert.deepEqual(["09:30", "00:00", "", "9:3"].map(minutesOf), [570, 0, null, null]);
    assert.deepEqual([fieldOf(570), fieldOf(1_560)], ["09:30", "02:00"]);
    assert.deepEqual(windowOf(1_320, 120), { start: 1_320, end: 1_560 });
    assert.equal(windowOf(60, 60), null);
  });

  it("keeps a week in order and sees what overlaps or touches, over midnight and from Sunday into Monday", () => {
    const friday = withWindow(HOURS, 4, null, { start: 1_320, end: 1_560 });
    assert.deepEqual(friday.weekly.at(-1), { day: 4, start: 1_320, end: 1_560 });
    assert.equal(clashes(friday, 5, null, { start: 60, end: 180 }), true);
    assert.equal(clashes(friday, 5, null, { start: 120, end: 180 }), true, "it touches");
    assert.equal(clashes(friday, 5, null, { start: 121, end: 180 }), false);
    assert.equal(clashes(HOURS, 6, null, { start: 1_380, end: 1_980 }), true, "Sunday night into Monday");
    assert.equal(clashes(HOURS, 0, { start: 540, end: 1_020 }, { start: 600, end: 1_100 }), false, "in its own place");
    assert.deepEqual(withWindow(friday, 4, { start: 1_320, end: 1_560 }, null), HOURS);
  });

  it("keeps dates and leaves in order, and says why a leave cannot be", () => {
    const leave = { first: "2026-12-21", last: "2027-01-03", cover: null };
    const dated = withLeave(
      withDates(HOURS, [
        { date: "2026-12-24", windows: [] },
        { date: "2026-11-26", windows: [] },
      ]),
      leave,
    );
    assert.deepEqual(
      entriesOf(dated).map(({ key }) => key),
      ["2026-11-26", "2026-12-21 leave", "2026-12-24"],
    );
    assert.equal(leaveProblem(dated, { ...leave, first: "2027-01-03", last: "2027-01-05" }), "leaveOverlaps");
    assert.equal(leaveProblem(HOURS, { ...leave, last: "2026-12-20" }), "leaveOrder");
    assert.equal(leaveProblem(HOURS, { ...leave, last: "2027-12-22" }), "leaveLong");
    assert.equal(leaveProblem(HOURS, { ...leave, last: "" }), "dateMissing");
    assert.deepEqual(
      withoutEntry(withoutEntry(withoutEntry(dated, "2026-12-24"), "2026-11-26"), "2026-12-21 leave"),
      HOURS,
    );
  });

  it("says what changes for clients, and nothing where nothing does", () => {
    const say = (after: OfficeHours) => changesOf(HOURS, after, "Dana", [], LONDON).map(plain);
    assert.deepEqual(say(HOURS), []);
    const moved = withWindow(HOURS, 2, { start: 540, end: 1_020 }, { start: 720, end: 1_140 });
    assert.deepEqual(say(moved), ["Wednesday: 09:00–17:00 becomes 12:00–19:00."]);
    assert.deepEqual(say(withDates(HOURS, [{ date: "2026-11-26", windows: [] }])), ["New dates: Thu 26 Nov, Closed."]);
    assert.equal(say({ ...HOURS, promise: null, ringClosed: true, zone: "Europe/Berlin" }).length, 3);
    assert.deepEqual(changesOf(null, HOURS, "Dana", [], LONDON), ["Clients see your hours for the first time."]);
  });

  it("offers a morning and an evening of each of the next seven days for the preview", () => {
    const moments = previewMoments("Europe/London", NOW_MS, "en-GB");
    assert.equal(moments.length, 14);
    assert.deepEqual(plain(moments[0]?.[1] ?? ""), "Monday, 10:00");
    assert.equal(moments[0]?.[0], MONDAY_9 + 3_600_000);
    assert.deepEqual(previewMoments("No/Where", NOW_MS, "en-GB"), []);
  });
});
