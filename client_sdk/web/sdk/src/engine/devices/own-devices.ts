/**
 * Our own devices: adding one, removing one, leaving, naming this one.
 *
 * A change of the device list is kept until the server has taken it, compare-and-swap; whoever loses looks at the newer
 * list and tries again on top of it, or finds that nothing is left to do. A removal mints the archive key of its list
 * in the same step.
 *
 * Source: docs/protocol.md, chapters 2, 7 and 13.
 */

import { nextList } from "../../crypto/identity.ts";
import { sealStep } from "../../crypto/linking.ts";
import { equal, toHex, utf8 } from "../../protocol/bytes.ts";
import {
  type DeviceEntry,
  entryOf,
  parseDeviceEntry,
  parseSignedDeviceList,
  versionOf,
} from "../../protocol/device-lists.ts";
import { LocalError, Rejected } from "../../protocol/errors.ts";
import type { ConversationId, DeviceId, LinkId } from "../../protocol/ids.ts";
import { DEVICES_PER_ACCOUNT } from "../../protocol/limits.ts";
import type { Prekeys } from "../../protocol/requests.ts";
import { Reader } from "../../protocol/signed.ts";
import { DEVICE_NAME_BYTES } from "../bodies/content.ts";
import { introduce } from "../composing.ts";
import { listsOf, newestList, takeLists } from "../contacts.ts";
import { othersIn } from "../conversations.ts";
import { noteName } from "../device-names.ts";
import { deviceAdded } from "../own-posts.ts";
import { keepPrekeys } from "../recovery/reissuing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import { type Call, makeCall, signingKeyOf, type Turn } from "../vault/turn.ts";
import { handOverKey, heldVersion, listsTaken } from "./device-changes.ts";

/** Another device's list came first: the newer lists are here by then. */
const AGAIN_MS = 1_000;
const DONE_STEP = 5;

/** The link that a new device comes by. key: of its steps; known: the list version that the new device holds. */
interface ByLink {
  readonly link: LinkId;
  readonly key: Uint8Array;
  readonly known: number;
}

/** A device to add. entry: 154 bytes. label: what it is called. */
interface AddedDevice extends ByLink {
  readonly entry: Uint8Array;
  readonly prekeys: Prekeys;
  readonly label: string;
}

/**
 * A change of our device list that the server has not taken. signed: the list as it was signed last; archiveKey: minted
 * with that.
 */
interface ListChange {
  readonly id: string;
  readonly add: AddedDevice | null;
  readonly remove: readonly DeviceId[];
  readonly signed: Uint8Array | null;
  readonly archiveKey: Uint8Array | null;
}

/** The last step of a link, sealed. */
interface Ending {
  readonly content: Uint8Array;
}

/** By id. */
const CHANGES = new Table<ListChange>("list_change");
/** By link. */
const ENDINGS = new Table<Ending>("link_ending");

function entryFrom(added: AddedDevice): DeviceEntry {
  return parseDeviceEntry(new Reader(added.entry, "device entry"));
}

/** LocalError("too_many") when the account has as many devices as it may. */
export function requireRoom(turn: Turn): void {
  if (newestList(turn, turn.me.account).content.devices.length >= DEVICES_PER_ACCOUNT) {
    throw new LocalError(
      "too_many",
      `an account has at most ${DEVICES_PER_ACCOUNT} devices: remove one that is not used`,
    );
  }
}

// --- what hosts ask for --------------------------------------------------------------------------------------------

/** LocalError("too_large") for the name of a device that has more than 40 bytes. */
export function requireLabel(label: string): void {
  if (utf8(label).length > DEVICE_NAME_BYTES) {
    throw new LocalError("too_large", `a device's name has at most ${DEVICE_NAME_BYTES} bytes of UTF-8`);
  }
}

/** What this device is called, told to our other devices and to contacts. LocalError("too_large") above 40 bytes. */
export function nameDevice(turn: Turn, label: string): void {
  requireLabel(label);
  noteName(turn, turn.me.device, label, turn.nowMs);
  for (const [key, conversation] of CONVERSATIONS.list(turn.tx)) {
    if (conversation.membership === null || othersIn(turn, conversation).length > 0) {
      introduce(turn, key as ConversationId); // what it is kept under
    }
  }
}

/**
 * Plans the removal of another own device; returns the errand's key.
 *
 * LocalError: "forbidden" for this device, "not_found" for one that is not listed.
 */
export function revoke(turn: Turn, device: DeviceId): string {
  if (device === turn.me.device) {
    throw new LocalError("forbidden", "a device leaves by signing out");
  }
  if (entryOf(newestList(turn, turn.me.account).content, device) === null) {
    throw new LocalError("not_found", "no such device");
  }
  return planChange(turn, null, [device]);
}

/**
 * Plans the removal of this device itself; null when there is nothing to tell the server.
 *
 * That is so for the account's last device, which can only wipe, and for one that has been removed.
 */
export function leave(turn: Turn): string | null {
  const { content } = newestList(turn, turn.me.account);
  if (content.devices.length < 2 || entryOf(content, turn.me.device) === null) {
    return null;
  }
  return planChange(turn, null, [turn.me.device]);
}

/** Keeps a change until the server has taken it; returns the errand's key. */
export function planChange(turn: Turn, add: AddedDevice | null, remove: readonly DeviceId[] = []): string {
  const id = toHex(turn.random(16));
  CHANGES.put(turn.tx, id, { id, add, remove, signed: null, archiveKey: null });
  errands.plan(turn, "list_update", id);
  return errands.errandKey("list_update", id);
}

// --- compare and swap ----------------------------------------------------------------------------------------------

/** Publishes the changed list, signed anew whenever another one has come first; identical bytes otherwise. */
export function listCall(turn: Turn, errand: Errand): Call | null {
  const change = CHANGES.get(turn.tx, errand.subject);
  if (change === null) {
    errands.drop(turn, "list_update", errand.subject);
    return null;
  }
  const key = errands.keyOf(errand);
  if (stands(turn, change) || isNothingLeft(turn, change)) {
    finish(turn, errand, change);
    if (!turn.finished.has(key)) {
      turn.finished.set(key, null);
    }
    return null;
  }
  try {
    const list = signed(turn, change);
    return makeCall(key, "devices.update", { body: { list, prekeys: change.add?.prekeys ?? null } });
  } catch (problem) {
    if (!(problem instanceof LocalError)) {
      throw problem;
    }
    forget(turn, errand);
    turn.finished.set(key, new Rejected(problem.code, problem.detail));
    return null;
  }
}

function stands(turn: Turn, { signed: list }: ListChange): boolean {
  return list !== null && listsOf(turn, turn.me.account).some((held) => equal(held.encoded, list));
}

function isNothingLeft(turn: Turn, change: ListChange): boolean {
  const head = newestList(turn, turn.me.account).content;
  return change.add === null && change.remove.every((device) => entryOf(head, device) === null);
}

/** The change's list on top of the newest one, kept. LocalError: "too_many"; "forbidden" when this device has gone. */
function signed(turn: Turn, change: ListChange): Uint8Array {
  const { me } = turn;
  const head = newestList(turn, me.account);
  if (entryOf(head.content, me.device) === null) {
    throw new LocalError("forbidden", "this device has been removed from the account");
  }
  if (change.signed !== null && parseSignedDeviceList(change.signed).content.prevHash === head.hash) {
    return change.signed;
  }
  const add = change.add === null ? [] : [entryFrom(change.add)];
  const remove = change.remove.filter((device) => entryOf(head.content, device) !== null);
  const list = nextList(head, add, remove, [me.device, signingKeyOf(me)], turn.nowMs).encoded;
  const archiveKey = remove.length > 0 && !remove.includes(me.device) ? turn.random(32) : null;
  CHANGES.put(turn.tx, change.id, { ...change, signed: list, archiveKey });
  return list;
}

/** The server has the list. */
export function listTaken(turn: Turn, errand: Errand): void {
  const change = CHANGES.get(turn.tx, errand.subject);
  if (change === null) {
    return;
  }
  const { account } = turn.me;
  const before = heldVersion(turn, account);
  if (change.signed !== null && !stands(turn, change)) {
    takeLists(turn, account, [change.signed]);
  }
  listsTaken(turn, account, before);
  finish(turn, errand, change);
}

/** The list stands, or another device has done the same: what belongs to it is handed on. */
function finish(turn: Turn, errand: Errand, change: ListChange): void {
  forget(turn, errand);
  if (change.signed === null || !stands(turn, change)) {
    return;
  }
  const version = versionOf(parseSignedDeviceList(change.signed));
  keepPrekeys(turn, version, change.add?.prekeys ?? null);
  if (change.archiveKey !== null) {
    handOverKey(turn, version, change.archiveKey);
  }
  const { add } = change;
  if (add === null) {
    return;
  }
  noteName(turn, entryFrom(add).device, add.label, turn.nowMs);
  deviceAdded(turn);
  const lists = listsOf(turn, turn.me.account)
    .filter((held) => versionOf(held) > add.known)
    .map((held) => held.encoded);
  ENDINGS.put(turn.tx, add.link, { content: sealStep(add.key, add.link, { tag: "done", lists }, turn.random) });
  errands.plan(turn, "link_done", add.link);
}

function forget(turn: Turn, errand: Errand): void {
  errands.drop(turn, "list_update", errand.subject);
  CHANGES.delete(turn.tx, errand.subject);
}

/** Another list came first: look at it and try again. Any other refusal is final, and whoever waits is told. */
export function listRefused(turn: Turn, errand: Errand, refusal: Rejected): void {
  if (refusal.code === "list_stale") {
    errands.plan(turn, "lists", turn.me.account);
    errands.postpone(turn, errand, { waitMs: AGAIN_MS });
  } else {
    forget(turn, errand);
    turn.finished.set(errands.keyOf(errand), refusal);
  }
}

/** Tells the new device that its list stands. */
export function doneCall(turn: Turn, errand: Errand): Call | null {
  const ending = ENDINGS.get(turn.tx, errand.subject);
  if (ending === null) {
    errands.drop(turn, "link_done", errand.subject);
    return null;
  }
  const body = { step: DONE_STEP, content: ending.content };
  return makeCall(errands.keyOf(errand), "linking.step", { body, path: { link: errand.subject } });
}

/** The new device can read it, or the link has expired: then it is listed in vain and may be removed again. */
export function doneOver(turn: Turn, errand: Errand): void {
  errands.drop(turn, "link_done", errand.subject);
  ENDINGS.delete(turn.tx, errand.subject);
}
