/**
 * Appointments as this device has them: what their hosts have said, sealed, held against the rows of the server.
 *
 *     appointment (sealed, of the host)   ─> times, title, note       what people are shown
 *     rows (appointment.list and answers) ─> differs, reached, outcome
 *     a put of ours that is under way     ─> shown as pending         until the server has it
 *
 * Of several posts about one appointment the highest version counts, of one version the one with the lowest seq, our own
 * that waits in the outbox last: all devices come to the same. An id belongs to the conversation and account of the first
 * post that names it. A row without a sealed post is shown to nobody.
 *
 * Source: docs/protocol.md, chapter 22.
 */

import type { Appointment, AppointmentNews } from "../../meetings.ts";
import type { AccountId, AppointmentId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { splitIds } from "../../protocol/ids.ts";
import { MAX_INTEGER } from "../../protocol/limits.ts";
import type { AppointmentTimes, AppointmentView, Outcome } from "../../protocol/meeting.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { Content } from "../bodies/content.ts";
import type { AppointmentContent, AppointmentLate } from "../bodies/meetings.ts";
import { accountsOf } from "../conversations.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";

/** Most appointments of one conversation; the one that begins first goes first. */
export const EACH_MOST = 512;
/** Most posts kept about one appointment: those of the highest versions. */
export const SAID_MOST = 8;
/** After this time a row of another version is no matter of what comes first. */
export const DIFFERS_MS = 60_000;
/** While a row differs it is asked for again so often. */
const ASKED_AGAIN_MS = 3_600_000;
/** Rows of appointments that ended longer ago are not looked at any more. */
const JUDGED_MS = 30 * 86_400_000;
const MINUTE_MS = 60_000;

/** One post about an appointment. seq: 0 while it waits in our outbox. */
export interface Said {
  readonly message: MessageId;
  readonly seq: number;
  readonly start: number;
  readonly version: number;
  readonly minutes: number;
  readonly modality: string;
  readonly zone: string;
  readonly title: string;
  readonly note: string;
  readonly series: AppointmentId | null;
  readonly movedFrom: number;
  readonly cancelled: boolean;
}

/** What the host says of being late. account: who has said it. seq: 2^53 - 1 while it waits in our outbox. */
interface Late {
  readonly message: MessageId;
  readonly account: AccountId;
  readonly minutes: number;
  readonly words: string;
  readonly seq: number;
}

/**
 * One appointment on this device. conv, host: of the first post that named it, or ours that is under way; null while only
 * the server has spoken of it. saidMs: when the last post about it was taken in. row: the server's newest word, null = it
 * has none; askedMs: when it was asked last, 0 = never. oddMs: since when the versions differ, 0 = they do not. put: of
 * ours that is under way, "" = none.
 */
export interface AppointmentRecord {
  readonly id: AppointmentId;
  readonly conv: ConversationId | null;
  readonly host: AccountId | null;
  readonly saidMs: number;
  readonly row: AppointmentView | null;
  readonly askedMs: number;
  readonly oddMs: number;
  readonly differs: boolean;
  readonly late: Late | null;
  readonly put: string;
}

/** A request of ours that the server has not answered: its rows, and the post that follows. */
export interface Put {
  readonly conv: ConversationId;
  readonly rows: readonly AppointmentTimes[];
  readonly content: AppointmentContent;
}

const NEW_RECORD = {
  conv: null,
  host: null,
  saidMs: 0,
  row: null,
  askedMs: 0,
  oddMs: 0,
  differs: false,
  late: null,
  put: "",
} as const;

/** By appointment; order: its start. */
export const APPOINTMENTS = new Table<AppointmentRecord>("appointment", NEW_RECORD);
/** By appointment and message; group: appointment. */
const SAID = new Table<Said>("appointment_said");
/** By a random name. */
export const PUTS = new Table<Put>("appointment_put");

/** What is held of an appointment, as good as new if nothing is. */
export function recordOf(turn: Turn, id: AppointmentId): AppointmentRecord {
  return APPOINTMENTS.get(turn.tx, id) ?? { id, ...NEW_RECORD };
}

// --- what was said ---------------------------------------------------------------------------------------------------

/** What counts of all that was said; null while nothing was. */
export function standing(turn: Turn, id: AppointmentId): Said | null {
  return saidOf(turn, id)[0] ?? null;
}

/** Everything that is kept about it, what counts first. */
function saidOf(turn: Turn, id: AppointmentId): Said[] {
  return SAID.list(turn.tx, id)
    .map(([, said]) => said)
    .sort(byWeight);
}

function byWeight(one: Said, other: Said): number {
  return other.version - one.version || (one.seq || MAX_INTEGER) - (other.seq || MAX_INTEGER);
}

function saidIn(content: AppointmentContent, message: MessageId, seq: number): [AppointmentId, Said][] {
  const { occurrences, version, minutes, modality, zone, title, note, series, moved_from, cancelled } = content;
  const shared = { version, minutes, modality, zone, title, note, series, movedFrom: moved_from, cancelled };
  return occurrences.map(({ appointment, start }) => [appointment, { message, seq, start, ...shared }]);
}

/** The accounts that may make appointments in a conversation. */
function hostsIn(turn: Turn, conv: ConversationId): AccountId[] {
  const members = CONVERSATIONS.get(turn.tx, conv)?.membership?.members ?? [];
  return members.filter(({ role }) => isAdmin(role)).map(({ account }) => account);
}

/** Where and by whom something was said. seq: 0 = by us, and it waits in the outbox. */
export interface Spoken {
  readonly conv: ConversationId;
  readonly account: AccountId;
  readonly message: MessageId;
  readonly seq: number;
}

/**
 * A post about appointments was opened, or written here. True if it stands in the conversation: it is of a therapist or
 * owner there, and none of its appointments belongs to anybody else.
 */
export function takeAppointments(turn: Turn, spoken: Spoken, content: AppointmentContent): boolean {
  const { conv, account, message, seq } = spoken;
  if (!hostsIn(turn, conv).includes(account)) {
    return false;
  }
  const news = saidIn(content, message, seq);
  const isOthers = ({ conv: at, host }: AppointmentRecord) => at !== null && (at !== conv || host !== account);
  if (news.some(([id]) => isOthers(recordOf(turn, id)))) {
    return false;
  }
  for (const [id, said] of news) {
    change(turn, id, () => {
      if (recordOf(turn, id).conv === null) {
        makeRoom(turn, conv);
      }
      SAID.put(turn.tx, `${id}:${message}`, said, { group: id });
      for (const old of saidOf(turn, id).slice(SAID_MOST)) {
        SAID.delete(turn.tx, `${id}:${old.message}`);
      }
      return { conv, host: account, saidMs: turn.nowMs };
    });
  }
  if (seq > 0 && news.some(([, { start }]) => start > turn.nowMs)) {
    errands.plan(turn, "appointments", news.length === 1 ? news[0]?.[0] : "");
  }
  return true;
}

/** The oldest appointment of a conversation that has too many goes, with all that was said of it. */
function makeRoom(turn: Turn, conv: ConversationId): void {
  const held = APPOINTMENTS.count(turn.tx) < EACH_MOST ? [] : APPOINTMENTS.list(turn.tx);
  const same = held.filter(([, record]) => record.conv === conv);
  const [oldest] = same.length >= EACH_MOST ? same : [];
  if (oldest !== undefined) {
    forget(turn, oldest[1].id);
  }
}

function forget(turn: Turn, id: AppointmentId): void {
  for (const [key] of SAID.list(turn.tx, id)) {
    SAID.delete(turn.tx, key);
  }
  APPOINTMENTS.put(turn.tx, id, recordOf(turn, id)); // noted as written: hosts are told that it is gone
  APPOINTMENTS.delete(turn.tx, id);
}

/** The server has given our own post its place. */
export function settleAppointments(turn: Turn, message: MessageId, content: Content | null, seq: number): void {
  if (content?.type === "appointment.late") {
    amendLate(turn, message, content, (late) => ({ ...late, seq }));
  }
  if (content?.type !== "appointment") {
    return;
  }
  for (const { appointment: id } of content.occurrences) {
    const said = SAID.get(turn.tx, `${id}:${message}`);
    if (said !== null) {
      change(turn, id, () => {
        SAID.put(turn.tx, `${id}:${message}`, { ...said, seq }, { group: id });
        return {};
      });
    }
  }
}

function amendLate(
  turn: Turn,
  message: MessageId,
  { appointment: id }: AppointmentLate,
  next: (late: Late) => Late | null,
): void {
  const { late } = recordOf(turn, id);
  if (late?.message === message) {
    change(turn, id, () => ({ late: next(late) }));
  }
}

/** The server will never take our own post: it was not said. */
export function forgetAppointments(turn: Turn, message: MessageId, content: Content | null): void {
  if (content?.type === "appointment.late") {
    amendLate(turn, message, content, () => null);
  }
  if (content?.type !== "appointment") {
    return;
  }
  for (const { appointment: id } of content.occurrences) {
    change(turn, id, () => {
      SAID.delete(turn.tx, `${id}:${message}`);
      return {};
    });
  }
}

/** The host begins later, or on time after all. Of several words the one with the highest seq counts. */
export function takeLate(turn: Turn, spoken: Spoken, { appointment: id, minutes, words }: AppointmentLate): void {
  const { conv, account, message, seq: at } = spoken;
  const held = recordOf(turn, id);
  const seq = at || MAX_INTEGER;
  const isTheirs = held.conv === null ? hostsIn(turn, conv).includes(account) : held.conv === conv;
  if (isTheirs && (held.host ?? account) === account && seq >= (held.late?.seq ?? 0)) {
    change(turn, id, () => ({ late: { message, account, minutes, words, seq } }));
  }
}

/** What a message says in its conversation. */
export function newsOf(content: AppointmentContent): AppointmentNews | null {
  const { occurrences, minutes, modality, zone, title, note, version, moved_from: movedFromMs } = content;
  const [first] = occurrences;
  if (first === undefined) {
    return null;
  }
  const act = content.cancelled ? "cancelled" : version > 1 ? "moved" : "made";
  const what = { act, appointment: first.appointment, startMs: first.start, count: occurrences.length } as const;
  return { ...what, minutes, modality, zone, title, note, movedFromMs };
}

// --- what the server says --------------------------------------------------------------------------------------------

/** Rows of the server: kept, and held against what was said. */
export function takeRows(turn: Turn, rows: readonly AppointmentView[]): void {
  for (const row of rows) {
    const { appointment: id, version } = row.times;
    const held = recordOf(turn, id);
    const isKnown = held.conv !== null || CONVERSATIONS.has(turn.tx, row.times.conv);
    if (isKnown && version >= (held.row?.times.version ?? 0)) {
      change(turn, id, () => ({ row, askedMs: turn.nowMs }));
    }
  }
}

/** The server was asked for these and does not have them. */
export function missRows(turn: Turn, ids: readonly AppointmentId[]): void {
  for (const id of ids) {
    if (APPOINTMENTS.has(turn.tx, id)) {
      change(turn, id, () => ({ row: null, askedMs: turn.nowMs }));
    }
  }
}

/** Whether the row is of the same version and says something else; "other": of another version, or there is none. */
function compare(turn: Turn, record: AppointmentRecord, said: Said): "same" | "wrong" | "other" {
  const { row, conv, host } = record;
  if (said.start + said.minutes * MINUTE_MS < turn.nowMs - JUDGED_MS) {
    return "same";
  }
  const times = row?.times;
  if (row === null || times === undefined || times.version !== said.version) {
    return "other";
  }
  const same =
    times.conv === conv &&
    row.host === host &&
    times.startMs === said.start &&
    times.minutes === said.minutes &&
    times.modality === said.modality &&
    times.zone === said.zone &&
    times.series === said.series &&
    times.cancelled === said.cancelled;
  return same && areMembers(turn, conv, times.members) ? "same" : "wrong";
}

/** Whether a row's members are of the conversation; of a pair they are both. */
function areMembers(turn: Turn, conv: ConversationId | null, joined: Uint8Array): boolean {
  const members = splitIds<AccountId>(joined.subarray(0, joined.length - (joined.length % 16)));
  const conversation = conv === null ? null : CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null) {
    return false;
  }
  const signed = accountsOf(turn, conversation);
  const isPair = conversation.membership?.kind === "pair";
  return members.every((account) => signed.includes(account)) && (!isPair || members.length === signed.length);
}

/** Judges the row anew; whether it differs for longer than a minute is seen by an errand. */
function judged(turn: Turn, record: AppointmentRecord): AppointmentRecord {
  const said = standing(turn, record.id);
  const verdict = said === null || record.put !== "" ? "same" : compare(turn, record, said);
  if (verdict !== "other") {
    errands.drop(turn, "appointment_odd", record.id);
    return { ...record, oddMs: 0, differs: verdict === "wrong" };
  }
  const oddMs = record.oddMs || turn.nowMs;
  if (turn.nowMs < oddMs + DIFFERS_MS) {
    errands.plan(turn, "appointment_odd", record.id, { dueMs: oddMs + DIFFERS_MS });
    return { ...record, oddMs, differs: record.differs };
  }
  errands.drop(turn, "appointment_odd", record.id);
  return { ...record, oddMs, differs: record.differs || record.askedMs >= record.saidMs };
}

/** A minute is over since the row was found to be of another version. */
export function oddDue(turn: Turn, id: AppointmentId): void {
  errands.drop(turn, "appointment_odd", id);
  if (APPOINTMENTS.has(turn.tx, id)) {
    change(turn, id, () => ({}));
  }
}

// --- what hosts see --------------------------------------------------------------------------------------------------

/** Changes what is held of an appointment, judges it, and says so if it looks different. */
export function change(turn: Turn, id: AppointmentId, work: () => Partial<AppointmentRecord>): void {
  const before = viewOf(turn, id);
  const changes = work();
  const record = judged(turn, { ...recordOf(turn, id), ...changes });
  if (record.differs) {
    errands.plan(turn, "appointments", id, { dueMs: turn.nowMs + ASKED_AGAIN_MS });
  }
  const start = plannedIn(turn, record)?.start ?? standing(turn, id)?.start ?? record.row?.times.startMs ?? 0;
  if (record.put === "" && record.row === null && standing(turn, id) === null) {
    forget(turn, id);
  } else {
    APPOINTMENTS.put(turn.tx, id, record, { order: start });
  }
  const after = viewOf(turn, id);
  const conversation = after?.conversation ?? before?.conversation;
  if (conversation !== undefined && JSON.stringify(before) !== JSON.stringify(after)) {
    turn.show({ type: "appointmentChanged", conversation, appointment: id });
  }
}

/** What our put that is under way says of an appointment. */
function plannedIn(turn: Turn, { id, put }: AppointmentRecord): Said | null {
  const held = put === "" ? null : PUTS.get(turn.tx, put);
  const found = held && saidIn(held.content, "" as MessageId, 0).find(([appointment]) => appointment === id);
  return found?.[1] ?? null;
}

/** One appointment as hosts see it; null for one that is not known, or of which only the server has spoken. */
export function viewOf(turn: Turn, id: AppointmentId): Appointment | null {
  const record = APPOINTMENTS.get(turn.tx, id);
  const said = record && (plannedIn(turn, record) ?? standing(turn, id));
  if (record === null || said === null || record.conv === null || record.host === null) {
    return null;
  }
  const conversation = CONVERSATIONS.get(turn.tx, record.conv);
  const members = conversation === null ? [] : accountsOf(turn, conversation);
  const { row, late, host, conv, differs } = record;
  const isLate = late !== null && late.account === host && late.seq >= sinceSeq(turn, id, said);
  const reached = row === null || row.reached.length % 16 !== 0 ? [] : splitIds<AccountId>(row.reached);
  return {
    id,
    conversation: conv,
    host,
    members,
    startMs: said.start,
    minutes: said.minutes,
    endMs: said.start + said.minutes * MINUTE_MS,
    modality: said.modality,
    zone: said.zone,
    title: said.title,
    note: said.note,
    series: said.series,
    movedFromMs: said.movedFrom,
    version: said.version,
    cancelled: said.cancelled,
    lateMinutes: isLate ? late.minutes : 0,
    lateWords: isLate ? late.words : "",
    reached: reached.filter((account) => members.includes(account)),
    outcome: outcomeOf(row?.outcome ?? ""),
    minutesHeld: row?.minutesHeld ?? 0,
    differs,
    mine: host === turn.me.account,
    pending: record.put !== "",
  };
}

/** Since when it is at this start, as the seq of the post that moved it there; a word about an earlier start is void. */
function sinceSeq(turn: Turn, id: AppointmentId, { start, cancelled }: Said): number {
  const all = saidOf(turn, id);
  const other = all.findIndex((said) => said.start !== start || said.cancelled !== cancelled);
  const first = other === -1 ? all.at(-1) : all[other - 1];
  return first?.seq || MAX_INTEGER; // none: our own move is under way
}

const OUTCOMES: readonly Outcome[] = ["", "completed", "no_show", "cancelled"];

function outcomeOf(word: string): Outcome {
  return OUTCOMES.find((known) => known === word) ?? "";
}

/** What hosts hold of appointments: by id, null = gone. */
export type Appointments = Readonly<Record<AppointmentId, Appointment | null>>;

/** All of them. */
export function viewAppointments(turn: Turn): Appointments {
  return viewed(
    turn,
    APPOINTMENTS.list(turn.tx).map(([, { id }]) => id),
  );
}

/** Those that this turn has changed. */
export function changedAppointments(turn: Turn): Appointments {
  return viewed(turn, turn.written(APPOINTMENTS.name) as AppointmentId[]); // what they are kept under
}

function viewed(turn: Turn, ids: readonly AppointmentId[]): Appointments {
  return Object.fromEntries(ids.map((id) => [id, viewOf(turn, id)]));
}
