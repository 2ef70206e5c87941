/**
 * Appointments as the server keeps them: rows by version, reminders, who was reached, outcomes, calendar files.
 *
 * Source: docs/protocol.md, chapter 22.
 */

import { concat, toHex, utf8 } from "../protocol/bytes.ts";
import { Rejected } from "../protocol/errors.ts";
import { type AccountId, type AppointmentId, idBytes, splitIds } from "../protocol/ids.ts";
import {
  APPOINTMENT_PAGE,
  type AppointmentOutcome,
  type Appointments,
  type AppointmentTimes,
  type AppointmentView,
  type Calendar,
  type CalendarFeed,
  MINUTES_LEAST,
  MINUTES_MOST,
  type PutAppointments,
  type Reached,
} from "../protocol/meeting.ts";
import { encodeReminder, REMINDERS } from "../protocol/reminders.ts";
import {
  type AppointmentRecord,
  conversationOf,
  listedDevices,
  notFound,
  notify,
  type Principal,
  type Store,
} from "./server-state.ts";

const MODALITIES = ["video", "audio", "chat", "phone", "in_person"];
const MINUTE_MS = 60_000;

/** When an appointment ends. */
export function endOf({ startMs, minutes }: AppointmentTimes): number {
  return startMs + minutes * MINUTE_MS;
}

/** Whether somebody is on the appointment. */
export function isMember({ times }: AppointmentRecord, account: AccountId): boolean {
  return splitIds<AccountId>(times.members).includes(account);
}

/** The appointment as one of its members sees it. Rejected("not_found") for everybody else. */
export function appointmentOf({ state }: Store, who: Principal, appointment: AppointmentId): AppointmentRecord {
  const record = state.appointments.get(appointment);
  if (record === undefined || !isMember(record, who.account)) {
    throw notFound();
  }
  return record;
}

function viewOf({ times, host, reached, outcome, minutesHeld }: AppointmentRecord): AppointmentView {
  return { times, host, reached: concat(...[...reached].sort().map(idBytes)), outcome, minutesHeld };
}

function answer(store: Store, records: readonly AppointmentRecord[]): Appointments {
  return { appointments: records.map(viewOf), serverTimeMs: store.now() };
}

/** Makes, moves or cancels: all rows or none. The same rows may come again at any time. */
export function putAppointments(store: Store, who: Principal, { appointments }: PutAppointments): Appointments {
  const conv = appointments[0]?.conv;
  for (const times of appointments) {
    if (times.conv !== conv) {
      throw new Rejected("rule_broken", "appointments of one conversation");
    }
    checkNext(store, who, times);
  }
  for (const times of appointments) {
    const held = store.state.appointments.get(times.appointment);
    if (held?.times.version !== times.version) {
      const isMoved = held !== undefined && held.times.startMs !== times.startMs;
      const kept =
        held === undefined || isMoved ? { reminded: new Set<number>(), reached: new Set<AccountId>() } : held;
      const { reminded, reached } = kept;
      const fresh = { host: who.account, outcome: "", minutesHeld: 0 };
      store.state.appointments.set(times.appointment, { ...(held ?? fresh), times, reminded, reached });
      tellMembers(store, times.appointment);
    }
  }
  store.rooms();
  return answer(
    store,
    appointments.map(({ appointment }) => store.state.appointments.get(appointment)).filter(isThere),
  );
}

function isThere<T>(value: T | undefined): value is T {
  return value !== undefined;
}

function checkNext(store: Store, who: Principal, times: AppointmentTimes): void {
  const held = store.state.appointments.get(times.appointment);
  if (held !== undefined && JSON.stringify(written(held.times)) === JSON.stringify(written(times))) {
    return;
  }
  const { members } = conversationOf(store, who, times.conv);
  if (held !== undefined && (held.host !== who.account || held.times.conv !== times.conv)) {
    throw notFound();
  }
  if (times.version !== (held?.times.version ?? 0) + 1) {
    throw new Rejected("conflict", "another version stands");
  }
  if (!times.cancelled && times.startMs <= store.now()) {
    throw new Rejected("bad_time", "the start lies in the past");
  }
  const on = splitIds<AccountId>(times.members);
  const isLength = times.minutes >= MINUTES_LEAST && times.minutes <= MINUTES_MOST;
  const areMembers = on.length >= 2 && on.includes(who.account) && on.every((account) => members.has(account));
  if (!isLength || !MODALITIES.includes(times.modality) || !areMembers) {
    throw new Rejected("rule_broken", "minutes, modality or members");
  }
}

function written({ members, ...times }: AppointmentTimes): object {
  return { ...times, members: toHex(members) };
}

/** Tells the members' devices that something about the appointment is different. */
export function tellMembers(store: Store, appointment: AppointmentId): void {
  const record = store.state.appointments.get(appointment);
  if (record !== undefined) {
    const members = new Set(splitIds<AccountId>(record.times.members));
    notify(store, listedDevices(store, members), "appointment", idBytes(appointment));
  }
}

/** The asker's appointments that touch this time, by start; at most a page. */
export function listAppointments(store: Store, who: Principal, from: number, to: number): Appointments {
  const found = [...store.state.appointments.values()]
    .filter((record) => isMember(record, who.account))
    .filter(({ times }) => times.startMs >= from && times.startMs < to)
    .sort((one, other) => one.times.startMs - other.times.startMs);
  return answer(store, found.slice(0, APPOINTMENT_PAGE));
}

/** The host's word on how it went. */
export function setOutcome(
  store: Store,
  who: Principal,
  appointment: AppointmentId,
  { outcome, minutesHeld }: AppointmentOutcome,
): Appointments {
  const record = appointmentOf(store, who, appointment);
  if (record.host !== who.account) {
    throw notFound();
  }
  if (!["", "completed", "no_show", "cancelled"].includes(outcome)) {
    throw new Rejected("rule_broken", "no such outcome");
  }
  if (store.now() < record.times.startMs) {
    throw new Rejected("bad_time", "it has not begun");
  }
  Object.assign(record, { outcome, minutesHeld });
  tellMembers(store, appointment);
  return answer(store, [record]);
}

/** A device of the asker has taken a reminder. */
export function noteReached(
  store: Store,
  who: Principal,
  appointment: AppointmentId,
  { minutes }: Reached,
): Appointments {
  const record = appointmentOf(store, who, appointment);
  if (record.reminded.has(minutes) && !record.reached.has(who.account)) {
    record.reached.add(who.account);
    tellMembers(store, appointment);
  }
  return answer(store, [record]);
}

/** Reminds of what begins soon; returns when something is due next, null = nothing is. */
export function remindDue(store: Store): number | null {
  const now = store.now();
  let next: number | null = null;
  for (const { times, reminded, reached } of store.state.appointments.values()) {
    if (times.cancelled || times.startMs <= now) {
      continue;
    }
    for (const minutes of REMINDERS) {
      const due = times.startMs - minutes * MINUTE_MS;
      if (due > now) {
        next = Math.min(next ?? due, due);
      } else if (!reminded.has(minutes)) {
        reminded.add(minutes);
        reached.clear();
        const about = encodeReminder({ appointment: times.appointment, minutes, startMs: times.startMs });
        const members = new Set(splitIds<AccountId>(times.members));
        notify(store, listedDevices(store, members), "appointment_reminder", about);
      }
    }
  }
  return next;
}

// --- calendars -------------------------------------------------------------------------------------------------------

/** A calendar file that says nothing but the time; of zones it names none. */
export function calendarOf(store: Store, who: Principal, appointment: AppointmentId): Calendar {
  const { times } = appointmentOf(store, who, appointment);
  const stamp = (ms: number) => new Date(ms).toISOString().replace(/[-:]|\.\d+/g, "");
  const lines = [
    "BEGIN:VCALENDAR",
    "VERSION:2.0",
    "PRODID:-//Rapport//EN",
    `METHOD:${times.cancelled ? "CANCEL" : "REQUEST"}`,
    "BEGIN:VEVENT",
    `UID:${appointment}@rapport`,
    `SEQUENCE:${times.version - 1}`,
    `DTSTAMP:${stamp(store.now())}`,
    `DTSTART:${stamp(times.startMs)}`,
    `DTEND:${stamp(endOf(times))}`,
    "SUMMARY:Appointment",
    `STATUS:${times.cancelled ? "CANCELLED" : "CONFIRMED"}`,
    "END:VEVENT",
    "END:VCALENDAR",
    "",
  ];
  return { ics: utf8(lines.join("\r\n")) };
}

/** An address for the asker's appointments; the one before is void. */
export function makeFeed(store: Store, who: Principal): CalendarFeed {
  const path = `/v1/calendar/${toHex(store.random(32))}.ics`;
  store.state.feeds.set(who.account, path);
  return { path };
}

/** No address any more. */
export function endFeed(store: Store, who: Principal): CalendarFeed {
  store.state.feeds.delete(who.account);
  return { path: "" };
}
