/**
 * What was said about covers, as this device has opened it, and what stands by it.
 *
 * Steps are kept as they were said, also those of a request that is not known (history may bring it later); `cover.ts`
 * decides what counts. Bounded: of the 256 requests with the latest beginning, at most 32 with one person, 16 steps each.
 *
 * Source: docs/protocol.md, chapter 18.
 */

import type { CoverState } from "../../agreements.ts";
import type { AccountId, ConversationId, InviteId, MessageId } from "../../protocol/ids.ts";
import {
  atTime,
  type CoverBubble,
  type CoverContent,
  fits,
  fold,
  type Heard,
  isCoverBubble,
  requestOf,
} from "../bodies/cover.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { Table } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { viewOf } from "../views.ts";

/** Most requests that are remembered; the one whose first step came longest ago goes first. */
export const REQUESTS_MOST = 256;
/** Most of them that began with one account: nobody drives out what others have said. */
export const REQUESTS_EACH = 32;
/** Most steps of one request; an honest one has five. */
export const STEPS_MOST = 16;
/** The device that asked hands the link on at once; the account's others look after this time whether one has. */
export const OFFER_OTHERS_MS = 15_000;

/**
 * One request on this device. of: the other one in the pair where its first step was met. invite: that this device is
 * making to agree, null for none. over: its link is of no use.
 */
interface Request {
  readonly sinceMs: number;
  readonly of: AccountId;
  readonly invite: InviteId | null;
  readonly over: boolean;
}

/** By message id; group: request; order: when it was met. */
const STEPS = new Table<Heard>("cover_step");
/** By request; order: when its first step was met. */
const REQUESTS = new Table<Request>("cover");

/** A step that stands in a conversation for people to read. */
export interface CoverBubbleView {
  readonly message: MessageId;
  readonly conversation: ConversationId;
  readonly by: AccountId;
  readonly step: CoverBubble["type"];
  readonly name: string;
  readonly note: string;
}

/** What hosts are shown of one request. state: null when nothing in it is for us; see `atTime`. */
export interface CoverView {
  readonly request: string;
  readonly state: CoverState | null;
  readonly bubbles: readonly CoverBubbleView[];
}

/**
 * Keeps a step that was opened or said here.
 *
 * True if it is a bubble to show: in its place, and the first of its kind from this account about this request.
 */
export function takeStep(turn: Turn, step: Heard): boolean {
  const { content, by, other } = step;
  const conversation = CONVERSATIONS.get(turn.tx, step.conv);
  if (conversation?.membership?.kind !== "pair") {
    return false;
  }
  const roles = new Map(viewOf(turn, conversation).members.map(({ account, role }) => [account, role]));
  const [said, heard] = [roles.get(by) ?? null, roles.get(other) ?? null];
  if (said === null || heard === null || !fits(content, said, heard)) {
    return false;
  }
  const request = requestOf(content);
  const held = stepsOf(turn, request);
  if (held.some(({ id }) => id === step.id)) {
    return isCoverBubble(content);
  }
  if (held.length >= STEPS_MOST) {
    return false;
  }
  const before = asText(coverOf(turn, request));
  makeRoom(turn, request, by === turn.me.account ? other : by);
  STEPS.put(turn.tx, step.id, step, { group: request, order: turn.nowMs });
  if (asText(coverOf(turn, request)) !== before) {
    turn.show({ type: "coverChanged", request });
  }
  return isCoverBubble(content) && !held.some((known) => known.content.type === content.type && known.by === by);
}

function asText(state: CoverState | null): string {
  return JSON.stringify(state);
}

/** Remembers a new request; the oldest of the same person, or of all, makes room for it. */
export function makeRoom(turn: Turn, request: string, of: AccountId): void {
  if (REQUESTS.has(turn.tx, request)) {
    return;
  }
  const known = REQUESTS.list(turn.tx);
  const same = known.filter(([, held]) => held.of === of);
  const [full] = same.length >= REQUESTS_EACH ? same : known.length >= REQUESTS_MOST ? known : [];
  if (full !== undefined) {
    const [oldest] = full;
    REQUESTS.delete(turn.tx, oldest);
    for (const [id] of STEPS.list(turn.tx, oldest)) {
      STEPS.delete(turn.tx, id);
    }
  }
  putRequest(turn, request, { sinceMs: turn.nowMs, of, invite: null, over: false });
}

function putRequest(turn: Turn, request: string, held: Request): void {
  REQUESTS.put(turn.tx, request, held, { order: held.sinceMs });
}

/** The server has given our own step its place. */
export function settleStep(turn: Turn, message: MessageId, seq: number, atMs: number): void {
  const held = STEPS.get(turn.tx, message);
  if (held === null) {
    return;
  }
  const request = requestOf(held.content);
  const before = asText(coverOf(turn, request));
  STEPS.put(turn.tx, message, { ...held, seq, atMs }, { group: request, order: turn.nowMs });
  if (asText(coverOf(turn, request)) !== before) {
    turn.show({ type: "coverChanged", request });
  }
}

/** The server will never take our own step: it was not said. */
export function forgetStep(turn: Turn, message: MessageId): void {
  const held = STEPS.get(turn.tx, message);
  if (held !== null) {
    STEPS.delete(turn.tx, message);
    changeRequest(turn, requestOf(held.content), {});
  }
}

/** A step has just come: a colleague's yes is handed on to the client, by the device that has asked first. */
export function follow(turn: Turn, content: CoverContent): void {
  const request = requestOf(content);
  const state = coverOf(turn, request);
  if (state?.side === "therapist" && state.stage === "ready") {
    const asked = stepsOf(turn, request).some(({ device }) => device === turn.me.device);
    errands.plan(turn, "cover", request, { dueMs: turn.nowMs + (asked ? 0 : OFFER_OTHERS_MS) });
  }
}

// --- what stands -----------------------------------------------------------------------------------------------------

/** The steps of a request as they were met. */
export function stepsOf(turn: Turn, request: string): Heard[] {
  return STEPS.list(turn.tx, request).map(([, step]) => step);
}

/** What has come of a request; null for one that is not known or not for us. */
export function coverOf(turn: Turn, request: string): CoverState | null {
  const state = folded(turn, request);
  return state && atTime(state, turn.nowMs);
}

function folded(turn: Turn, request: string): CoverState | null {
  const held = REQUESTS.get(turn.tx, request);
  const state = held && fold(turn.me.account, stepsOf(turn, request), { over: held.over });
  const agrees = held?.invite && state?.side === "colleague" && state.stage === "asked";
  return state && agrees ? { ...state, stage: "agreeing" } : state;
}

function viewed(turn: Turn, request: string): CoverView {
  const bubbles = stepsOf(turn, request).flatMap(({ content, id: message, conv: conversation, by }) => {
    if (!isCoverBubble(content)) {
      return [];
    }
    const { type: step, note } = content;
    return [{ message, conversation, by, step, note, name: step === "cover.card" ? "" : content.name }];
  });
  return { request, state: folded(turn, request), bubbles };
}

/** All that are remembered. */
export function viewCovers(turn: Turn): CoverView[] {
  return REQUESTS.list(turn.tx).map(([request]) => viewed(turn, request));
}

/** Those that this turn has changed. */
export function changedCovers(turn: Turn): CoverView[] {
  const steps = turn.written(STEPS.name).map((id) => STEPS.get(turn.tx, id));
  const stepped = steps.filter((step) => step !== null).map(({ content }) => requestOf(content));
  return [...new Set([...turn.written(REQUESTS.name), ...stepped])].map((request) => viewed(turn, request));
}

/** This device makes this invite to agree; null = no longer. */
export function noteInvite(turn: Turn, request: string, invite: InviteId | null): void {
  changeRequest(turn, request, { invite });
}

/** The request that the invite is made for. */
export function making(turn: Turn, invite: InviteId): string | null {
  return REQUESTS.list(turn.tx).find(([, held]) => held.invite === invite)?.[0] ?? null;
}

/** The offered link was tried: it is of no use any more. */
export function noteOver(turn: Turn, request: string): void {
  changeRequest(turn, request, { over: true });
}

function changeRequest(turn: Turn, request: string, changes: Partial<Request>): void {
  const held = REQUESTS.get(turn.tx, request);
  if (held !== null) {
    putRequest(turn, request, { ...held, ...changes });
    turn.show({ type: "coverChanged", request });
  }
}
