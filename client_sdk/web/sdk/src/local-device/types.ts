/**
 * What a host may ask of a device and what it is told: flat calls whose arguments and results can be cloned, so that
 * the same interface works within one thread and through a worker. One class implements it (`local-device.ts`); what a
 * page holds only forwards to it.
 */

import type { Card, Kept, OwnOffice } from "../agreements.ts";
import type { CallMode, ModeWhy } from "../call-views.ts";
import type { Appointments } from "../engine/appointments/appointments.ts";
import type { Plan } from "../engine/appointments/appointments-planning.ts";
import type { Description } from "../engine/bodies/meetings.ts";
import type { MediaNews, Offering } from "../engine/calls/calls-here.ts";
import type { CallShown } from "../engine/calls/calls-shown.ts";
import type { CoverView } from "../engine/cover/cover-ledger.ts";
import type { Asking } from "../engine/cover/covering.ts";
import type { OfficeView } from "../engine/office-shown.ts";
import type { OfficeSaid } from "../engine/office-words.ts";
import type { There } from "../engine/presence.ts";
import type { UrgentView } from "../engine/urgent-shown.ts";
import type { Candidate } from "../engine/vault/call-records.ts";
import type { ContactView, ConversationView } from "../engine/views.ts";
import type { Knocking } from "../engine/waiting-room/rooms.ts";
import type { HostWish } from "../engine/waiting-room/rooms-hosting.ts";
import type { Rooms } from "../engine/waiting-room/rooms-shown.ts";
import type { Contact, Device, Event, LogEntry, Message } from "../events.ts";
import type { LinkUsed } from "../meetings.ts";
import type { OfficeHours, OverrideState } from "../office/hours.ts";
import type { Repair } from "../office/rules.ts";
import type { Api, Clock, Connector, Random, Vault } from "../ports.ts";
import type { ConnectionState } from "../protocol/connection.ts";
import type { AccountId, AppointmentId, ConversationId, DeviceId, LinkId, MessageId } from "../protocol/ids.ts";
import type { Outcome, TurnCredentials, TurnWanted } from "../protocol/meeting.ts";
import type { Holidays, PushState, PushSubscription, Role } from "../protocol/requests.ts";

export type { ContactView, ConversationView, CoverView, OfficeView, There, UrgentView };

/** The account on this device. */
export interface Identity {
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly role: Role;
  /** Our own name, as others see it. */
  readonly name: string;
  /** The server's address: scheme, host, port, perhaps a path; no slash at its end. */
  readonly base: string;
}

/** Everything that a host can see at once. */
export interface Snapshot {
  /** null until somebody has joined, and again after `signOut`. */
  readonly identity: Identity | null;
  /** Where the connection stands; "idle" while nobody has joined. */
  readonly state: ConnectionState;
  /** Whether this device was removed from its account: what it holds stays readable, nothing is connected any more. */
  readonly signedOut: boolean;
  /** Everything that waited when the present connection was made is in the vault. */
  readonly caughtUp: boolean;
  /** Added to this machine's clock it gives the server's, milliseconds. */
  readonly aheadMs: number;
  /** Every conversation, the account's own one (`isSelf`) included. */
  readonly views: readonly ConversationView[];
  /** Every pinned account, our own included. */
  readonly contacts: readonly ContactView[];
  /** The listed devices of every pinned account, our own included. */
  readonly devices: Readonly<Record<AccountId, readonly Device[]>>;
  /** The settings that our devices share, by name. */
  readonly settings: Readonly<Record<string, string>>;
  /** Who of the watched contacts is there now, says the server; nobody without a connection. */
  readonly presence: There;
  /** Office hours of everybody of whom any are held, our own included: `client.office.of` says what to show. */
  readonly offices: Readonly<Record<AccountId, OfficeView>>;
  /** What the server says of offices on this connection. */
  readonly officeSaid: OfficeSaid;
  /** Our own office hours, with what is on its way. */
  readonly ownOffice: OwnOffice;
  /** Our own card; null = there is none yet. */
  readonly card: Card | null;
  /** Urgent messages and what is kept of them: `conversation.urgency` says what to show. */
  readonly urgent: Readonly<Record<MessageId, UrgentView>>;
  /** Covers and hand-overs by request: `client.cover` and `conversation.coverSteps` say what to show. */
  readonly covers: Readonly<Record<string, CoverView>>;
  /** Appointments by id, null = gone: `client.appointments` says what to show. */
  readonly appointments: Appointments;
  /** Waiting rooms by appointment, by the server's word: `client.waitingRoom` says what to show. */
  readonly rooms: Rooms;
  /** Calls that are remembered, and what the page in them is to do: `client.calls` says what to show. */
  readonly calls: Readonly<Record<MessageId, CallShown>>;
  /** How often what happened on this device, by class: "F0" to "F10", "renewed", … No ids, no times, no names. */
  readonly figures: Readonly<Record<string, number>>;
}

/**
 * What is different now. views, contacts, devices, offices, covers, appointments and figures hold only those that
 * changed; the rest is whole.
 */
export type Delta = { readonly [Field in keyof Snapshot]?: Snapshot[Field] };

/**
 * What a host is told, in order. "snapshot": everything anew (the account on this device came or went). "turn": what
 * one turn, or the connection, has changed, and the events that say so; the delta is taken before the events are shown.
 */
export type News =
  | { readonly type: "snapshot"; readonly snapshot: Snapshot }
  | { readonly type: "turn"; readonly changed: Delta; readonly events: readonly Event[] };

/** What an invitation says before anybody has joined. All of it comes from the inviter, sealed under the link. */
export interface InviteCard {
  /** "invite": into a conversation with the one named here. "owner": the first account of a practice, by nobody. */
  readonly kind: "invite" | "owner";
  /** The server's address. */
  readonly base: string;
  /** Who invites, as they call themselves; "" for an owner link. */
  readonly name: string;
  /** What the invitee becomes. */
  readonly role: Role;
  /** The inviter's words, null for none. */
  readonly welcome: string | null;
  /** When it ends by the server's clock; 0 = an owner link, which has no end. */
  readonly expiresMs: number;
  /** What the inviter says about themselves; null for nothing. */
  readonly card: Card | null;
  /** The inviter's office hours as the invitation carries them; null for none that count now. */
  readonly hours: OfficeHours | null;
}

/** An offer to link one new device, for three minutes. `code` and `url` are secrets. */
export interface LinkOffer {
  /** What the other calls about this offer name it by. */
  readonly offer: LinkId;
  /** 8 groups of 4 characters, to be read aloud or typed. */
  readonly code: string;
  /** The same with the server's address, for a QR code. */
  readonly url: string;
  /** By the server's clock. */
  readonly expiresMs: number;
}

/** What a text may have beside its words. */
export interface SendOptions {
  readonly replyTo?: MessageId | null;
  /** So many seconds after the server has taken it, it is removed from every device: 5 s to 365 days. */
  readonly expireS?: number | null;
  /**
   * By a client to their therapist: the server tells them again and again until somebody confirms that a person has seen
   * it, see `Conversation.urgency`. LocalError(forbidden) for everybody else.
   */
  readonly urgent?: boolean;
  /** The message's id, made by the caller: when it is stored already it is answered and not sent again. */
  readonly id?: MessageId;
}

/**
 * "shown", "hidden": a client lets its therapists see that it is there, or not, on all its devices; others change
 * nothing by it. "away", "back": the person does something else, or is back. "attended": somebody looks at a page;
 * without a word for five minutes after one, the person counts as away. "watch": contacts are watched as a client, too,
 * which tells of therapists only if the practice shows them to clients.
 */
export type PresenceWish = "shown" | "hidden" | "away" | "back" | "attended" | "watch";

/** Which part of a conversation is wanted. limit: 1 to 1,000, 50 unless given. */
export interface HistoryOptions {
  readonly before?: MessageId | null;
  readonly limit?: number;
}

/** What `restore` brought: messages, and entries that could not be read. */
export interface RestoredCount {
  readonly restored: number;
  readonly unreadable: number;
}

/** The network as one server: made anew whenever the address is known. */
export interface Network {
  readonly api: Api;
  readonly connector: Connector;
}

/** What a device stands on. `openVault` and `wipeVault` are called one after the other, never at once. */
export interface Surroundings {
  /** Opens this device's storage, empty if there is none. VaultProblem, VaultLocked. */
  openVault(): Promise<Vault>;
  /** Deletes it, while it is closed. VaultProblem. */
  wipeVault(): Promise<void>;
  /** The way to the server of this origin (scheme://host[:port]). */
  network(origin: string): Network;
  readonly clock: Clock;
  readonly random: Random;
  /** The program's version: what could not be read by an earlier one is tried again once per version. */
  readonly version?: string;
  /** The only server this host may talk to, as an address; null = any. A page can reach its own server only. */
  readonly server?: string | null;
}

/**
 * One device at work, from before anybody has joined until it is closed.
 *
 * Without an account only `snapshot`, `onNews`, `inspect`, `join`, `takeLink`, `linkFinished`, `endTakenLink` and
 * `close` work; the others reject with LocalError(not_found). Every call may reject with VaultProblem. Ids that are not
 * known here: LocalError(not_found). Texts that are too long: LocalError(too_large), and nothing was written.
 */
export interface DeviceCalls extends AgreedCalls, CoverCalls, CallingCalls, AppointmentCalls {
  // --- what there is ---

  /** Everything at once. */
  snapshot(): Promise<Snapshot>;
  /** Tells what the host knows of the network: back (try at once) or gone (stop trying). */
  network(available: boolean): Promise<void>;
  /** Resolves once everything that waited on the server is here; waits for a connection if there is none. */
  caughtUp(): Promise<void>;

  // --- coming in ---

  /** Opens the sealed card of an invite without joining. InviteProblem, Unreachable, Rejected. */
  inspect(link: string): Promise<InviteCard>;
  /**
   * Makes an account with this device as its first. name: what others will see, 1 to 200 bytes of UTF-8.
   *
   * All keys are in the vault before the server hears of them: after Unreachable, or when the program ended, call it
   * again with the same link. InviteProblem, LocalError (the name), Rejected.
   */
  join(link: string, name: string): Promise<AccountId>;
  /**
   * The new device's side of a link: opens the code and resolves to the six digits that are typed on the other device.
   *
   * label: what this device is called, at most 40 bytes of UTF-8. A code without an address needs `server` of the
   * surroundings. LinkProblem; FormatError says what is wrong with the code; LocalError; Rejected, Unreachable.
   */
  takeLink(codeOrUrl: string, label: string): Promise<string>;
  /** Resolves once this device is in its account's list and at work. LinkProblem: nothing was kept then. */
  linkFinished(): Promise<AccountId>;
  /** Gives up what `takeLink` began; nothing is kept. Does nothing when there is nothing to give up. */
  endTakenLink(): Promise<void>;

  // --- conversations ---

  /** Writes a text of 1 to 15,000 bytes; resolves once it is in the vault, it is sent when there is a connection. */
  sendText(conv: ConversationId, text: string, options?: SendOptions): Promise<Message>;
  /** Changes a message of ours. LocalError(forbidden) for somebody else's. */
  edit(conv: ConversationId, message: MessageId, text: string): Promise<Message>;
  /** Takes a message of ours out of view, here and at the others. LocalError(forbidden) for somebody else's. */
  delete(conv: ConversationId, message: MessageId): Promise<Message>;
  /** Our one reaction to a message, at most 64 bytes; null takes it back. */
  react(conv: ConversationId, message: MessageId, emoji: string | null): Promise<Message>;
  /** The person has seen everything up to now; members and our other devices hear of it every ten seconds. */
  markRead(conv: ConversationId): Promise<void>;
  /** Tells connected members that we are writing: call it with every key, it is sent every three seconds at most. */
  typing(conv: ConversationId): Promise<void>;
  /** Keeps what stands in the input, "" for nothing; our other devices hear of it. At most 15,000 bytes. */
  setDraft(conv: ConversationId, text: string): Promise<void>;
  /** Mutes it on all our devices until then (Unix time, milliseconds; 2^53 - 1 = for good), null = not any more. */
  mute(conv: ConversationId, untilMs: number | null): Promise<void>;
  /** The newest messages, or those before one of them: oldest first, queued ones at the end. */
  history(conv: ConversationId, options?: HistoryOptions): Promise<Message[]>;
  /** One message as it stands; null when there is none of that id in the conversation. */
  message(conv: ConversationId, id: MessageId): Promise<Message | null>;
  /** Fetches history that this device does not hold and the account has archived. Rejected, Unreachable: go on later. */
  restore(conv: ConversationId): Promise<RestoredCount>;
  /** Messages with a word that begins with each of these, newest first; at most 200. */
  search(
    words: string,
    options?: { readonly conversation?: ConversationId | null; readonly limit?: number },
  ): Promise<Message[]>;

  // --- the account ---

  /**
   * Opens a new conversation; resolves to the link that lets one person join it: single use, 7 days, a secret.
   *
   * welcome: at most 4,096 bytes. LocalError(forbidden) for a role that may not invite; Rejected; Unreachable when the
   * server does not answer within 30 s (the link is then void).
   */
  invite(role?: Role, welcome?: string | null): Promise<string>;
  /** What others call us, at most 200 bytes; told to every conversation, sealed. */
  rename(name: string): Promise<void>;
  /** A named value that all our devices share; null if it is not set. */
  setting(name: string): Promise<string | null>;
  /** Sets it on all our devices, null removes it. name: 1 to 64 characters; value: at most 4,096 bytes; 256 names. */
  setSetting(name: string, value: string | null): Promise<void>;

  // --- presence ---

  /** How we want to be seen, and whether we want to see; see `PresenceWish`. */
  presence(wish: PresenceWish): Promise<void>;

  // --- devices ---

  /** Our account's devices, this one included, as the newest signed list says. */
  devices(): Promise<readonly Device[]>;
  /** A contact's devices; empty for an account that is not known. */
  contactDevices(account: AccountId): Promise<readonly Device[]>;
  /** What this device is called, at most 40 bytes; our other devices and contacts are told, sealed. */
  nameDevice(label: string): Promise<void>;
  /**
   * Removes another device from the account, for good; resolves when the server has the new list.
   *
   * LocalError(forbidden) for this device. Rejected; Unreachable: no answer within 30 s, it stays asked for.
   */
  revoke(device: DeviceId): Promise<void>;
  /**
   * Removes this device from its account and deletes the vault. The account's last device can only be wiped.
   *
   * Rejected, or Unreachable after 30 s without an answer: nothing is deleted then, and the removal stays asked for.
   */
  signOut(): Promise<void>;
  /** Offers to link another device; a newer offer ends it. LocalError(too_many), Rejected, Unreachable. */
  offerLink(): Promise<LinkOffer>;
  /** Resolves once a device has opened the code and shows digits. LinkProblem, Rejected. */
  linkJoined(offer: LinkId): Promise<void>;
  /** Links the device that shows these digits. LinkProblem; Unreachable: call it again with the same digits. */
  confirmLink(offer: LinkId, digits: string): Promise<Device>;
  /** Takes the offer back; the other side, if it waits, is told. */
  cancelLink(offer: LinkId): Promise<void>;

  // --- identities ---

  /** Somebody we know, as pinned here. */
  contact(account: AccountId): Promise<Contact>;
  /** The 60 digits to compare with a contact, in twelve groups of five; of the pinned identity. */
  safetyNumber(account: AccountId): Promise<string>;
  /** The person has compared safety numbers and they agree; false takes that back. Our other devices are told. */
  verify(account: AccountId, verified?: boolean): Promise<void>;
  /** The person goes on with a contact under the new identity, which is pinned, not verified. */
  acknowledgeIdentity(account: AccountId): Promise<void>;
  /** What was noticed that should not have happened: the newest entries (100 unless given, at most 1,000) first. */
  securityLog(limit?: number): Promise<LogEntry[]>;
}

/** What a device is asked about office hours, promises and its person's card. */
export interface AgreedCalls {
  /**
   * Our office hours are these from now on; resolves to what was changed in them so that they are valid.
   *
   * HoursRefused: they cannot be repaired. LocalError(forbidden) for a client. Nothing has changed then.
   */
  publishOffice(hours: OfficeHours): Promise<readonly Repair[]>;
  /** From now until then our office stands like this, at most 7 days. LocalError(not_found) without office hours. */
  stepAway(untilMs: number, state?: OverrideState): Promise<void>;
  /** Ends what `stepAway` has said. LocalError(not_found) without office hours. */
  comeBack(): Promise<void>;
  /** Public holidays of a country or one of its regions ("": of all of it). Rejected, Unreachable. */
  holidays(country: string, region: string, year: number): Promise<Holidays>;
  /** What the server needs and knows of pushes to this device. Rejected, Unreachable. */
  pushState(): Promise<PushState>;
  /** Where this device is reached from now on; an empty endpoint ends that. Rejected, Unreachable. */
  subscribePush(asked: PushSubscription): Promise<PushState>;
  /** Our card is this from now on, for every client. LocalError: forbidden, too_large, too_many, bad_format. */
  setCard(card: Card): Promise<void>;
  /** How many of our promises that were due in this time were kept. */
  kept(sinceMs: number, untilMs: number): Promise<Kept>;
  /** As the therapist: the waiting text is answered by then instead. LocalError: not_found, forbidden, bad_format. */
  extendPromise(conv: ConversationId, untilMs: number): Promise<void>;
  /** As the client: an appointment would be better than an answer. LocalError: not_found, forbidden. */
  askForSlot(conv: ConversationId): Promise<void>;
  /** A person has seen an urgent message of the other. LocalError: not_found, forbidden (our own). */
  confirmUrgent(conv: ConversationId, message: MessageId): Promise<void>;
}

/**
 * What a device is asked about joining with its account, and about colleagues who are there for a client. request: which
 * cover, 32 hexadecimal digits. Of one that is not known or not ours to answer: LocalError(not_found).
 */
export interface CoverCalls {
  /**
   * Joins a conversation by an invite with the account that there is, on all its devices; resolves to it.
   *
   * Asking again is harmless, also after a crash or Unreachable (no answer within 30 s: it goes on by itself).
   * InviteProblem for what is no invite; LocalError, worded for people: conflict (our own, or we are in that conversation
   * already), expired (used, expired or unknown here), forbidden (of another server, or for another role than ours),
   * invalid_signature (the server shows another invite than the link vouches for), bad_format (an owner link).
   */
  acceptInvite(link: string): Promise<ConversationId>;
  /** Asks a colleague to be there for a client, each in our pair with them. LocalError: forbidden, too_large. */
  requestCover(colleague: ConversationId, client: ConversationId, asking?: Asking): Promise<Message>;
  /** The colleague's yes; it is told once the server has the client's invite. LocalError: conflict. */
  agreeToCover(request: string): Promise<void>;
  /** No, of the colleague or of the client. LocalError: conflict. */
  refuseCover(request: string): Promise<void>;
  /** The client's yes; resolves to the conversation with the colleague. See `acceptInvite`; LocalError(conflict). */
  acceptCover(request: string): Promise<ConversationId>;
  /** The hand-over card, at most 8,000 bytes, after the client's yes. LocalError: conflict, too_large. */
  sendCoverCard(request: string, note: string): Promise<Message>;
}

/**
 * What a device is asked about appointments and waiting rooms. Of an appointment that is not known:
 * LocalError(not_found). What only a host may do: LocalError(forbidden). Rejected, Unreachable where a server is needed.
 */
export interface AppointmentCalls {
  /** Plans one or a weekly series; resolves to their ids once the server has them. Unreachable: it stays asked for. */
  planAppointment(conv: ConversationId, plan: Plan): Promise<readonly AppointmentId[]>;
  /** Moves one; null keeps its length. Resolves once the server has it. Rejected(conflict), LocalError(conflict). */
  moveAppointment(id: AppointmentId, startMs: number, minutes: number | null): Promise<void>;
  /** Cancels one. words: for the others, at most 2,000 bytes. */
  cancelAppointment(id: AppointmentId, words: string): Promise<void>;
  /** We begin so many minutes later: 0 to 120. words: at most 500 bytes. */
  sayLate(id: AppointmentId, minutes: number, words: string): Promise<void>;
  /** How it went, in place of what the server has counted. */
  setOutcome(id: AppointmentId, outcome: Outcome, minutesHeld: number): Promise<void>;
  /** Its calendar file (RFC 5545), which says nothing but the time. */
  calendarFile(id: AppointmentId): Promise<Uint8Array>;
  /** An address under which a calendar program reads the times of our appointments; the one before is void. */
  makeFeed(): Promise<string>;
  /** No such address any more. */
  endFeed(): Promise<void>;
  /** Takes a place at a door, or says something else there; kept until `leaveRoom`. */
  knock(appointment: AppointmentId, knocking?: Knocking): Promise<void>;
  /** Is in the room as a host from now on, until `leaveRoom`. LocalError(forbidden). */
  enterRoom(appointment: AppointmentId): Promise<void>;
  /** Gives up the place, or leaves the room as a host. */
  leaveRoom(appointment: AppointmentId): Promise<void>;
  /** Watches these rooms too, beside those that open soon or are open. At most 64. */
  watchRooms(appointments: readonly AppointmentId[]): Promise<void>;
  /**
   * One act of a host. Admitting somebody who is not expected without `sure`: LocalError(forbidden). words: sealed, with
   * declining, sending back and removing. Rejected(conflict): they have changed since; the room is brought up to date.
   */
  actInRoom(appointment: AppointmentId, act: HostWish): Promise<void>;
  /** Uses a join link: from now on this device may knock. LocalError(bad_format), Rejected(not_found). */
  useRoomLink(url: string, passcode: string): Promise<LinkUsed>;
  /** Makes a join link: a secret. */
  makeRoomLink(appointment: AppointmentId, passcode: string): Promise<string>;
  endRoomLink(url: string): Promise<void>;
}

/**
 * What a device is asked about calls. page: whose media these are, a text of the page's own; of another page than the
 * one in the call nothing is heeded. Of a call that is not known: LocalError(not_found).
 */
export interface CallingCalls {
  /** Calls the other one of a pair; the offer leaves when there is a connection. LocalError: forbidden, conflict. */
  offerCall(conv: ConversationId, offering: Offering): Promise<void>;
  /** The person takes the call, with the media of this page. LocalError(conflict) if it cannot be taken any more. */
  answerCall(call: MessageId, page: string): Promise<void>;
  /** The person takes the call over from another device of ours, with the media of this page. LocalError(conflict). */
  moveCall(call: MessageId, page: string): Promise<void>;
  /** This page goes on with the call of a page of this device that is gone. LocalError(conflict): it is not in one. */
  resumeCall(call: MessageId, page: string): Promise<void>;
  /** The person refuses the call. */
  declineCall(call: MessageId): Promise<void>;
  /** The person wants no more of it: takes the offer back, or leaves. */
  hangUpCall(call: MessageId): Promise<void>;
  /** The media here have a description for the other side; restart: of other ways, or of a connection made anew. */
  describeCall(call: MessageId, page: string, description: Description, restart: boolean): Promise<void>;
  /** All candidates so far of our description with this ICE user name; last: there will be no more. */
  foundCandidates(
    call: MessageId,
    page: string,
    userName: string,
    candidates: readonly Candidate[],
    last: boolean,
  ): Promise<void>;
  /** Media flow, stand still, or need a restart. */
  callMedia(call: MessageId, page: string, news: MediaNews): Promise<void>;
  /** This page is there, every few seconds: without a word for ten the server hears nothing of the call any more. */
  callAlive(call: MessageId, page: string): Promise<void>;
  /** Tells the other side what we send from now on, sealed. */
  callMode(call: MessageId, page: string, mode: CallMode, why: ModeWhy): Promise<void>;
  /** A way through firewalls for a call, or for the test before an appointment. Rejected(not_found), Unreachable. */
  turnCredentials(wanted: TurnWanted): Promise<TurnCredentials>;
}

/** A device in this thread: what can be asked of it, and what it says by itself. */
export interface DeviceInThread extends DeviceCalls {
  /** Everything that happens from now on. Returns what ends that. The listener must not throw. */
  onNews(listener: (news: News) => void): () => void;
  /** Closes the connection and the vault. What is queued stays queued for the next time. */
  close(): Promise<void>;
}
