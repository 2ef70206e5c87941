/**
 * What the account's devices tell each other about contacts: which identity is pinned, and whether it was verified.
 *
 * Such a word makes a device look and count somebody as verified; it never replaces what is pinned here, because a
 * device that was taken over could send it.
 *
 * Source: docs/protocol.md, section 2.5.
 */

import { makeSecurityEvent } from "../events.ts";
import { equal, toHex } from "../protocol/bytes.ts";
import { versionOf } from "../protocol/device-lists.ts";
import type { OwnPin } from "./bodies/content.ts";
import { confirmed } from "./contact-lists.ts";
import { expectList, listAt, newestList } from "./contacts.ts";
import * as errands from "./vault/errands.ts";
import { CONTACTS, type Contact, isBlocked } from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** Another device of ours says how it has pinned a contact. One that is not known here yet is remembered for it. */
export function takePin(turn: Turn, pin: OwnPin): void {
  let contact = CONTACTS.get(turn.tx, pin.account);
  if (contact === null || pin.account === turn.me.account) {
    return;
  }
  if (!equal(pin.aik, contact.aik)) {
    otherIdentity(turn, contact, pin);
    return;
  }
  if (pin.verified !== contact.verified) {
    contact = amend(CONTACTS, turn.tx, pin.account, { verified: pin.verified });
    turn.show({ type: "verificationChanged", account: pin.account, verified: pin.verified });
  }
  compareLists(turn, contact, pin);
}

/** The person is asked on this device too; an identity that was left behind here is no news. */
function otherIdentity(turn: Turn, contact: Contact, pin: OwnPin): void {
  if (!contact.former.some((aik) => equal(aik, pin.aik))) {
    turn.show(makeSecurityEvent("identity_changed", { account: contact.account }));
    turn.show({ type: "identityChanged", account: contact.account });
    errands.plan(turn, "lists", contact.account);
  }
}

function compareLists(turn: Turn, contact: Contact, pin: OwnPin): void {
  const held = listAt(turn, pin.account, pin.version);
  if (held !== null && held.hash !== toHex(pin.hash)) {
    turn.show(makeSecurityEvent("equivocation", { account: pin.account }));
  } else if (held !== null && pin.verified && isBlocked(contact)) {
    CONTACTS.put(turn.tx, pin.account, confirmed(contact));
  } else if (held === null && pin.version > versionOf(newestList(turn, pin.account))) {
    expectList(turn, contact, pin.version);
  }
}
