/**
 * What a host program is told and what it is shown: plain values without secrets, which pass between threads.
 *
 * A `Message` is what stands in a conversation; an event says that something has changed. Events repeat nothing on
 * purpose, but after a restart a message that `history` already shows may be announced once more: ids tell.
 */

import type { CareEvent } from "./agreements.ts";
import type { CallEvent, CallNote } from "./call-views.ts";
import type { AppointmentNews, MeetingEvent } from "./meetings.ts";
import type { ConnectionState, Reason } from "./protocol/connection.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "./protocol/ids.ts";
import type { Role } from "./protocol/requests.ts";

/** What sort of thing stands in a conversation. */
export type MessageKind =
  | "text"
  /** The inviter's welcome, shown first; it came with the invite and was never posted. */
  | "card"
  /** A therapist asks a colleague to be there for a client; `request` names the cover, the text is a note. */
  | "cover_request"
  /** A therapist asks the client whether that colleague may be there for them. */
  | "cover_offer"
  /** The hand-over card: what the colleague needs to know. */
  | "cover_card"
  /** An appointment or a series was made, moved or cancelled: `appointment` says what; the text is its title. */
  | "appointment"
  /** A call: `call` says what has come of it. */
  | "call"
  /** Of a type this version does not know; kept for a later one. */
  | "unsupported";

/** How far a message has come. */
export type Status =
  /** Somebody else's. */
  | "received"
  /** Kept in the vault; not yet accepted by the server. */
  | "queued"
  /** The server has stored it. */
  | "sent"
  /** Some device of every other member has it: the server's word, or proved by an answer. */
  | "delivered"
  /** Every other member says so. */
  | "read"
  /** The server will never take it; nothing more is tried. */
  | "failed";

/** Why a message that is there cannot be read, yet or for good. */
export type PlaceholderReason =
  /** Its key is on the way: asked for, not yet answered. */
  | "waiting"
  /** The sender's next message proves that it exists; the server has not delivered it. */
  | "missing"
  /** Of a format that this version does not know. */
  | "update"
  /** It was written before this device was known to the sender. */
  | "not_addressed"
  /** Its sender or sending device is not in any signed list: not opened. */
  | "unknown_sender"
  /** It waited 90 days on the server; the server's word. */
  | "expired"
  /** The sender was asked five times over seven days and could not help. */
  | "lost";

/**
 * One message as it is shown.
 *
 * seq: place in the conversation, 0 while queued. atMs: the server's time of acceptance, or when it was queued. text:
 * empty for placeholders and deleted messages. reactions: one per account. fromRemovedDevice: its sending device has
 * been removed since. expiresMs: when it is removed on every device, by the server's clock; 0 = never, or it is not
 * accepted yet. request: of a step of a cover, which one, 32 hexadecimal digits; else "". urgent: its author has marked
 * it as urgent. promisedMs: by when an answer was promised to its author, 0 = nothing was.
 */
export interface Message {
  readonly id: MessageId;
  readonly conversation: ConversationId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly seq: number;
  readonly atMs: number;
  readonly kind: MessageKind;
  readonly text: string;
  readonly status: Status;
  readonly replyTo: MessageId | null;
  readonly edited: boolean;
  readonly deleted: boolean;
  readonly reactions: readonly (readonly [account: AccountId, emoji: string])[];
  readonly placeholder: PlaceholderReason | null;
  readonly fromRemovedDevice: boolean;
  readonly expiresMs: number;
  readonly request: string;
  readonly urgent: boolean;
  readonly promisedMs: number;
  /** What a message about appointments says; null for every other. */
  readonly appointment: AppointmentNews | null;
  /** What has come of a call; null for every other message. */
  readonly call: CallNote | null;
}

/** Somebody in a conversation. name: as they call themselves, "" until their first post. role: theirs in the practice. */
export interface Member {
  readonly account: AccountId;
  readonly name: string;
  readonly role: Role | null;
}

/**
 * A listed device of an account.
 *
 * label: what its person calls it, "" when nobody has named it. createdMs: when it made its keys, by its own word.
 * this: it is the one that this program runs on.
 */
export interface Device {
  readonly id: DeviceId;
  readonly label: string;
  readonly createdMs: number;
  readonly this: boolean;
}

/** What the client noticed. Most of it an honest server and honest members never do; see `isHint` for the rest. */
export type SecurityKind =
  /** Two validly signed device lists of one version. Nothing is sent to that account until it is resolved. */
  | "equivocation"
  /** A device list that does not follow the rules or whose signature does not verify. */
  | "forged_list"
  /** A membership entry against the rules or badly signed. */
  | "forged_entry"
  /** Prekeys that the device named in the signed list did not sign. */
  | "forged_prekeys"
  /** The server asks for a key for a device that is in no signed list. */
  | "unlisted_device"
  /** The server leaves out a listed device that was heard of lately. */
  | "withheld_device"
  /** A message whose sending device is in no signed list, or whose sender is no member. */
  | "unknown_sender"
  /** A message that its supposed sender says it never sent. */
  | "no_such_message"
  /** The server's numbers contradict what the sender's message says came before it, or leap beyond all reason. */
  | "order"
  /** Valid device lists of a contact under another identity key. Nothing is sent to them until it is acknowledged. */
  | "identity_changed"
  /** The server answers with older device lists than were asked for. */
  | "old_list"
  /** A member knows a newer device list than the server has given out for ten minutes. */
  | "withheld_list"
  /** What the server delivered is not what the sender sealed. */
  | "altered"
  /** The sender's key is not the one that its message commits to: it could have opened to two texts. */
  | "commitment"
  /** The server had no one-time key left for a device, or says so: its last-resort key was used. */
  | "last_resort"
  /** The server handed out a signed prekey that is more than 30 days old. */
  | "old_prekey"
  /** A one-time key of ours was handed out twice. */
  | "prekey_reused"
  /** The server does not give out a message that its sender says it accepted. */
  | "withheld_message"
  /**
   * A message of ours has not reached a device for a day though it was heard from since, or a device that has written
   * twice well after the server took it does not know it.
   */
  | "not_delivered"
  /** Stored history that this account's devices did not write. */
  | "forged_archive"
  /** Stored history names earlier messages that the server does not give out. */
  | "history_gap"
  /** A device asked for the key of a message that is none of its account's business. */
  | "key_refused"
  /** The server shows an earlier sign-in of this device that it never signed. */
  | "forged_sign_in"
  /** Office hours that no listed device of that account has signed, or against the rules. */
  | "forged_office"
  /** Two validly signed office-hours documents of one version; the first one stays. */
  | "office_equivocation"
  /** The server shows office hours of an earlier version than this device holds. */
  | "old_office"
  /** Its therapist writes under newer office hours than the server has given out for ten minutes. */
  | "withheld_office"
  /** Something else than the server that was joined answered at its address. */
  | "wrong_server";

/** Whether an honest server can cause it too: something to look at, no proof of a lie. */
export function isHint(kind: SecurityKind): boolean {
  return ["last_resort", "old_prekey", "not_delivered", "history_gap", "old_office"].includes(kind);
}

/**
 * Somebody we know, as pinned here.
 *
 * name: as they call themselves, "" until their first post. verified: the person has compared safety numbers.
 * identityChanged: the server shows another identity key for them; nothing is sent until that is acknowledged.
 */
export interface Contact {
  readonly account: AccountId;
  readonly name: string;
  readonly verified: boolean;
  readonly identityChanged: boolean;
}

/** One line of the security log. atMs: by the server's clock. sentence: for people. */
export interface LogEntry {
  readonly atMs: number;
  readonly kind: SecurityKind;
  readonly sentence: string;
  readonly conversation: ConversationId | null;
  readonly account: AccountId | null;
  readonly device: DeviceId | null;
}

// --- events --------------------------------------------------------------------------------------------------------

/** The connection's state; `code` is the close code behind it, 0 where there is none. */
export interface ConnectionChanged {
  readonly type: "connectionChanged";
  readonly state: ConnectionState;
  readonly reason: Reason;
  readonly code: number;
}

/** Everything that waited on the server when the device signed in is in the vault. */
export interface CaughtUp {
  readonly type: "caughtUp";
}

/** A new message that this device has not written (another device of ours may have), by seq per conversation. */
export interface MessageReceived {
  readonly type: "messageReceived";
  readonly conversation: ConversationId;
  readonly message: Message;
}

/** An edit, deletion, reaction, or a placeholder that could be opened. */
export interface MessageChanged {
  readonly type: "messageChanged";
  readonly conversation: ConversationId;
  readonly message: Message;
}

/** One of our own messages has come further. seq: 0 until it is accepted. */
export interface MessageStatus {
  readonly type: "messageStatus";
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly status: Status;
  readonly seq: number;
}

/**
 * Whether somebody is there, as the server reports it. "offline": not there, or not for us to see. "unknown": not said,
 * because there is no connection or nobody asked. Nobody is told since when.
 */
export type PresenceState = "online" | "away" | "offline" | "unknown";

/** A contact is there now or no longer, says the server; "unknown" once our own connection is gone. */
export interface PresenceChanged {
  readonly type: "presenceChanged";
  readonly account: AccountId;
  readonly state: PresenceState;
}

/** Somebody is typing now; holds for about five seconds. */
export interface Typing {
  readonly type: "typing";
  readonly conversation: ConversationId;
  readonly account: AccountId;
}

/** Somebody has accepted an invite; their name follows as ProfileChanged. */
export interface MemberJoined {
  readonly type: "memberJoined";
  readonly conversation: ConversationId;
  readonly account: AccountId;
}

/** A member's name. */
export interface ProfileChanged {
  readonly type: "profileChanged";
  readonly account: AccountId;
  readonly name: string;
}

/** The signed device list of a contact, or our own, has changed: devices were added, or removed for good. */
export interface DevicesChanged {
  readonly type: "devicesChanged";
  readonly account: AccountId;
  readonly added: readonly DeviceId[];
  readonly removed: readonly DeviceId[];
}

/**
 * This device is no device of the account any more: another one has removed it, or the server no longer knows it. It
 * stops connecting; what is in the vault stays readable until the vault is wiped.
 */
export interface SignedOut {
  readonly type: "signedOut";
}

/** A message that cannot be read now stands in its place; MessageChanged follows if it heals. */
export interface Placeholder {
  readonly type: "placeholder";
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly reason: PlaceholderReason;
}

/** What stood there was nothing to show: a control message, or one that its supposed sender never sent. */
export interface PlaceholderRemoved {
  readonly type: "placeholderRemoved";
  readonly conversation: ConversationId;
  readonly id: MessageId;
}

/** Something that should not happen; it is kept in the vault's log and harmed nothing. */
export interface SecurityEvent {
  readonly type: "securityEvent";
  readonly kind: SecurityKind;
  readonly conversation: ConversationId | null;
  readonly account: AccountId | null;
  readonly device: DeviceId | null;
}

/** What a security event is about, as far as it is known. */
export type Suspect = Partial<Pick<SecurityEvent, "conversation" | "account" | "device">>;

/** A security event about as much as is known. */
export function makeSecurityEvent(kind: SecurityKind, suspect: Suspect = {}): SecurityEvent {
  return { type: "securityEvent", kind, conversation: null, account: null, device: null, ...suspect };
}

/**
 * A contact appears under another identity key: a new beginning of theirs, or somebody in their place.
 *
 * Nothing is sent to them until `acknowledgeIdentity`; then compare safety numbers. After an acknowledgement on another
 * device of ours this is shown too: each device is asked for its own.
 */
export interface IdentityChanged {
  readonly type: "identityChanged";
  readonly account: AccountId;
}

/** A contact counts as verified, or no longer does: here or on another device of ours. */
export interface VerificationChanged {
  readonly type: "verificationChanged";
  readonly account: AccountId;
  readonly verified: boolean;
}

/**
 * A day after the server took our message, a device that has written to us since does not have it.
 *
 * parked: it has the message and could not open it yet.
 */
export interface NotDelivered {
  readonly type: "notDelivered";
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly parked: boolean;
}

/** A device has given up: it could never open our message, though it asked. Sending it again would help. */
export interface NotReadable {
  readonly type: "notReadable";
  readonly conversation: ConversationId;
  readonly id: MessageId;
  readonly account: AccountId;
  readonly device: DeviceId;
}

/** A message is gone for good: its time was over. */
export interface MessageRemoved {
  readonly type: "messageRemoved";
  readonly conversation: ConversationId;
  readonly id: MessageId;
}

/**
 * Another device of ours has read, muted or drafted something, or older messages have come from the server, which no
 * other event names: read the conversation again.
 */
export interface ConversationChanged {
  readonly type: "conversationChanged";
  readonly conversation: ConversationId;
}

/** Another device of ours has changed a setting. */
export interface SettingChanged {
  readonly type: "settingChanged";
  readonly name: string;
}

/** The vault cannot be written: nothing is acknowledged until it can. detail: one sentence for the person. */
export interface StorageProblem {
  readonly type: "storageProblem";
  readonly detail: string;
}

/** Everything a host is told. */
export type Event =
  | ConnectionChanged
  | CaughtUp
  | MessageReceived
  | MessageRemoved
  | ConversationChanged
  | SettingChanged
  | MessageChanged
  | MessageStatus
  | Typing
  | PresenceChanged
  | MemberJoined
  | NotDelivered
  | NotReadable
  | DevicesChanged
  | SignedOut
  | ProfileChanged
  | Placeholder
  | PlaceholderRemoved
  | SecurityEvent
  | IdentityChanged
  | VerificationChanged
  | StorageProblem
  | CallEvent
  | CareEvent
  | MeetingEvent;
