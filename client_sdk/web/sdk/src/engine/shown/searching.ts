/**
 * Finding words in one's own messages, by an index that stands sealed in the vault.
 *
 * Folded words of up to 32 neighbouring messages make one record, so that a search opens a few hundred records instead
 * of every message. The storage shows how many such records there are and how long they are; no word, no hash of one,
 * and not which messages share words: words are compared in memory only.
 *
 * A turn brings the index up to date with every message it has written, in the same transaction; whoever deletes a
 * message calls `forgetWords` first.
 */

import type { Message } from "../../events.ts";
import { LocalError } from "../../protocol/errors.ts";
import type { ConversationId, MessageId } from "../../protocol/ids.ts";
import type { MessageRecord } from "../vault/records.ts";
import { CONVERSATIONS, MESSAGES, SEARCH_VERSION, SETTINGS } from "../vault/records.ts";
import { amend, Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { asShown, QUEUED_FROM } from "./showing.ts";

/** Most messages of one search. */
export const SEARCH_MOST = 200;
/** Longest text to search for. */
export const QUERY_CHARACTERS = 1_000;
const WORD_LEAST = 2;
/** Order numbers per record: two per seq. */
const BLOCK_ORDERS = 64;
/** From here on scripts are written without spaces: words are found anywhere in a run. */
const UNSPACED = "\u2e80";
const WORDS = /[\p{L}\p{N}_]+/gu;
const ASCII = /^\p{ASCII}*$/u;
/** Letters that case folding treats unlike "lower, upper, lower": the dotless i stays; Cherokee folds to capitals. */
const FOLDS_UPWARD = /[\u13a0-\u13fd\uab70-\uabbf]/;
const DOTLESS_I = "\u0131";
/** The mark of the highest combining class, 240: every other one is sorted before it. */
const LAST_MARK = "\u0345";

/** A message: its words, folded, each once, a space before each. */
interface Entry {
  readonly order: number;
  readonly atMs: number;
  readonly id: MessageId;
  readonly words: string;
}

/** Neighbouring messages of one conversation, by order. */
interface Block {
  readonly conv: ConversationId;
  readonly entries: readonly Entry[];
}

/** By conversation and order / BLOCK_ORDERS; order: newestMsOf. */
const BLOCKS = new Table<Block>("search");

function newestMsOf({ entries }: Block): number {
  return entries.reduce((newest, { atMs }) => Math.max(newest, atMs), 0);
}

// --- words -----------------------------------------------------------------------------------------------------------

/** Without case, compatibility forms and accents: what counts as the same when searching. */
export function fold(text: string): string {
  if (ASCII.test(text)) {
    return text.toLowerCase();
  }
  const folded = Array.from(text.normalize("NFKC"), foldLetter).join("").normalize("NFKD");
  return Array.from(folded, (letter) => (isCombining(letter) ? "" : letter)).join("");
}

/** Unicode's full case folding of one letter; by itself, so that a sigma at the end of a word is like any other. */
function foldLetter(letter: string): string {
  if (letter === DOTLESS_I) {
    return letter;
  }
  return FOLDS_UPWARD.test(letter) ? letter.toUpperCase() : letter.toLowerCase().toUpperCase().toLowerCase();
}

/** Whether it has a combining class, which only accents have, not every mark: normalizing tells by its order. */
function isCombining(letter: string): boolean {
  if (!/\p{M}/u.test(letter)) {
    return false;
  }
  return letter === LAST_MARK || (LAST_MARK + letter).normalize("NFD") !== LAST_MARK + letter;
}

function distinctWords(text: string): string[] {
  return [...new Set(fold(text).match(WORDS))];
}

function wordsOf(text: string): string {
  return distinctWords(text)
    .map((word) => ` ${word}`)
    .join("");
}

/** What must stand in the words of a message, all of it. LocalError. */
function needlesOf(text: string): string[] {
  if (Array.from(text).length > QUERY_CHARACTERS) {
    throw new LocalError("too_large", `search: at most ${QUERY_CHARACTERS} characters`);
  }
  const needles = distinctWords(text)
    .filter((word) => word.length >= WORD_LEAST || word >= UNSPACED)
    .map((word) => (word >= UNSPACED ? word : ` ${word}`));
  if (needles.length === 0) {
    throw new LocalError("bad_format", "search: a word of two letters or more");
  }
  return needles;
}

// --- keeping the index -----------------------------------------------------------------------------------------------

function blockKey({ conv, order }: MessageRecord): string {
  return conv + Math.floor(order / BLOCK_ORDERS);
}

function put(turn: Turn, key: string, conv: ConversationId, entries: Iterable<Entry>): void {
  const block = { conv, entries: [...entries].sort((left, right) => left.order - right.order) };
  if (block.entries.length > 0) {
    BLOCKS.put(turn.tx, key, block, { order: newestMsOf(block) });
  } else {
    BLOCKS.delete(turn.tx, key);
  }
}

/** Brings the index up to date with the messages that this turn has written. */
export function indexWritten(turn: Turn): void {
  const written = turn.written(MESSAGES.name).map((id) => MESSAGES.get(turn.tx, id));
  index(
    turn,
    written.filter((record) => record !== null),
  );
}

function index(turn: Turn, records: readonly MessageRecord[]): void {
  const groups = new Map<string, MessageRecord[]>();
  for (const record of records) {
    if (record.placeholder === null && record.order < QUEUED_FROM) {
      const key = blockKey(record);
      groups.set(key, [...(groups.get(key) ?? []), record]);
    }
  }
  for (const [key, group] of groups) {
    indexBlock(turn, key, group);
  }
}

function indexBlock(turn: Turn, key: string, group: readonly MessageRecord[]): void {
  const entries = new Map(BLOCKS.get(turn.tx, key)?.entries.map((entry) => [entry.id, entry]));
  let changed = false;
  for (const { id, order, atMs, text } of group) {
    const words = wordsOf(text);
    const held = entries.get(id);
    if (words === "") {
      changed = entries.delete(id) || changed;
    } else if (held?.words !== words || held.order !== order || held.atMs !== atMs) {
      entries.set(id, { order, atMs, id, words });
      changed = true;
    }
  }
  const [first] = group;
  if (changed && first !== undefined) {
    put(turn, key, first.conv, entries.values());
  }
}

/** The message is about to be deleted. */
export function forgetWords(turn: Turn, record: MessageRecord): void {
  const key = blockKey(record);
  const held = BLOCKS.get(turn.tx, key);
  if (held !== null) {
    const rest = held.entries.filter((entry) => entry.id !== record.id);
    put(turn, key, record.conv, rest);
  }
}

/** The index was made in another way, or never: once per vault and version, some 30 µs per message. */
function makeAnew(turn: Turn): void {
  for (const [key] of BLOCKS.list(turn.tx)) {
    BLOCKS.delete(turn.tx, key);
  }
  for (const [conv] of CONVERSATIONS.list(turn.tx)) {
    index(
      turn,
      MESSAGES.list(turn.tx, conv).map(([, record]) => record),
    );
  }
  amend(SETTINGS, turn.tx, "", { searchVersion: SEARCH_VERSION });
}

// --- searching -------------------------------------------------------------------------------------------------------

type Found = Pick<Entry, "atMs" | "order" | "id">;

function newestFirst(left: Found, right: Found): number {
  return right.atMs - left.atMs || right.order - left.order || (left.id < right.id ? 1 : -1);
}

/**
 * Messages that hold a word beginning with each of these, newest first; in one conversation or in all.
 *
 * Case, accents and compatibility forms make no difference. LocalError: "bad_format" without a word of two letters,
 * "too_large" above 1,000 characters.
 */
export function search(turn: Turn, text: string, conv: ConversationId | null, limit: number): Message[] {
  const needles = needlesOf(text);
  if (SETTINGS.need(turn.tx, "").searchVersion !== SEARCH_VERSION) {
    makeAnew(turn);
  }
  let found = queued(turn, conv, needles);
  for (const [, block] of BLOCKS.list(turn.tx, "", { newestFirst: true })) {
    if (found.length >= limit) {
      found = found.sort(newestFirst).slice(0, limit);
      if (newestMsOf(block) < (found.at(-1)?.atMs ?? 0)) {
        break;
      }
    }
    if (conv === null || block.conv === conv) {
      found.push(...block.entries.filter((entry) => holds(entry.words, needles)));
    }
  }
  const newest = found.sort(newestFirst).slice(0, limit);
  const records = newest.map(({ id }) => MESSAGES.get(turn.tx, id));
  return records.filter((record) => record !== null).map(asShown);
}

function holds(words: string, needles: readonly string[]): boolean {
  return needles.every((needle) => words.includes(needle));
}

/** What the server has not accepted stands in no record yet: there is little of it. */
function queued(turn: Turn, conv: ConversationId | null, needles: readonly string[]): Found[] {
  const convs = conv === null ? CONVERSATIONS.list(turn.tx).map(([key]) => key) : [conv];
  return convs
    .flatMap((each) => MESSAGES.list(turn.tx, each, { above: QUEUED_FROM - 1 }))
    .map(([, record]) => record)
    .filter((record) => holds(wordsOf(record.text), needles));
}
