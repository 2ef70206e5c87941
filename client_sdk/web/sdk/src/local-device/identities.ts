/** Whom we talk to, as pinned here. */

import { safetyNumber, shownInGroups } from "../crypto/safety-number.ts";
import type { Engine } from "../engine/loop.ts";
import type { ContactView } from "../engine/views.ts";
import { LocalError } from "../protocol/errors.ts";
import type { AccountId } from "../protocol/ids.ts";

/** A contact, or our own account. LocalError("not_found"). */
export function pinned(engine: Engine, account: AccountId): ContactView {
  const found = engine.contacts.get(account);
  if (found === undefined) {
    throw new LocalError("not_found", "no such contact");
  }
  return found;
}

/**
 * The 60 digits to compare with a contact, in twelve groups of five; the contact sees the same ones.
 *
 * While an identity change waits to be decided it is still the pinned identity's number: if the contact sees the same
 * one the change is false, else it may be true. LocalError("not_found") for an unknown account and for our own.
 */
export function numberWith(engine: Engine, account: AccountId): string {
  const { me } = engine.core;
  const theirs = pinned(engine, account);
  if (account === me.account) {
    throw new LocalError("not_found", "a safety number is of two accounts");
  }
  return shownInGroups(safetyNumber([me.account, me.secrets.aik], [account, theirs.aik]));
}
