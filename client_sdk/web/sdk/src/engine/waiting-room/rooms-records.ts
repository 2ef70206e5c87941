/** What the vault holds of waiting rooms: places, the server's words, words of hosts, join links that were used. */

import type { AppointmentId, RoomLinkId } from "../../protocol/ids.ts";
import type { RoomView } from "../../protocol/meeting.ts";
import type { PersonState } from "../../rooms/states.ts";
import { Table } from "../vault/tables.ts";

/**
 * What this device holds at a door. madeMs: when its person said so last; heardMs: the server's last answer since, 0 =
 * none yet. patienceMs: until then being declined, which was before, does not end it; 0 = it does. link: by which join
 * link. as: a guest's place, or a host in the room.
 */
export interface Presence {
  readonly appointment: AppointmentId;
  readonly as: "guest" | "host";
  readonly step: "checking" | "waiting";
  readonly checks: number;
  readonly link: RoomLinkId | null;
  readonly state: PersonState;
  readonly sinceMs: number;
  readonly heardMs: number;
  readonly madeMs: number;
  readonly patienceMs: number;
}

/** What the server said. stale: on an earlier connection. */
export interface Told {
  readonly view: RoomView;
  readonly stale: boolean;
}

/** What a host has said to us. */
export interface Words {
  readonly act: string;
  readonly words: string;
  readonly atMs: number;
  readonly seq: number;
}

/** A join link that this device has used. */
export interface Led {
  readonly link: RoomLinkId;
  readonly startMs: number;
  readonly minutes: number;
}

/** Which rooms the server was told that we watch, on this connection; wanted: by the host program. */
export interface Watching {
  readonly told: readonly AppointmentId[];
  readonly wanted: readonly AppointmentId[];
}

export const NOTHING: Watching = { told: [], wanted: [] };

/** By appointment. */
export const PRESENT = new Table<Presence>("room_present");
/** By appointment. */
export const ROOMS = new Table<Told>("room");
/** By appointment. */
export const WORDS = new Table<Words>("room_words");
/** By appointment. */
export const LED = new Table<Led>("room_link");
/** One record under the empty key. */
export const WATCHING = new Table<Watching>("room_watch", NOTHING);
