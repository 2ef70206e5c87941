/**
 * Contacts as the account's other devices hold them, for a device that was linked and has not met their lists yet.
 *
 * What the server shows for such an account must fit: the same identity key, no older list, the same list at the
 * promised version. Whoever lies to a new device about an old contact is found out.
 *
 * Source: docs/protocol.md, chapter 13.
 */

import type { LinkPin } from "../../crypto/linking.ts";
import { makeSecurityEvent } from "../../events.ts";
import { equal } from "../../protocol/bytes.ts";
import type { DeviceListChain } from "../../protocol/device-lists.ts";
import { headOf, matches, versionOf } from "../../protocol/device-lists.ts";
import type { AccountId } from "../../protocol/ids.ts";
import { RuleBroken } from "../../protocol/rules.ts";
import { Table } from "./tables.ts";
import type { Turn } from "./turn.ts";

/** By account, until its lists are here. */
const PROMISED = new Table<LinkPin>("promised_pin");

/** Another device of ours vouches for this contact. */
export function keepPromised(turn: Turn, pin: LinkPin): void {
  PROMISED.put(turn.tx, pin.account, pin);
}

/**
 * What was promised of an account whose lists have come; null if nothing was.
 *
 * RuleBroken: "other_account" for another identity key, "version_taken" for lists that end before the promised one or
 * hold another in its place; the promise stays.
 */
export function requirePromised(turn: Turn, account: AccountId, chain: DeviceListChain): LinkPin | null {
  const held = PROMISED.get(turn.tx, account);
  if (held === null) {
    return null;
  }
  const head = headOf(chain);
  if (!equal(held.aik, head.content.aik)) {
    throw new RuleBroken("other_account");
  }
  if (versionOf(head) < held.version || matches(chain, held.version, held.listHash) === false) {
    turn.show(makeSecurityEvent("equivocation", { account }));
    throw new RuleBroken("version_taken");
  }
  PROMISED.delete(turn.tx, account);
  return held;
}
