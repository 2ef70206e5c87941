/**
 * Saying that a person has seen an urgent message: sealed to the client, and to the server until it has heard it.
 *
 * Source: docs/protocol.md, chapter 17.
 */

import { LocalError } from "../protocol/errors.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import { saySeen } from "./composing.ts";
import { URGENT } from "./urgent.ts";
import type { Errand } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import { type Call, makeCall, type Turn } from "./vault/turn.ts";

/**
 * We have seen it. Said once; where somebody has said so already nothing happens.
 *
 * LocalError: "not_found" for one that is not urgent or not of this conversation, "forbidden" for our own.
 */
export function confirmUrgent(turn: Turn, conv: ConversationId, message: MessageId): void {
  const row = URGENT.get(turn.tx, message);
  if (row === null || row.conv !== conv || row.client === null) {
    throw new LocalError("not_found", "no such urgent message");
  }
  if (row.client === turn.me.account) {
    throw new LocalError("forbidden", "somebody else has to confirm it");
  }
  if (row.seenBy === null) {
    saySeen(turn, conv, message);
  }
}

/** Tells the server, so that it asks nobody else. */
export function seenCall(turn: Turn, errand: Errand): Call | null {
  const message = errand.subject as MessageId; // what it is planned for
  const client = URGENT.get(turn.tx, message)?.client ?? null;
  if (client === null) {
    seenTold(turn, errand);
    return null;
  }
  return makeCall(errands.keyOf(errand), "urgent.seen", { body: { message, client } });
}

/** The server knows, or has nothing (any more) that could be stopped. */
export function seenTold(turn: Turn, { kind, subject }: Errand): void {
  errands.drop(turn, kind, subject);
}
