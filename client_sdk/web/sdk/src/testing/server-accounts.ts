/** Accounts, device lists, prekeys and links as the server keeps them. */

import { equal, toHex } from "../protocol/bytes.ts";
import { encodeStruct } from "../protocol/codec.ts";
import {
  checkFirst,
  checkSuccessor,
  isByIdentityKey,
  parseSignedDeviceList,
  type SignedDeviceList,
} from "../protocol/device-lists.ts";
import { Rejected } from "../protocol/errors.ts";
import { type AccountId, type ConversationId, type DeviceId, idBytes, type LinkId } from "../protocol/ids.ts";
import { LINK_LIFE_MS } from "../protocol/limits.ts";
import { parseSignedEntry } from "../protocol/membership-entries.ts";
import type {
  DeviceListUpdate,
  LinkOpen,
  LinkState,
  LinkStep,
  Prekeys,
  Register,
  Registered,
  ReturnedLists,
  Role,
} from "../protocol/requests.ts";
import { RuleBroken } from "../protocol/rules.ts";
import { h256, selfConversation } from "../protocol/signed.ts";
import { applyChange, checkChange, joinOf, type MembershipChange, newConversation } from "./server-membership.ts";
import { addPrekeys, checkedPrekeys } from "./server-prekeys.ts";
import {
  ascending,
  contactsOf,
  isRecovering,
  KIND_SELF,
  listedDevices,
  listsOf,
  notFound,
  notify,
  ownDevice,
  type Principal,
  requireTime,
  type Store,
  settleItem,
  unseenDevices,
} from "./server-state.ts";

// --- registration --------------------------------------------------------------------------------------------------

/** Registers an account with its first device; identical bytes are answered as before. */
export function register(store: Store, request: Register): Registered {
  const { state } = store;
  if ((request.join === null) === (request.ownerToken === null)) {
    throw new Rejected("bad_format", "a registration holds a join or an owner token, and not both");
  }
  const first = parseSignedDeviceList(request.list);
  const [device, ...others] = first.content.devices;
  if (device === undefined || others.length > 0 || first.content.version !== 1 || first.content.revoked.length > 0) {
    throw new RuleBroken("first_list");
  }
  const { account } = first.content;
  const digest = toHex(h256("body", encodeStruct("Register", request)));
  const known = state.registrations.get(device.device);
  if (known !== undefined) {
    const role = state.devices.get(device.device)?.listed ? state.accounts.get(account)?.role : undefined;
    if (known.digest !== digest || role === undefined) {
      throw new Rejected("conflict", "this device was registered with other bytes");
    }
    return { role, seq: known.seq };
  }
  checkFirst(first);
  requireTime(first.content.issuedMs, store.now());
  const checked = checkedPrekeys(account, device, request.prekeys);
  const { role, change } = placeOf(store, request, first, device.device);
  if (state.accounts.has(account) || state.devices.has(device.device)) {
    throw new Rejected("conflict", "account or device exists");
  }
  if (change !== null) {
    checkChange(store, change);
  }
  state.ownerTokenUsed ||= change === null;
  state.accounts.set(account, { role, lists: [] });
  keepList(store, first);
  addPrekeys(state.devices.get(device.device), checked);
  const own = newConversation(store, KIND_SELF);
  own.members.add(account);
  state.conversations.set(selfConversation(account), own);
  const seq = change === null ? 0 : applyChange(store, change).seq;
  state.registrations.set(device.device, { digest, seq });
  return { role, seq };
}

/** What the registration makes of the account: the owner, or what the invite says. */
function placeOf(
  store: Store,
  request: Register,
  first: SignedDeviceList,
  device: DeviceId,
): { role: Role; change: MembershipChange | null } {
  const { state } = store;
  if (request.ownerToken !== null) {
    if (toHex(h256("owner-token", request.ownerToken)) !== state.ownerTokenHash || state.ownerTokenUsed) {
      throw notFound();
    }
    return { role: "owner", change: null };
  }
  const join = parseSignedEntry(request.join ?? new Uint8Array(0));
  if (join.fields.action.tag !== "join") {
    throw new Rejected("bad_format", "the entry of a registration is a join");
  }
  if (join.fields.account !== first.content.account || join.fields.device !== device) {
    throw new Rejected("forbidden", "the join is not by the device that registers");
  }
  requireTime(join.fields.tsMs, store.now());
  return joinOf(store, join, first);
}

// --- device lists --------------------------------------------------------------------------------------------------

/** The signed lists of an account, oldest first; from the newest AIK-signed one, or from a version. */
export function listsFrom(store: Store, account: AccountId, from: number): Uint8Array[] {
  const lists = store.state.accounts.get(account)?.lists ?? [];
  const least = from || Math.max(...lists.filter((held) => held.byIdentityKey).map((held) => held.version));
  return lists.filter((held) => held.version >= least).map((held) => held.raw);
}

/** For oneself, for contacts, and for whoever has entries in a group that the asker reads. */
export function readLists(store: Store, who: Principal, account: AccountId, from: number): Uint8Array[] {
  const acted = [...store.state.conversations.values()].some(
    (held) =>
      held.kind === 2 &&
      held.members.has(who.account) &&
      held.chain.some((item) => parseSignedEntry(item.raw).fields.account === account),
  );
  if (account !== who.account && !contactsOf(store, who.account).has(account) && !acted) {
    throw notFound();
  }
  return listsFrom(store, account, from);
}

/** Publishes the account's next list. */
export function updateList(store: Store, who: Principal, request: DeviceListUpdate): Uint8Array[] {
  const candidate = parseSignedDeviceList(request.list);
  if (candidate.content.account !== who.account) {
    throw new Rejected("forbidden", "a list is published by a device of its account");
  }
  return publish(store, candidate, request.prekeys, null);
}

/** Takes lists that a restored store has lost, by their signatures alone; those that stand are skipped. */
export function restoreLists(store: Store, account: AccountId, request: ReturnedLists): Uint8Array[] {
  if (!store.state.accounts.has(account) || !isRecovering(store)) {
    throw notFound();
  }
  const lists = request.lists.map(parseSignedDeviceList);
  if (lists.some((candidate) => candidate.content.account !== account)) {
    throw new Rejected("bad_format", "the lists are of one account");
  }
  if (!lists.at(-1)?.content.devices.some((entry) => entry.device === request.device)) {
    throw new Rejected("bad_format", "the last list holds the device that brings it");
  }
  const standing = listsFrom(store, account, 1);
  let answer = standing.slice(-1);
  for (const candidate of lists) {
    if (!standing.some((raw) => equal(raw, candidate.encoded))) {
      answer = publish(store, candidate, request.prekeys, request.device);
    }
  }
  return answer;
}

function publish(
  store: Store,
  candidate: SignedDeviceList,
  given: Prekeys | null,
  prekeysOf: DeviceId | null,
): Uint8Array[] {
  const { account, devices, issuedMs } = candidate.content;
  const lists = listsOf(store, account);
  const head = lists.at(-1);
  if (head === undefined) {
    throw notFound();
  }
  if (lists.some((held) => equal(held.encoded, candidate.encoded))) {
    return [candidate.encoded];
  }
  requireTime(issuedMs, store.now());
  checkSuccessor(head, candidate);
  const added = devices.filter((entry) => !head.content.devices.some(({ device }) => device === entry.device));
  const [fresh, ...others] = added;
  if (others.length > 0) {
    throw new RuleBroken("duplicate");
  }
  const uploaded = prekeysOf !== null && fresh?.device !== prekeysOf ? null : given;
  if ((fresh === undefined) !== (uploaded === null) && !(fresh && uploaded === null && isRecovering(store))) {
    throw new Rejected("bad_format", "a list that adds a device, and no other, comes with its prekeys");
  }
  const checked = fresh && uploaded ? checkedPrekeys(account, fresh, uploaded) : null;
  for (const { device } of devices) {
    const known = store.state.devices.get(device);
    if (known !== undefined && known.account !== account) {
      throw new Rejected("conflict", "device belongs to another account");
    }
    if (known?.revoked) {
      throw new Rejected("rule_broken", "revoked devices stay revoked");
    }
  }
  keepList(store, candidate);
  if (fresh && checked) {
    addPrekeys(store.state.devices.get(fresh.device), checked);
  }
  dropUnlisted(store, candidate);
  store.drop(head.content.devices.map(({ device }) => device).filter((id) => !devices.some((e) => e.device === id)));
  for (const contact of ascending(contactsOf(store, account))) {
    notify(store, listedDevices(store, new Set([contact])), "devices_changed", idBytes(account));
  }
  return [candidate.encoded];
}

function keepList(store: Store, { content, encoded }: SignedDeviceList): void {
  const byIdentityKey = isByIdentityKey({ content } as SignedDeviceList);
  store.state.accounts.get(content.account)?.lists.push({ version: content.version, raw: encoded, byIdentityKey });
  for (const { device, dsig } of content.devices) {
    const known = store.state.devices.get(device);
    if (known === undefined) {
      store.state.devices.set(device, {
        account: content.account,
        dsig,
        listed: true,
        revoked: false,
        lastAuth: null,
        seenAt: store.now(),
        dormant: false,
        signed: null,
        lastResort: null,
        oneTime: new Map(),
        top: -1,
      });
    } else {
      known.listed = true;
    }
  }
}

/** Devices that left the list lose tokens and mail. */
function dropUnlisted(store: Store, { content }: SignedDeviceList): void {
  const now = store.now();
  const listed = new Set(content.devices.map(({ device }) => device));
  for (const [device, record] of store.state.devices) {
    if (record.account !== content.account || listed.has(device)) {
      continue;
    }
    record.listed = false;
    record.revoked ||= content.revoked.includes(device);
    for (const [key, token] of store.state.tokens) {
      if (token.principal.device === device) {
        store.state.tokens.delete(key);
      }
    }
    for (const item of store.state.items.values()) {
      if (item.owed.has(device)) {
        settleItem(item, device, now);
      }
    }
  }
  const unseen = unseenDevices(store, content.account, now); // the last one seen may have left
  for (const device of listed) {
    const record = store.state.devices.get(device);
    if (record !== undefined) {
      record.dormant &&= unseen.has(device);
    }
  }
}

// --- linking -------------------------------------------------------------------------------------------------------

const KEY_STEPS = [1, 2];

function linkState({ expiresMs, steps }: { expiresMs: number; steps: readonly Uint8Array[] }, now: number): LinkState {
  return { expiresMs, serverTimeMs: now, steps: [...steps] };
}

/** A link as it stands. Rejected("not_found") when absent, ended or expired. */
export function readLink(store: Store, link: LinkId): LinkState {
  const standing = store.state.links.get(link);
  if (standing === undefined || standing.expiresMs <= store.now()) {
    throw notFound();
  }
  return linkState(standing, store.now());
}

/** Opens a link of the asking account; an older one ends. */
export function openLink(store: Store, who: Principal, { link, commitment }: LinkOpen): LinkState {
  ownDevice(store, who);
  const { links } = store.state;
  const now = store.now();
  const standing = links.get(link);
  if (standing !== undefined && standing.expiresMs > now) {
    if (standing.opener.device !== who.device || !equal(standing.steps[0] ?? commitment, commitment)) {
      throw new Rejected("conflict", "link id is taken");
    }
    return linkState(standing, now);
  }
  for (const [key, held] of links) {
    if (held.opener.account === who.account) {
      links.delete(key);
    }
  }
  const opened = { opener: who, expiresMs: now + LINK_LIFE_MS, steps: [commitment] };
  links.set(link, opened);
  return linkState(opened, now);
}

/** Writes the next step: 2, 3 and 5 by the opener (`who`), 1 and 4 by whoever knows the link's id (null). */
export function writeLink(store: Store, link: LinkId, { step, content }: LinkStep, who: Principal | null): LinkState {
  const mine = who === null ? [1, 4] : [2, 3, 5];
  if (!mine.includes(step) || (KEY_STEPS.includes(step) && content.length !== 32)) {
    throw new Rejected("bad_format", "not a step of this side");
  }
  const standing = store.state.links.get(link);
  if (standing === undefined || standing.expiresMs <= store.now()) {
    throw notFound();
  }
  if (who !== null && standing.opener.device !== who.device) {
    throw notFound();
  }
  const { steps } = standing;
  const written = steps[step];
  if (written !== undefined && !equal(written, content)) {
    throw new Rejected("conflict", "this step of the link is written");
  }
  if (step > steps.length) {
    throw new Rejected("rule_broken", "an earlier step of the link is missing");
  }
  if (step === steps.length) {
    steps.push(content);
  }
  return linkState(standing, store.now());
}

/** The ids of conversations that this account is in, ascending. */
export function conversationsOf({ state }: Store, account: AccountId): ConversationId[] {
  return ascending([...state.conversations].filter(([, held]) => held.members.has(account)).map(([conv]) => conv));
}
