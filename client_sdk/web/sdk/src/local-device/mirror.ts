/** What a host shows at once, kept up to date from deltas. */

import type { Delta, Snapshot } from "./types.ts";

/** Nobody has joined on this device. */
export const EMPTY_SNAPSHOT: Snapshot = {
  identity: null,
  state: "idle",
  signedOut: false,
  caughtUp: false,
  aheadMs: 0,
  views: [],
  contacts: [],
  devices: {},
  settings: {},
  presence: {},
  offices: {},
  officeSaid: {},
  ownOffice: { hours: null, version: 0, validUntilMs: 0, pending: false },
  card: null,
  urgent: {},
  covers: {},
  appointments: {},
  rooms: {},
  calls: {},
  figures: {},
};

/** The snapshot after a delta: changed views, contacts, devices, offices and figures replace their predecessors. */
export function applyDelta(snapshot: Snapshot, delta: Delta): Snapshot {
  const merged = { ...snapshot, ...delta };
  return {
    ...merged,
    views: mergedBy(snapshot.views, delta.views, (view) => view.id),
    contacts: mergedBy(snapshot.contacts, delta.contacts, (contact) => contact.shown.account),
    devices: { ...snapshot.devices, ...delta.devices },
    offices: { ...snapshot.offices, ...delta.offices },
    covers: { ...snapshot.covers, ...delta.covers },
    appointments: { ...snapshot.appointments, ...delta.appointments },
    figures: { ...snapshot.figures, ...delta.figures },
  };
}

function mergedBy<T>(held: readonly T[], changed: readonly T[] | undefined, keyOf: (item: T) => string): readonly T[] {
  if (changed === undefined) {
    return held;
  }
  const all = new Map(held.map((item) => [keyOf(item), item]));
  for (const item of changed) {
    all.set(keyOf(item), item);
  }
  return [...all.values()];
}
