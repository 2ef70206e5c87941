/**
 * Office hours of others, and our own, as signed documents: checked, pinned, kept by version.
 *
 * Whatever brings a document (the stream, a request, an invite's card) hands it to `takeDocument`. The version is a pin
 * that never goes down; a post of a therapist that names a higher one than the server gives out makes what is held count
 * for nothing until that comes. What the server says beside the document is of the loop (`office-words.ts`).
 *
 * Source: docs/protocol.md, section 15.2.
 */

import { makeSecurityEvent } from "../../events.ts";
import { checkDocument, hoursOf, type OfficeDocument, parseDocument } from "../../office/document.ts";
import type { OfficeHours } from "../../office/hours.ts";
import { problems } from "../../office/rules.ts";
import { officeState } from "../../office/status.ts";
import { EMPTY, equal } from "../../protocol/bytes.ts";
import { FormatError, RemoteError } from "../../protocol/errors.ts";
import type { AccountId } from "../../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS, MAX_INTEGER } from "../../protocol/limits.ts";
import { deviceParty, type Known, newestList } from "../contacts.ts";
import { type Held, isInTime, type OfficeView } from "../office-shown.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONTACTS } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import { inGrace, mayHaveLost } from "../vault/upkeep.ts";

/** A version that a post names may take so long to come before that is reported: ten minutes. */
export const OFFICE_WITHHELD_MS = 600_000;
/** Documents kept per account: promises of older messages are looked up in them. */
export const VERSIONS_KEPT = 16;

/**
 * What is held of one account. version: the pin, 0 = none was ever held; document: of that version.
 *
 * named: the highest version that an opened post of the account has named. offered: a document whose device stands in no
 * list here, while a newer list is fetched. above: of our own account, the highest version that a device signed which
 * was removed since: ours goes above it.
 */
export interface OfficeRecord {
  readonly account: AccountId;
  readonly version: number;
  readonly document: Uint8Array;
  readonly named: number;
  readonly offered: Uint8Array;
  readonly above: number;
}

const NEW_OFFICE = { version: 0, document: EMPTY, named: 0, offered: EMPTY, above: 0 } as const;

/** By account. */
export const OFFICES = new Table<OfficeRecord>("office", NEW_OFFICE);
/** An earlier document, as it was taken. By account and version; group: account; order: version. */
const VERSIONS = new Table<{ readonly document: Uint8Array }>("office_version");

/** What is held of an account, as good as new if nothing is. */
export function officeRecord(turn: Turn, account: AccountId): OfficeRecord {
  return OFFICES.get(turn.tx, account) ?? { account, ...NEW_OFFICE };
}

/** Keeps what is held of an account. */
export function putOffice(turn: Turn, record: OfficeRecord): void {
  OFFICES.put(turn.tx, record.account, record);
}

// --- what counts -----------------------------------------------------------------------------------------------------

interface Parsed extends Held {
  /** This machine can compute with the rules: it may know fewer zones than the one that published them. */
  readonly isUsable: boolean;
}

const parsedOnes = new WeakMap<Uint8Array, Parsed>();

/** A document that was taken once: it can be read. */
function parsed(encoded: Uint8Array): Parsed {
  let found = parsedOnes.get(encoded);
  if (found === undefined) {
    const document = parseDocument(encoded);
    const hours = hoursOf(document);
    found = { document, hours, isUsable: problems(hours).length === 0 };
    parsedOnes.set(encoded, found);
  }
  return found;
}

function heldIn(encoded: Uint8Array): Held {
  const { document, hours } = parsed(encoded);
  return { document, hours };
}

/** The newest document of an account, whether or not it counts; null if none was ever held. */
export function heldOffice(turn: Turn, account: AccountId): Held | null {
  const record = OFFICES.get(turn.tx, account);
  return record?.document.length ? heldIn(record.document) : null;
}

/** Whether the device that signed it stands in the newest list of the account. Else it is as good as expired. */
export function isListedSigner(turn: Turn, document: OfficeDocument): boolean {
  return deviceParty(turn, document.account, document.device)?.listed === true;
}

/** The document unless its device was removed, a post names a higher version, or its zone is not known here. */
function standingOf(turn: Turn, record: OfficeRecord): Held | null {
  if (record.document.length === 0 || record.named > record.version || !parsed(record.document).isUsable) {
    return null;
  }
  const held = heldIn(record.document);
  return isListedSigner(turn, held.document) ? held : null;
}

/** The document of an account if it counts now. */
export function hoursNow(turn: Turn, account: AccountId): Held | null {
  const record = OFFICES.get(turn.tx, account);
  const held = record === null ? null : standingOf(turn, record);
  return held !== null && isInTime(held.document, turn.nowMs) ? held : null;
}

function versionKey(account: AccountId, version: number): string {
  return `${account}:${version}`;
}

/** The rules of an earlier version, if they are kept and this machine knows their zone. */
export function hoursAt(turn: Turn, account: AccountId, version: number): OfficeHours | null {
  const kept = VERSIONS.get(turn.tx, versionKey(account, version));
  return kept !== null && parsed(kept.document).isUsable ? parsed(kept.document).hours : null;
}

/** The rules of all versions that are kept, ascending. */
export function hoursKept(turn: Turn, account: AccountId): OfficeHours[] {
  return keptOf(turn, account).map(({ hours }) => hours);
}

/** The same for all versions that are kept, ascending. */
function keptOf(turn: Turn, account: AccountId): Held[] {
  return VERSIONS.list(turn.tx, account)
    .filter(([, { document }]) => parsed(document).isUsable)
    .map(([, { document }]) => heldIn(document));
}

// --- a document has come ---------------------------------------------------------------------------------------------

/** It is not what it claims to be. ofLaterVersion: nobody has lied, this program does not know the format. */
class Refused extends Error {
  readonly ofLaterVersion: boolean;

  constructor(ofLaterVersion = false) {
    super("an office-hours document was refused");
    this.ofLaterVersion = ofLaterVersion;
  }
}

/**
 * Checks a document and keeps it if it is newer than what is held. True if it has taken that one's place.
 *
 * told: the server has said it on the stream as the newest one. What does not verify is reported and ignored.
 */
export function takeDocument(
  turn: Turn,
  account: AccountId,
  encoded: Uint8Array,
  { told = false }: { told?: boolean } = {},
): boolean {
  const record = officeRecord(turn, account);
  if (equal(encoded, record.document) || equal(encoded, record.offered)) {
    return false;
  }
  let document: OfficeDocument;
  let known: Known | null;
  try {
    document = read(account, encoded);
    known = deviceParty(turn, account, document.device);
    if (known === null) {
      putOffice(turn, { ...record, offered: encoded }); // a newer list may name the device
      errands.plan(turn, "lists", account);
      return false;
    }
    requireSignature(turn, document, known);
  } catch (problem) {
    if (!(problem instanceof Refused)) {
      throw problem;
    }
    if (!problem.ofLaterVersion) {
      turn.show(makeSecurityEvent("forged_office", { account }));
    }
    return false;
  }
  if (!known.listed) {
    if (account === turn.me.account && document.version > Math.max(record.version, record.above)) {
      putOffice(turn, { ...record, above: document.version });
    }
    return false;
  }
  return compare(turn, record, document, encoded, told);
}

function read(account: AccountId, encoded: Uint8Array): OfficeDocument {
  let document: OfficeDocument;
  try {
    document = parseDocument(encoded);
  } catch (problem) {
    throw problem instanceof FormatError ? new Refused(problem.code === "unsupported") : problem;
  }
  if (document.account !== account) {
    throw new Refused();
  }
  return document;
}

/** Also that it was signed before its device was removed, if it was, and that its rules are rules. */
function requireSignature(turn: Turn, document: OfficeDocument, known: Known): void {
  let wrong: boolean;
  try {
    checkDocument(document, known.party.dsig);
    wrong = problems(hoursOf(document)).some(({ code }) => code !== "unknown_zone");
  } catch (problem) {
    throw problem instanceof RemoteError ? new Refused() : problem;
  }
  const removedMs = known.listed ? MAX_INTEGER : newestList(turn, document.account).content.issuedMs;
  if (wrong || document.issuedMs > removedMs + CLOCK_TOLERANCE_MS) {
    throw new Refused();
  }
}

/** A verified document against the one that is held. */
function compare(
  turn: Turn,
  record: OfficeRecord,
  document: OfficeDocument,
  encoded: Uint8Array,
  told: boolean,
): boolean {
  const { account } = record;
  const { version } = document;
  if (version < record.version) {
    if (told && account !== turn.me.account && !inGrace(turn)) {
      turn.show(makeSecurityEvent("old_office", { account })); // a restored server may hold an earlier one
    }
    return false;
  }
  if (version === record.version) {
    if (!mayHaveLost(turn)) {
      turn.show(makeSecurityEvent("office_equivocation", { account }));
    }
    return false;
  }
  putOffice(turn, { ...record, version, document: encoded, offered: EMPTY });
  VERSIONS.put(turn.tx, versionKey(account, version), { document: encoded }, { group: account, order: version });
  for (const [key] of VERSIONS.list(turn.tx, account, { newestFirst: true }).slice(VERSIONS_KEPT)) {
    VERSIONS.delete(turn.tx, key);
  }
  if (version >= record.named) {
    errands.drop(turn, "office_withheld", account);
  }
  turn.show({ type: "officeChanged", account });
  planEdge(turn, account);
  return true;
}

/** Lists of the account were asked for: a document that waited for them is looked at once more. True if taken. */
export function listsCame(turn: Turn, account: AccountId): boolean {
  const record = OFFICES.get(turn.tx, account);
  if (record === null) {
    return false;
  }
  if (record.document.length > 0) {
    turn.show({ type: "officeChanged", account }); // its device may have been removed
  }
  const { offered } = record;
  if (offered.length === 0) {
    return false;
  }
  putOffice(turn, { ...record, offered: EMPTY });
  if (deviceParty(turn, account, parseDocument(offered).device) === null) {
    turn.show(makeSecurityEvent("forged_office", { account }));
    return false;
  }
  return takeDocument(turn, account, offered);
}

// --- versions that posts name ----------------------------------------------------------------------------------------

/** A post of the account, which is a therapist or owner, was written under this version: no lower one counts. */
export function noteNamed(turn: Turn, account: AccountId, version: number): void {
  const record = officeRecord(turn, account);
  if (version <= Math.max(record.version, record.named)) {
    return;
  }
  putOffice(turn, { ...record, named: version });
  errands.plan(turn, "office", account);
  errands.plan(turn, "office_withheld", account, { dueMs: turn.nowMs + OFFICE_WITHHELD_MS });
  if (record.document.length > 0) {
    turn.show({ type: "officeChanged", account });
  }
}

/** Asks for the document of an account. */
export function documentCall(_turn: Turn, errand: Errand): Call {
  return makeCall(errands.keyOf(errand), "office.document", { path: { account: errand.subject } });
}

/** Ten minutes are over, and the version that a post named is not here: reported, asked for again. */
export function withheldDue(turn: Turn, account: AccountId): void {
  errands.drop(turn, "office_withheld", account);
  const { named, version } = officeRecord(turn, account);
  if (named > version) {
    if (!mayHaveLost(turn)) {
      turn.show(makeSecurityEvent("withheld_office", { account }));
    }
    errands.plan(turn, "office", account);
  }
}

// --- what hosts see --------------------------------------------------------------------------------------------------

/** How the office stands is different from now on, by the document alone. */
export function edgeDue(turn: Turn, account: AccountId): void {
  errands.drop(turn, "office_edge", account);
  turn.show({ type: "officeChanged", account });
  planEdge(turn, account);
}

function planEdge(turn: Turn, account: AccountId): void {
  errands.drop(turn, "office_edge", account);
  const held = hoursNow(turn, account);
  if (held !== null) {
    const changesMs = officeState(held.hours, turn.nowMs).changesAtMs ?? MAX_INTEGER;
    const dueMs = Math.min(changesMs, held.document.validUntilMs);
    errands.plan(turn, "office_edge", account, { dueMs: Math.max(dueMs, turn.nowMs + 1) });
  }
}

/** Those that this turn has changed; a new device list may have removed the device that signed. */
export function changedOffices(turn: Turn): OfficeView[] {
  const changed = new Set([...turn.written(OFFICES.name), ...turn.written(CONTACTS.name)]);
  return [...changed]
    .sort()
    .map((key) => OFFICES.get(turn.tx, key))
    .filter((record) => record !== null)
    .map((record) => viewOf(turn, record));
}

/** All of them. */
export function viewOffices(turn: Turn): OfficeView[] {
  return OFFICES.list(turn.tx).map(([, record]) => viewOf(turn, record));
}

function viewOf(turn: Turn, record: OfficeRecord): OfficeView {
  const { account, version } = record;
  return { account, version, held: standingOf(turn, record), kept: keptOf(turn, account) };
}
