/**
 * What the person decides about a contact: verified or not, and whether a changed identity is to be talked to.
 *
 * Source: docs/protocol.md, section 2.5.
 */

import { fromHex } from "../protocol/bytes.ts";
import { versionOf } from "../protocol/device-lists.ts";
import { LocalError } from "../protocol/errors.ts";
import type { AccountId } from "../protocol/ids.ts";
import { confirmed } from "./contact-lists.ts";
import { newestList, replacePin } from "./contacts.ts";
import { retry } from "./healing/healing.ts";
import * as outbox from "./outbox.ts";
import { tell } from "./own-state.ts";
import * as errands from "./vault/errands.ts";
import { CONTACTS, type Contact } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

function needContact(turn: Turn, account: AccountId): Contact {
  const contact = CONTACTS.get(turn.tx, account);
  if (contact === null || account === turn.me.account) {
    throw new LocalError("not_found", "no such contact");
  }
  return contact;
}

function tellPin(turn: Turn, account: AccountId): void {
  const { aik, verified } = CONTACTS.need(turn.tx, account);
  const head = newestList(turn, account);
  tell(turn, { type: "own.pin", account, aik, version: versionOf(head), hash: fromHex(head.hash), verified });
}

/**
 * The person has compared safety numbers and they agree, or takes that back; our other devices are told.
 *
 * Agreeing numbers prove that the pinned identity is the contact's: contradictions between lists are settled, and
 * another identity that the server showed is refused for good. LocalError("not_found").
 */
export function verify(turn: Turn, account: AccountId, { verified }: { readonly verified: boolean }): void {
  const contact = needContact(turn, account);
  const decided = verified ? confirmed(contact) : contact;
  if (decided === contact && contact.verified === verified) {
    return;
  }
  CONTACTS.put(turn.tx, account, { ...decided, verified });
  if (contact.verified !== verified) {
    turn.show({ type: "verificationChanged", account, verified });
  }
  tellPin(turn, account);
  outbox.releaseAlarms(turn);
}

/**
 * The person wants to talk to the contact under the new identity: it is pinned, unverified, and sending goes on.
 *
 * Does nothing without a changed identity. LocalError("not_found").
 */
export function acknowledgeIdentity(turn: Turn, account: AccountId): void {
  const contact = needContact(turn, account);
  if (contact.changed.length === 0) {
    return;
  }
  replacePin(turn, account);
  if (contact.verified) {
    turn.show({ type: "verificationChanged", account, verified: false });
  }
  tellPin(turn, account);
  errands.plan(turn, "lists", account);
  retry(turn, ["lists"]);
  outbox.releaseAlarms(turn);
}
