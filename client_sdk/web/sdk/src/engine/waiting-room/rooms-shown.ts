/** Waiting rooms as host programs see them: the server's word, with what is sealed and signed put above it. */

import type { Place, Room, RoomPerson } from "../../meetings.ts";
import type { AccountId, AppointmentId } from "../../protocol/ids.ts";
import type { RoomPerson as Seen } from "../../protocol/meeting.ts";
import { PERSON_STATES } from "../../rooms/person.ts";
import { type DoorState, OPENS_BEFORE_MS, type PersonState } from "../../rooms/states.ts";
import { APPOINTMENTS, standing, viewOf } from "../appointments/appointments.ts";
import { accountsOf } from "../conversations.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { LED, PRESENT, type Presence, ROOMS, WATCHING, WORDS } from "./rooms-records.ts";

const DOORS: readonly DoorState[] = ["closed", "open_no_host", "host_present", "in_session", "grace"];

/** A state as the server calls it; what is not known here counts as not having come. */
export function stateOf(word: string): PersonState {
  return PERSON_STATES.find((known) => known === word) ?? "invited";
}

/** Rooms by appointment. */
export type Rooms = Readonly<Record<AppointmentId, Room>>;

/** All that are known. */
export function viewRooms(turn: Turn): Rooms {
  const tables = [ROOMS.list(turn.tx), PRESENT.list(turn.tx), WORDS.list(turn.tx), LED.list(turn.tx)];
  const ids = new Set(tables.flatMap((rows) => rows.map(([key]) => key)));
  const rooms = [...ids].map((id) => roomOf(turn, id as AppointmentId)).filter((room) => room !== null); // their keys
  return Object.fromEntries(rooms.map((room) => [room.appointment, room]));
}

/** All that are known, if this turn has changed what is seen of any; else null. */
export function changedRooms(turn: Turn): Rooms | null {
  const tables = [ROOMS, PRESENT, WORDS, LED, APPOINTMENTS, WATCHING];
  return tables.some(({ name }) => turn.written(name).length > 0) ? viewRooms(turn) : null;
}

/** One room as hosts see it; null while nothing is known of it. */
export function roomOf(turn: Turn, appointment: AppointmentId): Room | null {
  const view = ROOMS.get(turn.tx, appointment)?.view ?? null;
  const held = PRESENT.get(turn.tx, appointment);
  const said = WORDS.get(turn.tx, appointment);
  const led = LED.get(turn.tx, appointment);
  if (view === null && held === null && said === null && led === null) {
    return null;
  }
  const start = standing(turn, appointment)?.start ?? led?.startMs ?? 0;
  return {
    appointment,
    door: DOORS.find((known) => known === view?.door) ?? "closed",
    opensMs: view?.opensMs ?? Math.max(0, start - OPENS_BEFORE_MS),
    locked: view?.locked ?? false,
    version: view?.version ?? 0,
    people: (view?.people ?? []).map((person) => shownPerson(turn, appointment, person)),
    words: said && { act: said.act, words: said.words, atMs: said.atMs },
    place: held?.as === "guest" ? shownPlace(held) : null,
    asHost: held?.as === "host",
    guest: led && { appointment, startMs: led.startMs, minutes: led.minutes },
  };
}

/** Whether somebody is expected is not the server's to say. */
function shownPerson(turn: Turn, appointment: AppointmentId, person: Seen): RoomPerson {
  const { account, state, sinceMs, checks, call } = person;
  return { account, state: stateOf(state), sinceMs, expected: isExpected(turn, appointment, account), checks, call };
}

/** Whether an account is on an appointment, by what is sealed and signed. */
export function isExpected(turn: Turn, appointment: AppointmentId, account: AccountId): boolean {
  const conv = viewOf(turn, appointment)?.conversation ?? null;
  const conversation = conv === null ? null : CONVERSATIONS.get(turn.tx, conv);
  return conversation !== null && accountsOf(turn, conversation).includes(account);
}

function shownPlace({ step, state, checks, sinceMs, heardMs }: Presence): Place {
  return { step, state, checks, sinceMs, heardMs };
}

/** A room as text, to see whether it looks different; that the server was heard again does not. */
export function asText(room: Room | null): string {
  return JSON.stringify(room && { ...room, place: room.place && { ...room.place, heardMs: 0 } });
}

/** Tells hosts if the room looks different than before. */
export function tellIf(turn: Turn, appointment: AppointmentId, before: string): void {
  if (asText(roomOf(turn, appointment)) !== before) {
    turn.show({ type: "roomChanged", appointment });
  }
}
