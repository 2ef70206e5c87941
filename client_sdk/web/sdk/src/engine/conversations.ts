/**
 * Which conversations there are and who is in them: the stored fold of each membership chain.
 *
 * Entries come from the stream, from the chain request, or from our own pen; all go through the same rules. One that
 * needs a device list or an earlier entry waits in the vault until that is here.
 *
 * Source: docs/protocol.md, chapter 3.
 */

import { makeSecurityEvent } from "../events.ts";
import { FormatError, RemoteError } from "../protocol/errors.ts";
import type { AccountId, ConversationId, DeviceId, ItemId, MessageId } from "../protocol/ids.ts";
import { CHAIN_ENTRIES } from "../protocol/limits.ts";
import { advance, begin, type ListLookup, memberOf } from "../protocol/membership.ts";
import { entryIdOf, parseSignedEntry, type SignedEntry } from "../protocol/membership-entries.ts";
import type { MembershipChain } from "../protocol/requests.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { selfConversation } from "../protocol/signed.ts";
import { forgetOffered, listAt, listedDevices, listedSince, offeredList, vouch } from "./contacts.ts";
import { standing } from "./own-values.ts";
import type { Errand } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import { keepOwnEntries } from "./vault/own-entries.ts";
import {
  CONVERSATIONS,
  type Conversation,
  epochOf,
  NEW_CONVERSATION,
  WAITING_ENTRIES,
  type WaitingEntry,
} from "./vault/records.ts";
import { amend, must, Table } from "./vault/tables.ts";
import { type Call, makeCall, type Turn } from "./vault/turn.ts";

/** Conversations that wait for device lists before they can be taken in: by conversation. */
const UNADMITTED = new Table<object>("unadmitted");
/** A conversation of ours that was shown with somebody's false lists is asked for again after an hour. */
const ADMIT_AGAIN_MS = 3_600_000;

/** The conversation of the account's own devices; made once, without a chain. */
export function openSelf(turn: Turn): ConversationId {
  const conv = selfConversation(turn.me.account);
  if (!CONVERSATIONS.has(turn.tx, conv)) {
    CONVERSATIONS.put(turn.tx, conv, { ...NEW_CONVERSATION, conv, membership: null });
  }
  return conv;
}

/**
 * A conversation from its whole chain, which the caller has verified or made. shown: seq of the last entry.
 *
 * RuleBroken, RemoteError("invalid_signature"); nothing is kept then.
 */
export function openConversation(turn: Turn, entries: readonly SignedEntry[], shown: number): Conversation {
  const [first, ...further] = entries;
  if (first === undefined) {
    throw new RuleBroken("genesis");
  }
  const lookup = listOf(turn);
  let state = begin(first, lookup);
  for (const entry of further) {
    state = advance(state, entry, lookup);
  }
  keepOwnEntries(turn, entries);
  return opened(turn, { ...NEW_CONVERSATION, conv: state.conv, membership: state, shown, activeMs: turn.nowMs });
}

/** Keeps a conversation that is new here, with what our other devices have said about it before. */
function opened(turn: Turn, conversation: Conversation): Conversation {
  const { conv } = conversation;
  const mute = standing(turn.tx, { type: "own.mute", conv, until: 0 });
  const draft = standing(turn.tx, { type: "own.draft", conv, text: "" });
  const read = standing(turn.tx, { type: "own.read", conv, id: "" as MessageId }); // looked up by type and conversation
  const after = {
    ...conversation,
    mutedUntilMs: mute?.until ?? 0,
    draft: draft?.text ?? "",
    readAhead: read === null ? [] : [read.id],
  };
  CONVERSATIONS.put(turn.tx, conv, after);
  return after;
}

/** The device lists that entries are verified under: pinned ones, else offered ones that verify in themselves. */
export function listOf(turn: Turn): ListLookup {
  return (account, version) => listAt(turn, account, version) ?? offeredList(turn, account, version);
}

/** The joined accounts; our own in the self conversation. */
export function accountsOf(turn: Turn, conversation: Conversation): AccountId[] {
  return conversation.membership?.members.map((member) => member.account) ?? [turn.me.account];
}

/** The joined accounts but our own. */
export function othersIn(turn: Turn, conversation: Conversation): AccountId[] {
  return accountsOf(turn, conversation).filter((account) => account !== turn.me.account);
}

/**
 * The devices that a post is sealed for, as far as we know, ascending.
 *
 * All listed ones of all members but this one.
 */
export function requiredDevices(turn: Turn, conversation: Conversation): DeviceId[] {
  const left = new Set([turn.me.device, ...conversation.absent]);
  return accountsOf(turn, conversation)
    .flatMap((account) => listedDevices(turn, account))
    .filter((device) => !left.has(device))
    .sort();
}

/**
 * Whether the account was a member when this was accepted.
 *
 * A former member's posts end with the removal, by epoch and seq.
 */
export function mayHaveWritten(
  turn: Turn,
  conversation: Conversation,
  account: AccountId,
  epoch: number,
  seq: number,
): boolean {
  const state = conversation.membership;
  if (state === null) {
    return account === turn.me.account;
  }
  const member = memberOf(state, account);
  if (member !== null) {
    return member.joinedEpoch <= epoch;
  }
  const gone = conversation.former.find((former) => former.account === account);
  return gone !== undefined && epoch < gone.epoch && seq < gone.seq;
}

// --- entries -------------------------------------------------------------------------------------------------------

/** The entry, or null for bytes that are none. */
function parsedOrNull(encoded: Uint8Array): SignedEntry | null {
  try {
    return parseSignedEntry(encoded);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/**
 * Keeps an entry that came, to be applied by `advanceChain`.
 *
 * False if it is malformed (reported) or applied already.
 */
export function storeEntry(turn: Turn, conv: ConversationId, item: ItemId, seq: number, encoded: Uint8Array): boolean {
  const entry = parsedOrNull(encoded);
  if (entry === null) {
    turn.show(makeSecurityEvent("forged_entry", { conversation: conv }));
    return false;
  }
  const { fields } = entry;
  if (fields.conv !== conv || entryIdOf(entry) !== item) {
    turn.show(makeSecurityEvent("forged_entry", { conversation: conv, account: fields.account }));
    return false;
  }
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation !== null && fields.epoch <= epochOf(conversation)) {
    return false;
  }
  WAITING_ENTRIES.put(turn.tx, item, { id: item, conv, seq, entry: encoded }, { group: conv, order: fields.epoch });
  return true;
}

/** An entry that was applied, and its place. */
export type Applied = readonly [seq: number, entry: SignedEntry];

/**
 * Applies the waiting entries that now fit; returns them with their seq, oldest first.
 *
 * What is missing is asked for: an unknown conversation or a hole in the chain by "chain", a device list by "lists". An
 * entry against the rules is reported and dropped.
 */
export function advanceChain(turn: Turn, conv: ConversationId): Applied[] {
  const applied = CONVERSATIONS.has(turn.tx, conv) ? [] : admit(turn, conv);
  if (!CONVERSATIONS.has(turn.tx, conv)) {
    return [];
  }
  for (const [item, waiting] of WAITING_ENTRIES.list(turn.tx, conv)) {
    const entry = parseSignedEntry(waiting.entry);
    const conversation = CONVERSATIONS.need(turn.tx, conv);
    const next = epochOf(conversation) + 1;
    if (entry.fields.epoch > next) {
      errands.plan(turn, "chain", conv);
      return applied;
    }
    if (entry.fields.epoch === next) {
      try {
        turn.part(() => apply(turn, conversation, waiting.seq, entry));
        applied.push([waiting.seq, entry]);
      } catch (problem) {
        if (asksForLists(turn, entry, problem)) {
          return applied;
        }
        refused(turn, conv, entry);
        forgetOffered(turn, entry.fields.account);
      }
    }
    WAITING_ENTRIES.delete(turn.tx, item);
  }
  return applied;
}

function refused(turn: Turn, conversation: ConversationId, { fields }: SignedEntry): void {
  turn.show(makeSecurityEvent("forged_entry", { conversation, account: fields.account, device: fields.device }));
}

type Waiting = readonly [held: WaitingEntry, entry: SignedEntry];

/**
 * Takes an unknown conversation in, whole or not at all: another device of ours made it or joined it.
 *
 * Whatever the server calls a conversation of ours, a device of our own list must have signed its genesis or our join.
 */
function admit(turn: Turn, conv: ConversationId): Applied[] {
  const waiting: Waiting[] = WAITING_ENTRIES.list(turn.tx, conv).map(([, held]) => [
    held,
    parseSignedEntry(held.entry),
  ]);
  const begun = waiting.filter(([, entry], at) => entry.fields.epoch === at + 1);
  const own = begun.map(([, entry]) => entry).find((entry) => isOwnBeginning(turn, entry)) ?? null;
  let last = begun[0]?.[1];
  if (last === undefined) {
    if (waiting.length > 0) {
      errands.plan(turn, "chain", conv);
    }
    return [];
  }
  try {
    turn.part(() => {
      for (const [held, entry] of begun) {
        last = entry;
        apply(turn, CONVERSATIONS.get(turn.tx, conv), held.seq, entry);
      }
      if (own === null) {
        throw new RuleBroken("not_member");
      }
      amend(CONVERSATIONS, turn.tx, conv, { linked: own.fields.tsMs < listedSince(turn) });
    });
  } catch (problem) {
    if (asksForLists(turn, last, problem)) {
      UNADMITTED.put(turn.tx, conv, {});
    } else {
      notAdmitted(turn, conv, last, waiting, own !== null);
    }
    return [];
  }
  UNADMITTED.delete(turn.tx, conv);
  for (const [held] of begun) {
    WAITING_ENTRIES.delete(turn.tx, held.id);
  }
  return begun.map(([held, entry]) => [held.seq, entry]);
}

function notAdmitted(
  turn: Turn,
  conv: ConversationId,
  last: SignedEntry,
  waiting: readonly Waiting[],
  isOurs: boolean,
): void {
  refused(turn, conv, last);
  UNADMITTED.delete(turn.tx, conv);
  for (const [held, entry] of waiting) {
    WAITING_ENTRIES.delete(turn.tx, held.id);
    forgetOffered(turn, entry.fields.account);
  }
  if (isOurs) {
    // what was wrong may have been shown beside it
    errands.plan(turn, "chain", conv, { dueMs: turn.nowMs + ADMIT_AGAIN_MS });
  }
}

/** Conversations with entries that wait for something, known ones and others. */
export function withWaitingEntries(turn: Turn): ConversationId[] {
  const known = CONVERSATIONS.list(turn.tx).filter(([key]) => WAITING_ENTRIES.count(turn.tx, key) > 0);
  return [...known, ...UNADMITTED.list(turn.tx)].map(([key]) => key as ConversationId); // what they are kept under
}

function isOwnBeginning(turn: Turn, { fields }: SignedEntry): boolean {
  return fields.account === turn.me.account && (fields.action.tag === "genesis" || fields.action.tag === "join");
}

/** Whether a list is all that is missing; then it is asked for. Throws what is no RemoteError on. */
function asksForLists(turn: Turn, { fields }: SignedEntry, problem: unknown): boolean {
  if (!(problem instanceof RemoteError)) {
    throw problem;
  }
  if (!(problem instanceof RuleBroken && problem.rule === "list_unknown")) {
    return false;
  }
  errands.plan(turn, "lists", fields.account);
  if ("account" in fields.action) {
    errands.plan(turn, "lists", fields.action.account);
  }
  return true;
}

function apply(turn: Turn, conversation: Conversation | null, seq: number, entry: SignedEntry): void {
  const lookup = listOf(turn);
  keepOwnEntries(turn, [entry]);
  const { fields } = entry;
  const before = conversation?.membership ?? null;
  if (conversation === null || before === null) {
    const state = begin(entry, lookup);
    vouch(turn, fields.account, must(state.members[0]).aik);
    opened(turn, { ...NEW_CONVERSATION, conv: state.conv, membership: state, shown: seq, activeMs: turn.nowMs });
    return;
  }
  const state = advance(before, entry, lookup);
  if (fields.action.tag === "join") {
    vouch(turn, fields.account, fields.action.aik);
  }
  const gone = before.members.map((member) => member.account).filter((account) => memberOf(state, account) === null);
  const former = [
    ...conversation.former.filter((held) => memberOf(state, held.account) === null),
    ...gone.sort().map((account) => ({ account, epoch: fields.epoch, seq })),
  ];
  CONVERSATIONS.put(turn.tx, state.conv, { ...conversation, membership: state, former });
}

/** Applies an entry that this device made and the server has taken. RuleBroken when others came first. */
export function appendOwn(turn: Turn, conv: ConversationId, entry: SignedEntry, seq: number): void {
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  if (conversation === null || entry.fields.epoch > epochOf(conversation)) {
    apply(turn, conversation, seq, entry);
  }
}

// --- asking the server ---------------------------------------------------------------------------------------------

/** Asks for the entries above the epoch we hold. */
export function chainCall(turn: Turn, errand: Errand): Call | null {
  const conversation = CONVERSATIONS.get(turn.tx, errand.subject);
  const above = conversation === null ? 0 : epochOf(conversation);
  return makeCall(errands.keyOf(errand), "membership.chain", { path: { conv: errand.subject }, query: { above } });
}

/** Keeps what came; the caller goes on with `advanceChain`. */
export function chainAnswered(turn: Turn, errand: Errand, answer: MembershipChain): void {
  errands.drop(turn, "chain", errand.subject);
  const conv = errand.subject as ConversationId; // as it was planned
  for (const item of answer.items.slice(0, CHAIN_ENTRIES)) {
    const entry = parsedOrNull(item.entry);
    if (entry === null) {
      turn.show(makeSecurityEvent("forged_entry", { conversation: conv }));
      return;
    }
    storeEntry(turn, conv, entryIdOf(entry), item.seq, item.entry);
  }
}

/** These devices get no key until the server asks for them. */
export function setAbsent(turn: Turn, conv: ConversationId, absent: Iterable<DeviceId>): void {
  amend(CONVERSATIONS, turn.tx, conv, { absent: [...new Set(absent)].sort() });
}
