/**
 * What can go wrong, said once: stable codes, what the peer should do about each, and the errors that carry them.
 *
 *     RapportError
 *     ├── LocalError     we asked for something the protocol forbids: our bug, nothing was sent
 *     └── RemoteError    the peer did, or refused: carries the code of the wire
 *         ├── FormatError    bytes that are not what they claim to be (bad_frame, bad_format)
 *         └── Rejected       the server refused one operation; `retryOf(code)` says what to do
 *
 * Codes and plain values only: no user text, names, tokens or keys ever stand in an error.
 *
 * Source: docs/protocol.md, "Errors".
 */

import { type ErrorCode, RETRY } from "./codes.ts";

export type { ErrorCode } from "./codes.ts";

/**
 * What the one who was refused does next. "never": the same request will always be refused. "repair": fetch what is
 * named, mend the request, send it again under the same id. "later": send identical bytes again after `retryAfterMs`
 * (0 = the sender's own back-off).
 */
export type Retry = "never" | "repair" | "later";

/** What the one who was refused with this code does next; "never" for a code that this version does not know. */
export function retryOf(code: ErrorCode): Retry {
  return RETRY[code] ?? "never";
}

/** Everything Rapport throws on purpose. `code` is stable, `detail` is one fixed sentence without user data. */
export class RapportError extends Error {
  readonly code: ErrorCode;
  readonly detail: string;

  constructor(code: ErrorCode, detail = "") {
    super(detail ? `${code}: ${detail}` : code);
    this.code = code;
    this.detail = detail;
  }
}

/** We asked for something the protocol forbids; nothing was sent and nothing has changed. */
export class LocalError extends RapportError {}

/** The peer sent or asked for something the protocol forbids; our state is unchanged. */
export class RemoteError extends RapportError {}

/** Bytes that are not what they claim to be. */
export class FormatError extends RemoteError {
  constructor(detail = "", code: ErrorCode = "bad_format") {
    super(code, detail);
  }
}

/**
 * One operation was refused and stored nothing. `retryAfterMs`: milliseconds to wait before the same again; 0 leaves it
 * to the sender's back-off.
 */
export class Rejected extends RemoteError {
  readonly retryAfterMs: number;

  constructor(code: ErrorCode, detail = "", retryAfterMs = 0) {
    super(code, detail);
    this.retryAfterMs = retryAfterMs;
  }
}
