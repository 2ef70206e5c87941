/**
 * Who waits for an answer, until when, and what became of it: a fold over the texts of each pair of client and therapist.
 *
 *     texts of the pair, by place:   client … client, therapist, client, therapist …
 *     an episode:                    from a client's text that waits (its head) to the therapist's next text, if any
 *
 * Episodes are kept up to date by what a turn has written, wherever in the conversation that stands: live, from the
 * archive, late, edited, deleted. Whatever order texts arrive in, the episodes end the same. Two more things are kept:
 * which place an answer stood at that has expired, and by when each promise of ours was due, so that counting those that
 * were kept reads nothing else.
 *
 * Source: docs/protocol.md, chapter 16.
 */

import type { Kept } from "../../agreements.ts";
import { LAST_MS } from "../../office/calendar.ts";
import { promisedBy } from "../../office/promise.ts";
import type { AccountId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { PromiseExtended, SlotWanted } from "../bodies/agreements.ts";
import { placeOf, putMessage, QUEUED_FROM } from "../shown/showing.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS, type Conversation, MESSAGES, type MessageRecord } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { hoursAt, OFFICES } from "./office.ts";

/** So many messages are read at a time while a stretch of a conversation is gone through. */
const CHUNK = 64;

/** head, seq, atMs: the text that waits. dueMs: 0 = nothing was promised. answeredSeq: 0 = not answered. */
interface Episode {
  readonly head: MessageId;
  readonly seq: number;
  readonly atMs: number;
  readonly dueMs: number;
  readonly extended: boolean;
  readonly slotWanted: boolean;
  readonly urgent: boolean;
  readonly answeredSeq: number;
  readonly answeredMs: number;
}

/** Whether a text at this place stands between its head and its answer. */
function holds(episode: Episode, seq: number): boolean {
  return episode.seq < seq && (episode.answeredSeq === 0 || seq < episode.answeredSeq);
}

/** A therapist's text that has expired: it has answered. */
interface ExpiredAnswer {
  readonly seq: number;
  readonly atMs: number;
}

/** One promise of ours. answeredMs: 0 = not yet. */
interface Due {
  readonly dueMs: number;
  readonly answeredMs: number;
}

/** The latest time that the therapist has put in place of a promise. */
interface Extension {
  readonly conv: ConversationId;
  readonly untilMs: number;
}

/** The client would rather have an appointment. */
interface SlotWish {
  readonly conv: ConversationId;
}

/** What waits in a conversation now. message: null = nothing does. dueMs: 0 = nothing was promised. */
export interface WaitingRecord {
  readonly message: MessageId | null;
  readonly sinceMs: number;
  readonly dueMs: number;
  readonly extended: boolean;
  readonly slotWanted: boolean;
  readonly urgent: boolean;
}

const NOTHING: WaitingRecord = {
  message: null,
  sinceMs: 0,
  dueMs: 0,
  extended: false,
  slotWanted: false,
  urgent: false,
};
const WAITING_FIELDS = Object.keys(NOTHING) as (keyof WaitingRecord)[]; // its fields are known

/** By conversation and seq of the head; group: conversation; order: seq. */
const EPISODES = new Table<Episode>("episode");
/** By conversation and seq; group: conversation; order: seq. */
const ANSWERS = new Table<ExpiredAnswer>("expired_answer");
/** By head, on the therapist's devices; order: dueMs. */
const DUES = new Table<Due>("promise_due");
/** By message. */
const EXTENSIONS = new Table<Extension>("promise_extended");
/** By message. */
const SLOT_WISHES = new Table<SlotWish>("slot_wanted");
/** A place around which something has changed that its message does not show. By conversation and seq; within a turn only. */
const UNSETTLED = new Table<{ readonly conv: ConversationId; readonly seq: number }>("unsettled");
/** By conversation. */
export const WAITING = new Table<WaitingRecord>("waiting", NOTHING);

/** The two of a pair between whom promises are made. */
export interface Sides {
  readonly client: AccountId;
  readonly therapist: AccountId;
}

/** A text as it counts here: whose it is, and when it was accepted. record: null = the therapist's, and expired. */
interface Counted {
  readonly seq: number;
  readonly atMs: number;
  readonly record: MessageRecord | null;
}

/** Client and therapist (or owner) of a pair; null for every other conversation. */
export function sidesOf(conversation: Conversation | null): Sides | null {
  const state = conversation?.membership ?? null;
  if (state === null || state.kind !== "pair" || state.members.length !== 2) {
    return null;
  }
  const client = state.members.find(({ role }) => !isAdmin(role));
  const therapist = state.members.find(({ role }) => isAdmin(role));
  return client && therapist ? { client: client.account, therapist: therapist.account } : null;
}

function sidesIn(turn: Turn, conv: ConversationId): Sides | null {
  return sidesOf(CONVERSATIONS.get(turn.tx, conv));
}

/** A text that the server has taken and that still says something. */
function counts({ kind, placeholder, seq, order, deleted }: MessageRecord): boolean {
  return kind === "text" && placeholder === null && seq > 0 && order < QUEUED_FROM && !deleted;
}

function placeKey(conv: ConversationId, seq: number): string {
  return `${conv}:${seq}`;
}

// --- what a turn has written -----------------------------------------------------------------------------------------

/** Brings the episodes up to date with the messages and office hours that this turn has written. */
export function settleWritten(turn: Turn): void {
  for (const account of turn.written(OFFICES.name)) {
    clampWaiting(turn, account as AccountId); // what they are kept under
  }
  const news = new Map<ConversationId, number[]>();
  for (const key of turn.written(UNSETTLED.name)) {
    const place = UNSETTLED.get(turn.tx, key);
    UNSETTLED.delete(turn.tx, key);
    if (place !== null) {
      news.set(place.conv, [...(news.get(place.conv) ?? []), place.seq]);
    }
  }
  for (const key of turn.written(MESSAGES.name)) {
    const record = MESSAGES.get(turn.tx, key);
    const sides = record?.kind === "text" && record.seq > 0 ? sidesIn(turn, record.conv) : null;
    if (record !== null && sides !== null && !stands(turn, sides, record)) {
      news.set(record.conv, [...(news.get(record.conv) ?? []), record.seq]);
    }
  }
  for (const [conv, places] of news) {
    fold(turn, conv, Math.min(...places), Math.max(...places));
  }
}

/** Whether the episodes say the same with this message as they do: most messages are of no news. */
function stands(turn: Turn, sides: Sides, record: MessageRecord): boolean {
  const episode = episodeUpto(turn, record.conv, record.seq);
  if (record.account === sides.therapist) {
    return counts(record) === (episode?.answeredSeq === record.seq);
  }
  const isHead = episode?.head === record.id;
  if (!counts(record)) {
    return !isHead && !record.urgent;
  }
  if (episode === null || !(isHead || holds(episode, record.seq))) {
    return false;
  }
  if (isHead) {
    const [dueMs, extended] = dueOf(turn, record);
    if (dueMs !== episode.dueMs || extended !== episode.extended) {
      return false;
    }
  }
  return !record.urgent || episode.urgent;
}

/** A message has expired and is gone from its table. An answer stays an answer; a question waits no longer. */
export function removed(turn: Turn, record: MessageRecord): void {
  const { conv, seq, atMs } = record;
  const sides = sidesIn(turn, conv);
  if (sides === null || !counts(record)) {
    return;
  }
  if (record.account === sides.therapist) {
    ANSWERS.put(turn.tx, placeKey(conv, seq), { seq, atMs }, { group: conv, order: seq });
  } else {
    lookAgain(turn, record);
  }
}

/** The newest episode that begins at this place or before. */
function episodeUpto(turn: Turn, conv: ConversationId, seq: number): Episode | null {
  return EPISODES.list(turn.tx, conv, { below: seq + 1, limit: 1, newestFirst: true })[0]?.[1] ?? null;
}

// --- the fold --------------------------------------------------------------------------------------------------------

/**
 * Makes the episodes anew around what is new: from the one that `first` stands in to the therapist's next text behind
 * `last`; from there on nothing is different.
 */
function fold(turn: Turn, conv: ConversationId, first: number, last: number): void {
  const sides = sidesIn(turn, conv);
  if (sides === null) {
    return;
  }
  const around = episodeUpto(turn, conv, first);
  const inside = around !== null && (around.answeredSeq === 0 || first <= around.answeredSeq);
  const start = inside ? around.seq : first;
  const [found, end] = episodes(turn, sides, texts(turn, conv, sides, start), last);
  const range = end === null ? { above: start - 1 } : { above: start - 1, below: end };
  for (const [key, episode] of EPISODES.list(turn.tx, conv, range)) {
    EPISODES.delete(turn.tx, key);
    DUES.delete(turn.tx, episode.head);
  }
  for (const episode of found) {
    putEpisode(turn, conv, sides, episode);
  }
  noteWaiting(turn, conv);
}

/** Episodes of these texts, up to the therapist's first text behind the place, and where that stands (null: none). */
function episodes(
  turn: Turn,
  sides: Sides,
  counted: Iterable<Counted>,
  seq: number,
): [found: Episode[], end: number | null] {
  const found: Episode[] = [];
  let waiting: Episode | null = null;
  for (const text of counted) {
    const { record } = text;
    if (record?.account === sides.client) {
      const head: Episode = waiting ?? episodeOf(turn, record);
      waiting = { ...head, urgent: head.urgent || record.urgent };
      continue;
    }
    if (waiting !== null) {
      found.push({ ...waiting, answeredSeq: text.seq, answeredMs: text.atMs });
      waiting = null;
    }
    if (text.seq > seq) {
      return [found, text.seq];
    }
  }
  return [waiting === null ? found : [...found, waiting], null];
}

function episodeOf(turn: Turn, record: MessageRecord): Episode {
  const { id, conv, seq, atMs, urgent } = record;
  const [dueMs, extended] = dueOf(turn, record);
  const slotWanted = SLOT_WISHES.get(turn.tx, id)?.conv === conv;
  return { head: id, seq, atMs, dueMs, extended, slotWanted, urgent, answeredSeq: 0, answeredMs: 0 };
}

/** Texts of the two from a place on, ascending; read in pieces, since few of them are needed as a rule. */
function* texts(turn: Turn, conv: ConversationId, { client, therapist }: Sides, start: number): Iterable<Counted> {
  let answers: Counted[] = ANSWERS.list(turn.tx, conv, { above: start - 1 }).map(([, { seq, atMs }]) => ({
    seq,
    atMs,
    record: null,
  }));
  let above = placeOf(start) - 1;
  for (let more = true; more; ) {
    const rows = MESSAGES.list(turn.tx, conv, { above, below: QUEUED_FROM, limit: CHUNK }).map(([, row]) => row);
    more = rows.length === CHUNK;
    above = rows.at(-1)?.order ?? above;
    const upto = more ? Math.floor(above / 2) : Number.POSITIVE_INFINITY;
    const due = answers.filter(({ seq }) => seq <= upto);
    answers = answers.slice(due.length);
    const said = rows
      .filter((row) => counts(row) && (row.account === client || row.account === therapist))
      .map((record) => ({ seq: record.seq, atMs: record.atMs, record }));
    yield* [...said, ...due].sort((one, other) => one.seq - other.seq);
  }
}

/** By when a client's text is answered, 0 = nothing was said; and whether that was put off. */
function dueOf(turn: Turn, { id, conv, promisedMs }: MessageRecord): [dueMs: number, extended: boolean] {
  const held = EXTENSIONS.get(turn.tx, id);
  return held?.conv === conv && held.untilMs > promisedMs ? [held.untilMs, true] : [promisedMs, false];
}

function putEpisode(turn: Turn, conv: ConversationId, sides: Sides, episode: Episode): void {
  const { head, seq, dueMs, answeredMs } = episode;
  EPISODES.put(turn.tx, placeKey(conv, seq), episode, { group: conv, order: seq });
  if (dueMs > 0 && sides.therapist === turn.me.account) {
    DUES.put(turn.tx, head, { dueMs, answeredMs }, { order: dueMs });
  }
}

/** The newest episode waits, unless it was answered. */
function noteWaiting(turn: Turn, conv: ConversationId): void {
  const newest = EPISODES.list(turn.tx, conv, { limit: 1, newestFirst: true })[0]?.[1];
  let now = NOTHING;
  if (newest !== undefined && newest.answeredSeq === 0) {
    const { head: message, atMs: sinceMs, dueMs, extended, slotWanted, urgent } = newest;
    now = { message, sinceMs, dueMs, extended, slotWanted, urgent };
  }
  const before = WAITING.get(turn.tx, conv) ?? NOTHING;
  if (WAITING_FIELDS.every((name) => now[name] === before[name])) {
    return;
  }
  WAITING.put(turn.tx, conv, now);
  errands.drop(turn, "promise", conv);
  if (now.dueMs > turn.nowMs) {
    errands.plan(turn, "promise", conv, { dueMs: now.dueMs });
  }
  turn.show({ type: "promiseChanged", conversation: conv });
}

/** The time by which an answer was promised has come: if it is still waited for, it is missed. */
export function promiseDue(turn: Turn, conv: ConversationId): void {
  errands.drop(turn, "promise", conv);
  if (waitingOf(turn, conv) !== null) {
    turn.show({ type: "promiseChanged", conversation: conv });
  }
}

/** What waits in a conversation, null if nothing does. */
export function waitingOf(turn: Turn, conv: ConversationId): (WaitingRecord & { readonly message: MessageId }) | null {
  const held = WAITING.get(turn.tx, conv);
  return held === null || held.message === null ? null : { ...held, message: held.message };
}

// --- what is said about a promise ------------------------------------------------------------------------------------

/** The therapist will answer that message later. Of several times the latest counts. */
export function takeExtension(
  turn: Turn,
  conv: ConversationId,
  account: AccountId,
  { id, until }: PromiseExtended,
): void {
  const sides = sidesIn(turn, conv);
  const held = EXTENSIONS.get(turn.tx, id);
  if (sides === null || account !== sides.therapist || (held !== null && held.untilMs >= until)) {
    return;
  }
  EXTENSIONS.put(turn.tx, id, { conv, untilMs: until });
  touch(turn, conv, sides, id);
}

/** The client would rather have an appointment than wait for an answer to that message. */
export function takeSlotWish(turn: Turn, conv: ConversationId, account: AccountId, { id }: SlotWanted): void {
  const sides = sidesIn(turn, conv);
  if (sides !== null && account === sides.client && !SLOT_WISHES.has(turn.tx, id)) {
    SLOT_WISHES.put(turn.tx, id, { conv });
    touch(turn, conv, sides, id);
  }
}

/** Something was said about a message; if it is here, its episode is made anew. */
function touch(turn: Turn, conv: ConversationId, sides: Sides, message: MessageId): void {
  const record = MESSAGES.get(turn.tx, message);
  if (record?.conv === conv && record.account === sides.client && counts(record)) {
    lookAgain(turn, record);
  }
}

/** At the turn's end, when everything that it writes is there: half of it could be folded wrongly. */
function lookAgain(turn: Turn, { conv, seq }: MessageRecord): void {
  UNSETTLED.put(turn.tx, placeKey(conv, seq), { conv, seq });
}

// --- what a promise is held to ---------------------------------------------------------------------------------------

/** A promise as it counts here: not before the one that the therapist's document of that version gives. */
export function clamped(
  turn: Turn,
  therapist: AccountId,
  promisedMs: number,
  version: number,
  writtenMs: number,
): number {
  const isDate = writtenMs >= 0 && writtenMs < LAST_MS; // a client may sign any time
  const hours = version > 0 && isDate ? hoursAt(turn, therapist, version) : null;
  return Math.max(promisedMs, (hours === null ? null : promisedBy(hours, writtenMs)) ?? 0);
}

/** A document has come that a text may have named before it was here. */
function clampWaiting(turn: Turn, account: AccountId): void {
  for (const [key, held] of WAITING.list(turn.tx)) {
    const record = held.message === null ? null : MESSAGES.get(turn.tx, held.message);
    const sides = sidesIn(turn, key as ConversationId); // what they are kept under
    if (!record?.promisedMs || sides?.therapist !== account) {
      continue;
    }
    const dueMs = clamped(turn, account, record.promisedMs, record.promiseVersion, record.writtenMs);
    if (dueMs !== record.promisedMs) {
      putMessage(turn, { ...record, promisedMs: dueMs });
    }
  }
}

/**
 * Promises of ours that were due in this time, and how many of them were answered by then.
 *
 * One that was put off counts by the later time; one that is not due yet counts once it is answered.
 */
export function kept(turn: Turn, sinceMs: number, untilMs: number): Kept {
  const [above, below] = [Math.max(0, sinceMs) - 1, Math.max(0, untilMs)];
  const due = DUES.list(turn.tx, "", { above, below }).map(([, held]) => held);
  const counted = due.filter(({ dueMs, answeredMs }) => answeredMs > 0 || dueMs <= turn.nowMs);
  const met = counted.filter(({ dueMs, answeredMs }) => answeredMs > 0 && answeredMs <= dueMs);
  return { kept: met.length, of: counted.length };
}
