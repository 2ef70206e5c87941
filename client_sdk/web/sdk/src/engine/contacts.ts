/**
 * Whom we know: accounts pinned by identity key, their signed device lists, and which device is which.
 *
 * A list is taken only if it follows the rules from the pinned one on. A contradiction between validly signed lists is
 * kept as evidence and stops sending to that account; everything else that does not verify is refused and changes
 * nothing.
 *
 * Source: docs/protocol.md, chapter 2.
 */

import type { RosterEntry } from "../crypto/body.ts";
import { type Party, partyOf } from "../crypto/handshake.ts";
import { makeSecurityEvent } from "../events.ts";
import { equal, fromHex } from "../protocol/bytes.ts";
import {
  type DeviceListChain,
  entryOf,
  extended,
  firstChain,
  headOf,
  isByIdentityKey,
  judge,
  listAt as listInChain,
  matches,
  type SignedDeviceList,
  versionOf,
} from "../protocol/device-lists.ts";
import { RemoteError } from "../protocol/errors.ts";
import type { AccountId, DeviceId } from "../protocol/ids.ts";
import type { DeviceLists } from "../protocol/requests.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { chainOf, isBelow, isOtherIdentity, newestOf, ownChain, parseList, settled } from "./contact-lists.ts";
import { standing } from "./own-values.ts";
import type { Errand } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import { requirePromised } from "./vault/promised-pins.ts";
import {
  CONTACTS,
  type Contact,
  DEVICES,
  isBlocked as isContactBlocked,
  NEW_CONTACT,
  OFFERED,
  PEERS,
} from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import { type Call, makeCall, type Turn } from "./vault/turn.ts";
import { mayHaveLost } from "./vault/upkeep.ts";

/** Contradicting lists kept as evidence per account; one pair proves it. */
const RIVALS_KEPT = 4;
/** Earlier identity keys remembered per account, so that an old word about them is no news. */
const FORMER_KEPT = 8;
/** A newer list that somebody else has seen may take so long to come before that is reported: ten minutes. */
export const WITHHELD_MS = 600_000;

/** A device of a pinned account. listed: it stands in the newest list; else it has been removed since. */
export interface Known {
  readonly party: Party;
  readonly listed: boolean;
}

/**
 * Takes an account for the first time, under the identity key that its invite, card or join entry promised.
 *
 * An account that is pinned already is only brought up to date. RuleBroken, FormatError or
 * RemoteError("invalid_signature") when the lists do not verify; nothing is pinned then.
 */
export function pin(turn: Turn, account: AccountId, aik: Uint8Array, lists: readonly Uint8Array[]): void {
  if (CONTACTS.has(turn.tx, account)) {
    takeLists(turn, account, lists);
    return;
  }
  const chain = firstChain(account, aik, lists.map(parseList));
  for (const held of chain.lists) {
    requireOwnDevices(turn, account, held);
  }
  // An own device may have known them first.
  const head = headOf(chain);
  const told = standing(turn.tx, {
    type: "own.pin",
    account,
    aik,
    version: versionOf(head),
    hash: fromHex(head.hash),
    verified: false,
  });
  const promised = requirePromised(turn, account, chain);
  const verified = told === null ? promised?.verified === true : told.verified && equal(told.aik, aik);
  const contact = {
    ...NEW_CONTACT,
    account,
    aik,
    lists: chain.lists.map((held) => held.encoded),
    name: promised?.name ?? "",
    verified,
  };
  keep(turn, contact, chain.lists);
}

/**
 * The person has acknowledged the other identity: it is the pin now, unverified; of the former only its key stays.
 *
 * Does nothing without evidence of another identity.
 */
export function replacePin(turn: Turn, account: AccountId): void {
  const before = CONTACTS.need(turn.tx, account);
  const lists = before.changed.map(parseList);
  const [first] = lists;
  if (first === undefined) {
    return;
  }
  const after = {
    ...NEW_CONTACT,
    account,
    aik: first.content.aik,
    lists: before.changed,
    name: before.name,
    former: [...before.former, before.aik].slice(-FORMER_KEPT),
  };
  keep(turn, after, lists);
}

function keep(turn: Turn, contact: Contact, fresh: readonly SignedDeviceList[]): void {
  CONTACTS.put(turn.tx, contact.account, contact);
  for (const signed of fresh) {
    for (const entry of signed.content.devices) {
      DEVICES.put(turn.tx, entry.device, { account: contact.account });
    }
  }
}

/**
 * RuleBroken("duplicate") if the list names a device id that another account's list holds.
 *
 * Sessions are found by device id: whoever could list a contact's device as their own would get the contact's keys.
 */
function requireOwnDevices(turn: Turn, account: AccountId, signed: SignedDeviceList): void {
  for (const entry of signed.content.devices) {
    const owner = accountOf(turn, entry.device);
    if (owner !== null && owner !== account) {
      throw new RuleBroken("duplicate");
    }
  }
}

/**
 * Takes newer lists of a pinned account. True if the newest one changed.
 *
 * What does not verify is reported and ignored; two signed lists of one version are kept as evidence.
 */
export function takeLists(turn: Turn, account: AccountId, lists: readonly Uint8Array[]): boolean {
  let contact = CONTACTS.need(turn.tx, account);
  const pinned = contact;
  const foreign = lists.filter((encoded) => isOtherIdentity(pinned, encoded));
  if (foreign.length > 0) {
    takeOtherIdentity(turn, contact, foreign);
    contact = CONTACTS.need(turn.tx, account);
  }
  const before = contact.lists.length;
  const [chain, met] = followed(
    turn,
    contact,
    lists.filter((encoded) => !foreign.includes(encoded)),
  );
  const grown = chain.lists.length > before;
  let after = grown ? { ...contact, lists: chain.lists.map((held) => held.encoded) } : contact;
  after = withRivals(turn, after, met);
  if (after.expected > 0 && versionOf(headOf(chain)) >= after.expected) {
    after = { ...after, expected: 0, expectedMs: 0 };
    errands.drop(turn, "withheld", account);
  }
  if (after !== contact) {
    keep(turn, after, chain.lists.slice(before));
  }
  return grown;
}

/** The contact's chain with those of the lists that follow, and those that contradict it. */
function followed(
  turn: Turn,
  contact: Contact,
  lists: readonly Uint8Array[],
): [chain: DeviceListChain, met: SignedDeviceList[]] {
  let chain = chainOf(contact);
  const met: SignedDeviceList[] = [];
  for (const encoded of lists) {
    try {
      const candidate = parseList(encoded);
      const verdict = judge(chain, candidate);
      if (verdict === "gap") {
        break;
      }
      if (verdict === "equivocation") {
        met.push(candidate);
      } else if (verdict === "successor") {
        requireOwnDevices(turn, contact.account, candidate);
        chain = extended(chain, candidate);
      }
    } catch (problem) {
      forged(turn, contact.account, problem);
      break;
    }
  }
  return [chain, met];
}

/** Reports a list that does not verify; anything but RemoteError goes on. */
function forged(turn: Turn, account: AccountId, problem: unknown): void {
  if (!(problem instanceof RemoteError)) {
    throw problem;
  }
  turn.show(makeSecurityEvent("forged_list", { account }));
}

/** Keeps lists that contradict ours as evidence, and drops those that a list of the identity key stands above. */
function withRivals(turn: Turn, contact: Contact, met: readonly SignedDeviceList[]): Contact {
  const rivals = [...contact.rivals];
  for (const rival of met) {
    const known = contact.settled.includes(rival.hash) || rivals.some((held) => equal(held, rival.encoded));
    if (!known && rivals.length < RIVALS_KEPT) {
      rivals.push(rival.encoded);
      turn.show(makeSecurityEvent("equivocation", { account: contact.account }));
    }
  }
  const decided = Math.max(...chainOf(contact).lists.filter(isByIdentityKey).map(versionOf));
  const after = rivals.length > contact.rivals.length ? { ...contact, rivals } : contact;
  return settled(
    after,
    rivals.filter((rival) => versionOf(parseList(rival)) < decided),
  );
}

/**
 * Lists of a pinned account under another key: evidence of a change if they are valid in themselves, else forgery.
 *
 * The first such identity stays the one to be decided on, whatever the server shows later. Our own never changes.
 */
function takeOtherIdentity(turn: Turn, contact: Contact, lists: readonly Uint8Array[]): void {
  const { account } = contact;
  let head: SignedDeviceList;
  try {
    const chain = ownChain(account, lists);
    for (const held of chain.lists) {
      requireOwnDevices(turn, account, held);
    }
    if (account === turn.me.account) {
      throw new RuleBroken("other_account");
    }
    head = headOf(chain);
  } catch (problem) {
    forged(turn, account, problem);
    return;
  }
  turn.show(makeSecurityEvent("identity_changed", { account }));
  if (contact.refused.some((aik) => equal(aik, head.content.aik))) {
    return;
  }
  const newest = contact.changed.at(-1);
  if (newest === undefined) {
    turn.show({ type: "identityChanged", account });
  } else {
    const known = parseList(newest);
    if (!equal(known.content.aik, head.content.aik) || versionOf(head) <= versionOf(known)) {
      return;
    }
  }
  amend(CONTACTS, turn.tx, account, { changed: lists });
}

/** The verified list of an account at a version, null if it is not held: the look-up of membership rules. */
export function listAt(turn: Turn, account: AccountId, version: number): SignedDeviceList | null {
  const contact = CONTACTS.get(turn.tx, account);
  return contact === null ? null : listInChain(chainOf(contact), version);
}

/** The verified lists of a pinned account, oldest first. VaultProblem if it is not pinned. */
export function listsOf(turn: Turn, account: AccountId): SignedDeviceList[] {
  return CONTACTS.need(turn.tx, account).lists.map(parseList);
}

/** When the list was signed that made this device one of the account's, milliseconds; 0 if none is held. */
export function listedSince(turn: Turn): number {
  const lists = listsOf(turn, turn.me.account);
  return lists.find((held) => entryOf(held.content, turn.me.device) !== null)?.content.issuedMs ?? 0;
}

/** The newest verified list of a pinned account. VaultProblem if it is not pinned. */
export function newestList(turn: Turn, account: AccountId): SignedDeviceList {
  return newestOf(CONTACTS.need(turn.tx, account));
}

/** Whose device it is or was, null if it stands in no list. */
export function accountOf(turn: Turn, device: DeviceId): AccountId | null {
  return DEVICES.get(turn.tx, device)?.account ?? null;
}

/** The public keys of a device from the newest verified list that holds it; null if no list of that account does. */
export function deviceParty(turn: Turn, account: AccountId, device: DeviceId): Known | null {
  const contact = CONTACTS.get(turn.tx, account);
  if (contact === null) {
    return null;
  }
  for (const encoded of contact.lists.toReversed()) {
    const entry = entryOf(parseList(encoded).content, device);
    if (entry !== null) {
      return { party: partyOf(contact.aik, account, entry), listed: encoded === contact.lists.at(-1) };
    }
  }
  return null;
}

/** Devices of the newest verified list; none of an account that is not pinned. */
export function listedDevices(turn: Turn, account: AccountId): DeviceId[] {
  const contact = CONTACTS.get(turn.tx, account);
  return contact === null ? [] : newestOf(contact).content.devices.map((entry) => entry.device);
}

/** The newest lists of these accounts as a post names them, so that others notice what was withheld from them. */
export function roster(turn: Turn, accounts: readonly AccountId[]): RosterEntry[] {
  const entries: RosterEntry[] = [];
  for (const account of accounts.toSorted()) {
    const contact = CONTACTS.get(turn.tx, account);
    if (contact !== null) {
      const head = newestOf(contact);
      entries.push({ account, version: versionOf(head), hashStart: head.hash.slice(0, 32) });
    }
  }
  return entries;
}

/** Compares what another device holds with what we hold: another hash is reported, a higher version is fetched. */
export function checkRoster(turn: Turn, entries: readonly RosterEntry[]): void {
  for (const entry of entries) {
    const contact = CONTACTS.get(turn.tx, entry.account);
    if (contact === null) {
      continue;
    }
    const chain = chainOf(contact);
    if (entry.version > versionOf(headOf(chain))) {
      expectList(turn, contact, entry.version);
    } else if (matches(chain, entry.version, entry.hashStart) === false) {
      turn.show(makeSecurityEvent("equivocation", { account: entry.account }));
    }
  }
}

/** Whether nothing may be sent to the account until its identity key or the person has decided. */
export function isBlocked(turn: Turn, account: AccountId): boolean {
  const contact = CONTACTS.get(turn.tx, account);
  return contact !== null && isContactBlocked(contact);
}

/** Another device knows a newer list: it is fetched, and if the server keeps it back that is reported. */
export function expectList(turn: Turn, contact: Contact, version: number): void {
  const { account } = contact;
  errands.plan(turn, "lists", account);
  if (version > contact.expected) {
    const since = contact.expectedMs || turn.nowMs;
    amend(CONTACTS, turn.tx, account, { expected: version, expectedMs: since });
    errands.plan(turn, "withheld", account, { dueMs: since + WITHHELD_MS });
  }
}

/** Ten minutes are over, and the list that somebody else has seen is still not here: reported, asked for again. */
export function withheldDue(turn: Turn, account: AccountId): void {
  errands.drop(turn, "withheld", account);
  const contact = CONTACTS.get(turn.tx, account);
  if (contact === null || contact.expected === 0) {
    return;
  }
  if (!mayHaveLost(turn)) {
    turn.show(makeSecurityEvent("withheld_list", { account }));
  }
  amend(CONTACTS, turn.tx, account, { expected: 0, expectedMs: 0 }); // whoever names it again starts anew
  errands.plan(turn, "lists", account);
}

/** Something authentic came from the device: it is alive. */
export function heard(turn: Turn, account: AccountId, device: DeviceId): void {
  PEERS.put(turn.tx, device, { device, account, heardMs: turn.nowMs });
}

/** A member's sealed profile says this name. */
export function rename(turn: Turn, account: AccountId, name: string): void {
  const contact = CONTACTS.get(turn.tx, account);
  if (contact !== null && account !== turn.me.account && contact.name !== name) {
    amend(CONTACTS, turn.tx, account, { name });
    turn.show({ type: "profileChanged", account, name });
  }
}

// --- asking the server ---------------------------------------------------------------------------------------------

/** Asks for the lists of an account above the pinned version, or for all that a first contact needs. */
export function listsCall(turn: Turn, errand: Errand): Call | null {
  const contact = CONTACTS.get(turn.tx, errand.subject);
  const query = contact === null ? {} : { from: versionOf(newestOf(contact)) + 1 };
  return makeCall(errands.keyOf(errand), "devices.lists", { path: { account: errand.subject }, query });
}

/**
 * Takes what came. Lists of an account that nobody vouched for wait until a membership entry does.
 *
 * askedFrom: the lowest version that was asked for; what lies below is reported and ignored like all that is older.
 */
export function listsAnswered(turn: Turn, errand: Errand, askedFrom: number, answer: DeviceLists): void {
  errands.drop(turn, "lists", errand.subject);
  const account = errand.subject as AccountId; // as it was planned
  const contact = CONTACTS.get(turn.tx, account);
  if (contact === null) {
    if (answer.lists.length > 0) {
      OFFERED.put(turn.tx, account, { lists: answer.lists });
    }
    return;
  }
  if (answer.lists.some((encoded) => isBelow(contact, encoded, askedFrom))) {
    turn.show(makeSecurityEvent("old_list", { account }));
  }
  takeLists(turn, account, answer.lists);
}

/**
 * A list that was offered for an account nobody vouched for, if it verifies in itself.
 *
 * The caller compares its key.
 */
export function offeredList(turn: Turn, account: AccountId, version: number): SignedDeviceList | null {
  const held = OFFERED.get(turn.tx, account);
  if (held === null) {
    return null;
  }
  try {
    return listInChain(ownChain(account, held.lists), version);
  } catch (problem) {
    forged(turn, account, problem);
    OFFERED.delete(turn.tx, account);
    return null;
  }
}

/** What was offered for this account fits nothing that was signed: better lists may come. */
export function forgetOffered(turn: Turn, account: AccountId): void {
  OFFERED.delete(turn.tx, account);
}

/**
 * A verified membership entry names the account under this identity key.
 *
 * What was offered for it becomes its pin.
 */
export function vouch(turn: Turn, account: AccountId, aik: Uint8Array): void {
  const held = OFFERED.get(turn.tx, account);
  if (held !== null && !CONTACTS.has(turn.tx, account)) {
    pin(turn, account, aik, held.lists);
    OFFERED.delete(turn.tx, account);
  }
}
