/**
 * What the person and the page of this device do about calls.
 *
 * The page has the media, the engine everything else: descriptions and candidates go through here, sealed, and what the
 * page is to do stands in the row of the call.
 */

import type { CallMedia, CallMode, ModeWhy } from "../../call-views.ts";
import { RING_MS } from "../../calls/arbiter.ts";
import { newCall } from "../../calls/device-call.ts";
import { isInCall, SETTLE_MS } from "../../calls/moves.ts";
import { LocalError } from "../../protocol/errors.ts";
import type { AppointmentId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { idOf } from "../../protocol/ids.ts";
import { CANDIDATES_MOST, DESCRIPTION_BYTES } from "../../protocol/limits.ts";
import { RING } from "../../protocol/signed.ts";
import type { Description } from "../bodies/meetings.ts";
import { compose } from "../composing.ts";
import { putContent } from "../directs.ts";
import { choose } from "../keys/sessions.ts";
import { putMessage, queuedPlace } from "../shown/showing.ts";
import { CALLS, type CallRow, type Candidate, NEW_CALL } from "../vault/call-records.ts";
import { CONVERSATIONS, COUNTERS, NEW_MESSAGE } from "../vault/records.ts";
import { amend } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { noteFor } from "./call-bubbles.ts";
import { otherIn, printOf } from "./call-offers.ts";
import { repeatCandidates } from "./call-signals.ts";
import { amendCall, beginCall, feed, isBusy, planCall } from "./calls.ts";
import { canAnswer, isHere } from "./calls-shown.ts";

/** After so long its caller has given up: a ring, and the time that a sealed word is waited for. */
export const OFFER_MS = RING_MS + SETTLE_MS;
/** A word about what we send waits so long for the other device. */
const MODE_MS = 60_000;

/** How somebody is called. id: a fresh one unless given; page: whose media it will be. */
export interface Offering {
  readonly media: CallMedia;
  readonly description: Description | null;
  readonly appointment: AppointmentId | null;
  readonly id: MessageId;
  readonly page: string;
}

/**
 * Calls the other one of a pair. LocalError: "not_found" for no such conversation, "forbidden" outside of a pair in which
 * both are, "conflict" while this device is in another call, "too_large" for a description.
 */
export function offerCall(turn: Turn, conv: ConversationId, offering: Offering): void {
  const { media, description, appointment, id, page } = offering;
  const other = otherIn(turn, conv);
  if (!CONVERSATIONS.has(turn.tx, conv)) {
    throw new LocalError("not_found", "no such conversation");
  }
  if (other === null) {
    throw new LocalError("forbidden", "calls are between two");
  }
  requireFree(turn, conv);
  requireSize(description);
  if (CALLS.has(turn.tx, id)) {
    return; // asked for twice
  }
  const actUntilMs = turn.nowMs + OFFER_MS;
  const content = { type: "call.offer", media, description, appointment } as const;
  compose(turn, conv, content, { id, flags: RING, actUntilMs });
  const { account, device } = turn.me;
  const entry = {
    call: id,
    device,
    callerDevice: device,
    incoming: false,
    atMs: turn.nowMs,
    actUntilMs,
    fingerprint: printOf(description),
    mayRing: false,
  };
  const side = description && { message: id, key: new Uint8Array(0), description, restart: false };
  const row: CallRow = {
    ...NEW_CALL,
    conv,
    other,
    seq: 0,
    media,
    appointment,
    machine: newCall(entry),
    page,
    pageMs: turn.nowMs,
    ours: side && { ...side, device: null, step: "", direct: null, madeMs: turn.nowMs },
    modeThere: media,
  };
  beginCall(turn, id, row);
  const record = {
    ...NEW_MESSAGE,
    id,
    conv,
    account,
    device,
    seq: 0,
    atMs: turn.nowMs,
    kind: "call",
    text: "",
    status: "queued",
    order: queuedPlace(COUNTERS.need(turn.tx, "").orders),
  } as const;
  putMessage(turn, { ...record, call: noteFor(turn, record, media) });
  amend(CONVERSATIONS, turn.tx, conv, { activeMs: turn.nowMs });
}

/** A fresh id for a call. */
export function newCallId(turn: Turn): MessageId {
  return idOf<MessageId>(turn.random(16));
}

function requireFree(turn: Turn, conv: ConversationId): void {
  if (isBusy(turn, conv)) {
    throw new LocalError("conflict", "this device is in another call");
  }
}

function requireSize(description: Description | null): void {
  if (description !== null && description.sdp.length > DESCRIPTION_BYTES) {
    throw new LocalError("too_large", `a description has at most ${DESCRIPTION_BYTES} bytes`);
  }
}

function needCall(turn: Turn, id: MessageId): CallRow {
  const row = CALLS.get(turn.tx, id);
  if (row === null) {
    throw new LocalError("not_found", "no such call");
  }
  return row;
}

/** The offer was accepted by the server. */
export function offerAccepted(turn: Turn, id: MessageId, seq: number): void {
  if (CALLS.has(turn.tx, id)) {
    amendCall(turn, id, { seq });
    feed(turn, id, { tag: "sent" });
  }
}

/** The server will never take our offer. */
export function offerRefused(turn: Turn, id: MessageId): void {
  feed(turn, id, { tag: "refused" });
}

/** The person takes the call on this page. LocalError: "not_found", "conflict" if it cannot be taken (any more). */
export function answerCall(turn: Turn, id: MessageId, page: string): void {
  const row = needCall(turn, id);
  if (row.page === page && isHere(row)) {
    return; // asked for twice
  }
  if (!canAnswer(row)) {
    throw new LocalError("conflict", "the call cannot be answered here any more");
  }
  requireFree(turn, row.conv);
  amendCall(turn, id, { page, pageMs: turn.nowMs });
  feed(turn, id, { tag: "accept" });
}

/** The person takes the call over from another device of theirs. LocalError: "not_found", "conflict". */
export function moveCall(turn: Turn, id: MessageId, page: string): void {
  const row = needCall(turn, id);
  if (row.page === page && isHere(row)) {
    return; // asked for twice
  }
  if (row.machine.phase !== "elsewhere") {
    throw new LocalError("conflict", "no other device is in the call");
  }
  requireFree(turn, row.conv);
  amendCall(turn, id, { page, pageMs: turn.nowMs, theirs: null, candidates: [] });
  feed(turn, id, { tag: "migrate" });
}

/**
 * Another page goes on with a call of this device: the one with its media is gone. It is as if media had failed; whoever
 * has called makes the connection anew, the other one answers their last offer anew, or asks for one. LocalError:
 * "not_found", "conflict" if this device is not in the call (any more).
 */
export function resumeCall(turn: Turn, id: MessageId, page: string): void {
  const row = needCall(turn, id);
  if (row.page === page) {
    return; // asked for twice
  }
  const { machine, orders, ours, theirs } = row;
  if (!isInCall(machine.phase)) {
    throw new LocalError("conflict", "this device is not in the call");
  }
  const begun = { ...orders, start: orders.start + 1 };
  amendCall(turn, id, { page, pageMs: turn.nowMs, flows: false, found: null, orders: begun });
  feed(turn, id, { tag: "media_lost" });
  if (machine.entry.incoming && ours !== null && theirs?.description.kind !== "offer") {
    describeCall(turn, id, page, ours.description, true); // there is nothing to answer
  }
}

/** The person refuses the call. LocalError("not_found"). */
export function declineCall(turn: Turn, id: MessageId): void {
  needCall(turn, id);
  feed(turn, id, { tag: "decline" });
}

/** The person wants no more of it: takes the offer back, refuses it, or leaves. LocalError("not_found"). */
export function hangUpCall(turn: Turn, id: MessageId): void {
  feed(turn, id, { tag: canAnswer(needCall(turn, id)) ? "decline" : "hang_up" });
}

/** Whether this page has the call's media; of another page, or after the end, what is said is ignored. */
function mayDescribe(turn: Turn, id: MessageId, page: string): boolean {
  const row = CALLS.get(turn.tx, id);
  return row !== null && row.page === page && isHere(row);
}

/** The media here have a description for the other side. LocalError("too_large"). */
export function describeCall(
  turn: Turn,
  id: MessageId,
  page: string,
  description: Description,
  restart: boolean,
): void {
  requireSize(description);
  if (mayDescribe(turn, id, page)) {
    const unsaid = { message: null, key: new Uint8Array(0), device: null, step: "", direct: null, madeMs: turn.nowMs };
    amendCall(turn, id, { ours: { ...unsaid, description, restart }, flows: false, pageMs: turn.nowMs });
    feed(turn, id, { tag: "our_description", restart });
    sayCandidates(turn, id);
  }
}

/** The media here are reached by these, for the description with this user name. */
export function foundCandidates(
  turn: Turn,
  id: MessageId,
  page: string,
  userName: string,
  candidates: readonly Candidate[],
  last: boolean,
): void {
  if (mayDescribe(turn, id, page)) {
    amendCall(turn, id, { found: { userName, candidates: candidates.slice(-CANDIDATES_MOST), last } });
    sayCandidates(turn, id);
  }
}

/** Says candidates at once, and again every two seconds. */
function sayCandidates(turn: Turn, id: MessageId): void {
  amendCall(turn, id, { saidMs: 0 });
  repeatCandidates(turn, id);
  planCall(turn, id);
}

/** What has become of the media here. */
export type MediaNews = "connected" | "lost" | "failed";

/** Media flow, stand still, or are not to be had without a restart. */
export function callMedia(turn: Turn, id: MessageId, page: string, news: MediaNews): void {
  if (mayDescribe(turn, id, page)) {
    amendCall(turn, id, { flows: news === "connected", pageMs: turn.nowMs });
    feed(turn, id, { tag: `media_${news}` });
    planCall(turn, id);
  }
}

/** The page with the media is there: without a word of it for ten seconds nobody hears of the call any more. */
export function callAlive(turn: Turn, id: MessageId, page: string): void {
  if (mayDescribe(turn, id, page)) {
    amendCall(turn, id, { pageMs: turn.nowMs });
  }
}

/** Tells the other side what we send from now on, and who wants it so. */
export function callMode(turn: Turn, id: MessageId, page: string, mode: CallMode, why: ModeWhy): void {
  const row = CALLS.get(turn.tx, id);
  const device = row?.machine.theirs ?? null;
  const session = device === null ? null : choose(turn, device);
  if (row !== null && device !== null && session !== null && mayDescribe(turn, id, page)) {
    putContent(turn, row.conv, device, session, { type: "call.mode", call: id, mode, why }, { lifeMs: MODE_MS });
  }
}
