/**
 * Our own office hours: signed by this device, sent until the server has them, signed anew before they lapse.
 *
 * A change stands here as wanted rules until a document with them is at the server. Our devices share the newest
 * document by the document itself: whoever is told `conflict` fetches the one that came first and signs above it only if
 * its own change is the newer one. So several devices that change or renew at once end with one document.
 *
 * Source: docs/protocol.md, section 15.2.
 */

import type { OwnOffice } from "../../agreements.ts";
import {
  encodeDocument,
  makeDocument,
  type OfficeDocument,
  parseDocument,
  REISSUE_BEFORE_MS,
} from "../../office/document.ts";
import { encodeHours, type OfficeHours, type OverrideState, parseHours } from "../../office/hours.ts";
import { type Repair, repaired } from "../../office/rules.ts";
import { EMPTY, equal } from "../../protocol/bytes.ts";
import { LocalError, type Rejected } from "../../protocol/errors.ts";
import type { AccountId } from "../../protocol/ids.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { OfficePublish, OfficeView } from "../../protocol/requests.ts";
import type { Held } from "../office-shown.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONTACTS } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import { type Call, makeCall, signingKeyOf, type Turn } from "../vault/turn.ts";
import * as office from "./office.ts";
import { heldOffice, isListedSigner, OFFICES, officeRecord } from "./office.ts";

/** A document that waits for its sending longer is signed anew: the server takes none that is 90 s off its time. */
const SIGNED_AGAIN_MS = 30_000;
const AGAIN_MS = 1_000;
/** What the server refuses for good is tried again after an hour: another version of it may take it. */
const NEVER_WAIT_MS = 3_600_000;

/**
 * Rules that the server does not have yet; without rules: nothing is wanted.
 *
 * base: the rules that they were made from. changedMs: when. document: as signed last, empty = not yet. above: a version
 * that the server may have lost, or of ours that it may have taken without our knowing; only a higher one will do.
 * signed: the highest version that this device has signed: it never signs two documents of one version, whatever became
 * of the first.
 */
export interface PendingHours {
  readonly rules: Uint8Array;
  readonly base: Uint8Array;
  readonly changedMs: number;
  readonly document: Uint8Array;
  readonly above: number;
  readonly signed: number;
}

const NOTHING: PendingHours = { rules: EMPTY, base: EMPTY, changedMs: 0, document: EMPTY, above: 0, signed: 0 };

/** One record under the empty key. */
export const OWN_OFFICE = new Table<PendingHours>("office_own", NOTHING);

function pendingOf(turn: Turn): PendingHours {
  return OWN_OFFICE.get(turn.tx, "") ?? NOTHING;
}

function isWanted({ rules }: PendingHours): boolean {
  return rules.length > 0;
}

function held(turn: Turn): Held | null {
  return heldOffice(turn, turn.me.account);
}

/** Our office hours as they stand here, with what is on its way. */
export function ownOffice(turn: Turn): OwnOffice {
  const [waiting, standing] = [pendingOf(turn), held(turn)];
  const pending = isWanted(waiting);
  const hours = pending ? parseHours(waiting.rules) : (standing?.hours ?? null);
  const { version = 0, validUntilMs = 0 } = standing?.document ?? {};
  return { hours, version, validUntilMs, pending };
}

/** The same if this turn may have changed it, else null. */
export function changedOwnOffice(turn: Turn): OwnOffice | null {
  const touched = [OWN_OFFICE, OFFICES, CONTACTS].some(({ name }) => turn.written(name).length > 0);
  return touched ? ownOffice(turn) : null;
}

// --- changing them ---------------------------------------------------------------------------------------------------

/**
 * Our office hours are these from now on; returns what was changed in them so that they are valid.
 *
 * HoursRefused: they cannot be repaired. LocalError("forbidden") for a client. Nothing has changed then.
 */
export function publish(turn: Turn, hours: OfficeHours): readonly Repair[] {
  if (turn.me.role === null || !isAdmin(turn.me.role)) {
    throw new LocalError("forbidden", "clients have no office hours");
  }
  const better = repaired(hours);
  want(turn, encodeHours(better.hours));
  return better.repairs;
}

/** anew: a document is signed even if one with these rules stands. */
function want(turn: Turn, rules: Uint8Array, { anew = false }: { anew?: boolean } = {}): void {
  const [standing, waiting] = [held(turn), pendingOf(turn)];
  const base = standing?.document.rules ?? EMPTY;
  const sent = waiting.document.length > 0 ? parseDocument(waiting.document).version : 0;
  const above = Math.max(anew ? (standing?.document.version ?? 0) : 0, waiting.above, sent);
  if (equal(rules, base) && above === 0 && !needsRenewal(turn, standing)) {
    settled(turn);
    return;
  }
  OWN_OFFICE.put(turn.tx, "", { ...waiting, rules, base, changedMs: turn.nowMs, document: EMPTY, above });
  errands.drop(turn, "office_publish"); // a refusal may have put it off
  errands.plan(turn, "office_publish");
  turn.show({ type: "officeChanged", account: turn.me.account });
}

/** Nothing is wanted that the server does not have. */
function settled(turn: Turn): void {
  errands.drop(turn, "office_publish");
  const { signed, ...waiting } = pendingOf(turn);
  if (waiting.rules.length > 0) {
    OWN_OFFICE.put(turn.tx, "", { ...NOTHING, signed });
    turn.show({ type: "officeChanged", account: turn.me.account });
  }
}

/**
 * Said by hand: our office stands like this from now on until then, whatever the rules say.
 *
 * LocalError: "not_found" without office hours, "forbidden" for a client. HoursRefused for a time that is over or more
 * than 7 days ahead.
 */
export function stepAway(turn: Turn, untilMs: number, state: OverrideState): void {
  publish(turn, { ...standingHours(turn), override: { state, sinceMs: turn.nowMs, untilMs } });
}

/** What was said by hand is over. LocalError("not_found") without office hours. */
export function comeBack(turn: Turn): void {
  publish(turn, { ...standingHours(turn), override: null });
}

function standingHours(turn: Turn): OfficeHours {
  const { hours } = ownOffice(turn);
  if (hours === null) {
    throw new LocalError("not_found", "no office hours yet");
  }
  return hours;
}

// --- keeping them alive ----------------------------------------------------------------------------------------------

/** Whether the document lapses soon, its device was removed, or such a device has signed above it. */
function needsRenewal(turn: Turn, standing: Held | null): boolean {
  if (standing === null) {
    return false;
  }
  const { document } = standing;
  const { above } = officeRecord(turn, turn.me.account);
  const lapses = document.validUntilMs - turn.nowMs < REISSUE_BEFORE_MS;
  return lapses || above > document.version || !isListedSigner(turn, document);
}

/** Once a day, at sign-in, and when our device list has changed: signs anew what would lapse. */
export function tend(turn: Turn): void {
  const standing = held(turn);
  if (standing !== null && !isWanted(pendingOf(turn)) && needsRenewal(turn, standing)) {
    want(turn, standing.document.rules);
  }
}

/** The server was restored from a backup: it may lack what we hold. One device of ours brings it back. */
export function publishAgain(turn: Turn): void {
  const standing = held(turn);
  if (standing !== null && !isWanted(pendingOf(turn))) {
    want(turn, standing.document.rules, { anew: true });
  }
}

// --- the server ------------------------------------------------------------------------------------------------------

/** Signs the wanted rules above every version that is known, with the time of now, and sends them. */
export function publishCall(turn: Turn, errand: Errand): Call | null {
  const waiting = pendingOf(turn);
  if (!isWanted(waiting)) {
    errands.drop(turn, "office_publish");
    return null;
  }
  const { version, named, above } = officeRecord(turn, turn.me.account);
  const known = Math.max(version, named, above);
  const before = waiting.document.length > 0 ? parseDocument(waiting.document) : null;
  if (before !== null && before.version > known && turn.nowMs - before.issuedMs <= SIGNED_AGAIN_MS) {
    return makeCall(errands.keyOf(errand), "office.publish", { body: { document: waiting.document } });
  }
  const { account, device } = turn.me;
  const signed = Math.max(known, waiting.signed) + 1;
  const stamp = { version: signed, issuedMs: turn.nowMs };
  const document = encodeDocument(
    makeDocument(account, device, signingKeyOf(turn.me), parseHours(waiting.rules), stamp),
  );
  OWN_OFFICE.put(turn.tx, "", { ...waiting, document, signed });
  return makeCall(errands.keyOf(errand), "office.publish", { body: { document } });
}

/** The server has it. A change that was made meanwhile is sent next. */
export function published(turn: Turn, sent: OfficePublish, answer: OfficeView): void {
  errands.drop(turn, "office_publish");
  for (const document of [sent.document, answer.document]) {
    if (document.length > 0) {
      office.takeDocument(turn, turn.me.account, document);
    }
  }
  settleOwn(turn);
}

/** Another document of ours came first: it is fetched, and then it is seen whether ours goes above it. */
export function publishRefused(turn: Turn, errand: Errand, refusal: Rejected): void {
  if (refusal.code === "conflict") {
    errands.plan(turn, "office", turn.me.account);
    errands.postpone(turn, errand);
  } else if (refusal.code === "bad_time") {
    OWN_OFFICE.put(turn.tx, "", { ...pendingOf(turn), document: EMPTY });
    errands.postpone(turn, errand, { waitMs: AGAIN_MS });
  } else {
    errands.postpone(turn, errand, { waitMs: NEVER_WAIT_MS });
  }
}

/** A document that was asked for. */
export function documentAnswered(turn: Turn, errand: Errand, answer: OfficeView): void {
  errands.drop(turn, "office", errand.subject);
  if (answer.document.length > 0) {
    documentCame(turn, errand.subject as AccountId, answer.document); // as it was planned
  }
}

/** A document of anybody's has come; one of ours may settle what we want, or make us sign above it. */
export function documentCame(
  turn: Turn,
  account: AccountId,
  document: Uint8Array,
  { told = false }: { told?: boolean } = {},
): void {
  office.takeDocument(turn, account, document, { told });
  if (account === turn.me.account) {
    settleOwn(turn);
  }
}

/** Newer device lists of an account may be here. */
export function listsCame(turn: Turn, account: AccountId): void {
  office.listsCame(turn, account);
  if (account === turn.me.account) {
    settleOwn(turn);
    tend(turn);
  }
}

/** Compares what we want with the document that stands. */
function settleOwn(turn: Turn): void {
  const [waiting, standing] = [pendingOf(turn), held(turn)];
  if (!isWanted(waiting) || standing === null) {
    return;
  }
  const { document } = standing;
  const same = equal(document.rules, waiting.rules) && !needsRenewal(turn, standing);
  if (document.version > waiting.above && (same || isNewerElsewhere(turn, document, waiting))) {
    settled(turn);
  } else if (!errands.planned(turn, "office_publish")) {
    errands.plan(turn, "office_publish");
  }
}

/** Whether another device has published other rules after our change. What it signed anew unchanged is no news. */
function isNewerElsewhere(turn: Turn, document: OfficeDocument, { base, changedMs }: PendingHours): boolean {
  const other = document.device !== turn.me.device && !equal(document.rules, base);
  return other && document.issuedMs > changedMs;
}
