/**
 * What follows when a newer device list of an account has been taken: of a contact's, or of our own.
 *
 * Whoever was removed gets no key any more, not even of what was sealed and has not left. Of our own account's list
 * more follows: a device that is not in it is no device of the account any more; if a device removed itself, one of the
 * others mints the archive key; and the conversations that we lead are closed to whoever was removed.
 *
 * Source: docs/protocol.md, chapters 2, 3 and 7.
 */

import { entryOf, type SignedDeviceList, versionOf } from "../../protocol/device-lists.ts";
import type { AccountId, DeviceId } from "../../protocol/ids.ts";
import * as checkpoints from "../checkpoints.ts";
import { compose } from "../composing.ts";
import { listsOf, newestList } from "../contacts.ts";
import { openSelf } from "../conversations.ts";
import { archiveKeyOf, keepArchiveKey } from "../keys/archive-keys.ts";
import * as outbox from "../outbox.ts";
import { CONTACTS, SETTINGS } from "../vault/records.ts";
import { must } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";

/** Whether this device stands in the newest list of its account that is held. */
export function isListed(turn: Turn): boolean {
  return entryOf(newestList(turn, turn.me.account).content, turn.me.device) !== null;
}

/** The server does not know this device. If it did before, somebody has removed it. */
export function notRecognised(turn: Turn): void {
  const epoch = SETTINGS.get(turn.tx, "")?.storeEpoch ?? null;
  if (epoch !== null) {
    turn.show({ type: "signedOut" });
  }
}

/** The version of the newest list that is held, 0 for an account that is not pinned. */
export function heldVersion(turn: Turn, account: AccountId): number {
  return CONTACTS.has(turn.tx, account) ? versionOf(newestList(turn, account)) : 0;
}

/** Does what follows from the lists above version `before`; nothing for an account that was not pinned then. */
export function listsTaken(turn: Turn, account: AccountId, before: number): void {
  if (before === 0 || heldVersion(turn, account) <= before) {
    return;
  }
  const lists = listsOf(turn, account).filter((held) => versionOf(held) >= before);
  const stood = devicesOf(must(lists[0]));
  const now = devicesOf(must(lists.at(-1)));
  const added = now.filter((device) => !stood.includes(device)).sort();
  const removed = stood.filter((device) => !now.includes(device)).sort();
  if (added.length > 0 || removed.length > 0) {
    turn.show({ type: "devicesChanged", account, added, removed });
  }
  if (removed.length > 0) {
    outbox.dropDevices(turn, removed);
  }
  if (account === turn.me.account) {
    ownListsTaken(turn, lists, removed);
  }
}

function devicesOf(signed: SignedDeviceList): DeviceId[] {
  return signed.content.devices.map((entry) => entry.device);
}

/** lists: from the one that was the newest on. */
function ownListsTaken(turn: Turn, lists: readonly SignedDeviceList[], removed: readonly DeviceId[]): void {
  const { me } = turn;
  const newest = must(lists.at(-1));
  if (entryOf(newest.content, me.device) === null) {
    turn.show({ type: "signedOut" });
    return;
  }
  const eldest = devicesOf(newest).sort()[0] === me.device;
  for (const [at, held] of lists.slice(1).entries()) {
    const { signer, revoked } = held.content;
    const gone = revoked.includes(signer) && !must(lists[at]).content.revoked.includes(signer);
    if (gone && eldest && archiveKeyOf(turn, versionOf(held)) === null) {
      handOverKey(turn, versionOf(held), turn.random(32));
    }
  }
  if (removed.length > 0) {
    const { signer } = newest.content;
    const signerIsGone = entryOf(newest.content, signer) === null;
    checkpoints.planCheckpoints(turn, { atOnce: signer === me.device || (eldest && signerIsGone) });
  }
}

/** This device has minted AK_epoch: it writes under it from now on, and the account's other devices are told. */
export function handOverKey(turn: Turn, epoch: number, key: Uint8Array): void {
  keepArchiveKey(turn, epoch, key);
  compose(turn, openSelf(turn), { type: "own.archive_key", epoch, key });
}
