/**
 * Joining a conversation by an invite with the account that there is: an errand of two calls, view and append.
 *
 * The join is signed over the chain as the server shows it, kept, and sent as identical bytes until it is answered; when
 * another entry comes first it is signed anew. What speaks against it is kept as the outcome, in words, until somebody
 * asks. Whether another device of ours has used the invite is seen from our own entries.
 *
 * Source: docs/protocol.md, section 3.5.
 */

import { OpenFailure } from "../../crypto/failures.ts";
import { type Card, type InviteLink, idOfInvite, openCard } from "../../crypto/invites.ts";
import { equal } from "../../protocol/bytes.ts";
import { entryOf } from "../../protocol/device-lists.ts";
import { type ErrorCode, LocalError, type Rejected, RemoteError } from "../../protocol/errors.ts";
import type { AccountId, ConversationId, InviteId } from "../../protocol/ids.ts";
import { advance, inviteOf } from "../../protocol/membership.ts";
import type { MemberRole } from "../../protocol/membership-entries.ts";
import type { Appended, InviteView } from "../../protocol/requests.ts";
import { keepInviteCard } from "../cards.ts";
import { newestList } from "../contacts.ts";
import { listOf } from "../conversations.ts";
import * as errands from "../vault/errands.ts";
import { ownEntries } from "../vault/own-entries.ts";
import { CONTACTS, CONVERSATIONS } from "../vault/records.ts";
import { amend, Table } from "../vault/tables.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import { checkView, InviteMismatch, openJoined, signJoin } from "./registration.ts";

/** So many refusals leave time for the entry of another device of ours to arrive. */
const CHAIN_WITHIN = 3;
const LOOK_AGAIN_MS = 1_000;

/**
 * An invite that this device has been asked to take. token: its secret; base: of its link.
 *
 * colleague: the account whose invite it must be, null for anybody's. request: the cover that it belongs to, "" for
 * none. entry, chain, card: the signed join, the chain with it at the end, and who invites; null until it was looked at.
 * code, detail: why it was not taken; null while that is open.
 */
export interface Acceptance {
  readonly token: Uint8Array;
  readonly base: string;
  readonly colleague: AccountId | null;
  readonly request: string;
  readonly join: { readonly entry: Uint8Array; readonly chain: readonly Uint8Array[]; readonly card: Card } | null;
  readonly code: ErrorCode | null;
  readonly detail: string;
}

/** By invite id, until it is taken or the outcome was asked for. */
const ACCEPTING = new Table<Acceptance>("accepting");

/** This invite is not for us; said in words. */
class Impossible extends Error {
  readonly code: ErrorCode;
  readonly detail: string;

  constructor(code: ErrorCode, detail: string) {
    super(code);
    this.code = code;
    this.detail = detail;
  }
}

// --- asking for it ---------------------------------------------------------------------------------------------------

/** The key of the errand that takes it. */
export function acceptErrand(invite: InviteId): string {
  return errands.errandKey("accept", invite);
}

/** What an acceptance is for beside itself, see `Acceptance`. */
export interface AcceptedFor {
  readonly colleague: AccountId;
  readonly request: string;
}

/**
 * Plans to take an invite; asking again is harmless.
 *
 * LocalError: "forbidden" before registration; "conflict" for an invite of our own account, or into a conversation that
 * we are in by another one.
 */
export function accept(turn: Turn, link: InviteLink, purpose: AcceptedFor | null = null): void {
  if (turn.me.role === null) {
    throw new LocalError("forbidden", "this device has no account yet");
  }
  const invite = idOfInvite(link.secret);
  if (joinedBy(turn, invite) !== null) {
    ACCEPTING.delete(turn.tx, invite);
    return;
  }
  for (const [, { membership }] of CONVERSATIONS.list(turn.tx)) {
    const opened = membership && inviteOf(membership, invite);
    if (opened) {
      throw new LocalError("conflict", opened.account === turn.me.account ? OWN : MEMBER);
    }
  }
  const before = ACCEPTING.get(turn.tx, invite);
  if (before === null || before.code !== null) {
    const { colleague, request } = purpose ?? { colleague: null, request: "" };
    const { token } = link.secret;
    ACCEPTING.put(turn.tx, invite, { token, base: link.base, colleague, request, join: null, code: null, detail: "" });
  } else if (purpose !== null && (before.join === null || before.join.card.account === purpose.colleague)) {
    ACCEPTING.put(turn.tx, invite, { ...before, ...purpose }); // it was being taken for itself
  }
  errands.plan(turn, "accept", invite);
}

/**
 * The conversation that was joined by the invite; null while that is open.
 *
 * LocalError says why it was not joined: "conflict" (our own, or we are in already), "expired" (used, expired, or unknown
 * here), "forbidden" (another server's, for another role, from another inviter), "invalid_signature" (the server lies),
 * "unauthenticated" (this device has been removed). It is said once.
 */
export function outcome(turn: Turn, invite: InviteId): ConversationId | LocalError | null {
  const joined = joinedBy(turn, invite);
  if (joined !== null) {
    return joined;
  }
  const held = ACCEPTING.get(turn.tx, invite);
  if (!held?.code) {
    return null;
  }
  ACCEPTING.delete(turn.tx, invite);
  return new LocalError(held.code, held.detail);
}

/** The conversation that a device of this account has joined by the invite. */
function joinedBy(turn: Turn, invite: InviteId): ConversationId | null {
  const found = CONVERSATIONS.list(turn.tx).find(
    ([, { conv, membership }]) =>
      membership !== null &&
      ownEntries(turn, conv).some(({ fields: { action } }) => action.tag === "join" && action.invite === invite),
  );
  return found?.[1].conv ?? null;
}

const OWN = "this invite is your own: give its link to the other person";
const MEMBER = "you are in this conversation already";
const USED = "this invite was used already or has expired: ask for a new one";
const ELSEWHERE = "this invite belongs to another server than your account";
const LIES = "the invite and the server contradict each other: do not use it, and tell the person who sent it";
const OTHER = "the link is not from the colleague that it was said to be from";
const ROLES: Readonly<Record<MemberRole, string>> = {
  client: "this invite is for a client, and your account is a therapist's",
  therapist: "this invite is for a therapist, and your account is a client's",
  owner: LIES,
};

// --- the two calls ---------------------------------------------------------------------------------------------------

/** Looks at the invite; once the join is signed, appends it. */
export function acceptCall(turn: Turn, errand: errands.Errand): Call | null {
  const invite = errand.subject as InviteId;
  const key = errands.keyOf(errand);
  const held = ACCEPTING.get(turn.tx, invite);
  if (held === null || held.code !== null || joinedBy(turn, invite) !== null) {
    over(turn, invite);
    if (!turn.finished.has(key)) {
      turn.finished.set(key, null);
    }
    return null;
  }
  return held.join === null
    ? makeCall(key, "invite.view", { path: { invite } })
    : makeCall(key, "membership.append", { body: { entry: held.join.entry }, path: { conv: held.join.card.conv } });
}

/** The invite as the server shows it is checked, and the join signed over its chain; or the outcome says why not. */
export function viewed(turn: Turn, errand: errands.Errand, view: InviteView): Acceptance {
  const invite = errand.subject as InviteId;
  const held = ACCEPTING.need(turn.tx, invite);
  try {
    const join = turn.part(() => {
      const card = checked(turn, held, view);
      const secret = { token: held.token };
      const state = checkView(turn, secret, card, view);
      const signed = signJoin(turn, secret, state);
      advance(state, signed, listOf(turn)); // what the server will check, before it is asked
      return { entry: signed.encoded, chain: [...view.chain, signed.encoded], card };
    });
    return amend(ACCEPTING, turn.tx, invite, { join });
  } catch (problem) {
    if (problem instanceof Impossible) {
      return fail(turn, invite, problem.code, problem.detail);
    }
    if (problem instanceof RemoteError || problem instanceof OpenFailure) {
      return fail(turn, invite, "invalid_signature", LIES); // not what the link vouches for, or against the rules
    }
    throw problem;
  }
}

/** The card, if it is for us. */
function checked(turn: Turn, held: Acceptance, view: InviteView): Card {
  const { me } = turn;
  const card = openCard({ token: held.token }, view.card);
  if (!equal(card.serverId, me.serverId)) {
    throw new Impossible("forbidden", ELSEWHERE);
  }
  if (card.account === me.account) {
    throw new Impossible("conflict", OWN);
  }
  if (held.colleague !== null && card.account !== held.colleague) {
    throw new Impossible("forbidden", OTHER);
  }
  const asOwner = me.role === "owner" && card.role === "therapist";
  if (!asOwner && me.role !== card.role) {
    throw new Impossible("forbidden", ROLES[card.role]);
  }
  if (CONVERSATIONS.has(turn.tx, card.conv)) {
    throw new Impossible("conflict", MEMBER);
  }
  const pinned = CONTACTS.get(turn.tx, card.account);
  if (pinned !== null && !equal(pinned.aik, card.aik)) {
    throw new InviteMismatch();
  }
  if (entryOf(newestList(turn, me.account).content, me.device) === null) {
    throw new Impossible("unauthenticated", "this device has been removed from your account");
  }
  return card;
}

/** We are in: the conversation is open, with the inviter's welcome, and our name is the first post to send. */
export function appended(turn: Turn, errand: errands.Errand, answer: Appended): Acceptance | null {
  const invite = errand.subject as InviteId;
  const held = ACCEPTING.get(turn.tx, invite);
  over(turn, invite);
  if (!held?.join) {
    return null;
  }
  const { card } = held.join;
  if (CONVERSATIONS.has(turn.tx, card.conv)) {
    keepInviteCard(turn, card.conv, card); // the stream may have been quicker
  } else {
    openJoined(turn, held.join, answer.seq);
  }
  return held;
}

/** Another entry came first: look again. Whatever else was refused for good is the outcome, which is returned. */
export function acceptRefused(turn: Turn, errand: errands.Errand, refusal: Rejected): Acceptance | null {
  const invite = errand.subject as InviteId;
  const held = ACCEPTING.get(turn.tx, invite);
  if (held === null) {
    over(turn, invite);
    return null;
  }
  if (refusal.code === "epoch_stale") {
    ACCEPTING.put(turn.tx, invite, { ...held, join: null });
    errands.postpone(turn, errand);
    return null;
  }
  if (held.join !== null && errand.tries < CHAIN_WITHIN) {
    errands.plan(turn, "chain", held.join.card.conv); // another device of ours may have been first
    errands.postpone(turn, errand, { waitMs: LOOK_AGAIN_MS });
    return null;
  }
  const elsewhere = held.join === null && held.base !== turn.me.base;
  return fail(turn, invite, "expired", elsewhere ? `${USED}; or ${ELSEWHERE}` : USED);
}

function fail(turn: Turn, invite: InviteId, code: ErrorCode, detail: string): Acceptance {
  errands.drop(turn, "accept", invite);
  return amend(ACCEPTING, turn.tx, invite, { code, detail });
}

function over(turn: Turn, invite: InviteId): void {
  errands.drop(turn, "accept", invite);
  if (ACCEPTING.get(turn.tx, invite)?.code === null) {
    ACCEPTING.delete(turn.tx, invite);
  }
}
