/**
 * Candidates of a connection as signals: all that were found so far, every two seconds until media flow.
 *
 * Sealed under the key of our newest description, so whoever could read that one can read them; what does not fit one
 * signal follows in another. Source: docs/protocol.md, chapter 8 and section 20.3.
 */

import { encodeMap, type Fields } from "../../crypto/maps.ts";
import { openSignal, sealSignal, signalKey, signalRises } from "../../crypto/signals.ts";
import { RemoteError } from "../../protocol/errors.ts";
import { idBytes, type MessageId } from "../../protocol/ids.ts";
import { CANDIDATES_MOST } from "../../protocol/limits.ts";
import { parseSignalFields, type SignalFields } from "../../protocol/signed.ts";
import { deviceParty } from "../contacts.ts";
import { CALLS, type CallRow, type Candidate, type OurSide } from "../vault/call-records.ts";
import { OUTBOX, SENT } from "../vault/outgoing.ts";
import { CONVERSATIONS, epochOf } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { isHere } from "./calls-shown.ts";
import { userNameOf } from "./descriptions.ts";

/** How often candidates are said again. */
export const REPEAT_MS = 2_000;
/** Longest text of a candidate, bytes. */
export const CANDIDATE_BYTES = 512;
/** Longest `mid`, characters: browsers count from 0. */
const MID_CHARACTERS = 16;
/** What a signal holds beside its padding. */
const SIGNAL_MOST = 4_095;
/** Signals with candidates are no smaller than this, so that few look like many. */
const SIGNAL_LEAST = 1_024;

// --- ours ------------------------------------------------------------------------------------------------------------

function isSaying(row: CallRow): boolean {
  const { found, ours, flows } = row;
  const fits =
    found !== null && ours !== null && ours.message !== null && found.userName === userNameOf(ours.description);
  return isHere(row) && fits && !flows && found.candidates.length > 0;
}

/** When candidates are to be said again; null = not. */
export function repeatMs(row: CallRow): number | null {
  return isSaying(row) ? row.saidMs + REPEAT_MS : null;
}

/** Says all candidates, if it is time. */
export function repeatCandidates(turn: Turn, id: MessageId): void {
  const row = CALLS.need(turn.tx, id);
  const { found, ours, saidMs } = row;
  const ref = ours?.message ?? null;
  if (found === null || ours === null || ref === null || !isSaying(row) || turn.nowMs < saidMs + REPEAT_MS) {
    return;
  }
  CALLS.put(turn.tx, id, { ...row, saidMs: turn.nowMs }, { order: row.machine.entry.atMs });
  const key = keyOf(turn, id, ours);
  const conversation = CONVERSATIONS.get(turn.tx, row.conv);
  if (key === null || conversation === null) {
    return;
  }
  const { account, device } = turn.me;
  const { signals } = turn;
  for (const content of contents(id, found.candidates, found.last)) {
    const place = { conv: row.conv, epoch: epochOf(conversation), account, device, ref };
    const fields: SignalFields = { ...place, ctr: signals.next(), tsMs: turn.nowMs };
    const frame = sealSignal(fields, signalKey(key, ref, device), content, turn.random, SIGNAL_LEAST);
    turn.send({ tag: "signal", frame });
  }
}

/** K of what carried our newest description; null while the offer is not sealed. */
function keyOf(turn: Turn, id: MessageId, ours: OurSide): Uint8Array | null {
  if (ours.message !== id) {
    return ours.key;
  }
  return SENT.get(turn.tx, id)?.key ?? OUTBOX.get(turn.tx, id)?.sealed?.key ?? null;
}

/** The candidates in as few signals as hold them. */
function contents(call: MessageId, candidates: readonly Candidate[], last: boolean): Fields[] {
  const made = (some: readonly Candidate[], end: boolean): Fields => ({
    type: "ice",
    call: idBytes(call),
    candidates: some,
    last: end,
  });
  const parts: Candidate[][] = [[]];
  for (const candidate of candidates.slice(0, CANDIDATES_MOST)) {
    const part = parts.at(-1) ?? [];
    if (encodeMap(made([...part, candidate], last)).length > SIGNAL_MOST) {
      parts.push([candidate]);
    } else {
      part.push(candidate);
    }
  }
  return parts.map((part, at) => made(part, last && at === parts.length - 1));
}

// --- theirs ----------------------------------------------------------------------------------------------------------

/**
 * Candidates of the other side. False if the signal is not under the key of a description that counts: it may be another
 * sort of signal.
 */
export function takeCandidates(turn: Turn, frame: Uint8Array): boolean {
  try {
    const fields = parseSignalFields(frame);
    const found = rowOf(turn, fields);
    if (found === null) {
      return false;
    }
    const [id, row] = found;
    const heard = candidatesIn(openSignal(frame, signalKey(keyOfTheirs(row), fields.ref, fields.device)), id);
    turn.signals.note(fields);
    addCandidates(turn, id as MessageId, row, heard);
    return true;
  } catch (problem) {
    if (problem instanceof RemoteError) {
      return false;
    }
    throw problem;
  }
}

function addCandidates(turn: Turn, id: MessageId, row: CallRow, heard: readonly Candidate[]): void {
  const known = new Set(row.candidates.map((each) => each.join(" ")));
  const fresh = heard.filter((each) => !known.has(each.join(" ")));
  const candidates = [...row.candidates, ...fresh].slice(0, CANDIDATES_MOST);
  if (candidates.length > row.candidates.length) {
    CALLS.put(turn.tx, id, { ...row, candidates }, { order: row.machine.entry.atMs });
    turn.show({ type: "callChanged", conversation: row.conv, call: id });
  }
}

function keyOfTheirs({ theirs }: CallRow): Uint8Array {
  return theirs?.key ?? new Uint8Array(32);
}

function rowOf(turn: Turn, fields: SignalFields): readonly [id: string, row: CallRow] | null {
  const found = CALLS.list(turn.tx).find(([, { theirs }]) => theirs?.message === fields.ref);
  const conversation = CONVERSATIONS.get(turn.tx, fields.conv);
  if (found === undefined || conversation === null) {
    return null;
  }
  const [, { conv, other, theirs }] = found;
  const isTheirs = conv === fields.conv && other === fields.account && theirs?.device === fields.device;
  const isFresh = signalRises(fields, turn.signals.last(fields), epochOf(conversation), turn.nowMs);
  return isTheirs && isFresh && deviceParty(turn, other, fields.device)?.listed ? found : null;
}

/** What is no candidate is left out, and of too many the last ones. */
function candidatesIn({ type, call, candidates }: Fields, id: string): Candidate[] {
  const isOurs = type === "ice" && call instanceof Uint8Array && call.length === 16 && same(call, idBytes(id));
  if (!isOurs || !Array.isArray(candidates) || candidates.length > CANDIDATES_MOST) {
    return [];
  }
  return candidates.filter(isCandidate).map(([mid, candidate]) => [mid, candidate]);
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.every((byte, at) => byte === other[at]);
}

function isCandidate(value: unknown): value is Candidate {
  return (
    Array.isArray(value) &&
    value.length >= 2 &&
    typeof value[0] === "string" &&
    value[0].length <= MID_CHARACTERS &&
    typeof value[1] === "string" &&
    new TextEncoder().encode(value[1]).length <= CANDIDATE_BYTES
  );
}
