/**
 * Who is in a conversation: the pure fold of a membership chain, entry by entry, into its state.
 *
 * Server and clients run the same fold. `begin` takes the genesis, `advance` each further entry; either returns a new
 * state or throws and nothing has changed. Signatures are verified under device lists that the caller looks up; those
 * lists must be verified already (`DeviceListChain`). An entry that has just been appended must also pass
 * `requireLive`.
 *
 * Source: docs/protocol.md, chapter 3.
 */

import { equal } from "./bytes.ts";
import { type DeviceList, entryOf, type SignedDeviceList } from "./device-lists.ts";
import type { AccountId, ConversationId, DeviceId, InviteId } from "./ids.ts";
import { INVITE_LIFE_MS, MEMBERS_PER_CONVERSATION } from "./limits.ts";
import {
  type Action,
  type ChangeRole,
  type Checkpoint,
  type ConversationKind,
  conversationIdOf,
  type EntryFields,
  type Invite,
  isAdmin,
  type Join,
  type Leave,
  type MemberRole,
  type Remove,
  type SignedEntry,
  verifyEntry,
  verifyInvite,
} from "./membership-entries.ts";
import { type Rule, RuleBroken } from "./rules.ts";
import { unreachable } from "./unreachable.ts";

/** Most unused and unexpired invites of one conversation. */
export const OPEN_INVITES = 32;

/** The verified device list of an account at a version; null if it is not at hand (the entry is then list_unknown). */
export type ListLookup = (account: AccountId, version: number) => SignedDeviceList | null;

/** A joined account with the identity key it joined with. joinedEpoch: epoch of its genesis or join entry. */
export interface Member {
  readonly account: AccountId;
  readonly role: MemberRole;
  readonly aik: Uint8Array;
  readonly joinedEpoch: number;
}

/** An invite nobody has used yet, and who made it. */
export interface OpenInvite {
  readonly invite: InviteId;
  readonly ipk: Uint8Array;
  readonly role: MemberRole;
  readonly expiresMs: number;
  readonly account: AccountId;
  readonly device: DeviceId;
}

/** The lowest device-list version that entries of this account may name. */
export interface VersionFloor {
  readonly account: AccountId;
  readonly version: number;
}

/** A conversation after an entry. A value, and what the vault stores. */
export interface MembershipState {
  readonly conv: ConversationId;
  readonly kind: ConversationKind;
  /** That of the last entry. */
  readonly epoch: number;
  /** The last entry's hash in hexadecimal. */
  readonly head: string;
  readonly members: readonly Member[];
  readonly invites: readonly OpenInvite[];
  /** They outlive membership. */
  readonly floors: readonly VersionFloor[];
}

/** The joined account, else null. */
export function memberOf(state: MembershipState, account: AccountId): Member | null {
  return state.members.find((member) => member.account === account) ?? null;
}

/** The open invite, else null. */
export function inviteOf(state: MembershipState, invite: InviteId): OpenInvite | null {
  return state.invites.find((held) => held.invite === invite) ?? null;
}

/** Lowest device-list version that an entry of the account may name; 0 = any. */
export function floorOf(state: MembershipState, account: AccountId): number {
  return state.floors.find((held) => held.account === account)?.version ?? 0;
}

function demand(condition: boolean, rule: Rule): asserts condition {
  if (!condition) {
    throw new RuleBroken(rule);
  }
}

/** Opens a chain with its genesis. RuleBroken, RemoteError("invalid_signature"). */
export function begin(entry: SignedEntry, lists: ListLookup): MembershipState {
  const { fields } = entry;
  const { action, account, conv } = fields;
  demand(action.tag === "genesis", "genesis");
  demand(fields.epoch === 1, "wrong_epoch");
  demand(/^0+$/.test(fields.prevHash), "wrong_previous");
  demand(conv === conversationIdOf(fields), "wrong_conversation");
  authenticate(entry, action.aik, lists);
  demand(isAdmin(action.role), "wrong_role");
  return {
    conv,
    kind: action.kind,
    epoch: 1,
    head: entry.hash,
    members: [{ account, role: action.role, aik: action.aik, joinedEpoch: 1 }],
    invites: [],
    floors: [{ account, version: fields.listVersion }],
  };
}

/**
 * Applies the next entry. RuleBroken, RemoteError("invalid_signature"); `state` is a value and stays as it is.
 *
 * "list_unknown": fetch the named device list and try again. "wrong_epoch": fetch the chain (a lower epoch lost the
 * race).
 */
export function advance(state: MembershipState, entry: SignedEntry, lists: ListLookup): MembershipState {
  const { fields } = entry;
  const { action, account } = fields;
  demand(fields.conv === state.conv, "wrong_conversation");
  demand(fields.epoch === state.epoch + 1, "wrong_epoch");
  demand(fields.prevHash === state.head, "wrong_previous");
  demand(action.tag !== "genesis", "genesis");
  demand(fields.listVersion >= floorOf(state, account), "list_backwards");
  let changed: MembershipState;
  if (action.tag === "join") {
    changed = afterJoin(state, entry, action, lists);
  } else {
    const actor = memberOf(state, account);
    demand(actor !== null, "not_member");
    authenticate(entry, actor.aik, lists);
    changed = afterAction(state, fields, actor, action, lists);
  }
  return { ...raiseFloor(changed, account, fields.listVersion), epoch: fields.epoch, head: entry.hash };
}

/** Folds a whole chain, genesis first. RuleBroken("genesis") for an empty one; else as `begin` and `advance`. */
export function fold(entries: Iterable<SignedEntry>, lists: ListLookup): MembershipState {
  let state: MembershipState | null = null;
  for (const entry of entries) {
    state = state === null ? begin(entry, lists) : advance(state, entry, lists);
  }
  if (state === null) {
    throw new RuleBroken("genesis");
  }
  return state;
}

/**
 * A new entry's device must be in the account's current list. RuleBroken("device_unlisted").
 *
 * current: the newest verified list of the acting account. History is exempt: devices may be removed after they acted.
 */
export function requireLive(entry: SignedEntry, current: DeviceList): void {
  const { account, device } = entry.fields;
  demand(current.account === account && entryOf(current, device) !== null, "device_unlisted");
}

// --- single entries ------------------------------------------------------------------------------------------------

/** The entry is signed by a device of the list it names, and that list is under the identity key of the member. */
function authenticate(entry: SignedEntry, aik: Uint8Array, lists: ListLookup): SignedDeviceList {
  const { account, device, listVersion } = entry.fields;
  const named = lists(account, listVersion);
  demand(named !== null, "list_unknown");
  demand(named.content.account === account && equal(named.content.aik, aik), "wrong_identity");
  const listed = entryOf(named.content, device);
  demand(listed !== null, "device_unlisted");
  verifyEntry(entry, listed.dsig);
  return named;
}

function afterJoin(state: MembershipState, entry: SignedEntry, join: Join, lists: ListLookup): MembershipState {
  const { account, tsMs, epoch } = entry.fields;
  const pair = state.kind === "pair";
  const named = authenticate(entry, join.aik, lists);
  demand(named.hash === join.listHash, "wrong_identity");
  demand(memberOf(state, account) === null, "already_member");
  demand(!pair || state.members.length < 2, "pair_frozen");
  const invite = inviteOf(state, join.invite);
  demand(invite !== null, "invite_unknown");
  verifyInvite(entry, invite.ipk);
  demand(tsMs <= invite.expiresMs, "invite_expired");
  demand(state.members.length < MEMBERS_PER_CONVERSATION, "too_many_members");
  const member = { account, role: invite.role, aik: join.aik, joinedEpoch: epoch };
  const invites = pair ? [] : state.invites.filter((held) => held !== invite);
  return { ...state, members: [...state.members, member], invites };
}

function afterAction(
  state: MembershipState,
  fields: EntryFields,
  actor: Member,
  action: Exclude<Action, { tag: "genesis" | "join" }>,
  lists: ListLookup,
): MembershipState {
  switch (action.tag) {
    case "checkpoint":
      return afterCheckpoint(state, actor, action, lists);
    case "invite":
      return afterInvite(state, fields, actor, action);
    case "remove":
    case "leave":
    case "role":
      demand(state.kind !== "pair", "pair_frozen");
      return afterGroupChange(state, actor, action);
    default:
      return unreachable(action);
  }
}

function afterInvite(state: MembershipState, fields: EntryFields, actor: Member, invite: Invite): MembershipState {
  const { tsMs, account, device } = fields;
  const { expiresMs, role, ipk } = invite;
  demand(isAdmin(actor.role), "not_admin");
  demand(state.kind !== "pair" || state.members.length < 2, "pair_frozen");
  demand(role !== "owner", "wrong_role");
  demand(tsMs < expiresMs && expiresMs <= tsMs + INVITE_LIFE_MS, "invite_life");
  const open = state.invites.filter((held) => held.expiresMs >= tsMs);
  demand(!open.some((held) => held.invite === invite.invite), "invite_taken");
  demand(open.length < OPEN_INVITES, "too_many_invites");
  return { ...state, invites: [...open, { invite: invite.invite, ipk, role, expiresMs, account, device }] };
}

/** Members go or change their role. Whoever loses the right to invite loses the open invites made with it. */
function afterGroupChange(state: MembershipState, actor: Member, action: Remove | Leave | ChangeRole): MembershipState {
  let subject: Member | null = actor;
  if (action.tag !== "leave") {
    demand(isAdmin(actor.role), "not_admin");
    subject = memberOf(state, action.account);
    demand(subject !== null, "not_member");
  }
  const { account, role } = subject;
  let members = state.members.filter((member) => member.account !== account);
  let stillAdmin = false;
  if (action.tag === "role") {
    demand(action.role !== "owner" && role !== "owner", "wrong_role");
    const given = action.role;
    members = state.members.map((member) => (member.account === account ? { ...member, role: given } : member));
    stillAdmin = isAdmin(given);
  }
  demand(members.length === 0 || members.some((member) => isAdmin(member.role)), "last_admin");
  return { ...state, members, invites: state.invites.filter((held) => stillAdmin || held.account !== account) };
}

/** Raises an account's floor; open invites made by its devices that the named list no longer holds are closed. */
function afterCheckpoint(
  state: MembershipState,
  actor: Member,
  checkpoint: Checkpoint,
  lists: ListLookup,
): MembershipState {
  const { account, version, listHash } = checkpoint;
  demand(account === actor.account || isAdmin(actor.role), "not_admin");
  const subject = memberOf(state, account);
  demand(subject !== null, "not_member");
  demand(version >= floorOf(state, account), "list_backwards");
  const named = lists(account, version);
  demand(named !== null, "list_unknown");
  demand(named.hash === listHash && equal(named.content.aik, subject.aik), "wrong_identity");
  const invites = state.invites.filter(
    (held) => held.account !== account || entryOf(named.content, held.device) !== null,
  );
  return raiseFloor({ ...state, invites }, account, version);
}

function raiseFloor(state: MembershipState, account: AccountId, version: number): MembershipState {
  if (version <= floorOf(state, account)) {
    return state;
  }
  const others = state.floors.filter((held) => held.account !== account);
  return { ...state, floors: [...others, { account, version }] };
}
