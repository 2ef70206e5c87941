/** The public face: one device of one account, at work until it is closed. */

import type { Kept, UrgentCall, Waiting } from "../agreements.ts";
import type { Listener } from "../engine/listeners.ts";
import { Deferred } from "../engine/waiting.ts";
import type { Contact, Device, LogEntry, Message } from "../events.ts";
import { applyDelta, EMPTY_SNAPSHOT } from "../local-device/mirror.ts";
import type { Identity, InviteCard, LinkOffer, News, Snapshot } from "../local-device/types.ts";
import { VaultProblem } from "../ports.ts";
import type { ConnectionState } from "../protocol/connection.ts";
import { LocalError, RapportError } from "../protocol/errors.ts";
import type { AccountId, ConversationId, DeviceId, LinkId } from "../protocol/ids.ts";
import type { Role } from "../protocol/requests.ts";
import { arrived } from "../worker/carried.ts";
import type { Standing } from "../worker/messages.ts";
import { AccountMemory } from "./account-memory.ts";
import { AppointmentBook } from "./appointments.ts";
import {
  notesOf,
  startWorker,
  watchAttention,
  watchConnection,
  watchLeave,
  watchNetwork,
  watchReturn,
} from "./browser.ts";
import { Calls } from "./calls.ts";
import { Conversation } from "./conversation.ts";
import { Cover } from "./cover.ts";
import { type ClientEvent, type ClientEventOf, Hearers } from "./events.ts";
import { allWaiting, Offices } from "./office.ts";
import type { ClientOptions, InThreadOptions, StorageState } from "./options.ts";
import { type Port, type PortListener, portInThread, SharedPort } from "./port.ts";
import { type PrecallOptions, PrecallTest } from "./precall.ts";
import { Presence } from "./presence.ts";
import { Pushes } from "./push.ts";
import { missingHere, Unsupported } from "./support.ts";
import { urgentCalls } from "./urgent.ts";
import { WaitingRoom } from "./waiting-room.ts";

/**
 * An account on this device, from before anybody has joined.
 *
 *     const client = new RapportClient({ worker: "/worker.js" });
 *     await client.ready;
 *     client.on("messageReceived", ({ message }) => show(message));
 *     await client.join(link, "Toni");
 *
 * Connects in the background and reconnects for ever; nearly everything works without a connection. Any number of tabs
 * may have a client of the same vault: one of their workers holds it, and when that tab is closed another goes on.
 */
export class RapportClient {
  /**
   * Resolves once it is known how the storage stands (`storage`). Rejects with Unsupported when the browser lacks
   * something, with VaultProblem when the storage cannot be opened: one sentence for the person in `detail`.
   */
  readonly ready: Promise<void>;
  private readonly known = new Deferred<void>();
  private readonly hearers = new Hearers();
  private readonly port: Port;
  /** Who is there, and how we want to be seen. */
  readonly presence: Presence;
  /** Office hours of contacts, and our own with our card. */
  readonly office: Offices;
  /** Waking this browser while the app is closed. */
  readonly push: Pushes;
  /** Who rings, who is called, and the call in this page. */
  readonly calls: Calls;
  private readonly memory: AccountMemory;
  private readonly watches: (() => void)[] = [];
  private readonly held = new Map<ConversationId, Conversation>();
  private mirror: Snapshot = EMPTY_SNAPSHOT;
  private stored: StorageState = "opening";
  private passphrase: boolean | null = null;

  constructor(options: ClientOptions | InThreadOptions) {
    this.ready = this.known.promise;
    const listener: PortListener = {
      stands: (standing) => this.stands(standing),
      news: (news) => this.news(news),
      failed: (problem) => this.fail(problem),
    };
    if ("device" in options) {
      this.memory = new AccountMemory(null);
      this.port = portInThread(options.device, listener);
      [this.presence, this.office, this.push, this.calls] = this.parts();
      return;
    }
    const missing = missingHere();
    const { vault = "main", server = location.origin, worker } = options;
    this.memory = new AccountMemory(notesOf(vault));
    if (missing.length > 0) {
      const problem = new Unsupported(missing);
      this.port = { call: () => Promise.reject(problem) as never, close: () => Promise.resolve() };
      [this.presence, this.office, this.push, this.calls] = this.parts();
      this.fail(problem);
      return;
    }
    this.port = new SharedPort(() => startWorker(worker), { vault, server, version: VERSION }, listener);
    [this.presence, this.office, this.push, this.calls] = this.parts();
    this.watches.push(
      watchNetwork((available) => void this.network(available).catch(() => undefined)),
      watchReturn(() => this.port.greet?.()),
      watchConnection(() => this.calls.moved()),
      watchLeave(() => this.calls.left()),
      watchAttention(() => void this.port.call("presence", "attended").catch(() => undefined)),
    );
  }

  private parts(): [Presence, Offices, Pushes, Calls] {
    const look = () => this.mirror;
    const { port } = this;
    const changed = () => this.hearers.tell({ type: "changed" });
    return [new Presence(port, look), new Offices(port, look), new Pushes(port), new Calls(port, look, changed)];
  }

  /** Ends this page's part: its worker gives the vault back, another tab's takes over. What is queued stays queued. */
  async close(): Promise<void> {
    for (const end of this.watches.splice(0)) {
      end();
    }
    this.calls.close();
    await this.port.close();
    this.hearers.end();
    this.known.reject(new VaultProblem("the client is closed"));
  }

  // --- what there is --------------------------------------------------------------------------------------------------

  /** Everything that can be seen at once; a new value whenever something has changed, with the event `changed`. */
  get snapshot(): Snapshot {
    return this.mirror;
  }

  /** The account on this device; null until somebody has joined, and after signing out. */
  get identity(): Identity | null {
    return this.mirror.identity;
  }

  /** Where the connection stands. */
  get state(): ConnectionState {
    return this.mirror.state;
  }

  /** Where the storage stands. */
  get storage(): StorageState {
    return this.stored;
  }

  /** Whether this device's vault opens with a passphrase only; null where it cannot have one: outside browsers. */
  get hasPassphrase(): boolean | null {
    return this.passphrase;
  }

  /** All conversations with others, the most recently active first. */
  conversations(): Conversation[] {
    const views = this.mirror.views.filter((view) => !view.isSelf);
    return views.sort((one, other) => other.activeMs - one.activeMs).map((view) => this.conversation(view.id));
  }

  /** The conversation of that id. LocalError(not_found). */
  conversation(id: ConversationId): Conversation {
    const look = () => {
      const view = this.mirror.views.find((one) => one.id === id);
      if (view === undefined) {
        throw new LocalError("not_found", "no such conversation");
      }
      return view;
    };
    look();
    const conversation = this.held.get(id) ?? new Conversation(this.port, id, look, () => this.mirror);
    this.held.set(id, conversation);
    return conversation;
  }

  /** Clients who wait for an answer of ours: missed promises first, then by when they are due, then without one. */
  waiting(nowMs?: number): Waiting[] {
    return allWaiting(this.mirror, nowMs);
  }

  /** Urgent messages of clients that nobody has confirmed, to us or to a colleague whose cover we are; oldest first. */
  urgentCalls(): UrgentCall[] {
    return urgentCalls(this.snapshot);
  }

  /**
   * How many of our promises that were due in this time were kept. Counted here and sent to nobody.
   *
   * Whoever puts a promise off keeps it by answering until then. Of what has expired nothing is counted.
   */
  kept(sinceMs: number, untilMs: number): Promise<Kept> {
    return this.port.call("kept", sinceMs, untilMs);
  }

  /** Everybody we know, our own account included. */
  contacts(): Contact[] {
    return this.mirror.contacts.map(({ shown }) => shown);
  }

  // --- what happens ---------------------------------------------------------------------------------------------------

  /** From now on `handler` is called with every event of this type, in order, after `snapshot` has changed. */
  on<Type extends ClientEvent["type"]>(type: Type, handler: (event: ClientEventOf<Type>) => void): void {
    this.hearers.add(type, handler);
  }

  /** `handler` is not called for this type any more. */
  off<Type extends ClientEvent["type"]>(type: Type, handler: (event: ClientEventOf<Type>) => void): void {
    this.hearers.remove(type, handler);
  }

  /**
   * The account's events from now on, for a loop. One that leaves 16,384 events unread is ended with EventsUnread; the
   * history holds what it missed.
   */
  events(): Listener {
    return this.hearers.listen();
  }

  /** Resolves once everything that waited on the server is here; waits for a connection if there is none. */
  caughtUp(): Promise<void> {
    return this.port.call("caughtUp");
  }

  /** Tells what the host knows of the network: back (try at once) or gone. In browsers the client looks itself. */
  network(available: boolean): Promise<void> {
    return this.port.call("network", available);
  }

  // --- the storage ----------------------------------------------------------------------------------------------------

  /** Opens a vault that is locked with a passphrase. Rejects with WrongPassphrase. */
  unlock(passphrase: string): Promise<void> {
    return this.port.call("unlock", passphrase);
  }

  /**
   * Locks the vault with a passphrase, changes it, or takes it away (null). current: the one that holds now, or null.
   *
   * Without it nobody opens the vault on this device, we included. Rejects with WrongPassphrase: nothing has changed.
   */
  setPassphrase(next: string | null, current: string | null): Promise<void> {
    return this.port.call("setPassphrase", next, current);
  }

  // --- coming in ------------------------------------------------------------------------------------------------------

  /** Opens the sealed card of an invite without joining. InviteProblem, Unreachable, Rejected. */
  inspect(link: string): Promise<InviteCard> {
    return this.port.call("inspect", link);
  }

  /**
   * Makes an account with this device as its first. name: what others will see, 1 to 200 bytes of UTF-8.
   *
   * After Unreachable, or when the page was closed, call it again with the same link: it goes on with the same keys.
   * InviteProblem, LocalError (the name), Rejected.
   */
  join(link: string, name: string): Promise<AccountId> {
    return this.port.call("join", link, name);
  }

  /**
   * As a further device of an account: opens the code that another device offers, resolves to the six digits that are
   * typed there. label: what this device is called, at most 40 bytes. LinkProblem, FormatError, Rejected, Unreachable.
   */
  takeLink(codeOrUrl: string, label: string): Promise<string> {
    return this.port.call("takeLink", codeOrUrl, label);
  }

  /** Resolves once this device is in its account's list and at work. LinkProblem: nothing was kept then. */
  linkFinished(): Promise<AccountId> {
    return this.port.call("linkFinished");
  }

  /** Gives up what `takeLink` began; nothing is kept. */
  endTakenLink(): Promise<void> {
    return this.port.call("endTakenLink");
  }

  // --- the account ----------------------------------------------------------------------------------------------------

  /**
   * Opens a new conversation; resolves to the link that lets one person join it: single use, 7 days, a secret.
   *
   * welcome: shown to the invitee as the first message, at most 4,096 bytes. LocalError(forbidden), Rejected;
   * Unreachable after 30 s without an answer (the link is then void).
   */
  invite(role: Role = "client", welcome: string | null = null): Promise<string> {
    return this.port.call("invite", role, welcome);
  }

  /**
   * Joins a conversation by an invite with the account that there is, on all its devices; resolves to it.
   *
   * Asking again is harmless, also after Unreachable (no answer within 30 s: it goes on by itself). InviteProblem for what
   * is no invite; LocalError with a sentence for the person: conflict, expired, forbidden, invalid_signature, bad_format.
   */
  acceptInvite(link: string): Promise<ConversationId> {
    return this.port.call("acceptInvite", link);
  }

  /** Colleagues who are there for a client: asking, agreeing, accepting, handing over. */
  get cover(): Cover {
    return new Cover(this.port, () => this.mirror);
  }

  /** Planned meetings. */
  get appointments(): AppointmentBook {
    return new AppointmentBook(this.port, () => this.mirror);
  }

  /** The doors in front of appointments. */
  get waitingRoom(): WaitingRoom {
    return new WaitingRoom(this.port, () => this.mirror);
  }

  /** The test before a call: camera, microphone, the relay; nothing begins before `run`. */
  precall(options: PrecallOptions = {}): PrecallTest {
    return new PrecallTest(this.port, options);
  }

  /** What others call us, at most 200 bytes of UTF-8; told to every conversation, sealed. */
  rename(name: string): Promise<void> {
    return this.port.call("rename", name);
  }

  /** A named value that all our devices share; null if it is not set. */
  setting(name: string): string | null {
    return this.mirror.settings[name] ?? null;
  }

  /** Sets it on all our devices, null removes it. name: 1 to 64 characters; value: at most 4,096 bytes; 256 names. */
  setSetting(name: string, value: string | null): Promise<void> {
    return this.port.call("setSetting", name, value);
  }

  /** Messages with a word that begins with each of these, newest first; at most 200. */
  search(
    words: string,
    options: { readonly conversation?: ConversationId | null; readonly limit?: number } = {},
  ): Promise<Message[]> {
    return this.port.call("search", words, options);
  }

  // --- devices --------------------------------------------------------------------------------------------------------

  /** Our account's devices, this one included, as the newest signed list says. */
  devices(): readonly Device[] {
    const account = this.mirror.identity?.account;
    return account === undefined ? [] : this.contactDevices(account);
  }

  /** A contact's devices; empty for an account that is not known. */
  contactDevices(account: AccountId): readonly Device[] {
    return this.mirror.devices[account] ?? [];
  }

  /** What this device is called, at most 40 bytes of UTF-8; our other devices and contacts are told, sealed. */
  nameDevice(label: string): Promise<void> {
    return this.port.call("nameDevice", label);
  }

  /** Removes another device of ours, for good. LocalError(forbidden) for this one; Rejected; Unreachable after 30 s. */
  revoke(device: DeviceId): Promise<void> {
    return this.port.call("revoke", device);
  }

  /** Removes this device from its account and deletes the vault. Rejected, Unreachable: nothing is deleted then. */
  signOut(): Promise<void> {
    return this.port.call("signOut");
  }

  /** Offers to link another device, for three minutes; a newer offer ends it. LocalError(too_many), Rejected. */
  offerLink(): Promise<LinkOffer> {
    return this.port.call("offerLink");
  }

  /** Resolves once a device has opened the code and shows digits. LinkProblem, Rejected. */
  linkJoined(offer: LinkId): Promise<void> {
    return this.port.call("linkJoined", offer);
  }

  /** Links the device that shows these digits. LinkProblem; Unreachable: call it again with the same digits. */
  confirmLink(offer: LinkId, digits: string): Promise<Device> {
    return this.port.call("confirmLink", offer, digits);
  }

  /** Takes the offer back; the other side, if it waits, is told. */
  cancelLink(offer: LinkId): Promise<void> {
    return this.port.call("cancelLink", offer);
  }

  // --- identities -----------------------------------------------------------------------------------------------------

  /** Somebody we know, as pinned here. LocalError(not_found). */
  contact(account: AccountId): Promise<Contact> {
    return this.port.call("contact", account);
  }

  /** The 60 digits to compare with a contact, in twelve groups of five. LocalError(not_found). */
  safetyNumber(account: AccountId): Promise<string> {
    return this.port.call("safetyNumber", account);
  }

  /** The person has compared safety numbers and they agree; false takes that back. Our other devices are told. */
  verify(account: AccountId, verified = true): Promise<void> {
    return this.port.call("verify", account, verified);
  }

  /** The person goes on with a contact under the new identity, which is pinned, not verified. */
  acknowledgeIdentity(account: AccountId): Promise<void> {
    return this.port.call("acknowledgeIdentity", account);
  }

  /** What was noticed that should not have happened: the newest entries (100 unless given, at most 1,000) first. */
  securityLog(limit?: number): Promise<LogEntry[]> {
    return this.port.call("securityLog", limit);
  }

  // --- what the device says -------------------------------------------------------------------------------------------

  private stands({ storage, problem, passphrase, snapshot }: Standing): void {
    if (problem !== null) {
      const error = arrived(problem);
      this.fail(error instanceof RapportError ? error : new RapportError("internal", error.message));
      return;
    }
    const before = this.stored;
    const had = this.mirror.identity !== null || this.memory.has;
    this.mirror = snapshot;
    this.calls.follow();
    this.passphrase = passphrase;
    this.stored = storage === "open" && snapshot.identity === null && had ? "lost" : storage;
    this.remember();
    if (this.stored === "lost" && before !== "lost") {
      this.memory.keep(); // it may have gone with the storage
      this.hearers.tell({ type: "storageLost" });
    } else if (this.stored === "locked") {
      this.hearers.tell({ type: "passphraseNeeded" });
    }
    this.hearers.tell({ type: "changed" });
    this.known.resolve();
  }

  private news(news: News): void {
    if (news.type === "snapshot") {
      const had = this.mirror.identity !== null;
      this.mirror = news.snapshot;
      this.calls.follow();
      if (news.snapshot.identity !== null) {
        this.stored = "open";
        this.remember();
      } else if (had) {
        this.memory.forget(); // it was signed out, on purpose
        this.passphrase &&= false; // the vault was wiped, and the new one is open
      }
    } else {
      this.mirror = applyDelta(this.mirror, news.changed);
      if (news.changed.calls !== undefined) {
        this.calls.follow();
      }
      for (const event of news.events) {
        this.hearers.show(event);
      }
    }
    this.hearers.tell({ type: "changed" });
  }

  private remember(): void {
    if (this.mirror.identity !== null) {
      this.memory.remember(() => this.hearers.tell({ type: "persistenceRefused" }));
    }
  }

  private fail(problem: RapportError): void {
    this.stored = "failed";
    this.hearers.tell({ type: "changed" });
    this.known.reject(problem);
  }
}

/** The SDK's version; what an earlier one could not read is tried again once per version. */
export const VERSION = "0.1.0";
