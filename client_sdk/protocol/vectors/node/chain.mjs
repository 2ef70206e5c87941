// The rules of the membership chain (docs/protocol.md 3.5). `lists` are verified device lists, read by devices.mjs.

import { hex, isZero, demand, same } from "./bytes.mjs";
import { CLIENT, conversationOf, OP, OWNER, PAIR } from "./membership.mjs";
import { checkSignature } from "./primitives.mjs";

const DAY_MS = 86_400_000;

const isAdmin = (member) => member.role !== CLIENT;
const isOf = (account) => (item) => same(item.account, account);
const listOf = (lists, account, version) =>
  lists.find((list) => same(list.account, account) && list.version === version);
const floorOf = (state, account) => state.floors.get(hex(account)) ?? 0;

/** Members, invites and floors may be changed in what this returns; `state` stays as it is. */
const copyOf = (state) => ({
  ...state,
  members: [...state.members],
  invites: [...state.invites],
  floors: new Map(state.floors),
});

function raiseFloor(state, account, version) {
  state.floors.set(hex(account), Math.max(floorOf(state, account), version));
}

function checkAuthentic(lists, entry, aik) {
  const list = listOf(lists, entry.account, entry.listVersion);
  demand(list, "list_unknown", "of the actor");
  demand(same(list.aik, aik), "wrong_identity", "AIK of the actor");
  const device = list.devices.find((listed) => same(listed.device, entry.device));
  demand(device, "device_unlisted", "acting device");
  checkSignature(device.dsig, "membership", entry.fields, entry.sig);
  return list;
}

function genesis(lists, entry) {
  demand(entry.op === OP.genesis, "genesis", "another op");
  demand(entry.epoch === 1, "wrong_epoch", "of a genesis entry");
  demand(isZero(entry.prevHash), "wrong_previous", "of a genesis entry");
  demand(same(entry.conv, conversationOf(entry)), "wrong_conversation", "not that of its genesis");
  const { kind, role, aik } = entry.args;
  checkAuthentic(lists, entry, aik);
  demand(role !== CLIENT, "wrong_role", "of the creator");
  const members = [{ account: entry.account, role, aik, joined: 1 }];
  return { conv: entry.conv, kind, members, invites: [], floors: new Map() };
}

function join(state, lists, entry) {
  const { aik, listHash } = entry.args;
  const list = checkAuthentic(lists, entry, aik);
  demand(same(list.hash, listHash), "wrong_identity", "DLH of the new member");
  demand(!state.members.some(isOf(entry.account)), "already_member", "joins again");
  demand(state.kind !== PAIR || state.members.length === 1, "pair_frozen", "join");
  const invite = state.invites.find((open) => same(open.invite, entry.args.invite));
  demand(invite, "invite_unknown", "not open");
  checkSignature(invite.ipk, "join", entry.fields, entry.isig);
  demand(entry.ts <= invite.expires, "invite_expired", "join");
  demand(state.members.length < 20, "too_many_members", "join");
  state.members.push({ account: entry.account, role: invite.role, aik, joined: entry.epoch });
  state.invites = state.kind === PAIR ? [] : state.invites.filter((open) => open !== invite);
}

function invite(state, entry, actor) {
  const { role, expires } = entry.args;
  demand(isAdmin(actor), "not_admin", "invites");
  demand(state.kind !== PAIR || state.members.length === 1, "pair_frozen", "invite");
  demand(role !== OWNER, "wrong_role", "of the invited");
  demand(entry.ts < expires && expires <= entry.ts + 7 * DAY_MS, "invite_life", "of the invite");
  state.invites = state.invites.filter((open) => open.expires >= entry.ts);
  demand(!state.invites.some((open) => same(open.invite, entry.args.invite)), "invite_taken", "open already");
  demand(state.invites.length < 32, "too_many_invites", "open");
  state.invites.push({ ...entry.args, account: entry.account, device: entry.device });
}

function changeMembers(state, entry, actor) {
  demand(state.kind !== PAIR, "pair_frozen", "change of members");
  if (entry.op !== OP.leave) demand(isAdmin(actor), "not_admin", "changes members");
  const named = entry.op === OP.leave ? actor : state.members.find(isOf(entry.args.account));
  demand(named, "not_member", "named");
  if (entry.op === OP.role) {
    const { role } = entry.args;
    demand(role !== OWNER && named.role !== OWNER, "wrong_role", "role");
    state.members = state.members.map((member) => (member === named ? { ...member, role } : member));
  } else {
    state.members = state.members.filter((member) => member !== named);
  }
  demand(state.members.length === 0 || state.members.some(isAdmin), "last_admin", "none left");
  const admins = state.members.filter(isAdmin);
  state.invites = state.invites.filter((open) => admins.some(isOf(open.account)));
}

function checkpoint(state, lists, entry, actor) {
  const { account, version, listHash } = entry.args;
  demand(same(account, actor.account) || isAdmin(actor), "not_admin", "checkpoint of another account");
  const member = state.members.find(isOf(account));
  demand(member, "not_member", "named");
  demand(version >= floorOf(state, account), "list_backwards", "checkpoint");
  const list = listOf(lists, account, version);
  demand(list, "list_unknown", "of the checkpoint");
  demand(same(list.hash, listHash) && same(list.aik, member.aik), "wrong_identity", "checkpoint");
  raiseFloor(state, account, version);
  const listed = (open) => list.devices.some(({ device }) => same(device, open.device));
  state.invites = state.invites.filter((open) => !same(open.account, account) || listed(open));
}

function further(state, lists, entry) {
  demand(same(entry.conv, state.conv), "wrong_conversation", "of another chain");
  demand(entry.epoch === state.epoch + 1, "wrong_epoch", "of the entry");
  demand(same(entry.prevHash, state.head), "wrong_previous", "of the entry");
  demand(entry.op !== OP.genesis, "genesis", "again");
  demand(entry.listVersion >= floorOf(state, entry.account), "list_backwards", "below the floor");
  const next = copyOf(state);
  if (entry.op === OP.join) {
    join(next, lists, entry);
    return next;
  }
  const actor = next.members.find(isOf(entry.account));
  demand(actor, "not_member", "acts");
  checkAuthentic(lists, entry, actor.aik);
  if (entry.op === OP.invite) invite(next, entry, actor);
  else if (entry.op === OP.checkpoint) checkpoint(next, lists, entry, actor);
  else changeMembers(next, entry, actor);
  return next;
}

/** The state after `entry`; `state` is that before it, or null before the genesis entry. */
export function append(state, lists, entry) {
  const next = state === null ? genesis(lists, entry) : further(state, lists, entry);
  raiseFloor(next, entry.account, entry.listVersion);
  return { ...next, epoch: entry.epoch, head: entry.hash };
}
