/** Posts, directs, acknowledgements and history: what a mailbox does with one message or question. */

import { concat, equal } from "../protocol/bytes.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import {
  type AccountId,
  type ConversationId,
  type DeviceId,
  type ItemId,
  idBytes,
  type MessageId,
  splitIds,
} from "../protocol/ids.ts";
import {
  CLOCK_TOLERANCE_MS,
  MAILBOX_LIFE_MS,
  MAX_INTEGER,
  PAGE_ITEMS,
  REPEAT_WINDOW_MS,
  SENDER_WARNED_MS,
} from "../protocol/limits.ts";
import type { Ack, Direct, Post, ServerMessage } from "../protocol/messages.ts";
import type { ArchivedItem, ArchivePage, DeviceReceipt, FetchedItem } from "../protocol/requests.ts";
import { isSealedKey, splitSealedKeys } from "../protocol/sealed-keys.ts";
import { type Outer, parseOuter, RING } from "../protocol/signed.ts";
import {
  ascending,
  conversationOf,
  type Item,
  KIND_SELF,
  listedDevices,
  notify,
  type Principal,
  placeItem,
  requiredDevices,
  type Store,
  settleItem,
  unseenDevices,
} from "./server-state.ts";

const RING_MS = 60_000;
const DIRECT_MS = 30 * 86_400_000;
const PAGE_BYTES = 1_048_576;

/** What came of a post or direct: a refusal with what it says, or its place. repeat: it was stored before. */
export type Outcome =
  | { readonly seq: number; readonly at: number; readonly repeat: boolean }
  | { readonly refusal: ErrorCode; readonly answer?: ServerMessage };

/** The ids, joined in ascending order. */
export function joined(ids: Iterable<string>): Uint8Array {
  return concat(...ascending(ids).map(idBytes));
}

// --- sending -------------------------------------------------------------------------------------------------------

function keysFit(post: Post): boolean {
  try {
    return post.devices.length % 16 === 0 && splitSealedKeys(post.keys).length === post.devices.length / 16;
  } catch {
    return false;
  }
}

function postProblem(outer: Outer, post: Post, now: number): ErrorCode | null {
  const { tsMs, actUntilMs } = outer;
  if (outer.kind === "direct" || !keysFit(post)) {
    return "bad_format";
  }
  const ringLate =
    tsMs < now - CLOCK_TOLERANCE_MS || actUntilMs <= 0 || actUntilMs > now + RING_MS + CLOCK_TOLERANCE_MS;
  return tsMs > now + CLOCK_TOLERANCE_MS || (outer.flags & RING && ringLate) ? "bad_time" : null;
}

/** Takes one post in. outer: `post.outer`, by the device that says it. */
export function takePost(store: Store, who: Principal, outer: Outer, post: Post): Outcome {
  const at = store.now();
  const refusal = postProblem(outer, post, at);
  if (refusal !== null) {
    return { refusal };
  }
  const { conv, id } = outer;
  const earlier = store.state.items.get(id);
  if (earlier !== undefined && earlier.seq > 0 && earlier.device === who.device && earlier.conv === conv) {
    return { seq: earlier.seq, at: earlier.at, repeat: true };
  }
  const conversation = store.state.conversations.get(conv);
  if (conversation === undefined || !listedDevices(store, conversation.members).includes(who.device)) {
    return { refusal: "not_found" };
  }
  if (earlier !== undefined) {
    return { refusal: "conflict" };
  }
  if (outer.epoch !== conversation.epoch) {
    return { refusal: "epoch_stale", answer: { tag: "epoch_stale", id, epoch: conversation.epoch } };
  }
  if (conversation.kind !== KIND_SELF && conversation.members.size < 2) {
    return { refusal: "not_joined" };
  }
  const targets = requiredDevices(store, conversation.members).filter((device) => device !== who.device);
  if (!equal(post.devices, joined(targets))) {
    const given = splitIds<DeviceId>(post.devices);
    const missing = joined(targets.filter((device) => !given.includes(device)));
    const stale = joined(given.filter((device) => !targets.includes(device)));
    const other = missing.length > 0 || stale.length > 0;
    return other
      ? { refusal: "device_mismatch", answer: { tag: "device_mismatch", id, missing, stale } }
      : { refusal: "bad_format" };
  }
  if (targets.length === 0 && post.entry === null) {
    return { refusal: "rule_broken" };
  }
  conversation.seq += 1;
  const keys = splitSealedKeys(post.keys);
  const owed = new Map(targets.map((device, index) => [device, keys[index] ?? post.keys]));
  const entries = new Map<AccountId, Uint8Array>(post.entry === null ? [] : [[who.account, post.entry]]);
  placeItem(store, { ...message(who, outer, post, at), seq: conversation.seq, owed, entries });
  return { seq: conversation.seq, at, repeat: false };
}

function message(who: Principal, { conv, id }: Outer, { outer, nonce, ct }: Post | Direct, at: number) {
  return { id, form: "message" as const, conv, at, body: ct, outer, nonce, account: who.account, device: who.device };
}

/** Takes one direct in, for one device. */
export function takeDirect(store: Store, who: Principal, outer: Outer, direct: Direct): Outcome {
  const at = store.now();
  const { conv, id, actUntilMs } = outer;
  if (outer.kind !== "direct" || ![0, 24].includes(direct.nonce.length) || !isSealedKey(direct.key)) {
    return { refusal: "bad_format" };
  }
  const late = actUntilMs <= at || actUntilMs > at + DIRECT_MS + CLOCK_TOLERANCE_MS;
  if (outer.tsMs > at + CLOCK_TOLERANCE_MS || late) {
    return { refusal: "bad_time" };
  }
  const earlier = store.state.items.get(id);
  if (earlier !== undefined && earlier.seq === 0 && earlier.device === who.device && earlier.conv === conv) {
    return { seq: 0, at: earlier.at, repeat: true };
  }
  const conversation = store.state.conversations.get(conv);
  const devices = conversation === undefined ? [] : listedDevices(store, conversation.members);
  if (!devices.includes(who.device) || !devices.includes(direct.device) || direct.device === who.device) {
    return { refusal: "not_found" };
  }
  if (earlier !== undefined) {
    return { refusal: "conflict" };
  }
  const owed = new Map([[direct.device, direct.key]]);
  placeItem(store, { ...message(who, outer, direct, at), seq: 0, owed, actUntil: actUntilMs });
  return { seq: 0, at, repeat: false };
}

// --- acknowledging and delivering ----------------------------------------------------------------------------------

/** What a device has committed; returns which senders hear of which posts. */
export function takeAck(store: Store, who: Principal, ack: Ack): [sender: DeviceId, id: MessageId, parked: boolean][] {
  const told: [DeviceId, MessageId, boolean][] = [];
  const tell = (item: Item, parked: boolean): boolean => {
    const post = item.seq > 0 && item.form === "message";
    if (post && item.device !== null) {
      told.push([item.device, item.id as MessageId, parked]);
    }
    return post;
  };
  for (const { id, entry } of ack.ok) {
    const item = store.state.items.get(id);
    if (item?.owed.has(who.device)) {
      settleItem(item, who.device, store.now());
      if (tell(item, false) && entry !== null && !item.entries.has(who.account)) {
        item.entries.set(who.account, entry);
      }
    }
  }
  for (const id of ack.parked) {
    const item = store.state.items.get(id);
    if (item?.owed.has(who.device) && !item.parked.has(who.device)) {
      item.parked.add(who.device);
      tell(item, true);
    }
  }
  return told;
}

/** What waits for a device and is not in flight, oldest first. */
export function waitingFor(store: Store, device: DeviceId, inFlight: ReadonlySet<ItemId>): Item[] {
  const now = store.now();
  return [...store.state.items.values()]
    .filter((item) => item.owed.has(device) && !item.parked.has(device) && !inFlight.has(item.id))
    .filter((item) => item.actUntil === 0 || item.actUntil > now)
    .sort((one, other) => one.position - other.position);
}

/** An item as the stream brings it to a device. */
export function delivery(item: Item, device: DeviceId): ServerMessage {
  const { id, seq, at, outer, nonce, body, kind } = item;
  const conv = item.conv as ConversationId;
  switch (item.form) {
    case "message":
      return { tag: "deliver", seq, at, outer, nonce, ct: body, key: item.owed.get(device) ?? new Uint8Array(0) };
    case "entry":
      return { tag: "entry", id, conv, seq, at, entry: body };
    default:
      return { tag: "notice", id, conv: item.conv, seq, at, kind, about: body };
  }
}

// --- history -------------------------------------------------------------------------------------------------------

/** Archived bodies by ascending seq, both ends included; a page ends before 1 MiB. */
export function archivePage(
  store: Store,
  who: Principal,
  conv: ConversationId,
  { from = 0, to = MAX_INTEGER, limit = PAGE_ITEMS }: { from?: number; to?: number; limit?: number },
): ArchivePage {
  conversationOf(store, who, conv);
  const found: ArchivedItem[] = [];
  for (const { seq, at, outer, nonce, body, entries, conv: where } of store.state.items.values()) {
    const entry = entries.get(who.account);
    if (where === conv && entry !== undefined && from <= seq && seq <= to) {
      found.push({ seq, at, outer, nonce, ct: body, entry });
    }
  }
  found.sort((one, other) => one.seq - other.seq);
  const most = Math.min(Math.max(limit, 1), PAGE_ITEMS);
  let size = 0;
  const end = found.findIndex((item, at) => {
    size += item.outer.length + item.nonce.length + item.ct.length + item.entry.length;
    return at > 0 && (at === most || size > PAGE_BYTES);
  });
  return end < 0 ? { items: found, nextSeq: 0 } : { items: found.slice(0, end), nextSeq: found[end]?.seq ?? 0 };
}

/** Messages by id, in the order asked for; what is absent or not for the asker is left out. */
export function fetchItems(store: Store, who: Principal, conv: ConversationId, ids: readonly ItemId[]): FetchedItem[] {
  conversationOf(store, who, conv);
  const found: FetchedItem[] = [];
  for (const id of new Set(ids)) {
    const item = store.state.items.get(id);
    if (item?.form === "message" && item.conv === conv && (item.actUntil === 0 || item.actUntil > store.now())) {
      const [key, entry] = [item.owed.get(who.device) ?? null, item.entries.get(who.account) ?? null];
      if (key !== null || entry !== null) {
        const { seq, at, outer, nonce, body } = item;
        found.push({ seq, at, outer, nonce, ct: body, key, entry });
      }
    }
  }
  return found;
}

/** Which devices still lack these posts of the asking account. */
export function receiptsOf(
  store: Store,
  who: Principal,
  conv: ConversationId,
  ids: readonly MessageId[],
): DeviceReceipt[] {
  conversationOf(store, who, conv);
  const found: DeviceReceipt[] = [];
  for (const id of new Set(ids)) {
    const item = store.state.items.get(id);
    if (item !== undefined && item.seq > 0 && item.account === who.account && item.conv === conv) {
      const waiting = joined([...item.owed.keys()].filter((device) => !item.parked.has(device)));
      found.push({ id, waiting, parked: joined(item.parked) });
    }
  }
  return found;
}

// --- ageing --------------------------------------------------------------------------------------------------------

/** What the server does every minute: devices fall dormant, items expire, senders are warned. */
export function sweep(store: Store): void {
  const now = store.now();
  for (const device of fallDormant(store, now)) {
    for (const item of store.state.items.values()) {
      if (item.form === "message" && item.seq > 0 && item.owed.has(device)) {
        settleItem(item, device, now);
      }
    }
  }
  for (const item of [...store.state.items.values()]) {
    const expired = item.owed.size > 0 && item.at <= now - MAILBOX_LIFE_MS;
    if (item.form === "message" && item.seq > 0 && item.owed.size > 0) {
      warn(store, item, expired, now);
    }
    const freed = item.freedAt !== null && item.freedAt <= now - REPEAT_WINDOW_MS;
    if (expired || freed || (item.actUntil > 0 && item.actUntil <= now)) {
      item.owed.clear();
      item.parked.clear();
      item.freedAt ??= now;
      if (item.entries.size === 0) {
        store.state.items.delete(item.id);
      }
    }
  }
  forgetExpired(store.state.tokens, now);
  forgetExpired(store.state.links, now);
}

function forgetExpired<Key>(held: Map<Key, { readonly expiresMs: number }>, now: number): void {
  for (const [key, { expiresMs }] of held) {
    if (expiresMs <= now) {
      held.delete(key);
    }
  }
}

function fallDormant(store: Store, now: number): DeviceId[] {
  const fallen: DeviceId[] = [];
  for (const account of store.state.accounts.keys()) {
    const unseen = unseenDevices(store, account, now);
    for (const [device, record] of store.state.devices) {
      if (record.account === account) {
        if (unseen.has(device) && !record.dormant) {
          fallen.push(device);
        }
        record.dormant = unseen.has(device);
      }
    }
  }
  return fallen;
}

/** A post that nobody fetched: its sender hears after 14 days, and after 90 a tombstone takes its place. */
function warn(store: Store, item: Item, expired: boolean, now: number): void {
  const { conv, account } = item;
  const conversation = conv === null ? undefined : store.state.conversations.get(conv);
  if (expired && conversation !== undefined) {
    const lacking = [...item.owed.keys()].filter((device) => store.state.devices.get(device)?.listed);
    const devices = ascending(new Set([...lacking, ...listedDevices(store, conversation.members)]));
    conversation.seq += 1;
    notify(store, devices, "tombstone", idBytes(item.id), conv, conversation.seq);
  } else if (item.at <= now - SENDER_WARNED_MS && !item.warned && account !== null) {
    item.warned = true;
    notify(store, listedDevices(store, new Set([account])), "undelivered", idBytes(item.id), conv);
  }
}

/** The outer of a send by this device itself; else the refusal and the message it is about. */
export function outerOf(who: Principal, raw: Uint8Array): Outer | { refusal: ErrorCode; re: MessageId | null } {
  let outer: Outer;
  try {
    outer = parseOuter(raw);
  } catch (problem) {
    const refusal = problem instanceof Error && "code" in problem ? (problem.code as ErrorCode) : "bad_format";
    return { refusal, re: null };
  }
  const ours = outer.account === who.account && outer.device === who.device;
  return ours ? outer : { refusal: "forbidden", re: outer.id };
}
