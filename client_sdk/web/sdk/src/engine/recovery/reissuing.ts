/**
 * A server that was restored from a backup gets back what only we can sign: our device lists, our membership entries.
 *
 * Its store epoch has changed, which is no reason for alarm: everything below happens in the background, in the order
 * in which one thing needs the other, and is tried again until it is done, each time later, at most six hours. It never
 * ends before: without its lists and entries a conversation stands still. What we posted since the backup is posted
 * again by `reposting.ts`.
 *
 * Source: docs/protocol.md, section 12.9.
 */

import { equal } from "../../protocol/bytes.ts";
import type { SignedDeviceList } from "../../protocol/device-lists.ts";
import { entryOf, parseSignedDeviceList, versionOf } from "../../protocol/device-lists.ts";
import type { ConversationId, DeviceId } from "../../protocol/ids.ts";
import { RETURNED_LISTS } from "../../protocol/limits.ts";
import { inviteOf } from "../../protocol/membership.ts";
import type { SignedEntry } from "../../protocol/membership-entries.ts";
import { parseSignedEntry } from "../../protocol/membership-entries.ts";
import type {
  AppendEntry,
  Conversations,
  CreateInvite,
  DeviceLists,
  DeviceListUpdate,
  Prekeys,
  ReturnedLists,
} from "../../protocol/requests.ts";
import { listsOf } from "../contacts.ts";
import * as prekeys from "../keys/prekeys.ts";
import * as outbox from "../outbox.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { ownEntries } from "../vault/own-entries.ts";
import { CONVERSATIONS, INVITES, UPLOADS } from "../vault/records.ts";
import { must, Table } from "../vault/tables.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";

const LISTS = "lists";

/** How far the server is: the version of our device list, or the membership epoch of a conversation. */
interface Progress {
  readonly have: number;
}

/** The prekeys that a device list of ours added a device with, as uploaded. */
interface AddedPrekeys {
  readonly prekeys: Prekeys;
}

/** By conversation; the device list under its own key. */
const PROGRESS = new Table<Progress>("reissue");
/** By version of the list. */
const ADDED = new Table<AddedPrekeys>("added_prekeys");

/** The store epoch has changed: look at what the server lacks, device lists first. */
export function begin(turn: Turn): void {
  errands.plan(turn, "own_lists");
}

/** Whether the newest of the answered lists holds the device. FormatError for what is no list. */
export function holdsDevice(answer: DeviceLists, device: DeviceId): boolean {
  const newest = answer.lists.at(-1);
  return newest !== undefined && entryOf(parseSignedDeviceList(newest).content, device) !== null;
}

/** The server does not take it now: later, after another look at what it lacks, which others bring back too. */
export function refused(turn: Turn, errand: Errand): void {
  errands.postpone(turn, errand);
  const after = errands.get(turn, errands.keyOf(errand));
  if (after !== null && errand.kind === "list_again") {
    errands.plan(turn, "own_lists", "", { dueMs: after.dueMs });
  } else if (after !== null && errand.kind === "entries_again") {
    errands.plan(turn, "heads", "", { dueMs: after.dueMs });
  }
}

// --- our device lists ------------------------------------------------------------------------------------------------

/** The server has taken a list of ours that adds a device: with these prekeys it can be published once more. */
export function keepPrekeys(turn: Turn, version: number, uploaded: Prekeys | null): void {
  if (uploaded !== null) {
    ADDED.put(turn.tx, String(version), { prekeys: uploaded });
  }
}

/** Asks for our own lists, as the server has them. */
export function listsCall(turn: Turn, errand: Errand): Call {
  return makeCall(errands.keyOf(errand), "devices.lists", { path: { account: turn.me.account } });
}

/** Plans the upload of those that it lacks, then goes on with the conversations. */
export function listsCompared(turn: Turn, errand: Errand, answer: DeviceLists): void {
  errands.drop(turn, errand.kind);
  const have = Math.max(0, ...answer.lists.map((held) => versionOf(parseSignedDeviceList(held))));
  PROGRESS.put(turn.tx, LISTS, { have });
  errands.plan(turn, lackingLists(turn).length > 0 ? "list_again" : "heads");
}

function lackingLists(turn: Turn): SignedDeviceList[] {
  const { have } = PROGRESS.need(turn.tx, LISTS);
  return listsOf(turn, turn.me.account).filter((held) => versionOf(held) > have);
}

/**
 * Our account's lists and fresh prekeys, for a server that does not know this device; null if it was removed.
 *
 * The lists prove themselves: whoever was listed when the backup lacks it may come back without being signed in.
 */
export function returnedLists(turn: Turn): ReturnedLists | null {
  const lists = listsOf(turn, turn.me.account);
  if (entryOf(must(lists.at(-1)).content, turn.me.device) === null) {
    return null;
  }
  const held = UPLOADS.get(turn.tx, "");
  if (!held?.signed || !held.lastResort) {
    prekeys.beginAnew(turn);
  }
  const { signed, lastResort, oneTime } = UPLOADS.need(turn.tx, "");
  return {
    device: turn.me.device,
    lists: lists.slice(-RETURNED_LISTS).map((each) => each.encoded),
    prekeys: { signed: must(signed), lastResort: must(lastResort), oneTime },
  };
}

/** Publishes the next list that the server lacks, identical bytes. */
export function updateCall(turn: Turn, errand: Errand): Call | null {
  const [next] = lackingLists(turn);
  if (next === undefined) {
    errands.drop(turn, errand.kind);
    errands.plan(turn, "heads");
    return null;
  }
  const added = ADDED.get(turn.tx, String(versionOf(next)));
  const body: DeviceListUpdate = { list: next.encoded, prekeys: added?.prekeys ?? null };
  return makeCall(errands.keyOf(errand), "devices.update", { body });
}

/** The server has it; the errand goes on with the next one. */
export function updateTaken(turn: Turn, sent: DeviceListUpdate): void {
  PROGRESS.put(turn.tx, LISTS, { have: versionOf(parseSignedDeviceList(sent.list)) });
}

// --- membership entries and invites ----------------------------------------------------------------------------------

/** Asks where each of our conversations stands on the server. */
export function headsCall(_turn: Turn, errand: Errand): Call {
  return makeCall(errands.keyOf(errand), "conversation.list");
}

/** Plans the upload of entries that this account has signed and the server lacks. */
export function compared(turn: Turn, errand: Errand, answer: Conversations): void {
  errands.drop(turn, errand.kind);
  const epochs = new Map(answer.heads.map((head) => [head.conv, head.epoch]));
  for (const [, { conv, membership }] of CONVERSATIONS.list(turn.tx)) {
    if (membership === null) {
      continue;
    }
    PROGRESS.put(turn.tx, conv, { have: epochs.get(conv) ?? 0 });
    if (lackingEntries(turn, conv).length > 0) {
      errands.plan(turn, "entries_again", conv);
    }
  }
}

function lackingEntries(turn: Turn, conv: ConversationId): SignedEntry[] {
  const { have } = PROGRESS.need(turn.tx, conv);
  return ownEntries(turn, conv).filter((entry) => entry.fields.epoch > have);
}

/** Appends the next entry that the server lacks; an invite together with its card, as it was made. */
export function entriesCall(turn: Turn, errand: Errand): Call | null {
  const conv = errand.subject as ConversationId;
  const [next, second] = lackingEntries(turn, conv);
  if (next === undefined) {
    errands.drop(turn, errand.kind, conv);
    return null;
  }
  const { tag } = next.fields.action;
  if (tag !== "genesis" && tag !== "invite") {
    const body: AppendEntry = { entry: next.encoded };
    return makeCall(errands.keyOf(errand), "membership.append", { body, path: { conv } });
  }
  const again = inviteAgain(turn, next, tag === "genesis" ? second : next);
  if (again === null) {
    refused(turn, errand); // still open, and the card is with the device that made it
    return null;
  }
  return makeCall(errands.keyOf(errand), "invite.create", { body: again });
}

/**
 * The invite that the server lacks first, with its conversation if that is lacking too. first: the entry lacking.
 *
 * Nobody reads the card of one that is over: it comes back without, by any device of the account, so that the
 * conversation goes on and whoever has used it can register again.
 */
function inviteAgain(turn: Turn, first: SignedEntry, invite: SignedEntry | undefined): CreateInvite | null {
  for (const [, { entries, card }] of INVITES.list(turn.tx)) {
    if (entries.some((encoded) => equal(encoded, first.encoded))) {
      return { entries, card };
    }
  }
  const state = CONVERSATIONS.need(turn.tx, first.fields.conv).membership;
  const action = invite?.fields.action;
  if (invite === undefined || action?.tag !== "invite" || state === null || inviteOf(state, action.invite) !== null) {
    return null;
  }
  const begun = invite === first ? [first] : [first, invite];
  return { entries: begun.map((entry) => entry.encoded), card: new Uint8Array(0) };
}

/** The server has it; the errand goes on with the next one, and posts that waited for it leave. */
export function entryTaken(turn: Turn, errand: Errand, sent: CreateInvite | AppendEntry): void {
  const last = must("entries" in sent ? sent.entries.at(-1) : sent.entry);
  PROGRESS.put(turn.tx, errand.subject, { have: parseSignedEntry(last).fields.epoch });
  outbox.hurry(turn, errand.subject as ConversationId);
}
