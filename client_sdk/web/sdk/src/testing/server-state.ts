/**
 * What the server for tests remembers: plain records in maps, and the moves everything else is made of.
 *
 * All of it is one value that can be copied (`structuredClone`), so that a test can back the server up and restore it.
 */

import type { CallRecord } from "../calls/arbiter.ts";
import { type DeviceList, parseSignedDeviceList, type SignedDeviceList } from "../protocol/device-lists.ts";
import { Rejected } from "../protocol/errors.ts";
import {
  type AccountId,
  type AppointmentId,
  type ClaimId,
  type ConversationId,
  type DeviceId,
  type InviteId,
  type ItemId,
  idOf,
  type LinkId,
  type MessageId,
  type RoomLinkId,
  type StoreEpoch,
} from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS, DORMANT_AFTER_MS, RECOVERY_MS, SEQ_JUMP } from "../protocol/limits.ts";
import type { AppointmentTimes } from "../protocol/meeting.ts";
import type { NoticeKind } from "../protocol/messages.ts";
import type { Bundle, PushSubscription, Role } from "../protocol/requests.ts";
import type { Rung } from "../protocol/urgent.ts";
import type { Door } from "../rooms/door.ts";
import type { Person } from "../rooms/person.ts";
import type { DoorState } from "../rooms/states.ts";

/** Kinds of conversations: of an account's own devices, and of two people; groups are 2. */
export const KIND_SELF = 0;
export const KIND_PAIR = 1;

/** Who asks: the device that proved itself. */
export interface Principal {
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly role: Role;
}

/** A prekey with its number. */
export type Numbered = readonly [id: number, raw: Uint8Array];

/** One device. listed: in the newest list. revoked: out for good. top: highest one-time id ever uploaded. */
export interface DeviceRecord {
  readonly account: AccountId;
  readonly dsig: Uint8Array;
  listed: boolean;
  revoked: boolean;
  lastAuth: Uint8Array | null;
  seenAt: number;
  dormant: boolean;
  signed: Numbered | null;
  lastResort: Numbered | null;
  oneTime: Map<number, Uint8Array>;
  top: number;
}

/** One entry of a conversation's chain, in its place. */
export interface ChainItem {
  readonly id: ItemId;
  readonly epoch: number;
  readonly raw: Uint8Array;
  readonly seq: number;
  readonly at: number;
}

/** One conversation. base: after a restore, the seq below which no gap is assumed. */
export interface ConversationRecord {
  readonly kind: number;
  members: Set<AccountId>;
  epoch: number;
  seq: number;
  base: number;
  readonly chain: ChainItem[];
}

/**
 * One thing in mailboxes. owed: the sealed key of every device that has not acknowledged. parked: those of them that
 * set it aside. entries: archive entries by account. freedAt: when the last device acknowledged.
 */
export interface Item {
  position: number;
  readonly id: ItemId;
  readonly form: "message" | "entry" | "notice";
  readonly conv: ConversationId | null;
  readonly seq: number;
  readonly at: number;
  readonly owed: Map<DeviceId, Uint8Array>;
  readonly body: Uint8Array;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly kind: string;
  readonly account: AccountId | null;
  readonly device: DeviceId | null;
  readonly actUntil: number;
  readonly parked: Set<DeviceId>;
  readonly entries: Map<AccountId, Uint8Array>;
  freedAt: number | null;
  warned: boolean;
}

/** An invite; its card is there while it is open. */
export interface InviteRecord {
  readonly conv: ConversationId;
  readonly role: Role;
  readonly card: Uint8Array;
  readonly expiresMs: number;
  open: boolean;
}

/** A link of a new device. */
export interface LinkRecord {
  readonly opener: Principal;
  readonly expiresMs: number;
  readonly steps: Uint8Array[];
}

/** One account. lists: oldest first. */
export interface AccountRecord {
  readonly role: Role;
  readonly lists: { readonly version: number; readonly raw: Uint8Array; readonly byIdentityKey: boolean }[];
}

/** Everything that the server knows. Hashes are hexadecimal. */
export interface ServerState {
  readonly seed: Uint8Array;
  storeEpoch: StoreEpoch;
  /** When it was last restored from a backup; 0 = never. */
  restoredMs: number;
  position: number;
  readonly ownerTokenHash: string;
  ownerTokenUsed: boolean;
  readonly accounts: Map<AccountId, AccountRecord>;
  readonly devices: Map<DeviceId, DeviceRecord>;
  readonly registrations: Map<DeviceId, { readonly digest: string; readonly seq: number }>;
  readonly tokens: Map<string, { readonly principal: Principal; readonly expiresMs: number }>;
  readonly claims: Map<`${DeviceId}${ClaimId}`, { readonly at: number; readonly bundles: readonly Bundle[] }>;
  readonly invites: Map<InviteId, InviteRecord>;
  readonly conversations: Map<ConversationId, ConversationRecord>;
  readonly items: Map<ItemId, Item>;
  readonly links: Map<LinkId, LinkRecord>;
  /** The signed office-hours document that stands. */
  readonly offices: Map<AccountId, Uint8Array>;
  readonly pushes: Map<DeviceId, PushSubscription>;
  /** Urgent messages and how far each has come. */
  readonly urgent: Map<MessageId, UrgentLadder>;
  readonly appointments: Map<AppointmentId, AppointmentRecord>;
  /** The path of the calendar that an account has made an address for. */
  readonly feeds: Map<AccountId, string>;
  readonly calls: Map<MessageId, CallRecord>;
  /** Waiting rooms in which something has happened. */
  readonly rooms: Map<AppointmentId, RoomRecord>;
  readonly roomLinks: Map<RoomLinkId, RoomLinkRecord>;
}

/** One appointment. reminded: minutes of the reminders that were sent; reached: whose devices have taken the last one. */
export interface AppointmentRecord {
  readonly times: AppointmentTimes;
  readonly host: AccountId;
  readonly reminded: Set<number>;
  readonly reached: Set<AccountId>;
  outcome: string;
  minutesHeld: number;
}

/** Somebody at the door or in the room. version: of the room when they last changed. */
export interface PersonRecord {
  readonly person: Person;
  readonly version: number;
}

/** One waiting room. hosts: when each host who is in it was last heard of. told: the door as it stood last. */
export interface RoomRecord {
  version: number;
  locked: boolean;
  readonly hosts: Map<AccountId, number>;
  readonly people: Map<AccountId, PersonRecord>;
  door: Door;
  told: DoorState;
}

/** A join link. device: the one that is bound to it; tries: wrong passcodes so far. */
export interface RoomLinkRecord {
  readonly appointment: AppointmentId;
  readonly secretHash: string;
  readonly notBeforeMs: number;
  readonly expiresMs: number;
  readonly passcode: string;
  device: DeviceId | null;
  tries: number;
}

/** One urgent message. cover: the colleague who was asked. nextMs: when a rung is due next, 0 = it has ended. */
export interface UrgentLadder {
  readonly message: MessageId;
  readonly conv: ConversationId;
  readonly client: AccountId;
  readonly therapist: AccountId;
  readonly acceptedMs: number;
  cover: AccountId | null;
  rung: Rung;
  rungMs: number;
  nextMs: number;
}

/** The state, time, chance, and who is to be told of changes. */
export interface Store {
  state: ServerState;
  now(): number;
  random(size: number): Uint8Array;
  /** Something new may wait for these devices. */
  wake(devices: Iterable<DeviceId>): void;
  /** These devices were removed: their connections end. */
  drop(devices: Iterable<DeviceId>): void;
  /** Somebody's office hours, or who may see them, are different now. */
  offices(): void;
  /** Appointments or waiting rooms are different now. */
  rooms(): void;
}

/** A server that nobody has joined yet. */
export function newState(seed: Uint8Array, storeEpoch: StoreEpoch, ownerTokenHash: string): ServerState {
  return {
    seed,
    storeEpoch,
    restoredMs: 0,
    position: 0,
    ownerTokenHash,
    ownerTokenUsed: false,
    accounts: new Map(),
    devices: new Map(),
    registrations: new Map(),
    tokens: new Map(),
    claims: new Map(),
    invites: new Map(),
    conversations: new Map(),
    items: new Map(),
    links: new Map(),
    offices: new Map(),
    pushes: new Map(),
    urgent: new Map(),
    appointments: new Map(),
    feeds: new Map(),
    calls: new Map(),
    rooms: new Map(),
    roomLinks: new Map(),
  };
}

/** As `rapport restore` does: another epoch, numbers that were never given out, no tokens, claims or one-time keys. */
export function restored(backup: ServerState, storeEpoch: StoreEpoch, now: number): ServerState {
  const state = { ...structuredClone(backup), storeEpoch, restoredMs: now };
  for (const conversation of state.conversations.values()) {
    conversation.base = conversation.seq + SEQ_JUMP + 1;
    conversation.seq += SEQ_JUMP;
  }
  for (const device of state.devices.values()) {
    device.oneTime.clear();
    if (device.listed && !device.dormant) {
      device.seenAt = now;
    }
  }
  state.tokens.clear();
  state.claims.clear();
  state.links.clear();
  return state;
}

// --- refusals and rules that several chapters need -----------------------------------------------------------------

/** Absent, or not yours: one answer for both. */
export function notFound(): Rejected {
  return new Rejected("not_found", "no such thing, or not yours");
}

/** A stamp may be old (it was queued) but not ahead of the server's clock by more than 90 s. Rejected("bad_time"). */
export function requireTime(stampMs: number, now: number): void {
  if (stampMs > now + CLOCK_TOLERANCE_MS) {
    throw new Rejected("bad_time", "a time stamp is ahead of the server's clock");
  }
}

/** Whether the store was restored from a backup lately, so that devices bring back what it has lost. */
export function isRecovering({ state, now }: Store): boolean {
  return state.restoredMs > 0 && now() < state.restoredMs + RECOVERY_MS;
}

/** Identifiers in ascending order. */
export function ascending<Kind extends string>(ids: Iterable<Kind>): Kind[] {
  return [...ids].sort();
}

// --- who is where --------------------------------------------------------------------------------------------------

/** The listed devices of these accounts, ascending. */
export function listedDevices({ state }: Store, accounts: ReadonlySet<AccountId>): DeviceId[] {
  return ascending(
    [...state.devices].filter(([, held]) => held.listed && accounts.has(held.account)).map(([id]) => id),
  );
}

/** The listed devices that a post must be sealed for: those that are not dormant. */
export function requiredDevices(store: Store, accounts: ReadonlySet<AccountId>): DeviceId[] {
  return listedDevices(store, accounts).filter((device) => !store.state.devices.get(device)?.dormant);
}

/** Every account that is a member of a conversation together with this one, itself included. */
export function contactsOf({ state }: Store, account: AccountId): Set<AccountId> {
  const together = new Set(state.accounts.has(account) ? [account] : []);
  for (const { members } of state.conversations.values()) {
    if (members.has(account)) {
      for (const member of members) {
        together.add(member);
      }
    }
  }
  return together;
}

/** The device of a principal as long as it is listed. Rejected("unauthenticated") afterwards. */
export function ownDevice({ state }: Store, who: Principal): DeviceRecord {
  const device = state.devices.get(who.device);
  if (device === undefined || device.account !== who.account || !device.listed) {
    throw new Rejected("unauthenticated", "the device could not be recognised");
  }
  return device;
}

/** Of an account's listed devices those that need not be sealed for: unseen for 45 days while another was seen since. */
export function unseenDevices({ state }: Store, account: AccountId, now: number): Set<DeviceId> {
  const listed = [...state.devices].filter(([, held]) => held.listed && held.account === account);
  const unseen = listed.filter(([, held]) => held.seenAt <= now - DORMANT_AFTER_MS).map(([device]) => device);
  return new Set(unseen.length < listed.length ? unseen : []);
}

/** The conversation as one of its members sees it. Rejected("not_found") for everybody else. */
export function conversationOf({ state }: Store, who: Principal, conv: ConversationId): ConversationRecord {
  const found = state.conversations.get(conv);
  if (found === undefined || !found.members.has(who.account)) {
    throw notFound();
  }
  return found;
}

const parsed = new WeakMap<Uint8Array, SignedDeviceList>();

/** The device lists of an account, oldest first. */
export function listsOf({ state }: Store, account: AccountId): SignedDeviceList[] {
  return (state.accounts.get(account)?.lists ?? []).map(({ raw }) => {
    const list = parsed.get(raw) ?? parseSignedDeviceList(raw);
    parsed.set(raw, list);
    return list;
  });
}

/** The newest device list of an account. Rejected("not_found") without one. */
export function newestList(store: Store, account: AccountId): DeviceList {
  const list = listsOf(store, account).at(-1);
  if (list === undefined) {
    throw notFound();
  }
  return list.content;
}

// --- placing items -------------------------------------------------------------------------------------------------

type NewItem = Pick<Item, "id" | "form" | "conv" | "seq" | "at" | "owed" | "body"> & Partial<Item>;

/** Files an item under the next position. */
export function placeItem({ state }: Store, given: NewItem): Item {
  state.position += 1;
  const item: Item = {
    outer: new Uint8Array(0),
    nonce: new Uint8Array(0),
    kind: "",
    account: null,
    device: null,
    actUntil: 0,
    parked: new Set(),
    entries: new Map(),
    warned: false,
    ...given,
    position: state.position,
    freedAt: given.owed.size > 0 ? null : given.at,
  };
  state.items.set(item.id, item);
  return item;
}

/** Files one notice for these devices and wakes them. */
export function notify(
  store: Store,
  devices: readonly DeviceId[],
  kind: NoticeKind,
  about: Uint8Array,
  conv: ConversationId | null = null,
  seq = 0,
): void {
  if (devices.length > 0) {
    const owed = new Map(devices.map((device) => [device, new Uint8Array(0)]));
    const id = idOf<ItemId>(store.random(16));
    placeItem(store, { id, form: "notice", conv, seq, at: store.now(), owed, body: about, kind });
    store.wake(devices);
  }
}

/** This device is owed nothing of the item any more. */
export function settleItem(item: Item, device: DeviceId, at: number): void {
  item.owed.delete(device);
  item.parked.delete(device);
  if (item.owed.size === 0) {
    item.freedAt ??= at;
  }
}
