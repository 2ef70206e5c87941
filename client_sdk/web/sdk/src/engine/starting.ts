/**
 * The first turn of a process: what an upgraded program may be able to do that its predecessor could not.
 *
 * Source: docs/protocol.md, section 4.7.
 */

import type { Figures } from "./figures.ts";
import { allFigures } from "./figures.ts";
import { retry } from "./healing.ts";
import { beginRooms } from "./rooms.ts";
import type { Turn } from "./turn.ts";
import { amendUpkeep, upkeepOf } from "./upkeep.ts";

/** Messages that waited for an update (F8) are tried again once per version. Returns all counts so far. */
export function begin(turn: Turn, running: string): Figures {
  if (upkeepOf(turn).version !== running) {
    amendUpkeep(turn, { version: running });
    retry(turn, ["update"]);
  }
  beginRooms(turn);
  return allFigures(turn);
}
