/**
 * Which waiting rooms this device watches: those of appointments that begin soon or run, those in which it holds a place,
 * and those that the host program asks for.
 *
 * Source: docs/protocol.md, section 23.1.
 */

import { hasRoom } from "../../meetings.ts";
import { concat } from "../../protocol/bytes.ts";
import { type AppointmentId, idBytes } from "../../protocol/ids.ts";
import { WATCHED_ROOMS } from "../../protocol/limits.ts";
import { GRACE_MS, OPENS_BEFORE_MS } from "../../rooms/states.ts";
import { APPOINTMENTS, standing, viewOf } from "../appointments/appointments.ts";
import * as errands from "../vault/errands.ts";
import type { Turn } from "../vault/turn.ts";
import { NOTHING, PRESENT, ROOMS, WATCHING, type Watching } from "./rooms-records.ts";

/** Rooms are watched from so long before their doors open. */
const EARLY_MS = 5 * 60_000;
/** How long behind its end a room may still be open: what runs over is watched as long. */
const OVERRUN_MS = 4 * 3_600_000;
const LONGEST_MS = 2 * 3_600_000;
const MINUTE_MS = 60_000;

/** The host program wants to know of these rooms too. */
export function watchToo(turn: Turn, wanted: readonly AppointmentId[]): void {
  WATCHING.put(turn.tx, "", { ...watching(turn), wanted: wanted.slice(0, WATCHED_ROOMS) });
  watchRooms(turn);
}

function watching(turn: Turn): Watching {
  return WATCHING.get(turn.tx, "") ?? NOTHING;
}

/** A connection is there: the server has to be told whom we watch, and says anew how they stand. */
export function roomsOnline(turn: Turn): void {
  for (const [key, held] of ROOMS.list(turn.tx)) {
    ROOMS.put(turn.tx, key, { ...held, stale: true });
  }
  WATCHING.put(turn.tx, "", { ...watching(turn), told: [] });
  watchRooms(turn);
}

/** Appointments that begin soon or run, and when that is next different. */
function current(turn: Turn): { readonly now: AppointmentId[]; readonly nextMs: number } {
  const early = OPENS_BEFORE_MS + EARLY_MS;
  const span = { above: turn.nowMs - LONGEST_MS - OVERRUN_MS, below: turn.nowMs + early + 1 };
  const open = APPOINTMENTS.list(turn.tx, "", span).filter(([, { id }]) => {
    const known = viewOf(turn, id);
    const end = (known?.endMs ?? 0) + (known?.lateMinutes ?? 0) * MINUTE_MS + GRACE_MS;
    const door = ROOMS.get(turn.tx, id)?.view.door ?? "closed";
    const runs = turn.nowMs < end + MINUTE_MS || door !== "closed";
    return known !== null && !known.cancelled && hasRoom(known.modality) && runs;
  });
  const [next] = APPOINTMENTS.list(turn.tx, "", { above: turn.nowMs + early, limit: 1 });
  const start = next === undefined ? 0 : (standing(turn, next[1].id)?.start ?? 0);
  return { now: open.map(([, { id }]) => id), nextMs: start > 0 ? start - early : 0 };
}

/** Says whom we watch, if that is news to the server. */
export function watchRooms(turn: Turn): void {
  const { now, nextMs } = current(turn);
  const held = watching(turn);
  const present = PRESENT.list(turn.tx).map(([, { appointment }]) => appointment);
  const watched = [...new Set([...present, ...now, ...held.wanted])].slice(0, WATCHED_ROOMS).sort();
  errands.drop(turn, "room_watch");
  if (nextMs > turn.nowMs) {
    errands.plan(turn, "room_watch", "", { dueMs: nextMs });
  }
  if (watched.join() !== [...held.told].join()) {
    WATCHING.put(turn.tx, "", { ...held, told: watched });
    turn.send({ tag: "watch_room", appointments: concat(...watched.map(idBytes)) });
    for (const [key] of ROOMS.list(turn.tx).filter(([room]) => !watched.includes(room as AppointmentId))) {
      ROOMS.delete(turn.tx, key);
    }
  }
}

/** Another appointment begins soon. */
export function watchDue(turn: Turn): void {
  errands.drop(turn, "room_watch");
  watchRooms(turn);
}
