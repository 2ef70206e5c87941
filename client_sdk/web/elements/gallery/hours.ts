/** Fictional office hours, and an office of them. */

import type { OfficeHours, OfficeView, Window } from "../src/views.ts";
import { at, DANA } from "./people.ts";

const MONDAY_9 = at(-1, 9, 0);
const TUESDAY_15 = at(-2, 15, 0);

/** Windows of a week, day by day from Monday. */
export function week(...days: readonly (readonly Window[])[]): OfficeHours["weekly"] {
  return days.flatMap((windows, day) => windows.map((window) => ({ day, ...window })));
}

/** An ordinary day. */
export const NINE_TO_FIVE: Window = { start: 540, end: 1_020 };

/** Monday to Thursday, 09:00 to 17:00, an answer by 15:00 on the next open day. */
export const HOURS: OfficeHours = {
  zone: "Europe/London",
  weekly: week([NINE_TO_FIVE], [NINE_TO_FIVE], [NINE_TO_FIVE], [NINE_TO_FIVE]),
  dates: [],
  leaves: [],
  override: null,
  promise: { kind: "table", rows: [{ before: 1_440, at: 900, days: 1 }] },
  cover: null,
  ringClosed: false,
  pushClosed: "urgent",
};

/** An office of Dana's at the gallery's moment: closed, opens on Monday. */
export const CLOSED: OfficeView = {
  name: DANA.name,
  status: "closed",
  held: true,
  untilMs: MONDAY_9,
  nextOpenMs: MONDAY_9,
  promise: { name: DANA.name, dueMs: TUESDAY_15 },
  hours: HOURS,
};
