/**
 * The first turn of a process: what an upgraded program may be able to do that its predecessor could not.
 *
 * Source: docs/protocol.md, section 4.7.
 */

import { retry } from "../healing/healing.ts";
import type { Figures } from "../vault/figures.ts";
import { allFigures } from "../vault/figures.ts";
import type { Turn } from "../vault/turn.ts";
import { amendUpkeep, upkeepOf } from "../vault/upkeep.ts";
import { beginRooms } from "../waiting-room/rooms.ts";

/** Messages that waited for an update (F8) are tried again once per version. Returns all counts so far. */
export function begin(turn: Turn, running: string): Figures {
  if (upkeepOf(turn).version !== running) {
    amendUpkeep(turn, { version: running });
    retry(turn, ["update"]);
  }
  beginRooms(turn);
  return allFigures(turn);
}
