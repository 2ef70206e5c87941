/**
 * What the vault holds: one record type per table, and the tables.
 *
 * Fields are only added, with a default for the records of before. A step that changes a record reads it, makes the
 * next value and puts it back in one go (`amend`), so that no stale copy can overwrite a newer one.
 */

import type { CallNote } from "../../call-views.ts";
import type { Card } from "../../crypto/invites.ts";
import type { MessageKind, PlaceholderReason, SecurityKind, Status } from "../../events.ts";
import type { AppointmentNews } from "../../meetings.ts";
import type {
  AccountId,
  ConversationId,
  DeviceId,
  ItemId,
  MessageId,
  SessionId,
  StoreEpoch,
} from "../../protocol/ids.ts";
import type { MembershipState } from "../../protocol/membership.ts";
import type { Register } from "../../protocol/requests.ts";
import type { ContentMap } from "../bodies/content.ts";
import { Table } from "./tables.ts";
import type { Me } from "./turn.ts";

// --- people and devices --------------------------------------------------------------------------------------------

/**
 * An account as it is pinned: identity key and verified device lists, oldest first.
 *
 * rivals: validly signed lists that contradict ours; while there are any, nothing is sent to the account. settled:
 * hashes (hex) of those that a comparison of safety numbers has settled. verified: the person has compared them.
 * changed: lists of the account under another identity key, valid in themselves; while there are any, nothing is sent
 * to it. former: identity keys that such a change was acknowledged away from. refused: those that a comparison of
 * safety numbers has proved false. expected, expectedMs: the highest list version that a member names and we do not
 * hold, and since when.
 */
export interface Contact {
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly lists: readonly Uint8Array[];
  readonly name: string;
  readonly rivals: readonly Uint8Array[];
  readonly verified: boolean;
  readonly changed: readonly Uint8Array[];
  readonly settled: readonly string[];
  readonly former: readonly Uint8Array[];
  readonly refused: readonly Uint8Array[];
  readonly expected: number;
  readonly expectedMs: number;
}

/** What a contact starts with, beside its account, key and lists. */
export const NEW_CONTACT = {
  name: "",
  rivals: [],
  verified: false,
  changed: [],
  settled: [],
  former: [],
  refused: [],
  expected: 0,
  expectedMs: 0,
} as const satisfies Partial<Contact>;

/** Whether nothing may be sent to the account until the person has decided. */
export function isBlocked(contact: Contact): boolean {
  return contact.rivals.length > 0 || contact.changed.length > 0;
}

/** Whose a device is. */
export interface DeviceOwner {
  readonly account: AccountId;
}

/** An invite that this device has made: its secret token, its entries and sealed card as uploaded. */
export interface InviteRecord {
  readonly token: Uint8Array;
  readonly conv: ConversationId;
  readonly entries: readonly Uint8Array[];
  readonly card: Uint8Array;
}

/**
 * Device lists of an account that nobody has vouched for yet. They count once a membership entry names their identity
 * key.
 */
export interface OfferedLists {
  readonly lists: readonly Uint8Array[];
}

/** A membership entry that came before what it builds on. */
export interface WaitingEntry {
  readonly id: ItemId;
  readonly conv: ConversationId;
  readonly seq: number;
  readonly entry: Uint8Array;
}

/** Another device, and when something authentic came from it last. */
export interface Peer {
  readonly device: DeviceId;
  readonly account: AccountId;
  readonly heardMs: number;
}

/**
 * How often and when a device was asked to send keys again.
 *
 * sid: the session made for asking, null while its bundle is being claimed. started: how many sessions were made for
 * it. windowMs, requests: when the present ten minutes began, and how many requests were sent in them.
 */
export interface Helper {
  readonly device: DeviceId;
  readonly account: AccountId;
  readonly sid: SessionId | null;
  readonly sessionMs: number;
  readonly started: number;
  readonly windowMs: number;
  readonly requests: number;
}

/** What a helper starts with, beside its device and account. */
export const NEW_HELPER = { sid: null, sessionMs: 0, started: 0, windowMs: 0, requests: 0 } as const;

// --- conversations -------------------------------------------------------------------------------------------------

/** A member who is gone: from `epoch` and `seq` on nothing of theirs counts. */
export interface Former {
  readonly account: AccountId;
  readonly epoch: number;
  readonly seq: number;
}

/**
 * One conversation. membership: null for the self conversation.
 *
 * chain, sseq, prev: our own device's chain here; chain 0 = the next post starts one. after: the newest message of
 * others. shown: every seq up to this one has been accounted for; ahead: later ones that have. unread: bubbles of
 * others above readSeq. told: the newest message a read receipt was sent for. absent: devices that the server says
 * need no key.
 */
export interface Conversation {
  readonly conv: ConversationId;
  readonly membership: MembershipState | null;
  readonly chain: number;
  readonly sseq: number;
  readonly prev: MessageId | null;
  readonly after: MessageId | null;
  readonly afterSeq: number;
  readonly shown: number;
  readonly ahead: readonly number[];
  readonly unread: number;
  readonly readSeq: number;
  readonly readId: MessageId | null;
  readonly told: MessageId | null;
  readonly toldMs: number;
  readonly activeMs: number;
  readonly former: readonly Former[];
  readonly absent: readonly DeviceId[];
  /** 0 = not muted. */
  readonly mutedUntilMs: number;
  readonly draft: string;
  /** When our other devices were last told of a draft. */
  readonly draftToldMs: number;
  /** Our device's previous post here that the archive holds. */
  readonly prevKept: MessageId | null;
  /** Read on other devices up to these messages, which are not here yet. */
  readonly readAhead: readonly MessageId[];
  /** This device was linked when the conversation had begun: what is older is not expected on the stream. */
  readonly linked: boolean;
}

/** What a conversation starts with, beside its id and membership. */
export const NEW_CONVERSATION = {
  chain: 0,
  sseq: 0,
  prev: null,
  after: null,
  afterSeq: 0,
  shown: 0,
  ahead: [],
  unread: 0,
  readSeq: 0,
  readId: null,
  told: null,
  toldMs: 0,
  activeMs: 0,
  former: [],
  absent: [],
  mutedUntilMs: 0,
  draft: "",
  draftToldMs: 0,
  prevKept: null,
  readAhead: [],
  linked: false,
} as const satisfies Partial<Conversation>;

/** Membership epoch, 0 for the self conversation. */
export function epochOf(conversation: Conversation): number {
  return conversation.membership?.epoch ?? 0;
}

/**
 * A bubble, or a placeholder in its place. order: 2 x seq, one less for a placeholder whose seq is not known.
 *
 * reactions: account, emoji ("" = taken back), seq of the reaction. body: the sealed type and content of a message that
 * this version does not understand, else empty. waiting: members of whom no device has it yet, while it is ours and
 * sent. expiresMs: when it is removed on every device, 0 = never or not accepted yet. request: of a step of a cover,
 * which one. promisedMs: by when an answer was promised, 0 = nothing was; promiseVersion: of the office hours that it was
 * promised by; writtenMs: when its author says that it was written, noted only of what was promised an answer.
 */
export interface MessageRecord {
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly seq: number;
  readonly atMs: number;
  readonly kind: MessageKind;
  readonly text: string;
  readonly status: Status;
  readonly order: number;
  readonly replyTo: MessageId | null;
  readonly editSeq: number;
  readonly edited: boolean;
  readonly deleted: boolean;
  readonly reactions: readonly (readonly [account: AccountId, emoji: string, seq: number])[];
  readonly placeholder: PlaceholderReason | null;
  readonly fromRemovedDevice: boolean;
  readonly body: Uint8Array;
  readonly waiting: readonly AccountId[];
  readonly unreadBy: readonly AccountId[];
  readonly expiresMs: number;
  readonly request: string;
  readonly urgent: boolean;
  readonly promisedMs: number;
  readonly promiseVersion: number;
  readonly writtenMs: number;
  /** What a message about appointments says. */
  readonly appointment: AppointmentNews | null;
  /** What has come of a call. */
  readonly call: CallNote | null;
}

/** What a message starts with, beside what it is and where it stands. */
export const NEW_MESSAGE = {
  replyTo: null,
  editSeq: 0,
  edited: false,
  deleted: false,
  reactions: [],
  placeholder: null,
  fromRemovedDevice: false,
  body: new Uint8Array(0) as Uint8Array,
  waiting: [],
  unreadBy: [],
  expiresMs: 0,
  request: "",
  urgent: false,
  promisedMs: 0,
  promiseVersion: 0,
  writtenMs: 0,
  appointment: null,
  call: null,
} as const satisfies Partial<MessageRecord>;

/** An edit, deletion or reaction whose message is not here yet. */
export interface Change {
  readonly target: MessageId;
  readonly account: AccountId;
  readonly type: string;
  readonly content: ContentMap;
  readonly seq: number;
}

/** A message, or a change of one, that is removed at its time. target: what is removed, or was changed. */
export interface Expiring {
  readonly conv: ConversationId;
  readonly device: DeviceId;
  readonly target: MessageId;
  readonly expiresMs: number;
}

/**
 * One value that the account's devices share, by the highest seq. content: null = none has come yet.
 *
 * queued: our own post that was not accepted yet; what it says counts above all until then. wanted: that.
 */
export interface OwnValue {
  readonly type: string;
  readonly content: ContentMap | null;
  readonly seq: number;
  readonly queued: MessageId | null;
  readonly wanted: ContentMap | null;
}

/** What an own value starts with, beside its type. */
export const NEW_OWN_VALUE = { content: null, seq: 0, queued: null, wanted: null } as const;

/** What counts here now; null = nothing. */
export function standingOf(value: OwnValue): ContentMap | null {
  return value.wanted ?? value.content;
}

/**
 * The newest post of one device in one conversation, and its key for signals; empty once that has expired.
 *
 * history: it was read from the archive, which does not hold all of them.
 */
export interface SenderChain {
  readonly chain: number;
  readonly sseq: number;
  readonly last: MessageId;
  readonly key: Uint8Array;
  readonly seq: number;
  readonly history: boolean;
}

/** A committed message: repeats are acknowledged with the same archive entry and dropped. */
export interface SeenMessage {
  readonly seq: number;
  readonly entry: Uint8Array | null;
}

// --- what arrives and cannot be opened yet -------------------------------------------------------------------------

/** A message as it arrived. seq 0: a direct. key: this device's sealed key, empty when it was not given. */
export interface Envelope {
  readonly seq: number;
  readonly at: number;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly key: Uint8Array;
}

/** What is being tried for a message that could not be opened. */
export type Attempt =
  /** Waits for the sender's device lists (F5). */
  | "lists"
  /** Waits for the membership chain (F6). */
  | "chain"
  /** Is asked of the server again, with the archive entry (F1-F4, F7, F9). */
  | "fetch"
  /** Is asked of the sending device. */
  | "ask"
  /** Waits for a newer program (F8). */
  | "update"
  /** Nothing more is tried: quarantined, or given up. */
  | "none";

/**
 * A message that exists and could not be opened. envelope: null while only its id is known (F9).
 *
 * commitment: kc of its outer, zeros when unknown. afterSeq: seq of the message that named it, for its place. key,
 * hash: a resent key that has no body yet. target: the device that is asked instead of the sending one, null for that.
 * part: what has come of a body that is sent in parts.
 */
export interface PendingMessage {
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly failure: string;
  readonly attempt: Attempt;
  readonly sinceMs: number;
  readonly envelope: Envelope | null;
  readonly commitment: Uint8Array;
  readonly reason: PlaceholderReason;
  readonly afterSeq: number;
  readonly dueMs: number;
  readonly fetched: number;
  readonly asked: number;
  readonly key: Uint8Array;
  readonly hash: Uint8Array;
  readonly target: DeviceId | null;
  readonly part: Uint8Array;
}

/** What a pending message starts with, beside what is known of it. */
export const NEW_PENDING = {
  reason: "waiting",
  afterSeq: 0,
  dueMs: 0,
  fetched: 0,
  asked: 0,
  key: new Uint8Array(0) as Uint8Array,
  hash: new Uint8Array(0) as Uint8Array,
  target: null,
  part: new Uint8Array(0) as Uint8Array,
} as const satisfies Partial<PendingMessage>;

/** Something in the security log: see SecurityEvent. */
export interface Noticed {
  readonly kind: SecurityKind;
  readonly atMs: number;
  readonly conv: ConversationId | null;
  readonly account: AccountId | null;
  readonly device: DeviceId | null;
}

/** Of the way in which words are folded and kept for the search (`searching.ts`). */
export const SEARCH_VERSION = 1;

// --- the device itself ---------------------------------------------------------------------------------------------

/**
 * Single values. name: our own, as members see it. linkHash: of the link that this device has joined by.
 *
 * oneTimeLeft: bundles on the server, as far as known. storeEpoch: of the server's store; null before the first
 * sign-in. searchVersion: how the index of the search was made; another number than SEARCH_VERSION: it is made anew.
 */
export interface Settings {
  readonly name: string;
  readonly linkHash: Uint8Array;
  readonly oneTimeLeft: number;
  readonly storeEpoch: StoreEpoch | null;
  readonly searchVersion: number;
}

/** What a vault starts with. */
export const NEW_SETTINGS: Settings = {
  name: "",
  linkHash: new Uint8Array(0),
  oneTimeLeft: 0,
  storeEpoch: null,
  searchVersion: 0,
};

/** Numbers that only grow. orders: of the outbox. prekeyId: the last id given to a prekey. */
export interface Counters {
  readonly orders: number;
  readonly prekeyId: number;
}

/** What a vault starts with. */
export const NEW_COUNTERS: Counters = { orders: 0, prekeyId: 0 };

/**
 * A registration that has not been answered. register: as it was or will be sent. chain: membership entries with our
 * join at the end.
 */
export interface Joining {
  readonly link: string;
  readonly register: Register;
  readonly chain: readonly Uint8Array[];
  readonly card: Card | null;
}

/**
 * New prekeys that the server has not confirmed; the same bytes for every try. replace: the server drops the one-time
 * bundles that it still has.
 */
export interface PrekeysToUpload {
  readonly signed: Uint8Array | null;
  readonly lastResort: Uint8Array | null;
  readonly oneTime: readonly Uint8Array[];
  readonly replace: boolean;
}

/** By account. */
export const CONTACTS = new Table<Contact>("contact", NEW_CONTACT);
/** Whose a device is, for every device of every held list. */
export const DEVICES = new Table<DeviceOwner>("device");
/** One record under the empty key. */
export const ME = new Table<Me>("me", { role: null });
/** One record under the empty key until the registration is answered. */
export const JOINING = new Table<Joining>("joining");
/** By invite id. */
export const INVITES = new Table<InviteRecord>("invite");
/** By account. */
export const OFFERED = new Table<OfferedLists>("offered");
/** By item id; group: conversation; order: epoch. */
export const WAITING_ENTRIES = new Table<WaitingEntry>("waiting_entry");
/** By device. */
export const PEERS = new Table<Peer>("peer");
/** By device. */
export const HELPERS = new Table<Helper>("helper", NEW_HELPER);
/** By conversation; order: none. */
export const CONVERSATIONS = new Table<Conversation>("conversation", NEW_CONVERSATION);
/** By id; group: conversation; order: MessageRecord.order. */
export const MESSAGES = new Table<MessageRecord>("message", NEW_MESSAGE);
/** By target, account and type; group: target; order: seq. */
export const CHANGES = new Table<Change>("change");
/** By message id; order: when, milliseconds of the server's clock. */
export const EXPIRING = new Table<Expiring>("expiring");
/** By type and subject (`own-values.ts`); group: type. */
export const OWN = new Table<OwnValue>("own", NEW_OWN_VALUE);
/** By conversation and device. */
export const CHAINS = new Table<SenderChain>("chain", { history: false });
/** By message id; order: time of commit. */
export const SEEN = new Table<SeenMessage>("seen");
/** By message id; group: conversation; order: seq. */
export const PENDING = new Table<PendingMessage>("pending", NEW_PENDING);
/** By number; group: kind; order: time. */
export const NOTICED = new Table<Noticed>("noticed");
/** One record under the empty key. */
export const SETTINGS = new Table<Settings>("settings", NEW_SETTINGS);
/** One record under the empty key. */
export const COUNTERS = new Table<Counters>("counters", NEW_COUNTERS);
/** One record under the empty key while there is something to upload. */
export const UPLOADS = new Table<PrekeysToUpload>("upload", { replace: false });
