/**
 * Presence: how this device wants to be seen, whom it watches, and what the server has said of them.
 *
 * Nothing of it is sealed or signed, and nothing may rest on it: a server can say what it likes about who is there. What
 * was said holds for the connection that it was said on; without one, nothing is known.
 *
 * Source: docs/protocol.md, chapter 14.
 */

import type { Event, PresenceState } from "../events.ts";
import { concat } from "../protocol/bytes.ts";
import type { AccountId } from "../protocol/ids.ts";
import { idBytes } from "../protocol/ids.ts";
import { WATCHED_ACCOUNTS } from "../protocol/limits.ts";
import type { ClientMessage, Presence } from "../protocol/messages.ts";
import type { Role } from "../protocol/requests.ts";
import type { ConversationView } from "./views.ts";

/** The setting of a client, shared by its devices, that allows to be seen; `SHOWN` allows, anything else does not. */
export const PRESENCE_SETTING = "presence";
export const SHOWN = "shown";

/** Who is there, by account: those of whom the server says so now. */
export type There = Readonly<Record<AccountId, "online" | "away">>;

/** One device's part in presence. */
export class WhoIsThere {
  /** Hands an event to the host; set by the engine. */
  show: (event: Event) => void = () => undefined;
  private readonly account: AccountId;
  private readonly isClient: boolean;
  private watching: boolean;
  private allows: boolean;
  private readonly reasons = new Set<"said" | "unattended">();
  private contacts: readonly AccountId[] = [];
  private send: ((message: ClientMessage) => void) | null = null;
  /** Something else than the default was said since the start: the server may still hold it. */
  private spoken = false;
  /** What was said on this connection. */
  private present: string | null = null;
  private watched: readonly AccountId[] = [];
  /** Whom the server has named on this connection, and those who were named before and not yet on this one. */
  private readonly told = new Map<AccountId, PresenceState>();
  private isCaughtUp = false;
  private seen: There = {};

  constructor(account: AccountId, role: Role | null) {
    this.account = account;
    this.isClient = role === null || role === "client";
    this.watching = !this.isClient;
    this.allows = !this.isClient;
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  /** Signed in: what the server must know is said. */
  connected(send: (message: ClientMessage) => void): void {
    this.send = send;
    this.present = null;
    this.watched = [];
    this.isCaughtUp = false;
    this.say();
  }

  /** The connection is gone: nobody is known to be there any more. */
  disconnected(): void {
    this.send = null;
    for (const [account, state] of [...this.told]) {
      if (state === "online" || state === "away") {
        this.note(account, "unknown");
      }
    }
  }

  /** The server has answered: whom it has not named is not there. */
  caughtUp(): void {
    this.isCaughtUp = true;
    for (const [account, state] of [...this.told]) {
      if (state === "unknown") {
        this.note(account, "offline");
      }
    }
  }

  /** The server says how somebody is. Ignored for accounts that this device does not watch. */
  take({ account, state }: Presence): void {
    if (this.watched.includes(account)) {
      this.note(account, state === "online" || state === "away" ? state : "offline");
    }
  }

  private note(account: AccountId, state: PresenceState): void {
    const before = this.told.get(account) ?? "offline";
    this.told.set(account, state);
    if (state !== before) {
      const { [account]: _, ...others } = this.seen;
      this.seen = state === "online" || state === "away" ? { ...others, [account]: state } : others;
      this.show({ type: "presenceChanged", account, state });
    }
  }

  // --- the host ----------------------------------------------------------------------------------------------------

  /** How somebody is, as far as the server has said. */
  of(account: AccountId): PresenceState {
    if (this.send === null || !this.watched.includes(account)) {
      return "unknown";
    }
    return this.told.get(account) ?? (this.isCaughtUp ? "offline" : "unknown");
  }

  /** Everybody who is there now; another object after every change. */
  get there(): There {
    return this.seen;
  }

  /** Whether others may see that this account is there. */
  get allowed(): boolean {
    return this.allows;
  }

  /** The person does something else, or is back: by the host's word, or because nobody has looked at it for long. */
  away(reason: "said" | "unattended", { away }: { away: boolean }): void {
    if (away) {
      this.reasons.add(reason);
    } else {
      this.reasons.delete(reason);
    }
    this.say();
  }

  /** From now on contacts are watched, also as a client. */
  watch(): void {
    this.watching = true;
    this.say();
  }

  // --- what has changed --------------------------------------------------------------------------------------------

  /** Conversations and settings as they stand now. */
  update(views: Iterable<ConversationView>, settings: Readonly<Record<string, string>>): void {
    if (this.isClient) {
      this.allows = settings[PRESENCE_SETTING] === SHOWN;
    }
    if (this.watching) {
      this.contacts = this.others([...views].filter((view) => !view.isSelf));
    }
    this.say();
  }

  /** Everybody in them, ascending; of too many those with whom something happened last. */
  private others(views: readonly ConversationView[]): readonly AccountId[] {
    const newest = views.toSorted((one, other) => other.activeMs - one.activeMs);
    const accounts = new Set(newest.flatMap(({ members }) => members.map(({ account }) => account)));
    accounts.delete(this.account);
    return [...accounts].slice(0, WATCHED_ACCOUNTS).sort();
  }

  /** Says what is not yet said on this connection. */
  private say(): void {
    if (this.send === null) {
      return;
    }
    const state = !this.allows ? "hidden" : this.reasons.size > 0 ? "away" : "online";
    const usual = this.isClient ? "hidden" : "online";
    if (state !== (this.present ?? (this.spoken ? null : usual))) {
      this.present = state;
      this.spoken = true;
      this.send({ tag: "present", state });
    }
    if (this.watching && this.contacts.join() !== this.watched.join()) {
      for (const account of this.watched.filter((one) => !this.contacts.includes(one))) {
        this.told.delete(account);
        const { [account]: _, ...others } = this.seen;
        this.seen = others;
      }
      this.watched = this.contacts;
      this.send({ tag: "watch", accounts: concat(...this.contacts.map(idBytes)) });
    }
  }
}
