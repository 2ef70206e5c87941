/**
 * What office hours cost here: `node sdk/bench/office.ts`, microseconds of the first call, p50 and p99 of the others.
 *
 * The same rows as `python -m tests.bench.office_state`. The first call also makes the zone's formatter.
 */

import { makeHours, type OfficeHours } from "../src/office/hours.ts";
import { promisedBy } from "../src/office/promise.ts";
import { officeState } from "../src/office/status.ts";

const CALLS = 2_000;
const BEGIN = 1_798_000_000_000; // 2026-12-23
const DAYS = [0, 1, 2, 3, 4, 5, 6];
const weekly = DAYS.slice(0, 5).flatMap((day) => [
  { day, start: 540, end: 780 },
  { day, start: 840, end: 1020 },
]);
const year = Array.from({ length: 366 }, (_, day) => new Date(BEGIN + day * 86_400_000).toISOString().slice(0, 10));
const one = { date: "2027-12-24", windows: [{ start: 540, end: 600 }] };
const rows = [
  { before: 720, at: 1080, days: 0 },
  { before: 1440, at: 720, days: 1 },
];

const ROWS: Readonly<Record<string, readonly [(hours: OfficeHours, now: number) => unknown, OfficeHours]>> = {
  officeState: [officeState, makeHours("Europe/London", { weekly })],
  "nextOpen over a year: one date": [officeState, makeHours("Australia/Lord_Howe", { dates: [one] })],
  "nextOpen over a year: leave": [
    officeState,
    makeHours("Europe/London", { weekly, leaves: [{ first: "2026-12-01", last: "2027-12-01", cover: null }] }),
  ],
  "nextOpen over a year: 366 dates closed": [
    officeState,
    makeHours("Europe/London", { weekly, dates: year.map((date) => ({ date, windows: [] })) }),
  ],
  "nextOpen over a year: never": [officeState, makeHours("Europe/London")],
  "until over a year: always open": [
    officeState,
    makeHours("Europe/London", { weekly: DAYS.map((day) => ({ day, start: 0, end: 1440 })) }),
  ],
  "promisedBy: 4 open hours": [
    promisedBy,
    makeHours("Europe/London", { weekly, promise: { kind: "open_time", minutes: 240 } }),
  ],
  "promisedBy: 100 open hours": [
    promisedBy,
    makeHours("Europe/London", { weekly, promise: { kind: "open_time", minutes: 6_000 } }),
  ],
  "promisedBy: table": [promisedBy, makeHours("Europe/London", { weekly, promise: { kind: "table", rows } })],
};

let slow = false;
for (const [name, [ask, hours]] of Object.entries(ROWS)) {
  const times = Array.from({ length: CALLS + 1 }, (_, call) => {
    const began = performance.now();
    ask(hours, BEGIN + call * 300_000);
    return (performance.now() - began) * 1000;
  });
  const [first = 0, ...rest] = times;
  const [p50 = 0, p99 = 0] = [0.5, 0.99].map((part) => rest.sort((a, b) => a - b)[Math.floor(CALLS * part)]);
  process.stdout.write(`${name}: first ${first.toFixed(0)}, p50 ${p50.toFixed(1)}, p99 ${p99.toFixed(1)}\n`);
  slow ||= name.includes("over a year") && p99 >= 1_000;
}
process.exitCode = slow ? 1 : 0;
