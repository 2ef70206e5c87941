/**
 * What the server says of offices beside their signed documents, and whom this device watches.
 *
 * The server's word holds for the connection that it was said on. It can make an office less available than its document
 * says and never more: without a document that counts nothing is shown, whatever the server says (`office-shown.ts`).
 *
 * Source: docs/protocol.md, sections 15.3 and 15.4.
 */

import type { Event } from "../events.ts";
import { OFFICE_STATUSES } from "../office/status.ts";
import { concat } from "../protocol/bytes.ts";
import type { AccountId } from "../protocol/ids.ts";
import { idBytes } from "../protocol/ids.ts";
import { WATCHED_ACCOUNTS } from "../protocol/limits.ts";
import { isAdmin } from "../protocol/membership-entries.ts";
import type { ClientMessage, Office } from "../protocol/messages.ts";
import type { Role } from "../protocol/requests.ts";
import type { OfficeWord } from "./office-shown.ts";
import type { ConversationView } from "./views.ts";

/** What the server has said on this connection, by account. */
export type OfficeSaid = Readonly<Record<AccountId, OfficeWord>>;

/** One device's part in watching offices. */
export class OfficeWords {
  /** Hands an event to the host; set by the engine. */
  show: (event: Event) => void = () => undefined;
  private readonly account: AccountId;
  private readonly watchesSelf: boolean;
  private wanted: readonly AccountId[] = [];
  private watched: readonly AccountId[] = [];
  private send: ((message: ClientMessage) => void) | null = null;
  private words: OfficeSaid = {};

  constructor(account: AccountId, role: Role | null) {
    this.account = account;
    this.watchesSelf = role !== null && isAdmin(role);
  }

  /** Another object after every change. */
  get said(): OfficeSaid {
    return this.words;
  }

  // --- the connection ----------------------------------------------------------------------------------------------

  /** Signed in: the server is told whose office hours this device wants to know. */
  connected(send: (message: ClientMessage) => void): void {
    this.send = send;
    this.watched = [];
    this.say();
  }

  /** The connection is gone, and with it the server's word. */
  disconnected(): void {
    this.send = null;
    const accounts = Object.keys(this.words) as AccountId[]; // what they are kept under
    this.words = {};
    for (const account of accounts) {
      this.show({ type: "officeChanged", account });
    }
  }

  /** The server says how an office stands. False for an account that this device does not watch: it is ignored. */
  take({ account, status: named, until: untilMs }: Office): boolean {
    if (!this.watched.includes(account)) {
      return false;
    }
    const status = OFFICE_STATUSES.find((known) => known === named) ?? "closed";
    const before = this.words[account];
    if (before?.status !== status || before.untilMs !== untilMs) {
      this.words = { ...this.words, [account]: { status, untilMs } };
      this.show({ type: "officeChanged", account });
    }
    return true;
  }

  // --- what has changed --------------------------------------------------------------------------------------------

  /** Conversations as they stand: therapists and owners in them are watched, and our own office. */
  watch(views: Iterable<ConversationView>): void {
    const newest = [...views].sort((one, other) => other.activeMs - one.activeMs);
    const accounts = new Set(this.watchesSelf ? [this.account] : []);
    for (const { account, role } of newest.flatMap(({ members }) => members)) {
      if (role !== null && isAdmin(role) && account !== this.account) {
        accounts.add(account);
      }
    }
    this.wanted = [...accounts].slice(0, WATCHED_ACCOUNTS).sort();
    this.say();
  }

  /** Says what is not yet said on this connection. */
  private say(): void {
    if (this.send === null || this.wanted.join() === this.watched.join()) {
      return;
    }
    this.watched = this.wanted;
    const words = Object.entries(this.words).filter(([account]) => this.watched.includes(account as AccountId));
    this.words = Object.fromEntries(words);
    this.send({ tag: "watch_office", accounts: concat(...this.wanted.map(idBytes)) });
  }
}
