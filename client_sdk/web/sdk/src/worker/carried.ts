/**
 * Errors on their way from the owning worker to a page: cloning keeps neither their class nor their fields.
 *
 * What is not ours on purpose (a bug) arrives as an Error with its class's name and nothing else.
 */

import { PassphraseNeeded, WrongPassphrase } from "../adapters/passphrase.ts";
import { AuthenticationFailed, DuplicatePosition, TooFarAhead } from "../crypto/failures.ts";
import { EventsUnread } from "../engine/listeners.ts";
import { InviteProblem, LinkProblem } from "../local-device/problems.ts";
import { HoursRefused } from "../office/rules.ts";
import { StreamClosed, Unreachable, VaultLocked, VaultProblem } from "../ports.ts";
import { type ErrorCode, FormatError, LocalError, RapportError, Rejected, RemoteError } from "../protocol/errors.ts";
import { RuleBroken } from "../protocol/rules.ts";

/** An error that can be cloned: its class by a name of ours, and all fields that some class has. */
export interface Carried {
  readonly kind: string;
  readonly code: ErrorCode;
  readonly detail: string;
  /** Fields of single classes. */
  readonly more: Readonly<Record<string, unknown>>;
}

type Known = abstract new (...parts: never[]) => RapportError;

/** Classes by the names they travel under, the special ones before those that they extend. */
const CLASSES: readonly (readonly [string, Known])[] = [
  ["InviteProblem", InviteProblem],
  ["LinkProblem", LinkProblem],
  ["PassphraseNeeded", PassphraseNeeded],
  ["WrongPassphrase", WrongPassphrase],
  ["VaultLocked", VaultLocked],
  ["VaultProblem", VaultProblem],
  ["Unreachable", Unreachable],
  ["StreamClosed", StreamClosed],
  ["Rejected", Rejected],
  ["RuleBroken", RuleBroken],
  ["AuthenticationFailed", AuthenticationFailed],
  ["DuplicatePosition", DuplicatePosition],
  ["TooFarAhead", TooFarAhead],
  ["FormatError", FormatError],
  ["EventsUnread", EventsUnread],
  ["HoursRefused", HoursRefused],
  ["LocalError", LocalError],
  ["RemoteError", RemoteError],
  ["RapportError", RapportError],
];

/** The error, ready to be cloned. */
export function carried(error: unknown): Carried {
  const found = CLASSES.find(([, known]) => error instanceof known);
  if (found === undefined || !(error instanceof RapportError)) {
    return { kind: "", code: "internal", detail: error instanceof Error ? error.name : "", more: {} };
  }
  const { code, detail, ...more } = error;
  return { kind: found[0], code, detail, more };
}

/** The error again, of the class it had, so that `instanceof` and its fields hold. */
export function arrived({ kind, code, detail, more }: Carried): Error {
  const found = CLASSES.find(([name]) => name === kind);
  if (found === undefined) {
    return new Error(detail === "" ? "internal" : detail);
  }
  const error = new RapportError(code, detail);
  Object.setPrototypeOf(error, found[1].prototype);
  return Object.assign(error, more);
}
