/** scenarios/office.json: what the rules of an office say, by both SDKs. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { zoneOf } from "../src/office/calendar.ts";
import { encodeHours, makeHours, parseHours } from "../src/office/hours.ts";
import { promisedBy } from "../src/office/promise.ts";
import { HoursRefused, problems, repaired } from "../src/office/rules.ts";
import { officeState } from "../src/office/status.ts";
import { fromHex, toHex } from "../src/protocol/bytes.ts";
import { FormatError } from "../src/protocol/errors.ts";
import { hoursOf, type PlainHours } from "./office/reading.ts";

interface Case {
  readonly name: string;
  readonly hours: PlainHours;
  readonly rules: string;
}

interface State {
  readonly now_ms: number;
  readonly status: string;
  readonly until_ms: number | null;
  readonly changes_at_ms: number | null;
  readonly next_open_ms: number | null;
  readonly cover: string | null;
}

interface Scenario {
  readonly states: readonly (Case & { readonly states: readonly State[] })[];
  readonly promises: readonly (Case & {
    readonly promises: readonly { readonly written_ms: number; readonly due_ms: number | null }[];
  })[];
  readonly repairs: readonly {
    readonly name: string;
    readonly hours: PlainHours;
    readonly problems: readonly (readonly [string, string])[];
    readonly refused?: readonly (readonly [string, string])[];
    readonly repaired?: PlainHours;
    readonly repairs?: readonly (readonly [string, string])[];
  }[];
}

const file = new URL("../../../protocol/scenarios/office.json", import.meta.url);
const scenario = JSON.parse(readFileSync(file, "utf8")) as Scenario;
const pairs = (found: readonly { code: string; where: string }[]) => found.map(({ code, where }) => [code, where]);

describe("office hours of the scenario", () => {
  test("states", () => {
    for (const { name, hours: plain, states } of scenario.states) {
      const hours = hoursOf(plain);
      for (const { now_ms, ...expected } of states) {
        const { status, untilMs, changesAtMs, nextOpenMs, cover } = officeState(hours, now_ms);
        const found = { status, until_ms: untilMs, changes_at_ms: changesAtMs, next_open_ms: nextOpenMs, cover };
        assert.deepEqual(found, expected, `${name} at ${now_ms}`);
      }
    }
  });

  test("promises", () => {
    for (const { name, hours: plain, promises } of scenario.promises) {
      const hours = hoursOf(plain);
      for (const { written_ms, due_ms } of promises) {
        assert.equal(promisedBy(hours, written_ms), due_ms, `${name} written ${written_ms}`);
      }
    }
  });

  test("bytes", () => {
    for (const { name, hours: plain, rules } of [...scenario.states, ...scenario.promises]) {
      assert.equal(toHex(encodeHours(hoursOf(plain))), rules, name);
      assert.deepEqual(parseHours(fromHex(rules)), hoursOf(plain), name);
    }
  });

  for (const { name, hours: plain, ...expected } of scenario.repairs) {
    test(`repair: ${name}`, () => {
      const hours = hoursOf(plain);
      assert.deepEqual(pairs(problems(hours)), expected.problems);
      if (expected.repaired === undefined) {
        assert.throws(
          () => repaired(hours),
          (error) => {
            assert.ok(error instanceof HoursRefused && error.code === "rule_broken");
            assert.deepEqual(pairs(error.problems), expected.refused);
            return true;
          },
        );
        return;
      }
      const better = repaired(hours);
      assert.deepEqual(pairs(better.repairs), expected.repairs);
      assert.deepEqual(better.hours, hoursOf(expected.repaired));
      assert.deepEqual(repaired(better.hours), { hours: better.hours, repairs: [] });
    });
  }
});

test("a zone that is none, and a time out of range, are range errors", () => {
  for (const zone of [
    "../etc/passwd",
    "x".repeat(65),
    "Europe",
    "+01:00",
    "Factory",
    "posix/Europe/London",
    "UTC\0",
    "",
  ]) {
    assert.throws(() => zoneOf(zone), RangeError, zone);
  }
  const hours = makeHours("Europe/London", { weekly: [{ day: 0, start: 0, end: 60 }] });
  for (const now of [-1, 253_339_228_800_000, Number.NaN]) {
    assert.throws(() => officeState(hours, now), RangeError);
  }
  assert.notEqual(officeState(hours, 253_339_228_799_999).nextOpenMs, null);
});

test("a date is ten digits and hyphens", () => {
  for (const date of ["2024-05-02\n", "\u0662024-05-02", "2024-5-02", ""]) {
    const hours = makeHours("UTC", { dates: [{ date, windows: [] }] });
    assert.deepEqual(pairs(problems(hours)), [["wrong_date", `dates.${date}`]]);
    assert.throws(() => parseHours(encodeHours(hours)), FormatError);
  }
});

test("what was said for a year that no calendar has changes nothing now", () => {
  const weekly = [{ day: 0, start: 0, end: 60 }];
  for (const zone of ["Pacific/Kiritimati", "Europe/London", "Etc/GMT+12"]) {
    for (const sinceMs of [253_402_258_000_000, 253_402_300_800_000, 2 ** 53 - 2]) {
      const hours = makeHours(zone, { weekly, override: { state: "away", sinceMs, untilMs: sinceMs + 1 } });
      assert.deepEqual(pairs(problems(hours)), []);
      for (const now of [1, 1_790_000_000_000, 1_790_000_000_000 + 3 * 86_400_000]) {
        assert.deepEqual(officeState(hours, now), officeState(makeHours(zone, { weekly }), now));
      }
    }
  }
});
