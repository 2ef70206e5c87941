/**
 * Urgent messages: how far the server says each has come, and whether a person has said, sealed, that it was seen.
 *
 *     reports (notices, the server's word)  ─> rung, next        shown as told, asked, never more
 *     urgent.seen (sealed, by a member)     ─> seenBy            the only thing that is shown as seen
 *     time                                  ─> silent            a report is two minutes overdue
 *
 * One row per message, kept with its times; what is shown is computed from it when it is asked for. A report counts if it
 * is higher than the last one; reports and confirmations may come before the message. Bounded: the newest 256 rows.
 *
 * Source: docs/protocol.md, chapter 17.
 */

import type { Urgency } from "../agreements.ts";
import { FormatError } from "../protocol/errors.ts";
import type { AccountId, ConversationId, MessageId } from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS } from "../protocol/limits.ts";
import type { Notice } from "../protocol/messages.ts";
import {
  type CoverAsked,
  END_MS,
  nextAfter,
  parseCoverAsked,
  parseReport,
  type Report,
  RUNGS,
  RUNNING_MOST,
  SILENT_MS,
} from "../protocol/urgent.ts";
import type { UrgentSeenContent } from "./bodies/agreements.ts";
import { hoursKept, OFFICES } from "./office/office.ts";
import { type Sides, sidesOf } from "./office/promises.ts";
import type { OpenedMessage } from "./opening.ts";
import { dueOf, type UrgentRow, type UrgentView, urgencyOf } from "./urgent-shown.ts";
import * as errands from "./vault/errands.ts";
import { CONVERSATIONS, MESSAGES, type MessageRecord } from "./vault/records.ts";
import { Table } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** Most messages of which this is kept; the oldest go first. */
export const KEPT_MOST = 256;
/** Most of them of one conversation, not here (yet), or of others whom we cover: no sort drives out another one. */
export const EACH_MOST = 64;
/** Most confirmations of a message that wait. */
const SEALS_MOST = 4;
/** Most urgent messages that one text of ours answers. */
const ANSWERED_MOST = 16;

const NEW_ROW = {
  client: null,
  atMs: 0,
  rung: "stored",
  rungMs: 0,
  nextMs: 0,
  stoppedMs: 0,
  seenBy: null,
  seenMs: 0,
  therapist: null,
  seals: [],
  shares: null,
} as const;

/** By message id; order: when it was accepted, or first heard of. */
export const URGENT = new Table<UrgentRow>("urgent", NEW_ROW);

function rowsOf(turn: Turn): [message: MessageId, row: UrgentRow][] {
  return URGENT.list(turn.tx).map(([key, row]) => [key as MessageId, row]); // what they are kept under
}

function viewOf(turn: Turn, message: MessageId, row: UrgentRow): UrgentView {
  return { message, row, shared: row.shares === null ? null : URGENT.get(turn.tx, row.shares) };
}

/** All that is kept. */
export function viewUrgent(turn: Turn): UrgentView[] {
  return rowsOf(turn).map(([message, row]) => viewOf(turn, message, row));
}

/** All that is kept if this turn has changed any of it, else nothing: what was driven out is not among them. */
export function changedUrgent(turn: Turn): UrgentView[] {
  return turn.written(URGENT.name).length > 0 ? viewUrgent(turn) : [];
}

// --- keeping ---------------------------------------------------------------------------------------------------------

/** Keeps a row, tells the host if it looks different, and plans when silence is noticed. */
function put(turn: Turn, message: MessageId, after: UrgentRow): void {
  const before = URGENT.get(turn.tx, message);
  if (before === null) {
    makeRoom(turn, after);
  }
  URGENT.put(turn.tx, message, after, { order: after.atMs || turn.nowMs });
  errands.drop(turn, "urgent_silent", message);
  const due = dueOf(after);
  if (after.client === turn.me.account && due > 0 && after.shares === null) {
    errands.plan(turn, "urgent_silent", message, { dueMs: Math.max(due + SILENT_MS, turn.nowMs + 1) });
  }
  if (after.client !== null && !isSame(looks(turn, message, before), looks(turn, message, after))) {
    turn.show({ type: "urgencyChanged", conversation: after.conv, message });
  }
}

function looks(turn: Turn, message: MessageId, row: UrgentRow | null): Urgency | null {
  return row === null ? null : urgencyOf(viewOf(turn, message, row), turn.me.account, turn.nowMs);
}

function isSame(one: Urgency | null, other: Urgency | null): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

/** Where there are too many of a sort the oldest of them goes; else what is not here goes before what is. */
function makeRoom(turn: Turn, added: UrgentRow): void {
  const rows = rowsOf(turn);
  const alike = rows.filter(([, row]) => sortOf(row) === sortOf(added));
  const unknown = rows.filter(([, { client }]) => client === null);
  const crowd = alike.length >= EACH_MOST ? alike : rows.length >= KEPT_MOST ? [...unknown, ...rows] : [];
  for (const [oldest] of crowd.slice(0, 1)) {
    URGENT.delete(turn.tx, oldest);
    errands.drop(turn, "urgent_silent", oldest);
  }
}

/** Not here; here; or of somebody else's, whom we are asked to cover. */
function sortOf({ client, therapist, conv }: UrgentRow): string {
  return client === null ? "unknown" : therapist === null ? conv : "elsewhere";
}

/** A report is two minutes overdue: the host is told that the server is silent. */
export function silentDue(turn: Turn, message: MessageId): void {
  errands.drop(turn, "urgent_silent", message);
  const row = URGENT.get(turn.tx, message);
  const due = row === null ? 0 : dueOf(row);
  if (row !== null && due > 0 && due + SILENT_MS <= turn.nowMs) {
    turn.show({ type: "urgencyChanged", conversation: row.conv, message });
  }
}

// --- the messages themselves -----------------------------------------------------------------------------------------

/** Brings the rows up to date with the messages and office hours that this turn has written. */
export function settleUrgent(turn: Turn): void {
  if (turn.written(OFFICES.name).length > 0) {
    for (const [message, row] of rowsOf(turn)) {
      judge(turn, message, row);
    }
  }
  for (const message of turn.urgent) {
    const record = MESSAGES.get(turn.tx, message);
    if (record?.urgent && record.placeholder === null) {
      settle(turn, record);
    }
  }
}

function settle(turn: Turn, record: MessageRecord): void {
  const sides = sidesIn(turn, record.conv);
  if (sides === null || record.account !== sides.client) {
    return; // nobody else's text climbs
  }
  const held = URGENT.get(turn.tx, record.id);
  let row: UrgentRow = held?.conv === record.conv ? held : { ...NEW_ROW, conv: record.conv, seals: held?.seals ?? [] };
  if (row.client !== null && (row.atMs > 0 || record.seq === 0)) {
    return;
  }
  const isOurs = row.client !== null;
  const atMs = record.seq > 0 ? believed(turn, record.atMs) : 0;
  row = { ...row, client: record.account, atMs };
  if (atMs > 0 && row.rung === "stored" && (isOurs || atMs + END_MS + SILENT_MS > turn.nowMs)) {
    // Written here, it is no history, whatever time the server gives it; that neither runs nor is silent.
    row = { ...row, nextMs: nextAfter("stored", atMs, atMs), shares: sharedBy(turn, record, atMs) };
  }
  put(turn, record.id, row);
  judge(turn, record.id, row);
}

/** The oldest running message of the client, if so many run that the server starts no more. */
function sharedBy(turn: Turn, record: MessageRecord, atMs: number): MessageId | null {
  const running = rowsOf(turn).filter(
    ([message, row]) =>
      row.client === record.account &&
      row.therapist === null &&
      dueOf(row) > 0 &&
      row.stoppedMs === 0 &&
      row.shares === null &&
      row.atMs <= atMs &&
      message !== record.id,
  );
  const [oldest = null] = running.sort(
    ([left, one], [right, other]) => one.atMs - other.atMs || (left < right ? -1 : 1),
  );
  return running.length >= RUNNING_MOST && oldest !== null ? oldest[0] : null;
}

function sidesIn(turn: Turn, conv: ConversationId | null): Sides | null {
  return conv === null ? null : sidesOf(CONVERSATIONS.get(turn.tx, conv));
}

/** A time that the server says, unless it lies ahead. */
function believed(turn: Turn, atMs: number): number {
  return atMs <= turn.nowMs + CLOCK_TOLERANCE_MS ? atMs : turn.nowMs;
}

// --- what the server reports -----------------------------------------------------------------------------------------

/** A notice `urgent` or `urgent_cover`. What is malformed, of a strange place, or no news is ignored. */
export function takeNotice(turn: Turn, { kind, conv, about }: Notice): void {
  const sides = sidesIn(turn, conv);
  if (conv === null || sides === null) {
    return;
  }
  try {
    if (kind === "urgent") {
      report(turn, conv, parseReport(about));
    } else {
      asked(turn, conv, sides, parseCoverAsked(about));
    }
  } catch (problem) {
    if (!(problem instanceof FormatError)) {
      throw problem;
    }
  }
}

function report(turn: Turn, conv: ConversationId, said: Report): void {
  const row: UrgentRow = URGENT.get(turn.tx, said.message) ?? { ...NEW_ROW, conv };
  if (row.conv !== conv || row.therapist !== null || row.stoppedMs > 0 || row.rung === "ended") {
    return;
  }
  if (said.rung === "confirmed") {
    put(turn, said.message, { ...row, stoppedMs: turn.nowMs }); // so it says; shown once somebody has sealed it
    return;
  }
  const shared = viewOf(turn, said.message, row).shared?.rung ?? "stored";
  const shown = RUNGS.indexOf(shared) > RUNGS.indexOf(row.rung) ? shared : row.rung; // of its own or not: never back
  if (RUNGS.indexOf(said.rung) <= RUNGS.indexOf(shown) || (said.rung === "no_cover" && shown === "cover_asked")) {
    return;
  }
  const rungMs = Math.max(believed(turn, said.atMs), row.rungMs);
  const expected = nextAfter(said.rung, row.atMs || rungMs, rungMs);
  const nextMs = said.nextMs > 0 ? Math.min(said.nextMs, expected) : expected;
  put(turn, said.message, { ...row, rung: said.rung, rungMs, nextMs, shares: null });
}

/** We are asked for a client of ours who has written to somebody else. */
function asked(turn: Turn, conv: ConversationId, sides: Sides, { message, client, therapist, atMs }: CoverAsked): void {
  const me = turn.me.account;
  const isOurs = sides.client === client && sides.therapist === me && therapist !== client && therapist !== me;
  if (!isOurs || URGENT.has(turn.tx, message)) {
    return;
  }
  const at = believed(turn, atMs);
  put(turn, message, { ...NEW_ROW, conv, client, atMs: at, rung: "cover_asked", rungMs: at, therapist });
  turn.show({ type: "urgentElsewhere", client, therapist, message, atMs: at });
}

// --- what people confirm ---------------------------------------------------------------------------------------------

/** A sealed `urgent.seen` was opened. It counts if it is of a listed device of somebody who may say so. */
export function takeSeen(turn: Turn, { outer, envelope, known }: OpenedMessage, { id }: UrgentSeenContent): void {
  if (!known.listed || sidesIn(turn, outer.conv) === null) {
    return;
  }
  const row: UrgentRow = URGENT.get(turn.tx, id) ?? { ...NEW_ROW, conv: outer.conv };
  if (row.seenBy !== null) {
    return;
  }
  const { account, conv } = outer;
  const atMs = believed(turn, envelope.at);
  const isNew = !row.seals.some((seal) => seal.account === account && seal.conv === conv);
  if (mayConfirm(turn, row, account, conv)) {
    put(turn, id, { ...row, seenBy: account, seenMs: atMs, seals: [] });
  } else if (isNew && row.seals.length < SEALS_MOST) {
    put(turn, id, { ...row, seals: [...row.seals, { account, conv, atMs }] });
  }
}

/** The first of its confirmations that counts, if any does now. The others wait for what they could count by. */
function judge(turn: Turn, message: MessageId, row: UrgentRow): void {
  const counting = row.seenBy === null && row.seals.find((seal) => mayConfirm(turn, row, seal.account, seal.conv));
  if (counting) {
    put(turn, message, { ...row, seenBy: counting.account, seenMs: counting.atMs, seals: [] });
  }
}

/** A member of the conversation who did not write it, or, to the writer, the colleague that the therapist names. */
function mayConfirm(turn: Turn, row: UrgentRow, account: AccountId, conv: ConversationId): boolean {
  if (row.client === null || account === row.client) {
    return false;
  }
  if (conv === row.conv) {
    return true;
  }
  const [theirs, sides] = [sidesIn(turn, conv), sidesIn(turn, row.conv)];
  if (
    sides === null ||
    row.client !== turn.me.account ||
    theirs?.client !== row.client ||
    theirs.therapist !== account
  ) {
    return false;
  }
  const named = hoursKept(turn, sides.therapist).flatMap(({ cover, leaves }) => [
    cover,
    ...leaves.map((leave) => leave.cover),
  ]);
  return named.includes(account);
}

/** We have just said that we have seen it: the server is told too. False where it is not known who wrote it. */
export function noteSeen(turn: Turn, message: MessageId): boolean {
  const row = URGENT.get(turn.tx, message);
  if (row === null || row.client === null) {
    return false;
  }
  if (row.seenBy === null) {
    put(turn, message, { ...row, seenBy: turn.me.account, seenMs: turn.nowMs, seals: [] });
  }
  errands.plan(turn, "urgent_seen", message);
  return true;
}

/** Urgent messages of others in a conversation, here to be read or asked about, that nobody has confirmed: the newest. */
export function openToUs(turn: Turn, conv: ConversationId): MessageId[] {
  return rowsOf(turn)
    .filter(([message, row]) => {
      const isHere = row.therapist !== null || MESSAGES.has(turn.tx, message);
      return (
        row.conv === conv && isHere && row.client !== null && row.client !== turn.me.account && row.seenBy === null
      );
    })
    .slice(-ANSWERED_MOST)
    .map(([message]) => message);
}
