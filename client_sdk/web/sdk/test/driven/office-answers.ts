/**
 * What office hours say here, for somebody who compares. Lines of JSON in and out:
 *
 *     {"rules": "hexadecimal", "now": ms}     [status, until, changes_at, next_open, cover, due, [problems]]
 *     {"zone": "Europe/London", "days": [d]}  minutes that the wall shows at the midnight of UTC of each day since 1970
 *     {}                                      the version of the time zone database
 */

import { createInterface } from "node:readline";
import { DAY_MS, zoneOf } from "../../src/office/calendar.ts";
import { parseHours } from "../../src/office/hours.ts";
import { promisedBy } from "../../src/office/promise.ts";
import { problems } from "../../src/office/rules.ts";
import { officeState } from "../../src/office/status.ts";
import { fromHex } from "../../src/protocol/bytes.ts";

interface Asked {
  readonly rules?: string;
  readonly now?: number;
  readonly zone?: string;
  readonly days?: readonly number[];
}

function answer({ rules, now = 0, zone, days = [] }: Asked): unknown {
  if (zone !== undefined) {
    return days.map((day) => {
      const [shown, minute] = zoneOf(zone).local(day * DAY_MS);
      return (shown - day) * 1440 + minute;
    });
  }
  if (rules === undefined) return process.versions["tz"];
  const hours = parseHours(fromHex(rules));
  const { status, untilMs, changesAtMs, nextOpenMs, cover } = officeState(hours, now);
  const codes = problems(hours).map(({ code }) => code);
  return [status, untilMs, changesAtMs, nextOpenMs, cover, promisedBy(hours, now), codes];
}

for await (const line of createInterface({ input: process.stdin })) {
  let said: unknown;
  try {
    said = answer(JSON.parse(line));
  } catch (problem) {
    if (!(problem instanceof RangeError)) throw problem;
    said = problem.message;
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
