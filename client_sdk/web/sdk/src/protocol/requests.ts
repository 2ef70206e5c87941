// biome-ignore-all format: written by client_sdk/protocol/generate_typescript.py; do not edit by hand

/**
 * Everything that is asked over HTTP, one frozen type per body, and the table of operations.
 *
 * Bodies are MessagePack (`application/msgpack`) or JSON (`application/json`) of the same types; refusals are
 * `application/problem+json` with the codes of `errors.ts`. Byte strings named after a structure hold a layout of
 * `signed.ts`.
 *
 * Source: docs/protocol.md, "HTTP operations".
 */

import type { AccountId, ClaimId, ConversationId, DeviceId, ItemId, LinkId, MessageId } from "./ids.ts";
import type { AppointmentOutcome, Appointments, Calendar, CalendarFeed, HostAct, Knock, PutAppointments, Reached, RoomLink, RoomLinkOpened, RoomLinkUse, RoomView, TurnCredentials, TurnWanted } from "./meeting.ts";

/** What an account is in its practice. */
export type Role =
  /** Runs the practice. */
  | "owner"
  /** Leads conversations. */
  | "therapist"
  /** Is led. */
  | "client";

/** A device's prekeys: signed prekey, last-resort key and up to 50 one-time bundles. */
export interface Prekeys {
  /** 108 bytes. */
  readonly signed: Uint8Array;
  /** 1,260 bytes. */
  readonly lastResort: Uint8Array;
  /** At most 100. */
  readonly oneTime: readonly Uint8Array[];
}

/**
 * Signed device lists of one account, oldest first.
 *
 * They begin with the account's newest AIK-signed list, or with the version asked for.
 */
export interface AccountDevices {
  readonly account: AccountId;
  readonly lists: readonly Uint8Array[];
}

/** The lists of one account, oldest first. */
export interface DeviceLists {
  readonly lists: readonly Uint8Array[];
}

/**
 * The account's next device list, compare-and-swap on its version; `list_stale` to the loser.
 *
 * prekeys: of the device that the list adds, when it adds one.
 */
export interface DeviceListUpdate {
  /** At most 8,192 bytes. */
  readonly list: Uint8Array;
  readonly prekeys: Prekeys | null;
}

/**
 * Device lists that a restored server has lost, brought back by a device that it does not know therefore.
 *
 * lists: consecutive, oldest first, the last one holding the device. prekeys: of the device.
 */
export interface ReturnedLists {
  readonly device: DeviceId;
  /** 1 to 16. */
  readonly lists: readonly Uint8Array[];
  readonly prekeys: Prekeys;
}

/**
 * New prekeys of the asking device. Idempotent by id; the same id with other bytes is `conflict`.
 *
 * replace: one-time bundles of the device that are not in this upload are dropped.
 */
export interface PrekeyUpload {
  /** 108 bytes. */
  readonly signed: Uint8Array | null;
  /** 1,260 bytes. */
  readonly lastResort: Uint8Array | null;
  /** At most 100. */
  readonly oneTime: readonly Uint8Array[];
  readonly replace: boolean;
}

/**
 * How many one-time bundles the server now holds for the device.
 *
 * highest: the highest id of any prekey that the device has ever uploaded; lower ones are not taken any more.
 */
export interface PrekeysLeft {
  readonly oneTime: number;
  readonly highest: number;
}

/** Asks for one bundle per device; the same claim id gets the same answer for 10 minutes. */
export interface Claim {
  readonly claim: ClaimId;
  /** At most 160. */
  readonly devices: readonly DeviceId[];
}

/** What starts a session with one device: the signed prekey and a one-time bundle, else the last-resort key. */
export interface Bundle {
  readonly device: DeviceId;
  /** 108 bytes. */
  readonly signed: Uint8Array;
  /** At most 1,292 bytes. */
  readonly key: Uint8Array;
  readonly lastResort: boolean;
}

/** One bundle per device asked for; devices that are not listed or not shared with the asker are left out. */
export interface Claimed {
  readonly bundles: readonly Bundle[];
}

/**
 * Opens the meeting place of a new device and an existing one, for three minutes.
 *
 * An account has one: a new one ends the old. commitment: step 0.
 */
export interface LinkOpen {
  readonly link: LinkId;
  /** 32 bytes. */
  readonly commitment: Uint8Array;
}

/** The next step of a link. Written once: identical bytes are answered as before, other bytes are `conflict`. */
export interface LinkStep {
  /** 1 to 5. */
  readonly step: number;
  /** 1 to 131,072 bytes. */
  readonly content: Uint8Array;
}

/** How far a link has come. steps: what was written so far, in order; the first is the commitment. */
export interface LinkState {
  readonly expiresMs: number;
  readonly serverTimeMs: number;
  readonly steps: readonly Uint8Array[];
}

/**
 * An open invite as anybody who knows its id may see it.
 *
 * The secret that opens `card` is only in the link's fragment.
 */
export interface InviteView {
  readonly conv: ConversationId;
  /** At most 32,768 bytes. */
  readonly card: Uint8Array;
  /** The conversation's membership entries, from genesis. */
  readonly chain: readonly Uint8Array[];
  /** Device lists of the accounts whose entries stand in the chain. */
  readonly lists: readonly AccountDevices[];
  readonly serverTimeMs: number;
}

/**
 * First registration of an account: exactly one of `join` and `ownerToken`. Idempotent by identical bytes.
 *
 * list: device list 1 with its signature. join: membership entry `join` of the invite's conversation.
 */
export interface Register {
  /** At most 8,192 bytes. */
  readonly list: Uint8Array;
  readonly prekeys: Prekeys;
  /** At most 4,096 bytes. */
  readonly join: Uint8Array | null;
  /** 32 bytes. */
  readonly ownerToken: Uint8Array | null;
}

/** The account exists; the device may sign in. */
export interface Registered {
  readonly role: Role;
  /** seq of the join entry, 0 for an owner. */
  readonly seq: number;
}

/**
 * An invite: the entries to append, and the sealed card.
 *
 * entries: genesis and invite for a new conversation, invite alone for an existing one.
 */
export interface CreateInvite {
  /** 1 to 2. */
  readonly entries: readonly Uint8Array[];
  /** At most 32,768 bytes. */
  readonly card: Uint8Array;
}

/**
 * One membership entry, compare-and-swap on its epoch.
 *
 * `epoch_stale` to the loser. Idempotent by identical bytes.
 */
export interface AppendEntry {
  /** At most 4,096 bytes. */
  readonly entry: Uint8Array;
}

/** The (last) entry stands in the chain. */
export interface Appended {
  readonly seq: number;
  readonly at: number;
}

/** One entry of a chain with the place it took. */
export interface MembershipItem {
  readonly seq: number;
  readonly at: number;
  /** At most 4,096 bytes. */
  readonly entry: Uint8Array;
}

/** Entries above the epoch asked for, oldest first. */
export interface MembershipChain {
  readonly items: readonly MembershipItem[];
}

/**
 * Where a conversation stands. kind: 0 self, 1 pair, 2 group. epoch: 0 for self.
 *
 * base: after a restore from backup, the seq below which no gap is assumed; 0 = never restored.
 */
export interface ConversationHead {
  readonly conv: ConversationId;
  readonly kind: number;
  readonly epoch: number;
  readonly seq: number;
  readonly base: number;
}

/** The asking account's conversations. */
export interface Conversations {
  readonly heads: readonly ConversationHead[];
}

/** One member account, its newest list version and which of its devices must get a key (ascending, joined). */
export interface AccountVersion {
  readonly account: AccountId;
  readonly listVersion: number;
  /** At most 128 bytes. */
  readonly devices: Uint8Array;
}

/** The device set a post must be sealed for now: these, less the sending device. */
export interface RequiredDevices {
  readonly epoch: number;
  readonly accounts: readonly AccountVersion[];
}

/** A stored body with the asking account's archive entry. */
export interface ArchivedItem {
  readonly seq: number;
  readonly at: number;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly entry: Uint8Array;
}

/** Archived bodies by ascending seq. nextSeq: ask again from here; 0 = that was all. */
export interface ArchivePage {
  readonly items: readonly ArchivedItem[];
  readonly nextSeq: number;
}

/** Asks for items of one conversation by id: delivered again (parked ones too) and archived alike. */
export interface Fetch {
  /** At most 256. */
  readonly ids: readonly ItemId[];
}

/** A message found by id. key: this device's sealed key while unacknowledged; entry: the account's archive entry. */
export interface FetchedItem {
  readonly seq: number;
  readonly at: number;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  /** At most 16,400 bytes. */
  readonly ct: Uint8Array;
  readonly key: Uint8Array | null;
  readonly entry: Uint8Array | null;
}

/** What was found; ids that are absent or not for the asker are left out. */
export interface FetchedItems {
  readonly items: readonly FetchedItem[];
}

/** Asks who still lacks these messages of the asking account. */
export interface Receipts {
  /** At most 256. */
  readonly ids: readonly MessageId[];
}

/** Of one message: devices that have not acknowledged and devices that parked it (joined ids). */
export interface DeviceReceipt {
  readonly id: MessageId;
  readonly waiting: Uint8Array;
  readonly parked: Uint8Array;
}

/** One receipt per message still in a mailbox; one that is left out was acknowledged by all and swept. */
export interface ReceiptsOf {
  readonly receipts: readonly DeviceReceipt[];
}

/** RFC 9457 body of every refusal. type is `about:blank`; code is from `errors.ts`; no user data. */
export interface Problem {
  readonly code: string;
  readonly status: number;
  readonly title: string;
  readonly retryable: boolean;
  readonly retryAfterMs: number;
  readonly epoch?: number;
  readonly type: string;
}

/**
 * The asker's next office-hours document, in place of the one before. Idempotent by identical bytes.
 *
 * `conflict` when its version is not above the one that stands: fetch that, and sign again above it.
 */
export interface OfficePublish {
  /** At most 16,509 bytes. */
  readonly document: Uint8Array;
}

/** The document of an account that stands now, empty when it has none. */
export interface OfficeView {
  readonly document: Uint8Array;
  readonly serverTimeMs: number;
}

/** One public holiday. date: "2026-12-25"; name: in English. */
export interface Holiday {
  readonly date: string;
  readonly name: string;
}

/**
 * The public holidays of a country or one of its regions in one year, by date.
 *
 * regions: those that the country's holidays differ by, whichever was asked for.
 */
export interface Holidays {
  readonly days: readonly Holiday[];
  readonly regions: readonly string[];
}

/**
 * When a device wants no push: from `start` until `end`, minutes after midnight in its zone.
 *
 * Over midnight when start >= end. urgent: urgent messages and calls are pushed all the same.
 */
export interface QuietHours {
  /** At most 64 characters. */
  readonly zone: string;
  /** At most 1,439. */
  readonly start: number;
  /** At most 1,439. */
  readonly end: number;
  readonly urgent: boolean;
}

/**
 * Where this device is reached while it is not connected (RFC 8030), in place of what it said before.
 *
 * An empty endpoint ends it. p256dh, auth: the browser's key and secret (RFC 8291).
 */
export interface PushSubscription {
  /** At most 1,024 characters. */
  readonly endpoint: string;
  /** At most 65 bytes. */
  readonly p256dh: Uint8Array;
  /** At most 16 bytes. */
  readonly auth: Uint8Array;
  readonly quiet: QuietHours | null;
}

/**
 * What the server needs and knows of pushes to the asking device.
 *
 * vapidKey: the server's public key (RFC 8292), 65 bytes, empty when the server does not push.
 */
export interface PushState {
  readonly vapidKey: Uint8Array;
  readonly subscribed: boolean;
  readonly quiet: QuietHours | null;
}

/**
 * A person has seen an urgent message: the server need not go on asking.
 *
 * For the server only; what the client is shown is the sealed `urgent.seen`. By a member of the message's conversation
 * who did not write it, or the colleague who was asked. client: who wrote it.
 */
export interface UrgentSeen {
  readonly message: MessageId;
  readonly client: AccountId;
}

/** How far an urgent message has come, by the server's word. rung: a `Rung`; nextMs: 0 = nothing more follows. */
export interface UrgentState {
  readonly rung: number;
  readonly atMs: number;
  readonly nextMs: number;
}

/** Request and response body of every HTTP operation by its name. */
export interface Operations {
  "invite.view": { request: null; response: InviteView };
  "account.register": { request: Register; response: Registered };
  "devices.lists": { request: null; response: DeviceLists };
  "devices.update": { request: DeviceListUpdate; response: DeviceLists };
  "devices.restore": { request: ReturnedLists; response: DeviceLists };
  "prekeys.upload": { request: PrekeyUpload; response: PrekeysLeft };
  "prekeys.claim": { request: Claim; response: Claimed };
  "invite.create": { request: CreateInvite; response: Appended };
  "linking.open": { request: LinkOpen; response: LinkState };
  "linking.step": { request: LinkStep; response: LinkState };
  "linking.answer": { request: LinkStep; response: LinkState };
  "linking.state": { request: null; response: LinkState };
  "conversation.list": { request: null; response: Conversations };
  "membership.append": { request: AppendEntry; response: Appended };
  "membership.chain": { request: null; response: MembershipChain };
  "conversation.devices": { request: null; response: RequiredDevices };
  "archive.page": { request: null; response: ArchivePage };
  "messages.fetch": { request: Fetch; response: FetchedItems };
  "messages.receipts": { request: Receipts; response: ReceiptsOf };
  "office.publish": { request: OfficePublish; response: OfficeView };
  "office.document": { request: null; response: OfficeView };
  "office.holidays": { request: null; response: Holidays };
  "push.state": { request: null; response: PushState };
  "push.subscribe": { request: PushSubscription; response: PushState };
  "turn.credentials": { request: TurnWanted; response: TurnCredentials };
  "appointment.put": { request: PutAppointments; response: Appointments };
  "appointment.list": { request: null; response: Appointments };
  "appointment.outcome": { request: AppointmentOutcome; response: Appointments };
  "appointment.reached": { request: Reached; response: Appointments };
  "appointment.calendar": { request: null; response: Calendar };
  "calendar.feed": { request: null; response: CalendarFeed };
  "calendar.end": { request: null; response: CalendarFeed };
  "room.view": { request: null; response: RoomView };
  "room.knock": { request: Knock; response: RoomView };
  "room.act": { request: HostAct; response: RoomView };
  "room.link": { request: RoomLink; response: RoomLinkOpened };
  "room.use_link": { request: RoomLinkUse; response: RoomLinkOpened };
  "room.end_link": { request: null; response: RoomLinkOpened };
  "urgent.seen": { request: UrgentSeen; response: UrgentState };
}

/** The name of an HTTP operation. */
export type OperationName = keyof Operations;

/** The body that an operation is asked with; null for none. */
export type RequestOf<Name extends OperationName> = Operations[Name]["request"];

/** The body that an operation is answered with. */
export type ResponseOf<Name extends OperationName> = Operations[Name]["response"];

/**
 * Every HTTP operation by name. Ids in paths are hexadecimal.
 *
 * Query parameters: `devices.lists?from=V`, `membership.chain?above=E`, `archive.page?from=S&to=S&limit=N`,
 * `office.holidays?country=GB&region=ENG&year=2026`, `appointment.list?from=MS&to=MS`.
 *
 * A row: method, path template, structures asked and answered.
 */
export const OPERATIONS: { readonly [name in OperationName]: readonly [method: string, path: string, request: string | null, response: string] } = {
  "invite.view": ["GET", "/v1/invites/{invite}", null, "InviteView"],
  "account.register": ["POST", "/v1/register", "Register", "Registered"],
  "devices.lists": ["GET", "/v1/accounts/{account}/devices", null, "DeviceLists"],
  "devices.update": ["POST", "/v1/devices", "DeviceListUpdate", "DeviceLists"],
  "devices.restore": ["POST", "/v1/accounts/{account}/devices", "ReturnedLists", "DeviceLists"],
  "prekeys.upload": ["POST", "/v1/prekeys", "PrekeyUpload", "PrekeysLeft"],
  "prekeys.claim": ["POST", "/v1/claims", "Claim", "Claimed"],
  "invite.create": ["POST", "/v1/invites", "CreateInvite", "Appended"],
  "linking.open": ["POST", "/v1/links", "LinkOpen", "LinkState"],
  "linking.step": ["POST", "/v1/links/{link}", "LinkStep", "LinkState"],
  "linking.answer": ["POST", "/v1/links/{link}/answer", "LinkStep", "LinkState"],
  "linking.state": ["GET", "/v1/links/{link}", null, "LinkState"],
  "conversation.list": ["GET", "/v1/conversations", null, "Conversations"],
  "membership.append": ["POST", "/v1/conversations/{conv}/membership", "AppendEntry", "Appended"],
  "membership.chain": ["GET", "/v1/conversations/{conv}/membership", null, "MembershipChain"],
  "conversation.devices": ["GET", "/v1/conversations/{conv}/devices", null, "RequiredDevices"],
  "archive.page": ["GET", "/v1/conversations/{conv}/archive", null, "ArchivePage"],
  "messages.fetch": ["POST", "/v1/conversations/{conv}/fetch", "Fetch", "FetchedItems"],
  "messages.receipts": ["POST", "/v1/conversations/{conv}/receipts", "Receipts", "ReceiptsOf"],
  "office.publish": ["POST", "/v1/office", "OfficePublish", "OfficeView"],
  "office.document": ["GET", "/v1/accounts/{account}/office", null, "OfficeView"],
  "office.holidays": ["GET", "/v1/holidays", null, "Holidays"],
  "push.state": ["GET", "/v1/push", null, "PushState"],
  "push.subscribe": ["POST", "/v1/push", "PushSubscription", "PushState"],
  "turn.credentials": ["POST", "/v1/turn", "TurnWanted", "TurnCredentials"],
  "appointment.put": ["POST", "/v1/appointments", "PutAppointments", "Appointments"],
  "appointment.list": ["GET", "/v1/appointments", null, "Appointments"],
  "appointment.outcome": ["POST", "/v1/appointments/{appointment}/outcome", "AppointmentOutcome", "Appointments"],
  "appointment.reached": ["POST", "/v1/appointments/{appointment}/reached", "Reached", "Appointments"],
  "appointment.calendar": ["GET", "/v1/appointments/{appointment}/calendar", null, "Calendar"],
  "calendar.feed": ["POST", "/v1/calendar-feed", null, "CalendarFeed"],
  "calendar.end": ["DELETE", "/v1/calendar-feed", null, "CalendarFeed"],
  "room.view": ["GET", "/v1/appointments/{appointment}/room", null, "RoomView"],
  "room.knock": ["POST", "/v1/appointments/{appointment}/knock", "Knock", "RoomView"],
  "room.act": ["POST", "/v1/appointments/{appointment}/room", "HostAct", "RoomView"],
  "room.link": ["POST", "/v1/appointments/{appointment}/links", "RoomLink", "RoomLinkOpened"],
  "room.use_link": ["POST", "/v1/room-links/{link}", "RoomLinkUse", "RoomLinkOpened"],
  "room.end_link": ["DELETE", "/v1/room-links/{link}", null, "RoomLinkOpened"],
  "urgent.seen": ["POST", "/v1/urgent", "UrgentSeen", "UrgentState"],
};
