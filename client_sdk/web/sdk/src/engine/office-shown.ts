/**
 * What may be shown of office hours at an instant: pure functions of what is held, of the server's word and of the time.
 * Pages compute with them, so that nothing has to be told when a minute has passed.
 *
 * Source: docs/protocol.md, section 15.3.
 */

import type { OfficeShown } from "../agreements.ts";
import { lessAvailable, type OfficeState, type OfficeStatus, officeState } from "../office/status.ts";
import type { AccountId } from "../protocol/ids.ts";
import { countingAt, type Held, type OfficeView } from "./office.ts";

/** How an office stands by the server's word, and until when (0 = not known). */
export interface OfficeWord {
  readonly status: OfficeStatus;
  readonly untilMs: number;
}

/** The less available of the document and the server's word. */
export function shownState({ hours }: Held, said: OfficeWord | null, nowMs: number): OfficeState {
  const state = officeState(hours, nowMs);
  if (said === null || lessAvailable(state.status, said.status) === state.status) {
    return state;
  }
  const nextOpenMs = state.status === "open" ? null : state.nextOpenMs;
  return {
    status: said.status,
    untilMs: said.untilMs || null,
    changesAtMs: state.changesAtMs,
    nextOpenMs,
    cover: null,
  };
}

/** What may be shown of somebody's office hours now. view: null if nothing of them is held. */
export function officeShown(
  account: AccountId,
  view: OfficeView | null,
  said: OfficeWord | null,
  nowMs: number,
): OfficeShown {
  const held = view === null ? null : countingAt(view, nowMs);
  const version = view?.version ?? 0;
  if (held === null) {
    return { account, confirmed: false, hours: null, state: null, version, validUntilMs: 0 };
  }
  const state = shownState(held, said, nowMs);
  const { validUntilMs } = held.document;
  return { account, confirmed: true, hours: held.hours, state, version, validUntilMs };
}
