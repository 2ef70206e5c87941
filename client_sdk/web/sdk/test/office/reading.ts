/** Office hours as scenarios/office.json has them: the keys of section 15.1, accounts in hexadecimal, valid or not. */

import { makeHours, type OfficeHours, type OverrideState, type PushClosed } from "../../src/office/hours.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import { type AccountId, idOf } from "../../src/protocol/ids.ts";

/** Hours as they stand in the file. */
export interface PlainHours {
  readonly zone: string;
  readonly weekly?: readonly (readonly [number, number, number])[];
  readonly dates?: readonly (readonly [string, readonly (readonly [number, number])[]])[];
  readonly leaves?: readonly (readonly [string, string, string | null])[];
  readonly override?: readonly [OverrideState, number, number];
  readonly promise?:
    | { readonly kind: "open_time"; readonly minutes: number }
    | { readonly kind: "table"; readonly rows: readonly (readonly [number, number, number])[] };
  readonly cover?: string;
  readonly ring_closed?: boolean;
  readonly push_closed?: PushClosed;
}

/** The hours of the SDK. */
export function hoursOf(plain: PlainHours): OfficeHours {
  const { weekly = [], dates = [], leaves = [], override, promise } = plain;
  return makeHours(plain.zone, {
    weekly: weekly.map(([day, start, end]) => ({ day, start, end })),
    dates: dates.map(([date, windows]) => ({ date, windows: windows.map(([start, end]) => ({ start, end })) })),
    leaves: leaves.map(([first, last, cover]) => ({ first, last, cover: accountOf(cover) })),
    override: override === undefined ? null : { state: override[0], sinceMs: override[1], untilMs: override[2] },
    promise:
      promise?.kind === "table"
        ? { kind: "table", rows: promise.rows.map(([before, at, days]) => ({ before, at, days })) }
        : (promise ?? null),
    cover: accountOf(plain.cover ?? null),
    ringClosed: plain.ring_closed ?? false,
    pushClosed: plain.push_closed ?? "urgent",
  });
}

function accountOf(hexadecimal: string | null): AccountId | null {
  return hexadecimal === null ? null : idOf<AccountId>(fromHex(hexadecimal));
}
