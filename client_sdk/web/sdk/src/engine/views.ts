/** What a host sees of a conversation without asking the vault: small values, made again whenever something changed. */

import type { Card } from "../agreements.ts";
import type { Member, Contact as ShownContact } from "../events.ts";
import type { AccountId, ConversationId } from "../protocol/ids.ts";
import type { Role } from "../protocol/requests.ts";
import { CARDS, cardOf, sharedCards } from "./cards.ts";
import { accountsOf } from "./conversations.ts";
import { type Sides, sidesOf, WAITING, waitingOf } from "./office/promises.ts";
import type { Contact, Conversation } from "./vault/records.ts";
import { CONTACTS, CONVERSATIONS, SETTINGS } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/**
 * One conversation as it stands. activeMs: when the last message was written or accepted. shown: everything up to this
 * place has been accounted for. mutedUntilMs: 0 = not muted. sides: of a pair of client and therapist, who is which.
 * waiting: the client's text that waits for an answer. card: the therapist's, as a client has it.
 */
export interface ConversationView {
  readonly id: ConversationId;
  readonly members: readonly Member[];
  readonly unread: number;
  readonly activeMs: number;
  readonly shown: number;
  readonly isSelf: boolean;
  readonly mutedUntilMs: number;
  readonly draft: string;
  readonly sides: Sides | null;
  readonly waiting: WaitingView | null;
  readonly card: Card | null;
}

/** A client's text that waits for an answer, as long as nothing is said anew. dueMs: 0 = nothing was promised. */
export type WaitingView = NonNullable<ReturnType<typeof waitingOf>>;

/** An account as it is pinned, our own included. aik: public identity key, 32 bytes. */
export interface ContactView {
  readonly shown: ShownContact;
  readonly aik: Uint8Array;
}

function contactOf({ account, name, verified, changed, aik }: Contact): ContactView {
  return { shown: { account, name, verified, identityChanged: changed.length > 0 }, aik };
}

/** Those that this turn has changed. */
export function changedContacts(turn: Turn): ContactView[] {
  return turn.written(CONTACTS.name).map((key) => contactOf(CONTACTS.need(turn.tx, key)));
}

/** All of them. */
export function viewContacts(turn: Turn): ContactView[] {
  return CONTACTS.list(turn.tx).map(([, contact]) => contactOf(contact));
}

function memberOf(turn: Turn, account: AccountId, role: Role | null): Member {
  if (account === turn.me.account) {
    return { account, name: SETTINGS.need(turn.tx, "").name, role: role ?? turn.me.role };
  }
  return { account, name: CONTACTS.get(turn.tx, account)?.name ?? "", role };
}

/** The view of one conversation. */
export function viewOf(turn: Turn, conversation: Conversation): ConversationView {
  const state = conversation.membership;
  const roles = new Map(state?.members.map(({ account, role }) => [account, role]));
  const { conv: id, unread, activeMs, shown, mutedUntilMs, draft } = conversation;
  const members = accountsOf(turn, conversation).map((account) => memberOf(turn, account, roles.get(account) ?? null));
  const agreed = { sides: sidesOf(conversation), waiting: waitingOf(turn, id), card: cardOf(turn, id) };
  return { id, members, unread, activeMs, shown, isSelf: state === null, mutedUntilMs, draft, ...agreed };
}

/** Those that this turn has changed: all of them when a name has, since it may stand in any. */
export function changedViews(turn: Turn): ConversationView[] {
  if (turn.written(CONTACTS.name).length > 0 || turn.written(SETTINGS.name).length > 0) {
    return viewAll(turn);
  }
  const written = [CONVERSATIONS, WAITING, CARDS].flatMap(({ name }) => turn.written(name)).concat(sharedCards(turn));
  const found = [...new Set(written)].map((key) => CONVERSATIONS.get(turn.tx, key));
  return found.filter((conversation) => conversation !== null).map((conversation) => viewOf(turn, conversation));
}

/** All of them. */
export function viewAll(turn: Turn): ConversationView[] {
  return CONVERSATIONS.list(turn.tx).map(([, conversation]) => viewOf(turn, conversation));
}
