/**
 * Saying the steps of a cover: asking, agreeing, handing the link on, accepting, the hand-over card.
 *
 * Everything is kept before it leaves. To agree makes an invite, which is told once the server has it; to accept joins by
 * the link and says so in the same transaction in which we are in.
 *
 * Source: docs/protocol.md, chapter 18.
 */

import type { CoverSide, CoverStage, CoverState } from "../../agreements.ts";
import { type InviteLink, idOfInvite, parseLink } from "../../crypto/invites.ts";
import type { Message } from "../../events.ts";
import { fromHex, utf8 } from "../../protocol/bytes.ts";
import { FormatError, LocalError } from "../../protocol/errors.ts";
import type { AccountId, ConversationId, InviteId } from "../../protocol/ids.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { Role } from "../../protocol/requests.ts";
import { LINK_BYTES, NOTE_BYTES, REQUEST_BYTES } from "../bodies/agreements.ts";
import { type CoverBubble, type CoverContent, kindOf, linkIn, requestOf } from "../bodies/cover.ts";
import { compose } from "../composing.ts";
import { type Acceptance, accept } from "../joining/accepting.ts";
import { inviteLink, newInvite } from "../joining/inviting.ts";
import { asShown, putMessage, queuedPlace } from "../shown/showing.ts";
import * as errands from "../vault/errands.ts";
import {
  CONTACTS,
  CONVERSATIONS,
  COUNTERS,
  type Conversation,
  type MessageRecord,
  NEW_MESSAGE,
} from "../vault/records.ts";
import { amend, must } from "../vault/tables.ts";
import type { Turn } from "../vault/turn.ts";
import { viewOf } from "../views.ts";
import { coverOf, making, noteInvite, noteOver, stepsOf, takeStep } from "./cover-ledger.ts";

/** Stands for a name that is not known yet. */
const NOBODY = "?";

/** The other member of a complete pair; null for any other conversation. */
function otherIn(turn: Turn, conversation: Conversation): { account: AccountId; role: Role | null } | null {
  if (conversation.membership?.kind !== "pair") {
    return null;
  }
  const others = viewOf(turn, conversation).members.filter(({ account }) => account !== turn.me.account);
  return others.length === 1 ? (others[0] ?? null) : null;
}

/** A pair of ours with the account, the same one on every device. */
export function pairWith(turn: Turn, account: AccountId): ConversationId | null {
  const pairs = CONVERSATIONS.list(turn.tx).filter(([, held]) => otherIn(turn, held)?.account === account);
  return pairs.map(([, { conv }]) => conv).sort()[0] ?? null;
}

/** Says a step that stands in its conversation, and returns it. */
function show(turn: Turn, conv: ConversationId, content: CoverBubble): Message {
  const id = say(turn, conv, content);
  const record: MessageRecord = {
    ...NEW_MESSAGE,
    id,
    conv,
    account: turn.me.account,
    device: turn.me.device,
    seq: 0,
    atMs: turn.nowMs,
    kind: kindOf(content),
    text: content.note,
    status: "queued",
    order: queuedPlace(COUNTERS.need(turn.tx, "").orders),
    request: requestOf(content),
  };
  putMessage(turn, record);
  amend(CONVERSATIONS, turn.tx, conv, { activeMs: turn.nowMs });
  return asShown(record);
}

/** Says a step and keeps it. */
function say(turn: Turn, conv: ConversationId, content: CoverContent): Message["id"] {
  const id = compose(turn, conv, content);
  const { account: by, device } = turn.me;
  const other = must(otherIn(turn, CONVERSATIONS.need(turn.tx, conv))).account;
  takeStep(turn, { content, id, conv, by, device, other, seq: 0, atMs: turn.nowMs });
  return id;
}

function requireNote(note: string): void {
  if (utf8(note).length > NOTE_BYTES) {
    throw new LocalError("too_large", `note: at most ${NOTE_BYTES} bytes of UTF-8`);
  }
}

/** The request, if we stand there. LocalError: "not_found", "expired" when it is over, "conflict" when it is elsewhere. */
function standing(turn: Turn, request: string, side: CoverSide, ...stages: CoverStage[]): CoverState {
  const state = coverOf(turn, request);
  if (state?.side !== side) {
    throw new LocalError("not_found", "no such request for you to answer");
  }
  if (stages.includes(state.stage)) {
    return state;
  }
  if (state.stage === "over") {
    throw new LocalError("expired", "this offer is over: its link worked for seven days");
  }
  throw new LocalError("conflict", "this was answered already, or it is not your turn");
}

function linkOf(turn: Turn, request: string): string | null {
  return linkIn(turn.me.account, stepsOf(turn, request));
}

// --- therapist -------------------------------------------------------------------------------------------------------

/** What is asked of a colleague. lasting: take the client over, else for a time away. */
export interface Asking {
  readonly lasting?: boolean;
  /** For the colleague, at most 8,000 bytes of UTF-8. */
  readonly note?: string;
}

/**
 * Asks the colleague of one pair to be there for the client of another one. The message's `request` names it.
 *
 * LocalError: "not_found" for a conversation that is not known, "forbidden" unless these are pairs of ours with a
 * colleague and with a client, "too_large".
 */
export function requestCover(
  turn: Turn,
  colleagueConv: ConversationId,
  clientConv: ConversationId,
  { lasting = false, note = "" }: Asking,
): Message {
  requireNote(note);
  const [colleague, client] = [colleagueConv, clientConv].map((conv) => {
    const held = CONVERSATIONS.get(turn.tx, conv);
    if (held === null) {
      throw new LocalError("not_found", "no such conversation");
    }
    return otherIn(turn, held);
  });
  if (turn.me.role === null || !isAdmin(turn.me.role) || !colleague || !client) {
    throw new LocalError("forbidden", "a therapist asks a colleague, each in a conversation of two");
  }
  if (colleague.role === null || !isAdmin(colleague.role) || client.role !== "client") {
    throw new LocalError("forbidden", "first the conversation with the colleague, then that with the client");
  }
  const { account } = client;
  const asked = { request: turn.random(REQUEST_BYTES), client: account, name: nameOf(turn, account), lasting, note };
  return show(turn, colleagueConv, { type: "cover.request", ...asked });
}

function nameOf(turn: Turn, account: AccountId): string {
  return CONTACTS.get(turn.tx, account)?.name || NOBODY;
}

/** The colleague is ready: the link is handed to the client, unless another device of ours has done that. */
export function offerDue(turn: Turn, subject: string): void {
  errands.drop(turn, "cover", subject);
  const state = coverOf(turn, subject);
  if (state?.side !== "therapist" || state.stage !== "ready") {
    return;
  }
  const conv = pairWith(turn, state.client);
  const link = linkOf(turn, subject);
  if (conv === null || link === null) {
    return;
  }
  const { colleague, lasting } = state;
  const [request, name] = [fromHex(subject), nameOf(turn, colleague)];
  show(turn, conv, { type: "cover.offer", request, colleague, name, link, lasting, note: "" });
}

/** The hand-over card, after the client's yes. LocalError: "not_found", "conflict" without that, "too_large". */
export function handOver(turn: Turn, request: string, note: string): Message {
  requireNote(note);
  const { conversation, client } = standing(turn, request, "therapist", "accepted");
  return show(turn, conversation, { type: "cover.card", request: fromHex(request), client, note });
}

// --- colleague -------------------------------------------------------------------------------------------------------

/** Makes an invite for the client; `cover.ready` follows once the server has it. LocalError: "not_found", "conflict". */
export function agree(turn: Turn, request: string): void {
  standing(turn, request, "colleague", "asked");
  noteInvite(turn, request, newInvite(turn, "client", null));
}

/** The server has an invite of ours, or will not: if a cover waits for it, its link is told, or it is asked anew. */
export function inviteEnded(turn: Turn, invite: InviteId): void {
  const request = making(turn, invite);
  if (request === null) {
    return;
  }
  noteInvite(turn, request, null);
  const state = coverOf(turn, request);
  const link = madeLink(turn, invite);
  if (state?.side !== "colleague" || state.stage !== "asked" || link === null) {
    return; // another device of ours has answered, or the invite was refused
  }
  if (utf8(link).length <= LINK_BYTES) {
    say(turn, state.conversation, { type: "cover.ready", request: fromHex(request), link });
  }
}

function madeLink(turn: Turn, invite: InviteId): string | null {
  try {
    return inviteLink(turn, invite)[0];
  } catch (problem) {
    if (problem instanceof LocalError) {
      return null;
    }
    throw problem;
  }
}

// --- client ----------------------------------------------------------------------------------------------------------

/**
 * Joins by the offered link; returns its invite, null when we are in a pair with the colleague already.
 *
 * `cover.accepted` is said in the transaction in which we are in. LocalError: "not_found", "conflict", "expired". An
 * offer with something else than an invite link is refused, see `pairOf`.
 */
export function acceptCover(turn: Turn, request: string): InviteId | null {
  const state = standing(turn, request, "client", "offered");
  if (pairWith(turn, state.colleague) !== null) {
    say(turn, state.conversation, { type: "cover.accepted", request: fromHex(request) });
    return null;
  }
  const link = offeredLink(linkOf(turn, request) ?? "");
  if (link === null) {
    say(turn, state.conversation, { type: "cover.refused", request: fromHex(request) });
    return null;
  }
  accept(turn, link, { colleague: state.colleague, request });
  return idOfInvite(link.secret);
}

function offeredLink(text: string): InviteLink | null {
  try {
    const link = parseLink(text);
    return link.tag === "invite" ? link : null;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/** The client's conversation with the colleague of an accepted offer. LocalError("forbidden") when it was refused. */
export function pairOf(turn: Turn, request: string): ConversationId {
  const state = coverOf(turn, request);
  const conv = state && pairWith(turn, state.colleague);
  if (!conv || state.stage !== "accepted") {
    throw new LocalError("forbidden", "the offer held no link of an invite, and was refused");
  }
  return conv;
}

/** We are in by the link of an offer: the therapist is told. */
export function joined(turn: Turn, { request }: Acceptance): void {
  const state = offeredTo(turn, request);
  if (state !== null) {
    say(turn, state.conversation, { type: "cover.accepted", request: fromHex(request) });
  }
}

/** The link of an offer led nowhere: one that is of no use is over, one that lies is refused. */
export function notJoined(turn: Turn, { request, code }: Acceptance): void {
  const state = offeredTo(turn, request);
  if (state === null) {
    return;
  }
  if (code === "forbidden" || code === "invalid_signature") {
    say(turn, state.conversation, { type: "cover.refused", request: fromHex(request) });
  } else {
    noteOver(turn, request);
  }
}

function offeredTo(turn: Turn, request: string): CoverState | null {
  const state = request === "" ? null : coverOf(turn, request);
  return state?.side === "client" && state.stage === "offered" ? state : null;
}

// --- colleague and client --------------------------------------------------------------------------------------------

/** No: to a request, or to an offer. LocalError: "not_found", "conflict" when it was answered. */
export function refuse(turn: Turn, request: string): void {
  const { conversation } =
    coverOf(turn, request)?.side === "client"
      ? standing(turn, request, "client", "offered", "over")
      : standing(turn, request, "colleague", "asked");
  say(turn, conversation, { type: "cover.refused", request: fromHex(request) });
}
