/**
 * Calls: what is met is fed to the machine of the call, what the machine asks for is done in the same turn.
 *
 *     offer, sealed words, descriptions ─┐
 *     call_state, notices                ├─> feed ─> machine (`calls/device.ts`) ─> steps, posts, orders to media, events
 *     the person, media, time            ─┘
 *
 * The row of a call holds all of it, the machine's state too (`call-records.ts`). Bounded: 64 rows, ended ones for an hour.
 *
 * Source: docs/protocol.md, section 20.2.
 */

import { LEFT_MS } from "../../calls/arbiter.ts";
import { step } from "../../calls/device.ts";
import { deadlineMs } from "../../calls/device-call.ts";
import type { DeviceEffect, DeviceEvent } from "../../calls/device-events.ts";
import { stateOf } from "../../calls/device-events.ts";
import { isInCall } from "../../calls/moves.ts";
import { parseCallMissed } from "../../calls/notices.ts";
import { FormatError } from "../../protocol/errors.ts";
import type { ConversationId, MessageId } from "../../protocol/ids.ts";
import type { CallState, Failure, Notice } from "../../protocol/messages.ts";
import { closeQueue } from "../outbox.ts";
import { changeStatus } from "../shown/showing.ts";
import { CALLS, type CallRow, type MediaOrders } from "../vault/call-records.ts";
import * as errands from "../vault/errands.ts";
import { OUTBOX } from "../vault/outgoing.ts";
import { MESSAGES } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { refreshNote } from "./call-bubbles.ts";
import { repeatCandidates, repeatMs } from "./call-signals.ts";
import { PAGE_HEARD_MS, postWord, sayStep } from "./call-words.ts";
import { type CallShown, canAnswer, isHere, isLive, shownCall } from "./calls-shown.ts";

/** Most calls that are remembered; the oldest that has ended makes room, else the oldest. */
export const CALLS_KEPT = 64;
/** So long after its end a call is remembered: words about it may still come. */
export const ENDED_KEPT_MS = 3_600_000;
/** The page with the media says every few seconds that it is there; one that rings out is given up after so long. */
const PAGE_GONE_MS = 20_000;
/** One in a call may come back for as long as the server waits, from the last word that is said for it on. */
const PAGE_LEFT_MS = PAGE_HEARD_MS + LEFT_MS;
/** A description is said again on every new connection for so long: nobody says that it has arrived. */
const AGAIN_MS = 60_000;
/** One that the server has refused is said again after so long, on the same connection. */
const REFUSED_AGAIN_MS = 4_000;
/** Both have called, and the server was faster: the other offer is taken up within this time. */
const LATELY_MS = 60_000;

/** One record under the empty key: whether this device is signed in and has caught up. */
const LINK = new Table<{ readonly online: boolean }>("call_link");

/** Whether this device is signed in and has caught up. */
export function isOnline(turn: Turn): boolean {
  return LINK.get(turn.tx, "")?.online === true;
}

/** All calls that are remembered, the oldest first. */
export function callRows(turn: Turn): [id: MessageId, row: CallRow][] {
  return CALLS.list(turn.tx).map(([key, row]) => [key as MessageId, row]); // what they are kept under
}

/** All of them as hosts see them. */
export function viewCalls(turn: Turn): CallShown[] {
  return callRows(turn).map(([id, row]) => shownCall(id, row, turn.me.device));
}

/** All of them if this turn has changed any, else nothing. */
export function changedCalls(turn: Turn): CallShown[] | null {
  return turn.written(CALLS.name).length > 0 ? viewCalls(turn) : null;
}

// --- rows ------------------------------------------------------------------------------------------------------------

/** Keeps a row in its place. */
export function putCall(turn: Turn, id: MessageId, row: CallRow): void {
  CALLS.put(turn.tx, id, row, { order: row.machine.entry.atMs });
}

/** Changes fields of a row that is there. */
export function amendCall(turn: Turn, id: MessageId, changes: Partial<CallRow>): CallRow {
  const row = { ...CALLS.need(turn.tx, id), ...changes };
  putCall(turn, id, row);
  return row;
}

/** A new call; others of the same two people are held against it, and it against them. */
export function beginCall(turn: Turn, id: MessageId, row: CallRow): void {
  makeRoom(turn);
  putCall(turn, id, row);
  plan(turn, id);
  turn.show({ type: "callChanged", conversation: row.conv, call: id });
  if (isOnline(turn)) {
    feed(turn, id, { tag: "online" });
  }
  for (const [other, held] of callRows(turn)) {
    if (other === id || held.conv !== row.conv) {
      continue;
    }
    const gaveWay = held.machine.reason === "glare" && held.endedMs + LATELY_MS > turn.nowMs;
    if (isLive(held) || gaveWay) {
      feed(turn, other, otherOffer(id, row, held)); // it may have given way to this very one
    }
    if (isLive(held)) {
      feed(turn, id, otherOffer(other, held, row));
    }
  }
  refuseOthers(turn);
}

function otherOffer(id: MessageId, { machine: { entry } }: CallRow, held: CallRow): DeviceEvent {
  const sameDevice = entry.callerDevice === held.machine.entry.callerDevice;
  return { tag: "other_offer", call: id, atMs: entry.atMs, incoming: entry.incoming, sameDevice };
}

function makeRoom(turn: Turn): void {
  const rows = callRows(turn);
  const told = rows.filter(([, row]) => !isLive(row) && !isUntold(row));
  const old = told.filter(([, { endedMs }]) => endedMs + ENDED_KEPT_MS <= turn.nowMs);
  const ended = rows.filter(([, row]) => !isLive(row));
  const over = rows.length - old.length >= CALLS_KEPT ? [...told, ...ended, ...rows] : [];
  for (const [id] of [...old, ...over.slice(0, 1)]) {
    CALLS.delete(turn.tx, id);
    errands.drop(turn, "call", id);
  }
}

/** Missed, and the person was not told yet. */
function isUntold({ machine, missedTold }: CallRow): boolean {
  return !missedTold && machine.outcome === "missed" && machine.entry.incoming;
}

// --- the machine -----------------------------------------------------------------------------------------------------

/** Tells the machine of a call, if there is one, and does what it asks for. */
export function feed(turn: Turn, id: MessageId, event: DeviceEvent): void {
  const before = CALLS.get(turn.tx, id);
  if (before === null) {
    return;
  }
  const [machine, effects] = step(before.machine, event, turn.nowMs);
  const endedMs = machine.phase === "ended" ? before.endedMs || turn.nowMs : 0;
  const held = new Set(machine.held.map(({ message }) => message));
  const taken = new Set(effects.flatMap((effect) => (effect.tag === "take" ? [effect.message] : [])));
  const waiting = before.waiting.filter(({ message }) => held.has(message) || taken.has(message));
  putCall(turn, id, { ...before, machine, endedMs, waiting });
  plan(turn, id);
  for (const effect of effects) {
    carryOut(turn, id, effect);
  }
  if (before.machine.phase === "offering" && machine.phase === "ended") {
    unsend(turn, id);
  }
  if (isLive(before) && !isLive(CALLS.get(turn.tx, id) ?? before)) {
    amendCall(turn, id, { ours: null, theirs: null, candidates: [], found: null, waiting: [], refusedMs: 0 });
  }
  tellMissed(turn, id);
  if (!isHere(before) && isHere({ machine })) {
    refuseOthers(turn);
  }
}

/** An offer of ours that has not left is taken back: a ring that comes late is worse than none. */
function unsend(turn: Turn, id: MessageId): void {
  const post = OUTBOX.get(turn.tx, id);
  const record = MESSAGES.get(turn.tx, id);
  if (post === null || post.sealed !== null) {
    return; // it may have been taken: the server ends it
  }
  OUTBOX.delete(turn.tx, id);
  closeQueue(turn, post.conv);
  if (record !== null) {
    changeStatus(turn, record, "failed");
  }
}

function carryOut(turn: Turn, id: MessageId, effect: DeviceEffect): void {
  const row = CALLS.need(turn.tx, id);
  const { conv } = row;
  switch (effect.tag) {
    case "say":
      sayStep(turn, id, effect.step, effect.withDescription);
      break;
    case "ring": // a call that lets us in is taken in another way
      turn.show({ type: row.admits ? "callChanged" : "callRinging", conversation: conv, call: id });
      break;
    case "start_media":
      order(turn, id, { start: row.orders.start + 1 });
      break;
    case "restart_media":
      order(turn, id, { restart: row.orders.restart + 1, owner: effect.owner });
      break;
    case "close_media":
      order(turn, id, { close: row.orders.close + 1 });
      break;
    case "take":
      take(turn, id, row, effect.message);
      break;
    case "post":
      postWord(turn, id, effect);
      break;
    case "accept_other":
      acceptOther(turn, row, effect.call);
      break;
    case "warn":
      turn.show({ type: "callRefused", conversation: conv, call: id });
      break;
    case "stop_ring":
    case "changed":
      refreshNote(turn, id);
      turn.show({ type: "callChanged", conversation: conv, call: id });
  }
}

function order(turn: Turn, id: MessageId, changes: Partial<MediaOrders>): void {
  const row = CALLS.need(turn.tx, id);
  putCall(turn, id, { ...row, orders: { ...row.orders, ...changes } });
}

/** A description counts: it and the candidates that will belong to it are the page's. */
function take(turn: Turn, id: MessageId, row: CallRow, message: MessageId): void {
  const theirs = row.waiting.find((side) => side.message === message);
  if (theirs !== undefined) {
    const orders = { ...row.orders, taken: row.orders.taken + 1 };
    const waiting = row.waiting.filter((side) => side !== theirs);
    putCall(turn, id, { ...row, theirs, orders, waiting, candidates: [] });
  }
}

/** Both have called: this device goes on with theirs, without asking, with the media that it has. */
function acceptOther(turn: Turn, ours: CallRow, theirs: MessageId): void {
  const row = CALLS.get(turn.tx, theirs);
  if (row !== null) {
    putCall(turn, theirs, { ...row, page: ours.page, pageMs: ours.pageMs });
    feed(turn, theirs, { tag: "accept" });
  }
}

/** Whether this device is in a call with somebody else than in this conversation. */
export function isBusy(turn: Turn, conv: ConversationId): boolean {
  return callRows(turn).some(([, row]) => row.conv !== conv && isHere(row));
}

/** Whoever else calls hears that this device is in a call, once it has caught up. */
function refuseOthers(turn: Turn): void {
  for (const [id, row] of isOnline(turn) ? callRows(turn) : []) {
    if (canAnswer(row) && isBusy(turn, row.conv)) {
      feed(turn, id, { tag: "busy" });
    }
  }
}

/** A call to us is over and nobody has answered it: said once, when nothing that waited can say otherwise. */
function tellMissed(turn: Turn, id: MessageId): void {
  const row = CALLS.get(turn.tx, id);
  if (row !== null && isUntold(row) && isOnline(turn)) {
    putCall(turn, id, { ...row, missedTold: true });
    turn.show({ type: "callMissed", conversation: row.conv, call: id, atMs: row.endedMs });
  }
}

// --- time and the connection -----------------------------------------------------------------------------------------

function plan(turn: Turn, id: MessageId): void {
  const row = CALLS.need(turn.tx, id);
  errands.drop(turn, "call", id);
  const refused = row.refusedMs === 0 ? null : row.refusedMs + REFUSED_AGAIN_MS;
  const times = [deadlineMs(row.machine), repeatMs(row), refused].filter((time) => time !== null);
  if (times.length > 0) {
    errands.plan(turn, "call", id, { dueMs: Math.max(Math.min(...times), turn.nowMs + 1) });
  }
}

/** Something of a call is due: a repetition, the end of a phase. */
export function callDue(turn: Turn, id: MessageId): void {
  errands.drop(turn, "call", id);
  const row = CALLS.get(turn.tx, id);
  const waitMs = row !== null && isInCall(row.machine.phase) ? PAGE_LEFT_MS : PAGE_GONE_MS;
  if (row !== null && isHere(row) && row.pageMs + waitMs <= turn.nowMs) {
    feed(turn, id, { tag: "restarted" }); // its media went with the page
  } else if (row !== null) {
    if (row.refusedMs > 0 && row.refusedMs + REFUSED_AGAIN_MS <= turn.nowMs) {
      amendCall(turn, id, { refusedMs: 0 });
      sayAgain(turn, id);
    }
    repeatCandidates(turn, id);
    feed(turn, id, { tag: "tick" });
  }
}

/** Plans anew after the row was changed without the machine. */
export const planCall = plan;

/** Everything that waited is here: what is said about calls can be answered. */
export function callsOnline(turn: Turn): void {
  LINK.put(turn.tx, "", { online: true });
  for (const [id] of callRows(turn)) {
    feed(turn, id, { tag: "online" });
    sayAgain(turn, id);
  }
  refuseOthers(turn);
}

/** The connection is gone, or another one has begun. */
export function callsOffline(turn: Turn): void {
  if (isOnline(turn)) {
    LINK.put(turn.tx, "", { online: false });
    for (const [id] of callRows(turn)) {
      feed(turn, id, { tag: "offline" });
    }
  }
}

/** A description of ours that may not have arrived is said once more, the same bytes. */
function sayAgain(turn: Turn, id: MessageId): void {
  const row = CALLS.get(turn.tx, id);
  const isIn = row !== null && ["connecting", "connected", "reconnecting"].includes(row.machine.phase);
  const { ours = null } = row ?? {};
  if (isIn && ours !== null && ours.message !== id && ours.madeMs + AGAIN_MS > turn.nowMs) {
    sayStep(turn, id, ours.restart ? "restart" : "describe", true);
  }
}

// --- the server's word -----------------------------------------------------------------------------------------------

/**
 * The server says how a call stands. What is not known here, or of another conversation, is ignored, and so is what would
 * turn the two sides round, or has moved a call that nobody has accepted.
 */
export function takeCallState(turn: Turn, said: CallState): void {
  const row = CALLS.get(turn.tx, said.call);
  if (row === null || row.conv !== said.conv) {
    return;
  }
  const { entry, accepted } = row.machine;
  const isCaller = said.caller === (entry.incoming ? row.other : turn.me.account);
  const event = stateOf(said, turn.me.account);
  if (event !== null && isCaller && (accepted || said.callerDevice === entry.callerDevice)) {
    feed(turn, said.call, event);
  }
}

/**
 * The server has refused what was said about a call. True if it was about one.
 *
 * A description that it has no time for is said again. For one that it will not take, the device that it was sealed for
 * may be gone: it is sealed anew when it is said again.
 */
export function callFailed(
  turn: Turn,
  id: MessageId,
  { code, retryable }: Pick<Failure, "code" | "retryable">,
): boolean {
  const row = CALLS.get(turn.tx, id);
  if (row === null) {
    return false;
  }
  const { ours, other } = row;
  if (ours?.direct == null) {
    if (code === "not_found") {
      feed(turn, id, { tag: "unknown" });
    }
    return true;
  }
  if (!retryable) {
    errands.plan(turn, "lists", other);
  }
  const unsealed = { message: null, key: new Uint8Array(0), device: null, direct: null };
  const refusedMs = isUnanswered(turn, row) ? turn.nowMs : 0;
  amendCall(turn, id, { refusedMs, ours: retryable ? ours : { ...ours, ...unsealed } });
  plan(turn, id);
  return true;
}

function isUnanswered(turn: Turn, { machine, ours, flows }: CallRow): boolean {
  const isIn = ["connecting", "connected", "reconnecting"].includes(machine.phase);
  return isIn && !flows && ours !== null && ours.madeMs + AGAIN_MS > turn.nowMs;
}

/** A notice `call_missed`. What is malformed or about no call of ours is ignored. */
export function takeMissed(turn: Turn, { about, conv }: Notice): void {
  try {
    const { call, reason } = parseCallMissed(about);
    if (CALLS.get(turn.tx, call)?.conv === conv) {
      feed(turn, call, { tag: "missed_notice", reason });
    }
  } catch (problem) {
    if (!(problem instanceof FormatError)) {
      throw problem;
    }
  }
}
