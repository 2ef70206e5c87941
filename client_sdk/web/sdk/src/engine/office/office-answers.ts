/**
 * Automatic answers: what a client is shown in the therapist's name after a text outside of office hours. Pure.
 *
 * Nobody sends them and nothing keeps them: they follow from the texts and the signed office hours. One stands after the
 * first text of a client while the office is not open, and the next one only after 15 minutes in which nobody has
 * written.
 *
 * Source: docs/protocol.md, chapter 16.
 */

import type { AutomaticAnswer } from "../../agreements.ts";
import type { Message } from "../../events.ts";
import { officeState } from "../../office/status.ts";
import type { AccountId } from "../../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS } from "../../protocol/limits.ts";
import type { Held } from "../office-shown.ts";

/** After so long without a text of either side the next one is answered again. */
export const QUIET_MS = 15 * 60_000;

/**
 * The automatic answers between these messages of one conversation, oldest first.
 *
 * documents: the therapist's that are kept, by ascending version; none while hours are not confirmed. A text is judged
 * by the newest one that had been signed when it was written. Give messages from some way before those that are shown:
 * what stands before the first one is not known here.
 */
export function automaticAnswers(
  messages: Iterable<Message>,
  client: AccountId,
  documents: readonly Held[],
): AutomaticAnswer[] {
  const answers: AutomaticAnswer[] = [];
  let answered = false;
  let lastMs: number | null = null;
  for (const { id: after, kind, placeholder, account, atMs, promisedMs } of messages) {
    if (kind !== "text" || placeholder !== null) {
      continue;
    }
    answered &&= lastMs !== null && atMs - lastMs < QUIET_MS;
    lastMs = atMs;
    const held = standingAt(documents, atMs);
    if (account !== client || answered || held === null) {
      continue;
    }
    const state = officeState(held.hours, atMs);
    if (state.status !== "open") {
      answered = true;
      answers.push({ after, atMs, state, nextOpenMs: state.nextOpenMs, dueMs: promisedMs || null });
    }
  }
  return answers;
}

/** The newest document signed by then, if it had not expired. */
function standingAt(documents: readonly Held[], atMs: number): Held | null {
  const newest = documents.findLast(({ document }) => document.issuedMs - CLOCK_TOLERANCE_MS <= atMs);
  return newest !== undefined && atMs < newest.document.validUntilMs ? newest : null;
}
