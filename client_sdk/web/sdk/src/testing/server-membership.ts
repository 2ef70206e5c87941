/** Membership chains, invites, and who must get a key: what the server lets into a chain, and tells of it. */

import { equal } from "../protocol/bytes.ts";
import type { SignedDeviceList } from "../protocol/device-lists.ts";
import { Rejected, RemoteError } from "../protocol/errors.ts";
import type { AccountId, ConversationId, InviteId } from "../protocol/ids.ts";
import { CHAIN_ENTRIES, SEQ_JUMP } from "../protocol/limits.ts";
import {
  advance,
  begin,
  inviteOf,
  type ListLookup,
  type MembershipState,
  memberOf,
  requireLive,
} from "../protocol/membership.ts";
import {
  entryIdOf,
  type Invite,
  isAdmin,
  type MemberRole,
  parseSignedEntry,
  type SignedEntry,
} from "../protocol/membership-entries.ts";
import type { Appended, CreateInvite, InviteView, RequiredDevices, Role } from "../protocol/requests.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { joined } from "./server-mailbox.ts";
import {
  ascending,
  type ConversationRecord,
  type InviteRecord,
  isRecovering,
  listedDevices,
  listsOf,
  newestList,
  notFound,
  type Principal,
  placeItem,
  requiredDevices,
  requireTime,
  type Store,
} from "./server-state.ts";

const FOR_LEAVING = 64;
const KINDS = { pair: 1, group: 2 } as const;

/** Verified entries for one conversation, appended together or not at all. used: the invite that a join uses, and when. */
export interface MembershipChange {
  readonly state: MembershipState;
  readonly entries: readonly SignedEntry[];
  readonly opened: (Pick<InviteRecord, "role" | "card" | "expiresMs"> & { readonly invite: InviteId }) | null;
  readonly used: { readonly invite: InviteId; readonly at: number } | null;
}

// --- the fold ------------------------------------------------------------------------------------------------------

/** What chains amount to, by their heads. A head names all that is before it. */
const folded = new Map<string, MembershipState>();
const FOLDED_MOST = 4096;

/** The device lists of the store, and one that is about to come. */
function lookup(store: Store, coming: SignedDeviceList | null = null): ListLookup {
  return (account, version) =>
    [...listsOf(store, account), ...(coming === null ? [] : [coming])].find(
      ({ content }) => content.account === account && content.version === version,
    ) ?? null;
}

/** A conversation's chain as it stands; null for one that does not exist. */
export function stateOf(store: Store, conv: ConversationId): MembershipState | null {
  const chain = store.state.conversations.get(conv)?.chain ?? [];
  const head = chain.at(-1);
  if (head === undefined) {
    return null;
  }
  const known = folded.get(head.id);
  return (
    known ??
    foldOn(
      null,
      chain.map((item) => parseSignedEntry(item.raw)),
      lookup(store),
    )
  );
}

/** What the conversation would be with these entries. RuleBroken, RemoteError, Rejected("too_many") when it is full. */
function foldOn(state: MembershipState | null, entries: readonly SignedEntry[], lists: ListLookup): MembershipState {
  let next = state;
  for (const entry of entries) {
    const leaving = entry.fields.action.tag === "leave" || entry.fields.action.tag === "remove";
    if (entry.fields.epoch > CHAIN_ENTRIES - (leaving ? 0 : FOR_LEAVING)) {
      throw new Rejected("too_many", "the chain of this conversation is full");
    }
    next = next === null ? begin(entry, lists) : advance(next, entry, lists);
    if (folded.size >= FOLDED_MOST) {
      folded.clear();
    }
    folded.set(entryIdOf(entry), next);
  }
  if (next === null) {
    throw new RuleBroken("genesis");
  }
  return next;
}

// --- appending -----------------------------------------------------------------------------------------------------

/** A conversation without entries. After a restore its numbers start where none were given out before. */
export function newConversation({ state }: Store, kind: number): ConversationRecord {
  const seq = state.restoredMs > 0 ? SEQ_JUMP : 0;
  return { kind, members: new Set(), epoch: 0, seq, base: seq > 0 ? seq + 1 : 0, chain: [] };
}

/** Throws Rejected when the change cannot be applied as the store stands. */
export function checkChange({ state, now }: Store, { entries, opened, used, state: after }: MembershipChange): void {
  const conversation = state.conversations.get(after.conv);
  const base = after.epoch - entries.length;
  if (base === 0 && conversation !== undefined) {
    throw new Rejected("conflict", "conversation exists");
  }
  if (base !== 0 && conversation === undefined) {
    throw notFound();
  }
  if (conversation !== undefined && conversation.epoch !== base) {
    throw new Rejected("epoch_stale", "another entry came first");
  }
  if (opened !== null && state.invites.has(opened.invite)) {
    throw new Rejected("conflict", "invite exists");
  }
  if (entries.some((entry) => state.items.has(entryIdOf(entry)))) {
    throw new Rejected("conflict", "item id is taken");
  }
  const invite = used === null ? null : state.invites.get(used.invite);
  if (used !== null && (!invite?.open || invite.conv !== after.conv || invite.expiresMs <= Math.min(used.at, now()))) {
    throw notFound();
  }
}

/** Applies a checked change and tells the members, before and after, of it. */
export function applyChange(store: Store, { entries, opened, used, state: after }: MembershipChange): Appended {
  const { state } = store;
  const at = store.now();
  const conversation = state.conversations.get(after.conv) ?? newConversation(store, KINDS[after.kind]);
  state.conversations.set(after.conv, conversation);
  const members = new Set(after.members.map(({ account }) => account));
  const actor = entries.at(-1)?.fields.device;
  const told = listedDevices(store, new Set([...conversation.members, ...members])).filter((id) => id !== actor);
  conversation.members = members;
  for (const entry of entries) {
    const [id, { epoch }, raw] = [entryIdOf(entry), entry.fields, entry.encoded];
    conversation.seq += 1;
    conversation.epoch = epoch;
    conversation.chain.push({ id, epoch, raw, seq: conversation.seq, at });
    if (told.length > 0) {
      const owed = new Map(told.map((device) => [device, new Uint8Array(0)]));
      placeItem(store, { id, form: "entry", conv: after.conv, seq: conversation.seq, at, owed, body: raw });
    }
  }
  if (opened !== null) {
    const { role, card, expiresMs } = opened;
    state.invites.set(opened.invite, { conv: after.conv, role, card, expiresMs, open: true });
  }
  const invite = used === null ? null : state.invites.get(used.invite);
  if (invite) {
    invite.open = false;
  }
  store.wake(told);
  return { seq: conversation.seq, at };
}

function change(store: Store, made: MembershipChange): Appended {
  checkChange(store, made);
  return applyChange(store, made);
}

/** Where the last of `entries` stands if all of them are in the chain already, byte for byte; else null. */
function standing({ state }: Store, conv: ConversationId, entries: readonly SignedEntry[]): Appended | null {
  const chain = state.conversations.get(conv)?.chain ?? [];
  const found = entries.map((entry) => chain.find((item) => equal(item.raw, entry.encoded)));
  const last = found.at(-1);
  return last !== undefined && found.every(Boolean) ? { seq: last.seq, at: last.at } : null;
}

/** Entries are signed by the very device that asks (of its account, while the store recovers), not ahead of time. */
function requireOwn(store: Store, who: Principal, entries: readonly SignedEntry[]): void {
  const current = newestList(store, who.account);
  const returning = isRecovering(store);
  for (const entry of entries) {
    const { account, device, tsMs } = entry.fields;
    const own = device === who.device;
    if (account !== who.account || !(own || returning)) {
      throw new Rejected("forbidden", "an entry is appended by the device that signed it");
    }
    if (own || !returning) {
      requireLive(entry, current);
    }
    requireTime(tsMs, store.now());
  }
}

function requireGrant(role: Role, granted: MemberRole): void {
  const may = role === "owner" ? granted !== "owner" : role === "therapist" && granted === "client";
  if (!may) {
    throw new Rejected("forbidden", "this role may not give that one");
  }
}

/** Therapists invite colleagues too, who have an account already: such an invite registers nobody, see `joinOf`. */
function requireInvite(role: Role, granted: MemberRole): void {
  if (role !== "therapist" || granted !== "therapist") {
    requireGrant(role, granted);
  }
}

/** When a join used its invite: now, but while the store recovers when it says, because then it did so before. */
function joiningTime(store: Store, join: SignedEntry): number {
  return isRecovering(store) ? Math.min(store.now(), join.fields.tsMs) : store.now();
}

/** The invite that a join uses. Rejected("not_found") without an open one of its conversation. */
function openInvite({ state }: Store, invite: InviteId, conv: ConversationId | null, at: number): InviteRecord {
  const held = state.invites.get(invite);
  if (!held?.open || held.expiresMs <= at || (conv !== null && held.conv !== conv)) {
    throw notFound();
  }
  return held;
}

/** What a join makes of an account that registers: its role, and the change of the conversation. */
export function joinOf(
  store: Store,
  join: SignedEntry,
  first: SignedDeviceList,
): { role: Role; change: MembershipChange } {
  const { action, conv } = join.fields;
  if (action.tag !== "join") {
    throw new Rejected("bad_format", "the entry of a registration is a join");
  }
  const at = joiningTime(store, join);
  const { role } = openInvite(store, action.invite, conv, at);
  const before = stateOf(store, conv);
  if (before === null) {
    throw notFound();
  }
  const opened = inviteOf(before, action.invite);
  const by = opened && memberOf(before, opened.account);
  if (by) {
    requireGrant(by.role, role); // whoever made the invite may make accounts of its role
  }
  const state = foldOn(before, [join], lookup(store, first));
  return { role, change: { state, entries: [join], opened: null, used: { invite: action.invite, at } } };
}

/** Appends one entry, by a member or, for `join`, by an account of the practice that holds an invite. */
export function appendEntry(store: Store, who: Principal, conv: ConversationId, raw: Uint8Array): Appended {
  const entry = parseSignedEntry(raw);
  const { action, account } = entry.fields;
  if (entry.fields.conv !== conv || action.tag === "genesis" || action.tag === "invite") {
    throw new Rejected("bad_format", "entries of this conversation, and no invites, are appended here");
  }
  const stands = standing(store, conv, [entry]);
  if (stands !== null && account === who.account) {
    return stands;
  }
  const before = stateOf(store, conv);
  let used: MembershipChange["used"] = null;
  if (action.tag === "join" && before !== null) {
    const at = joiningTime(store, entry);
    const { role } = openInvite(store, action.invite, conv, at);
    if (role !== who.role && !(who.role === "owner" && role === "therapist")) {
      throw new RuleBroken("wrong_role");
    }
    used = { invite: action.invite, at };
  } else if (before === null || memberOf(before, who.account) === null) {
    throw notFound();
  }
  requireOwn(store, who, [entry]);
  if (action.tag === "role" && isAdmin(action.role)) {
    requireGrant(who.role, action.role);
  }
  return change(store, { state: foldOn(before, [entry], lookup(store)), entries: [entry], opened: null, used });
}

// --- invites -------------------------------------------------------------------------------------------------------

/** Opens an invite, with its conversation when that is new. Identical entries are answered as before. */
export function createInvite(store: Store, who: Principal, { entries: raw, card }: CreateInvite): Appended {
  const entries = raw.map(parseSignedEntry);
  const [first] = entries;
  const action = entries.at(-1)?.fields.action;
  if (
    first === undefined ||
    action?.tag !== "invite" ||
    entries.length > 1 !== (first.fields.action.tag === "genesis")
  ) {
    throw new Rejected("bad_format", "an invite comes alone or after the genesis of its conversation");
  }
  const { conv } = first.fields;
  const before = stateOf(store, conv);
  if (before === null ? entries.length === 1 : memberOf(before, who.account) === null) {
    throw notFound();
  }
  requireOwn(store, who, entries);
  const stands = standing(store, conv, entries);
  if (stands !== null) {
    return stands;
  }
  requireRoles(who, entries, action);
  if (action.expiresMs <= store.now() && !isRecovering(store)) {
    throw new RuleBroken("invite_expired");
  }
  const opened = { invite: action.invite, role: action.role, card, expiresMs: action.expiresMs };
  return change(store, { state: foldOn(before, entries, lookup(store)), entries, opened, used: null });
}

function requireRoles(who: Principal, [first]: readonly SignedEntry[], invite: Invite): void {
  const opening = first?.fields.action;
  if (opening?.tag === "genesis" && opening.role !== who.role) {
    throw new RuleBroken("wrong_role");
  }
  requireInvite(who.role, invite.role);
}

/** What the holder of an invite's link needs before having an account. */
export function viewInvite(store: Store, invite: InviteId): InviteView {
  const now = store.now();
  const { conv, card } = openInvite(store, invite, null, now);
  const state = stateOf(store, conv);
  if (state === null || inviteOf(state, invite) === null) {
    throw notFound(); // closed by the chain: the pair is complete, or whoever made it lost the right to
  }
  const chain = store.state.conversations.get(conv)?.chain ?? [];
  const actors = new Set<AccountId>();
  for (const { raw } of chain) {
    const { account, action } = parseSignedEntry(raw).fields;
    actors.add(account);
    if (action.tag === "checkpoint") {
      actors.add(action.account);
    }
  }
  const lists = ascending(actors).map((account) => ({
    account,
    lists: listsOf(store, account).map((list) => list.encoded),
  }));
  return { conv, card, chain: chain.map((item) => item.raw), lists, serverTimeMs: now };
}

/** The device set that a post must be sealed for now. */
export function requiredOf(store: Store, { epoch, members }: ConversationRecord): RequiredDevices {
  const accounts = ascending(members).flatMap((account) => {
    const list = listsOf(store, account).at(-1);
    const devices = joined(requiredDevices(store, new Set([account])));
    return list === undefined ? [] : [{ account, listVersion: list.content.version, devices }];
  });
  return { epoch, accounts };
}

/** Rejected("epoch_stale") and the like as the HTTP door reports whatever was thrown. */
export function asRejected(problem: unknown): unknown {
  return problem instanceof RemoteError && !(problem instanceof Rejected)
    ? new Rejected(problem.code, problem.detail)
    : problem;
}
