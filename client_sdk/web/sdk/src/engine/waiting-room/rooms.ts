/**
 * Waiting rooms from a device's side: the place it holds, what the server says of doors and people, words of hosts.
 *
 *     knock (place kept)  ─ every 10 s ─> room.knock     until it is given up, or the door closes for good
 *     enter (as a host)   ─ every 10 s ─> room.act
 *     room (stream)       ─> who stands where            the server's word, of the present connection
 *     room.words (sealed) ─> what the host says to us
 *
 * Rooms of appointments that begin soon or run are watched by themselves. Places outlive the process, so that a reload
 * keeps them; one whose last answer is older than two minutes is given up when a process starts.
 *
 * Admission is the host's sealed call and nothing else: see `expectsCall`.
 *
 * Source: docs/protocol.md, chapter 23.
 */

import { hasRoom } from "../../meetings.ts";
import type { AccountId, AppointmentId } from "../../protocol/ids.ts";
import type { RoomPerson, RoomView } from "../../protocol/meeting.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import { DECLINED_MS } from "../../rooms/person.ts";
import { KNOCK_EVERY_MS, type PersonState, TICKET_MS } from "../../rooms/states.ts";
import { APPOINTMENTS, standing, viewOf } from "../appointments/appointments.ts";
import type { RoomWords } from "../bodies/meetings.ts";
import { seeDoor } from "../calls/call-offers.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import { LED, type Led, NOTHING, PRESENT, type Presence, ROOMS, WATCHING, WORDS } from "./rooms-records.ts";
import { asText, roomOf, stateOf, tellIf } from "./rooms-shown.ts";
import { watchRooms } from "./rooms-watching.ts";

/** Words of a host that are older say nothing about today. */
const WORDS_MS = 4 * 3_600_000;
/** Who was declined is heard again after a while: so long their next knocks may be in vain. */
const PATIENCE_MS = DECLINED_MS + KNOCK_EVERY_MS;
const MINUTE_MS = 60_000;

// --- a place ---------------------------------------------------------------------------------------------------------

/** The end of an appointment, as far as it is known here; 0 = it is not. */
function endOf(turn: Turn, appointment: AppointmentId): number {
  const said = standing(turn, appointment);
  const led = LED.get(turn.tx, appointment);
  const times = said === null ? led && [led.startMs, led.minutes] : [said.start, said.minutes];
  return times === null ? 0 : (times[0] ?? 0) + (times[1] ?? 0) * MINUTE_MS;
}

/** Whether we know of an appointment with a room: by its sealed post, or by a join link. */
export function isKnown(turn: Turn, appointment: AppointmentId): boolean {
  const known = viewOf(turn, appointment);
  return LED.has(turn.tx, appointment) || (known !== null && !known.cancelled && hasRoom(known.modality));
}

/** Whether we are a host of its room: a therapist or owner in its conversation. */
export function isHost(turn: Turn, appointment: AppointmentId): boolean {
  const { role } = turn.me;
  return role !== null && isAdmin(role) && viewOf(turn, appointment) !== null;
}

/** What somebody says in front of a door. checks: what works, see `RoomPerson`. */
export interface Knocking {
  readonly checks?: number;
  readonly checking?: boolean;
}

/** Takes a place, or says something else there: from now on it is said every ten seconds. */
export function knock(turn: Turn, appointment: AppointmentId, { checks = 0, checking = false }: Knocking): void {
  const held = PRESENT.get(turn.tx, appointment);
  const link = LED.get(turn.tx, appointment)?.link ?? null;
  const step = checking ? "checking" : "waiting";
  const { state, sinceMs } = held?.as === "guest" ? held : ({ state: "invited", sinceMs: 0 } as const);
  const patienceMs = ownState(turn, appointment) === "declined" ? turn.nowMs + PATIENCE_MS : 0;
  const said = { step, checks, link, heardMs: 0, madeMs: turn.nowMs, patienceMs } as const;
  keep(turn, { appointment, as: "guest", state, sinceMs, ...said });
  WORDS.delete(turn.tx, appointment);
}

/** We are in the room as a host: said every ten seconds from now on. */
export function enter(turn: Turn, appointment: AppointmentId): void {
  const times = { sinceMs: turn.nowMs, heardMs: 0, madeMs: turn.nowMs, patienceMs: 0 };
  const fresh = { link: null, state: "in_room", checks: 0, ...times } as const;
  const held = PRESENT.get(turn.tx, appointment);
  keep(turn, { ...(held?.as === "host" ? held : fresh), appointment, as: "host", step: "waiting" });
}

function keep(turn: Turn, presence: Presence): void {
  const { appointment } = presence;
  errands.drop(turn, "room_leave", leaving("guest", appointment));
  errands.drop(turn, "room_leave", leaving("host", appointment));
  errands.drop(turn, "room_present", appointment);
  putPresence(turn, presence);
  errands.plan(turn, "room_present", appointment);
  watchRooms(turn);
  seeDoor(turn, appointment, (caller) => expectsCall(turn, appointment, caller));
}

function putPresence(turn: Turn, presence: Presence): void {
  const { appointment } = presence;
  const before = asText(roomOf(turn, appointment));
  PRESENT.put(turn.tx, appointment, presence);
  tellIf(turn, appointment, before);
}

/** We go: the server is told, once, as long as it may still remember us. */
export function leave(turn: Turn, appointment: AppointmentId): void {
  const held = PRESENT.get(turn.tx, appointment);
  if (held !== null) {
    giveUp(turn, appointment);
    errands.plan(turn, "room_leave", leaving(held.as, appointment));
  }
}

function leaving(as: Presence["as"], appointment: AppointmentId): string {
  return `${as}:${appointment}`;
}

function giveUp(turn: Turn, appointment: AppointmentId): void {
  const before = asText(roomOf(turn, appointment));
  PRESENT.put(turn.tx, appointment, { ...PRESENT.need(turn.tx, appointment) }); // noted as written
  PRESENT.delete(turn.tx, appointment);
  errands.drop(turn, "room_present", appointment);
  tellIf(turn, appointment, before);
  watchRooms(turn);
  seeDoor(turn, appointment, () => false);
}

/** The process starts: nothing of earlier connections holds, and places that nobody has kept for two minutes are over. */
export function beginRooms(turn: Turn): void {
  for (const [key] of ROOMS.list(turn.tx)) {
    ROOMS.delete(turn.tx, key);
  }
  for (const [, { appointment, heardMs, madeMs }] of PRESENT.list(turn.tx)) {
    if (turn.nowMs >= Math.max(heardMs, madeMs) + TICKET_MS) {
      PRESENT.delete(turn.tx, appointment);
      errands.drop(turn, "room_present", appointment);
      seeDoor(turn, appointment, () => false);
    }
  }
  WATCHING.put(turn.tx, "", NOTHING);
  forgetOver(turn);
}

/** Words and links of appointments that were over so long ago that nobody is in the room any more. */
function forgetOver(turn: Turn): void {
  const keys = new Set([...WORDS.list(turn.tx), ...LED.list(turn.tx)].map(([key]) => key as AppointmentId));
  for (const appointment of keys) {
    const end = endOf(turn, appointment) || (WORDS.get(turn.tx, appointment)?.atMs ?? 0);
    if (!PRESENT.has(turn.tx, appointment) && turn.nowMs >= end + WORDS_MS) {
      WORDS.delete(turn.tx, appointment);
      LED.delete(turn.tx, appointment);
    }
  }
}

// --- saying it again and again ---------------------------------------------------------------------------------------

/** Whether a call there speaks for us. Of a chat there is none: whoever is in goes on saying so. */
function isInCall(turn: Turn, { appointment, as, state }: Presence): boolean {
  return as === "guest" && state === "in_room" && ownPerson(turn, appointment)?.call !== null;
}

/** What we say at a door now; nothing while we are in a call there. */
export function presentCall(turn: Turn, errand: Errand): Call | null {
  const appointment = errand.subject as AppointmentId;
  const held = PRESENT.get(turn.tx, appointment);
  if (held === null || isInCall(turn, held)) {
    errands.drop(turn, "room_present", appointment);
    return null;
  }
  const { step, checks, link } = held;
  const [key, path] = [errands.keyOf(errand), { appointment }];
  return held.as === "host"
    ? makeCall(key, "room.act", { path, body: { act: "enter", version: 0, account: null, call: null, sure: false } })
    : makeCall(key, "room.knock", { path, body: { step, checks, link } });
}

/** The server has heard us: the same again in ten seconds. */
export function presentHeard(turn: Turn, { subject }: Errand, answer: RoomView): void {
  const appointment = subject as AppointmentId;
  const held = PRESENT.get(turn.tx, appointment);
  errands.drop(turn, "room_present", subject);
  if (held === null || answer.appointment !== appointment) {
    return;
  }
  errands.plan(turn, "room_present", subject, { dueMs: turn.nowMs + KNOCK_EVERY_MS });
  putPresence(turn, { ...held, heardMs: turn.nowMs });
  takeRoom(turn, answer);
}

/** The server will not hear of it: there is no such room for us. */
export function presentRefused(turn: Turn, { subject }: Errand): void {
  errands.drop(turn, "room_present", subject);
  if (PRESENT.has(turn.tx, subject)) {
    giveUp(turn, subject as AppointmentId);
  }
}

/** Nobody has answered: never later than the next word is due. */
export function presentUnanswered(turn: Turn, errand: Errand): void {
  errands.drop(turn, "room_present", errand.subject);
  errands.plan(turn, "room_present", errand.subject, { dueMs: turn.nowMs + KNOCK_EVERY_MS / 2 });
}

/** We go. */
export function leaveCall(_turn: Turn, errand: Errand): Call {
  const [as, appointment = ""] = errand.subject.split(":");
  const [key, path] = [errands.keyOf(errand), { appointment }];
  return as === "host"
    ? makeCall(key, "room.act", { path, body: { act: "leave", version: 0, account: null, call: null, sure: false } })
    : makeCall(key, "room.knock", { path, body: { step: "leave", checks: 0, link: null } });
}

/** The server knows that we have gone, or does not care. */
export function leftTold(turn: Turn, { subject }: Errand): void {
  errands.drop(turn, "room_leave", subject);
}

// --- what the server says --------------------------------------------------------------------------------------------

/** After these nothing is said at the door any more, until somebody knocks again. */
const OVER: readonly PersonState[] = ["left", "declined", "gave_up", "removed"];

/** A room as the server says that it stands, on the stream or in an answer. An earlier version is no news. */
export function takeRoom(turn: Turn, view: RoomView): void {
  const { appointment, version } = view;
  const held = ROOMS.get(turn.tx, appointment);
  const isOurs = isKnown(turn, appointment) || PRESENT.has(turn.tx, appointment);
  if (!isOurs || (held !== null && !held.stale && version < held.view.version)) {
    return;
  }
  const before = asText(roomOf(turn, appointment));
  ROOMS.put(turn.tx, appointment, { view, stale: false });
  tellIf(turn, appointment, before);
  followPlace(turn, view);
}

/** Our own place, by the server's word. */
function followPlace(turn: Turn, { appointment, people, door }: RoomView): void {
  const held = PRESENT.get(turn.tx, appointment);
  if (held === null) {
    return;
  }
  const end = endOf(turn, appointment);
  if (door === "closed" && end > 0 && turn.nowMs > end) {
    giveUp(turn, appointment);
    return;
  }
  const own = people.find(({ account }) => account === turn.me.account);
  if (held.as === "host" || own === undefined) {
    return;
  }
  const state = stateOf(own.state);
  const isEarlier = held.heardMs === 0 || turn.nowMs < held.patienceMs; // it may be of before we have knocked
  const goesOn = state === "declined" && isEarlier;
  const patienceMs = goesOn ? held.patienceMs || turn.nowMs + PATIENCE_MS : 0;
  const stands = { ...held, state, sinceMs: state === "checking" ? 0 : own.sinceMs, patienceMs };
  putPresence(turn, stands);
  if (OVER.includes(state) && held.heardMs > 0 && !goesOn) {
    giveUp(turn, appointment);
  } else if (!isInCall(turn, stands) && !errands.planned(turn, "room_present", appointment)) {
    errands.plan(turn, "room_present", appointment); // sent back: we wait again
  }
}

/** The server's last word on us; null while there is none. */
function ownState(turn: Turn, appointment: AppointmentId): PersonState | null {
  const own = ownPerson(turn, appointment);
  return own === undefined ? null : stateOf(own.state);
}

function ownPerson(turn: Turn, appointment: AppointmentId): RoomPerson | undefined {
  const people = ROOMS.get(turn.tx, appointment)?.view.people ?? [];
  return people.find(({ account }) => account === turn.me.account);
}

/**
 * Whether a call for this appointment lets us in: this device holds a place there, kept within the last two minutes, and
 * it is the host of the sealed appointment who calls; of one that a join link has led to, a therapist or owner with whom
 * we have a conversation. Where people write to each other no call does.
 */
export function expectsCall(turn: Turn, appointment: AppointmentId, caller: AccountId): boolean {
  const held = PRESENT.get(turn.tx, appointment);
  if (
    held?.as !== "guest" ||
    held.step !== "waiting" ||
    turn.nowMs >= Math.max(held.heardMs, held.madeMs) + TICKET_MS
  ) {
    return false;
  }
  const known = viewOf(turn, appointment);
  if (known === null) {
    return LED.has(turn.tx, appointment) && leads(turn, caller);
  }
  return known.host === caller && known.modality !== "chat";
}

/** Whether somebody is a therapist or owner in a conversation with us. */
function leads(turn: Turn, account: AccountId): boolean {
  return CONVERSATIONS.list(turn.tx).some(([, { membership }]) =>
    membership?.members.some((member) => member.account === account && isAdmin(member.role)),
  );
}

// --- words and links -------------------------------------------------------------------------------------------------

/** A host has said something to us, sealed, with what they do at the door. The newest counts. */
export function takeWords(
  turn: Turn,
  { account, seq, atMs }: { readonly account: AccountId; readonly seq: number; readonly atMs: number },
  { appointment, act, words }: RoomWords,
): void {
  const held = WORDS.get(turn.tx, appointment);
  const isTheirs = viewOf(turn, appointment)?.members.includes(account) ?? LED.has(turn.tx, appointment);
  const isFresh = atMs > turn.nowMs - WORDS_MS && seq > (held?.seq ?? 0);
  if (account !== turn.me.account && leads(turn, account) && isTheirs && isFresh) {
    forgetOver(turn);
    const before = asText(roomOf(turn, appointment));
    WORDS.put(turn.tx, appointment, { act, words, atMs, seq });
    tellIf(turn, appointment, before);
  }
}

/** A join link has let this device in. */
export function led(turn: Turn, appointment: AppointmentId, by: Led): void {
  forgetOver(turn);
  LED.put(turn.tx, appointment, by);
  watchRooms(turn);
}

// --- with every turn ---------------------------------------------------------------------------------------------------

/** Watches what the appointments that this turn has changed ask for; a place at one that is cancelled is given up. */
export function settleRooms(turn: Turn): void {
  const changed = turn.written(APPOINTMENTS.name) as AppointmentId[]; // what they are kept under
  for (const appointment of changed) {
    if (PRESENT.has(turn.tx, appointment) && viewOf(turn, appointment)?.cancelled) {
      giveUp(turn, appointment);
    }
  }
  if (changed.length > 0) {
    watchRooms(turn);
  }
}
