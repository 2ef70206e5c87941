/**
 * The signed office-hours document: a therapist's device vouches for the rules, for at most 35 days.
 *
 *     document = 01 ‖ acct16 ‖ dev16 ‖ version u64 ‖ issued_ms u64 ‖ valid_until_ms u64 ‖ LP(rules) ‖ sig64
 *
 * Versions of an account only grow. Whoever holds one ignores lower ones, and another one of the same version.
 *
 * Source: docs/protocol.md, chapter 15.
 */

import { concat } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import type { AccountId, DeviceId } from "../protocol/ids.ts";
import { exact, id16, lp, Reader, type SigningKey, sign, u64, verify } from "../protocol/signed.ts";
import { encodeHours, HOURS_BYTES, type OfficeHours, parseHours } from "./hours.ts";

/** Longest life of a document, milliseconds. */
export const DOCUMENT_LIFE_MS = 35 * 86_400_000;
/** A therapist's device signs it anew when less than this is left: two weeks without any device of theirs. */
export const REISSUE_BEFORE_MS = 14 * 86_400_000;
const VERSION = 1;

/**
 * Rules of an account, as one of its devices has signed them.
 *
 * version: from 1, at least one above the last one. issuedMs, validUntilMs: server time; at most 35 days apart. rules:
 * the encoded `OfficeHours`, exactly as signed.
 */
export interface OfficeDocument {
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly version: number;
  readonly issuedMs: number;
  readonly validUntilMs: number;
  readonly rules: Uint8Array;
  readonly signature: Uint8Array;
}

/** Signs with the device's DSIG under the label "office". LocalError("bad_format") for a life above 35 days. */
export function makeDocument(
  account: AccountId,
  device: DeviceId,
  key: SigningKey,
  hours: OfficeHours,
  { version, issuedMs, lifeMs = DOCUMENT_LIFE_MS }: { version: number; issuedMs: number; lifeMs?: number },
): OfficeDocument {
  if (!(lifeMs > 0 && lifeMs <= DOCUMENT_LIFE_MS)) {
    throw new LocalError("bad_format", "life of an office-hours document");
  }
  const validUntilMs = issuedMs + lifeMs;
  const unsigned = { account, device, version, issuedMs, validUntilMs, rules: encodeHours(hours) };
  return { ...unsigned, signature: sign(key, "office", covered(unsigned)) };
}

function covered(document: Omit<OfficeDocument, "signature">): Uint8Array {
  const { account, device, version, issuedMs, validUntilMs, rules } = document;
  return concat(
    Uint8Array.of(VERSION),
    id16(account),
    id16(device),
    u64(version),
    u64(issuedMs),
    u64(validUntilMs),
    lp(rules),
  );
}

/** The document with its signature. */
export function encodeDocument(document: OfficeDocument): Uint8Array {
  return concat(covered(document), exact(document.signature, 64));
}

/** Reads a document; its signature and its rules are not checked. FormatError, "unsupported" for another version. */
export function parseDocument(source: Uint8Array): OfficeDocument {
  const read = new Reader(source, "office document");
  if (read.u8() !== VERSION) {
    throw new FormatError("office document: not of this version", "unsupported");
  }
  const document = {
    account: read.id<AccountId>(),
    device: read.id<DeviceId>(),
    version: read.u64(),
    issuedMs: read.u64(),
    validUntilMs: read.u64(),
    rules: read.lp(HOURS_BYTES),
    signature: read.take(64),
  };
  read.end();
  const lifeMs = document.validUntilMs - document.issuedMs;
  if (document.version < 1 || lifeMs <= 0 || lifeMs > DOCUMENT_LIFE_MS) {
    throw new FormatError("office document: version or life");
  }
  return document;
}

/** The rules. FormatError if they have another shape. */
export function hoursOf(document: OfficeDocument): OfficeHours {
  return parseHours(document.rules);
}

/** Verifies it under the DSIG of the device that it names, as listed now. RemoteError("invalid_signature"). */
export function checkDocument(document: OfficeDocument, dsig: Uint8Array): void {
  verify(dsig, "office", covered(document), document.signature);
}
