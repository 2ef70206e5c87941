/**
 * The notice `call_missed`, which the server makes when a call has ended and nobody had answered it.
 *
 *     about = call16 ‖ caller acct16 ‖ reason u8 ‖ at u64        41 B        reason: 1 missed, 2 cancelled, 3 busy
 *
 * Source: docs/protocol.md, section 20.1.
 */

import { concat } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AccountId, idBytes, type MessageId } from "../protocol/ids.ts";
import { Reader, u64 } from "../protocol/signed.ts";

const REASONS = ["missed", "cancelled", "busy"] as const;

/** Nobody has answered a call. atMs: when it ended. */
export interface CallMissed {
  readonly call: MessageId;
  readonly caller: AccountId;
  readonly reason: (typeof REASONS)[number];
  readonly atMs: number;
}

/** The 41 bytes. */
export function encodeCallMissed({ call, caller, reason, atMs }: CallMissed): Uint8Array {
  return concat(idBytes(call), idBytes(caller), Uint8Array.of(REASONS.indexOf(reason) + 1), u64(atMs));
}

/** Reads 41 bytes. FormatError, also for a reason that is not known. */
export function parseCallMissed(source: Uint8Array): CallMissed {
  const read = new Reader(source, "missed call");
  const [call, caller, number, atMs] = [read.id<MessageId>(), read.id<AccountId>(), read.u8(), read.u64()];
  read.end();
  const reason = REASONS[number - 1];
  if (reason === undefined) throw new FormatError("missed call: reason");
  return { call, caller, reason, atMs };
}
