/**
 * What a person says about a promise: the therapist puts it off, the client would rather have an appointment.
 *
 * Source: docs/protocol.md, chapter 16.
 */

import { LocalError } from "../protocol/errors.ts";
import type { ConversationId } from "../protocol/ids.ts";
import { MAX_INTEGER } from "../protocol/limits.ts";
import { compose } from "./composing.ts";
import { sidesOf, takeExtension, takeSlotWish, waitingOf } from "./office/promises.ts";
import { CONVERSATIONS } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/**
 * As the therapist: the text that waits is answered by then instead.
 *
 * LocalError: "not_found" if nothing waits, "forbidden" for anybody else, "bad_format" for a time that is over or not
 * after the one that was promised.
 */
export function extend(turn: Turn, conv: ConversationId, untilMs: number): void {
  const { sides, waiting } = waitingIn(turn, conv);
  const { account } = turn.me;
  if (sides.therapist !== account) {
    throw new LocalError("forbidden", "only the therapist may put a promise off");
  }
  const isLater = Number.isInteger(untilMs) && untilMs > Math.max(turn.nowMs, waiting.dueMs);
  if (!isLater || untilMs > MAX_INTEGER) {
    throw new LocalError("bad_format", "until: a time to come, after the one that was promised");
  }
  const extended = { type: "promise.extended", id: waiting.message, until: untilMs } as const;
  compose(turn, conv, extended);
  takeExtension(turn, conv, account, extended);
}

/** As the client: an appointment would be better than an answer. LocalError: "not_found", "forbidden". */
export function askForSlot(turn: Turn, conv: ConversationId): void {
  const { sides, waiting } = waitingIn(turn, conv);
  const { account } = turn.me;
  if (sides.client !== account) {
    throw new LocalError("forbidden", "only the client may ask for an appointment");
  }
  if (!waiting.slotWanted) {
    const wanted = { type: "slot.wanted", id: waiting.message } as const;
    compose(turn, conv, wanted);
    takeSlotWish(turn, conv, account, wanted);
  }
}

function waitingIn(turn: Turn, conv: ConversationId) {
  const sides = sidesOf(CONVERSATIONS.get(turn.tx, conv));
  const waiting = waitingOf(turn, conv);
  if (sides === null || waiting === null) {
    throw new LocalError("not_found", "nothing waits for an answer here");
  }
  return { sides, waiting };
}
