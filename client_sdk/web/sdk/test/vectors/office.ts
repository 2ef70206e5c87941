/** Chapters 15 and 17: the rules of an office, the signed document, reports of urgent messages. */

import { checkDocument, encodeDocument, makeDocument, parseDocument } from "../../src/office/document.ts";
import { encodeHours, type OfficeHours, parseHours } from "../../src/office/hours.ts";
import { type AccountId, type DeviceId, idBytes } from "../../src/protocol/ids.ts";
import { signingKey } from "../../src/protocol/signed.ts";
import { encodeCoverAsked, encodeReport, parseCoverAsked, parseReport, RUNGS } from "../../src/protocol/urgent.ts";
import { bytes, type Check, checkVerdict, equal, type Files, inner, number, text, type Vector } from "./reading.ts";

/** Hours as their map has them. */
function mapOf({ zone, weekly, dates, leaves, override, promise, cover, ringClosed, pushClosed }: OfficeHours): object {
  const by = (account: AccountId | null) => (account === null ? null : idBytes(account));
  const table = promise?.kind === "table" ? promise.rows.map((row) => [row.before, row.at, row.days]) : null;
  return {
    zone,
    ...(weekly.length > 0 && { weekly: weekly.map(({ day, start, end }) => [day, start, end]) }),
    ...(dates.length > 0 && {
      dates: dates.map(({ date, windows }) => [date, windows.map(({ start, end }) => [start, end])]),
    }),
    ...(leaves.length > 0 && { leaves: leaves.map((leave) => [leave.first, leave.last, by(leave.cover)]) }),
    ...(override && { override: [override.state, override.sinceMs, override.untilMs] }),
    ...(promise && { promise: table === null ? promise : { kind: "table", rows: table } }),
    ...(cover && { cover: by(cover) }),
    ...(ringClosed && { ring_closed: true }),
    ...(pushClosed !== "urgent" && { push_closed: pushClosed }),
  };
}

function hours(vector: Vector): void {
  const encoded = bytes(vector, "messagepack");
  if (!checkVerdict(vector, () => parseHours(encoded))) return;
  const found = parseHours(encoded);
  equal("fields", mapOf(found), inner(vector, "fields"));
  if (!("again" in vector)) equal("encoded again", encodeHours(found), text(vector, "messagepack"));
}

function document(vector: Vector): void {
  const key = signingKey(bytes(vector, "seed"));
  const [issuedMs, rules] = [number(vector, "issued_ms"), parseHours(bytes(vector, "rules"))];
  const lifeMs = number(vector, "valid_until_ms") - issuedMs;
  const [account, device] = [text(vector, "account") as AccountId, text(vector, "device") as DeviceId];
  const made = makeDocument(account, device, key, rules, { version: number(vector, "version"), issuedMs, lifeMs });
  equal("encoded", encodeDocument(made), text(vector, "encoded"));
  const read = parseDocument(bytes(vector, "encoded"));
  equal("read", read, { ...fieldsOf(vector), signature: text(vector, "encoded").slice(-128) });
  checkDocument(read, bytes(vector, "public"));
}

function fieldsOf({ account, device, version, issued_ms, valid_until_ms, rules }: Vector): object {
  return { account, device, version, issued_ms, valid_until_ms, rules };
}

function report(vector: Vector): void {
  if (!checkVerdict(vector, () => parseReport(bytes(vector, "encoded")))) return;
  const found = parseReport(bytes(vector, "encoded"));
  const [message, rung] = [text(vector, "message"), RUNGS[number(vector, "rung")]];
  equal("report", found, { message, rung, at_ms: number(vector, "at_ms"), next_ms: number(vector, "next_ms") });
  equal("encoded again", encodeReport(found), text(vector, "encoded"));
}

function cover(vector: Vector): void {
  if (!checkVerdict(vector, () => parseCoverAsked(bytes(vector, "encoded")))) return;
  const found = parseCoverAsked(bytes(vector, "encoded"));
  const { message, client, therapist, at_ms } = vector;
  equal("cover asked", found, { message, client, therapist, at_ms });
  equal("encoded again", encodeCoverAsked(found), text(vector, "encoded"));
}

const office = (): Record<string, Check> => ({
  hours,
  document,
  check: (vector) => {
    checkVerdict(vector, () => checkDocument(parseDocument(bytes(vector, "encoded")), bytes(vector, "public")));
  },
});

export const files: Files = { "office.json": [15, office], "urgent.json": [17, () => ({ report, cover })] };
