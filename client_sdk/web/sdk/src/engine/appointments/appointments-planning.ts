/**
 * Planning, moving and cancelling appointments, and asking the server for its rows.
 *
 * A put is an errand: the same bytes until the server has answered. In the turn that takes the answer the sealed post is
 * written, so that nobody is told of what the server has refused, and nothing that it has taken stays unsaid.
 *
 * Source: docs/protocol.md, chapter 22.
 */

import { weeklyStarts } from "../../appointments.ts";
import { concat, toHex, utf8 } from "../../protocol/bytes.ts";
import { LocalError, type Rejected } from "../../protocol/errors.ts";
import { type AccountId, type AppointmentId, type ConversationId, idBytes, idOf } from "../../protocol/ids.ts";
import {
  APPOINTMENT_PAGE,
  type Appointments,
  type AppointmentTimes,
  MINUTES_LEAST,
  MINUTES_MOST,
  SERIES_MOST,
} from "../../protocol/meeting.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import {
  APPOINTMENT_NOTE_BYTES,
  APPOINTMENT_TITLE_BYTES,
  type AppointmentContent,
  WORDS_BYTES,
} from "../bodies/meetings.ts";
import { compose } from "../composing.ts";
import { accountsOf } from "../conversations.ts";
import { putMessage, queuedPlace } from "../shown/showing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS, COUNTERS, type Conversation, type MessageRecord, NEW_MESSAGE } from "../vault/records.ts";
import { amend } from "../vault/tables.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import * as answers from "./appointments.ts";
import {
  APPOINTMENTS,
  change,
  newsOf,
  PUTS,
  type Put,
  recordOf,
  type Said,
  standing,
  takeAppointments,
  takeLate,
  takeRows,
} from "./appointments.ts";
import { bringBack } from "./appointments-again.ts";

const DAY_MS = 86_400_000;
/** What the server is asked for: appointments that begin in this span around now. */
const PAST_MS = 30 * DAY_MS;
const AHEAD_MS = 400 * DAY_MS;
const FROM = "from:";
const LATE_MOST = 120;

/** What an appointment is to be. zone: whose wall time it keeps. weekly: how many weeks, 1 = once. */
export interface Plan {
  readonly startMs: number;
  readonly minutes: number;
  readonly modality: string;
  readonly zone: string;
  readonly title?: string;
  readonly note?: string;
  readonly weekly?: number;
}

// --- wishes ----------------------------------------------------------------------------------------------------------

/** The key of the errand that brings a put to the server. */
export function putErrand(put: string): string {
  return errands.errandKey("appointment_put", put);
}

/**
 * Plans an appointment or a weekly series; returns the name of its put and the ids.
 *
 * LocalError: "not_found" for no such conversation, "forbidden" for a client or where nobody else is, "bad_time" for a
 * start in the past, "bad_format" for minutes outside of 10 to 120, weeks outside of 1 to 52 or an unknown zone,
 * "too_large" for texts.
 */
export function plan(turn: Turn, conv: ConversationId, asked: Plan): { put: string; ids: AppointmentId[] } {
  const conversation = hosted(turn, conv);
  const { startMs, minutes, modality, zone, title = "", note = "", weekly = 1 } = asked;
  requireTimes(turn, startMs, minutes);
  requireTexts(title, note);
  if (!Number.isInteger(weekly) || weekly < 1 || weekly > SERIES_MOST) {
    throw new LocalError("bad_format", `weekly: 1 to ${SERIES_MOST} weeks`);
  }
  const starts = weekly === 1 ? [startMs] : startsOf(zone, startMs, weekly);
  const occurrences = starts.map((start) => ({ appointment: idOf<AppointmentId>(turn.random(16)), start }));
  const series = weekly === 1 ? null : idOf<AppointmentId>(turn.random(16));
  const shared = { minutes, modality, zone, title, note, series, moved_from: 0, cancelled: false };
  const content: AppointmentContent = { type: "appointment", occurrences, version: 1, ...shared };
  return { put: wish(turn, conversation, content), ids: occurrences.map(({ appointment }) => appointment) };
}

function startsOf(zone: string, startMs: number, weekly: number): number[] {
  try {
    return [...weeklyStarts(zone, startMs, weekly)];
  } catch (problem) {
    if (problem instanceof RangeError) {
      throw new LocalError("bad_format", "zone: an IANA name, like Europe/London");
    }
    throw problem;
  }
}

/**
 * Moves one appointment; the others of its series stay. Returns the name of its put.
 *
 * LocalError: "not_found", "forbidden" for one of somebody else's, "conflict" while another change of it is under way or
 * when it is cancelled, "bad_time", "bad_format".
 */
export function move(turn: Turn, id: AppointmentId, startMs: number, minutes: number | null): string {
  const { said, version, conversation } = ours(turn, id);
  requireTimes(turn, startMs, minutes ?? said.minutes);
  const moved_from = startMs === said.start ? said.movedFrom : said.start;
  const times = { minutes: minutes ?? said.minutes, moved_from, note: said.note };
  return wish(turn, conversation, again(id, said, startMs, version, times));
}

/** Cancels one appointment; words: for the others, in place of its note. As `move`. */
export function cancel(turn: Turn, id: AppointmentId, words: string): string {
  const { said, version, conversation } = ours(turn, id);
  requireTexts("", words);
  const times = { minutes: said.minutes, moved_from: said.movedFrom, note: words || said.note, cancelled: true };
  return wish(turn, conversation, again(id, said, said.start, version, times));
}

function again(
  appointment: AppointmentId,
  { modality, zone, title, series }: Said,
  start: number,
  version: number,
  times: Pick<AppointmentContent, "minutes" | "moved_from" | "note"> & { readonly cancelled?: boolean },
): AppointmentContent {
  const occurrences = [{ appointment, start }];
  return { type: "appointment", occurrences, version, modality, zone, title, series, cancelled: false, ...times };
}

/** We begin so many minutes later, 0 = on time after all. LocalError: "not_found", "forbidden", "bad_format", "too_large". */
export function sayLate(turn: Turn, id: AppointmentId, minutes: number, words: string): void {
  const { said, conversation } = ours(turn, id, { settled: false });
  if (!Number.isInteger(minutes) || minutes < 0 || minutes > LATE_MOST || said.cancelled) {
    throw new LocalError("bad_format", `minutes: 0 to ${LATE_MOST}`);
  }
  requireSize(words, WORDS_BYTES, "words");
  const content = { type: "appointment.late", appointment: id, minutes, words } as const;
  const { conv } = conversation;
  const message = compose(turn, conv, content);
  takeLate(turn, { conv, account: turn.me.account, message, seq: 0 }, content);
}

function requireTimes(turn: Turn, startMs: number, minutes: number): void {
  if (!Number.isInteger(minutes) || minutes < MINUTES_LEAST || minutes > MINUTES_MOST) {
    throw new LocalError("bad_format", `minutes: ${MINUTES_LEAST} to ${MINUTES_MOST}`);
  }
  if (!Number.isSafeInteger(startMs) || startMs <= turn.nowMs) {
    throw new LocalError("bad_time", "an appointment begins in the future");
  }
}

function requireTexts(title: string, note: string): void {
  requireSize(title, APPOINTMENT_TITLE_BYTES, "title");
  requireSize(note, APPOINTMENT_NOTE_BYTES, "note");
}

function requireSize(text: string, most: number, what: string): void {
  if (utf8(text).length > most) {
    throw new LocalError("too_large", `${what}: at most ${most} bytes of UTF-8`);
  }
}

/** A conversation with others, if we may plan there. */
function hosted(turn: Turn, conv: ConversationId): Conversation {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null) {
    throw new LocalError("not_found", "no such conversation");
  }
  const isAlone = accountsOf(turn, conversation).length < 2;
  if (turn.me.role === null || !isAdmin(turn.me.role) || isAlone) {
    throw new LocalError("forbidden", "a therapist plans appointments, with somebody who has joined");
  }
  return conversation;
}

/** An appointment of ours, and the version of its next change. */
function ours(
  turn: Turn,
  id: AppointmentId,
  { settled = true }: { readonly settled?: boolean } = {},
): { readonly said: Said; readonly version: number; readonly conversation: Conversation } {
  const record = recordOf(turn, id);
  const said = standing(turn, id);
  if (said === null || record.conv === null) {
    throw new LocalError("not_found", "no such appointment");
  }
  if (record.host !== turn.me.account) {
    throw new LocalError("forbidden", "only its host changes an appointment");
  }
  if (settled && (record.put !== "" || said.cancelled)) {
    throw new LocalError("conflict", "it is cancelled, or another change of it is under way");
  }
  const version = Math.max(said.version, record.row?.times.version ?? 0) + 1;
  return { said, version, conversation: hosted(turn, record.conv) };
}

/** Keeps what is wanted until the server has it. */
function wish(turn: Turn, conversation: Conversation, content: AppointmentContent): string {
  const { conv } = conversation;
  const put = toHex(turn.random(16));
  const members = concat(...accountsOf(turn, conversation).sort().map(idBytes));
  PUTS.put(turn.tx, put, { conv, content, rows: rowsOf(conv, content, members) });
  for (const { appointment } of content.occurrences) {
    change(turn, appointment, () => ({ conv, host: turn.me.account, put }));
  }
  errands.plan(turn, "appointment_put", put);
  return put;
}

function rowsOf(conv: ConversationId, content: AppointmentContent, members: Uint8Array): AppointmentTimes[] {
  const { occurrences, version, minutes, modality, zone, series, moved_from: movedFromMs, cancelled } = content;
  return occurrences.map(({ appointment, start: startMs }) => {
    return { appointment, conv, version, startMs, minutes, modality, zone, members, series, movedFromMs, cancelled };
  });
}

// --- puts ------------------------------------------------------------------------------------------------------------

/** The rows, the same every time. */
export function putCall(turn: Turn, errand: Errand): Call | null {
  const put = PUTS.get(turn.tx, errand.subject);
  if (put === null) {
    errands.drop(turn, "appointment_put", errand.subject);
    return null;
  }
  return makeCall(errands.keyOf(errand), "appointment.put", { body: { appointments: put.rows } });
}

/** The server has it: the others are told, sealed. */
export function putTaken(turn: Turn, { subject }: Errand, answer: Appointments): void {
  const put = ended(turn, subject);
  if (put !== null) {
    takeRows(turn, answer.appointments);
    say(turn, put);
  }
}

/** The server will not have it. What it has instead is asked for; whoever waits is told why. */
export function putRefused(turn: Turn, errand: Errand, refusal: Rejected): void {
  const put = ended(turn, errand.subject);
  if (put !== null) {
    const { conv: conversation, content } = put;
    for (const { appointment } of content.occurrences) {
      turn.show({ type: "appointmentRefused", conversation, appointment, code: refusal.code });
    }
  }
  errands.plan(turn, "appointments");
  turn.finished.set(errands.keyOf(errand), refusal);
}

function ended(turn: Turn, subject: string): Put | null {
  errands.drop(turn, "appointment_put", subject);
  const put = PUTS.get(turn.tx, subject);
  if (put !== null) {
    for (const { appointment } of put.content.occurrences) {
      change(turn, appointment, () => {
        return { put: "" };
      });
    }
    PUTS.delete(turn.tx, subject);
  }
  return put;
}

function say(turn: Turn, { conv, content }: Put): void {
  const { account, device } = turn.me;
  const id = compose(turn, conv, content);
  takeAppointments(turn, { conv, account, message: id, seq: 0 }, content);
  const record: MessageRecord = {
    ...NEW_MESSAGE,
    id,
    conv,
    account,
    device,
    seq: 0,
    atMs: turn.nowMs,
    kind: "appointment",
    text: content.title,
    status: "queued",
    order: queuedPlace(COUNTERS.need(turn.tx, "").orders),
    appointment: newsOf(content),
  };
  putMessage(turn, record);
  amend(CONVERSATIONS, turn.tx, conv, { activeMs: turn.nowMs });
}

// --- the server's rows -----------------------------------------------------------------------------------------------

/**
 * Asks for rows. subject: "" for all around now, an appointment for that one where it is held to be, or where a page
 * goes on.
 */
export function listCall(turn: Turn, errand: Errand): Call {
  const { from, to } = spanOf(turn, errand.subject);
  return makeCall(errands.keyOf(errand), "appointment.list", { query: { from, to } });
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function spanOf(turn: Turn, subject: string): Span {
  const all = { from: Math.max(0, turn.nowMs - PAST_MS), to: turn.nowMs + AHEAD_MS };
  if (subject === "") {
    return all;
  }
  if (subject.startsWith(FROM)) {
    return { ...all, from: Number(subject.slice(FROM.length)) };
  }
  const starts = startsHeld(turn, subject as AppointmentId);
  return starts.length === 0 ? all : { from: Math.min(...starts), to: Math.max(...starts) + 1 };
}

function startsHeld(turn: Turn, id: AppointmentId): number[] {
  const starts = [standing(turn, id)?.start, recordOf(turn, id).row?.times.startMs];
  return starts.filter((start) => start !== undefined);
}

/** Rows have come. What lies in the span that was asked for and is not among them, the server does not have. */
export function listed(turn: Turn, { subject }: Errand, answer: Appointments, asked: Call["query"]): void {
  errands.drop(turn, "appointments", subject);
  const { appointments } = answer;
  const last = appointments.at(-1)?.times.startMs ?? 0;
  const { ["from"]: from = 0, ["to"]: to = 0 } = asked;
  const isFull = appointments.length >= APPOINTMENT_PAGE;
  const isOne = subject !== "" && !subject.startsWith(FROM);
  const came = new Set(appointments.map(({ times }) => times.appointment));
  takeRows(turn, appointments);
  if (isOne && !came.has(subject as AppointmentId) && to - from < AHEAD_MS) {
    errands.plan(turn, "appointments"); // it may have been moved to another time
    return;
  }
  const end = isFull ? last : to;
  const missed = [...APPOINTMENTS.list(turn.tx, "", { above: from - 1, below: end })].map(([, { id }]) => id);
  answers.missRows(
    turn,
    missed.filter((id) => !came.has(id)),
  );
  if (isFull && last > from) {
    errands.plan(turn, "appointments", `${FROM}${last}`);
  } else if (!isOne) {
    bringBack(turn);
  }
}

/** The server will not say: what is held stays as it is. */
export function listRefused(turn: Turn, { subject }: Errand): void {
  errands.drop(turn, "appointments", subject);
}

/** Everything around now is asked for: signed in, or one of them has changed in a way that is not known. */
export function askAll(turn: Turn): void {
  errands.plan(turn, "appointments");
}

/** Accounts that are in an appointment's conversation, for what is said to one of them alone. */
export function accountsIn(turn: Turn, conv: ConversationId): AccountId[] {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  return conversation === null ? [] : accountsOf(turn, conversation);
}
