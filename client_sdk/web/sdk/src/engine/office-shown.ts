/**
 * What may be shown of office hours at an instant: pure functions of what is held, of the server's word and of the time.
 * Pages compute with them, so that nothing has to be told when a minute has passed.
 *
 * Source: docs/protocol.md, section 15.3.
 */

import type { OfficeShown } from "../agreements.ts";
import type { OfficeDocument } from "../office/document.ts";
import type { OfficeHours } from "../office/hours.ts";
import { promisedBy } from "../office/promise.ts";
import { lessAvailable, type OfficeState, type OfficeStatus, officeState } from "../office/status.ts";
import type { AccountId } from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS } from "../protocol/limits.ts";

/** A document and its rules. */
export interface Held {
  readonly document: OfficeDocument;
  readonly hours: OfficeHours;
}

/**
 * What hosts see of an account's office hours, as long as nothing is said anew.
 *
 * version: the pin. held: the newest document, unless something other than time says that it does not count. kept: all
 * versions that are kept, ascending.
 */
export interface OfficeView {
  readonly account: AccountId;
  readonly version: number;
  readonly held: Held | null;
  readonly kept: readonly Held[];
}

/** How an office stands by the server's word, and until when (0 = not known). */
export interface OfficeWord {
  readonly status: OfficeStatus;
  readonly untilMs: number;
}

/** Whether a document counts at this time of the server. */
export function isInTime({ issuedMs, validUntilMs }: OfficeDocument, nowMs: number): boolean {
  return issuedMs - CLOCK_TOLERANCE_MS <= nowMs && nowMs < validUntilMs;
}

/** The document of a view if it counts at this time of the server. */
export function countingAt(view: OfficeView | null, nowMs: number): Held | null {
  const held = view?.held ?? null;
  return held !== null && isInTime(held.document, nowMs) ? held : null;
}

/**
 * The less available of the document and the server's word, whose time counts as far as it promises no more than the
 * document: no end before that of what is closed by that one, none behind that of what is open by it.
 */
export function shownState({ hours }: Held, said: OfficeWord | null, nowMs: number): OfficeState {
  const state = officeState(hours, nowMs);
  if (said === null || lessAvailable(state.status, said.status) === state.status) {
    return state;
  }
  const isOpen = state.status === "open";
  const nextOpenMs = isOpen ? null : state.nextOpenMs;
  return {
    status: said.status,
    untilMs: said.untilMs === 0 ? null : untilOf(said.untilMs, state.untilMs, isOpen),
    changesAtMs: state.changesAtMs,
    nextOpenMs,
    cover: null,
  };
}

function untilOf(saidMs: number, signedMs: number | null, isOpen: boolean): number | null {
  if (isOpen) {
    return signedMs === null || saidMs <= signedMs ? saidMs : null;
  }
  return signedMs === null ? null : Math.max(saidMs, signedMs);
}

/** What may be shown of somebody's office hours now. view: null if nothing of them is held. */
export function officeShown(
  account: AccountId,
  view: OfficeView | null,
  said: OfficeWord | null,
  nowMs: number,
): OfficeShown {
  const held = countingAt(view, nowMs);
  const version = view?.version ?? 0;
  if (held === null) {
    return { account, confirmed: false, hours: null, state: null, version, validUntilMs: 0 };
  }
  const state = shownState(held, said, nowMs);
  const { validUntilMs } = held.document;
  return { account, confirmed: true, hours: held.hours, state, version, validUntilMs };
}

/**
 * By when a text that is sent now would be answered, and whether by the colleague who covers a leave; null = nothing is
 * promised. cover: the rules of that colleague, if they count.
 */
export function promiseOf(
  therapist: OfficeHours,
  cover: OfficeHours | null,
  nowMs: number,
): { readonly dueMs: number; readonly byCover: boolean } | null {
  if (cover !== null && officeState(therapist, nowMs).status === "on_leave") {
    const dueMs = promisedBy(cover, nowMs);
    if (dueMs !== null) {
      return { dueMs, byCover: true };
    }
  }
  const dueMs = promisedBy(therapist, nowMs);
  return dueMs === null ? null : { dueMs, byCover: false };
}
