/**
 * Becoming somebody: keys first into the vault, then to the server; the same keys whatever happens in between.
 *
 * Two ways in. By the owner link: the first account of a practice. By an invite: the card inside authenticates the
 * inviter, the membership chain says whom the conversation holds, and our join is signed by our device and by the
 * invite's own key. Until the answer is committed the registration stands in the vault, and asking again sends
 * identical bytes.
 *
 * Source: docs/protocol.md, section 3.2.
 */

import { firstList, makeDeviceSecrets, newAccount } from "../../crypto/identity.ts";
import {
  type Card,
  encodeLink,
  type InviteLink,
  type InviteSecret,
  idOfInvite,
  inviteKeyOf,
  NEW_CARD,
  type OwnerLink,
  openCard,
} from "../../crypto/invites.ts";
import { blake2b256 } from "../../crypto/primitives.ts";
import type { Random, Transaction } from "../../ports.ts";
import { EMPTY, equal, utf8 } from "../../protocol/bytes.ts";
import { firstChain, listAt as listInChain, parseSignedDeviceList, versionOf } from "../../protocol/device-lists.ts";
import { RemoteError } from "../../protocol/errors.ts";
import { idOf, type MessageId } from "../../protocol/ids.ts";
import { fold, inviteOf, type ListLookup, type MembershipState, memberOf } from "../../protocol/membership.ts";
import { parseSignedEntry, type SignedEntry, signEntry } from "../../protocol/membership-entries.ts";
import type { InviteView, Register, Registered } from "../../protocol/requests.ts";
import { seedOf, signingKey } from "../../protocol/signed.ts";
import { keepInviteCard } from "../cards.ts";
import { introduce } from "../composing.ts";
import { listAt, newestList, pin, rename, vouch } from "../contacts.ts";
import { listOf, openConversation, openSelf } from "../conversations.ts";
import { firstPrekeys } from "../keys/prekeys.ts";
import { indexWritten } from "../shown/searching.ts";
import { placeOf, putMessage } from "../shown/showing.ts";
import {
  COUNTERS,
  JOINING,
  type Joining,
  ME,
  NEW_COUNTERS,
  NEW_MESSAGE,
  NEW_SETTINGS,
  OFFERED,
  SEARCH_VERSION,
  SETTINGS,
} from "../vault/records.ts";
import { amend, must, Table } from "../vault/tables.ts";
import { type Me, signingKeyOf, type Turn } from "../vault/turn.ts";

/** What registered this account, as the server took it. */
interface RegisteredWith {
  readonly register: Register;
}

/** One record under the empty key, on an account's first device. */
const REGISTERED = new Table<RegisteredWith>("registered");

/** What the server shows for this invite is not what its link vouches for: do not join; tell the inviter. */
export class InviteMismatch extends RemoteError {
  constructor() {
    super("invalid_signature", "the invite and the server contradict each other");
  }
}

/** Who this device is, null in a new vault. */
export function loadMe(tx: Transaction): Me | null {
  return ME.get(tx, "");
}

/** A new account with this as its first device. Nothing is kept yet. */
export function newMe(base: string, serverId: Uint8Array, random: Random, nowMs: number): Me {
  const [account, aik] = newAccount(random);
  const secrets = makeDeviceSecrets(account, aik.publicKey, random, nowMs);
  return {
    account,
    device: secrets.device,
    secrets,
    aikSeed: seedOf(aik),
    base,
    serverId,
    archiveEpoch: 1,
    archiveKey: random(32),
    role: null,
  };
}

/** The vault's first records. turn.me is the new account. */
function keepIdentity(turn: Turn, link: string, name: string): void {
  const { me } = turn;
  ME.put(turn.tx, "", me);
  SETTINGS.put(turn.tx, "", { ...NEW_SETTINGS, name, linkHash: linkHash(link), searchVersion: SEARCH_VERSION });
  if (!COUNTERS.has(turn.tx, "")) {
    COUNTERS.put(turn.tx, "", NEW_COUNTERS);
  }
  const signed = firstList(me.secrets, signingKey(me.aikSeed), turn.nowMs);
  pin(turn, me.account, me.secrets.aik, [signed.encoded]);
  openSelf(turn);
}

/** Everything of a practice's first registration, kept and ready to send. */
export function prepareOwner(turn: Turn, link: OwnerLink, name: string): Register {
  const text = encodeLink(link);
  keepIdentity(turn, text, name);
  const list = newestList(turn, turn.me.account).encoded;
  const register = { list, prekeys: firstPrekeys(turn), join: null, ownerToken: link.token };
  JOINING.put(turn.tx, "", { link: text, register, chain: [], card: null });
  return register;
}

/**
 * Checks the invite and makes everything of an invitee's registration, kept and ready to send.
 *
 * With a registration that was prepared before (the conversation has moved on since), only the join is made anew.
 * InviteMismatch, AuthenticationFailed (the card is not of this link), RuleBroken, FormatError: nothing is kept then.
 */
export function prepareInvitee(turn: Turn, link: InviteLink, view: InviteView, name: string): Register {
  const card = openCard(link.secret, view.card);
  const text = encodeLink(link);
  const held = JOINING.get(turn.tx, "");
  if (held === null) {
    keepIdentity(turn, text, name);
  }
  const state = checkView(turn, link.secret, card, view);
  const join = signJoin(turn, link.secret, state);
  const register = {
    list: newestList(turn, turn.me.account).encoded,
    prekeys: held?.register.prekeys ?? firstPrekeys(turn),
    join: join.encoded,
    ownerToken: null,
  };
  JOINING.put(turn.tx, "", { link: text, register, chain: [...view.chain, join.encoded], card });
  return register;
}

/** The card vouches for the inviter's identity key; from there every list and entry must verify. */
export function checkView(turn: Turn, secret: InviteSecret, card: Card, view: InviteView): MembershipState {
  if (!equal(card.serverId, turn.me.serverId) || card.conv !== view.conv) {
    throw new InviteMismatch();
  }
  for (const held of view.lists) {
    if (held.account === card.account) {
      pin(turn, card.account, card.aik, held.lists);
    } else {
      OFFERED.put(turn.tx, held.account, { lists: held.lists });
    }
  }
  if (listAt(turn, card.account, card.version)?.hash !== card.dlh) {
    throw new InviteMismatch();
  }
  const entries = view.chain.map(parseSignedEntry);
  const state = fold(entries, listOf(turn));
  for (const member of state.members) {
    vouch(turn, member.account, member.aik);
  }
  requireInvite(secret, card, entries, state);
  return state;
}

/** The conversation is the card's, its inviter is a member, and the invite stands open in it. InviteMismatch. */
function requireInvite(
  secret: InviteSecret,
  card: Card,
  entries: readonly SignedEntry[],
  state: MembershipState,
): void {
  const invite = inviteOf(state, idOfInvite(secret));
  if (entries[0]?.hash !== card.genesis || memberOf(state, card.account) === null || invite === null) {
    throw new InviteMismatch();
  }
  if (!equal(invite.ipk, inviteKeyOf(secret).publicKey) || invite.role !== card.role) {
    throw new InviteMismatch();
  }
}

/**
 * What an invite says to somebody who has not decided yet: its card, and when it ends by the server's clock. Checked
 * like `prepareInvitee`, and nothing is kept.
 */
export function inspectInvite(link: InviteLink, view: InviteView): [card: Card, expiresMs: number] {
  const card = openCard(link.secret, view.card);
  const lists: ListLookup = (account, version) => {
    const held = view.lists.find((offered) => offered.account === account);
    const parsed = held?.lists.map(parseSignedDeviceList) ?? [];
    const [first] = parsed;
    const aik = account === card.account ? card.aik : first?.content.aik;
    return aik === undefined ? null : listInChain(firstChain(account, aik, parsed), version);
  };
  const entries = view.chain.map(parseSignedEntry);
  const state = fold(entries, lists);
  if (card.conv !== view.conv || lists(card.account, card.version)?.hash !== card.dlh) {
    throw new InviteMismatch();
  }
  requireInvite(link.secret, card, entries, state);
  return [card, must(inviteOf(state, idOfInvite(link.secret))).expiresMs];
}

/** Our join, by the invite's own key too, as the conversation stands. */
export function signJoin(turn: Turn, secret: InviteSecret, state: MembershipState): SignedEntry {
  const { me } = turn;
  const head = newestList(turn, me.account);
  const fields = {
    conv: state.conv,
    epoch: state.epoch + 1,
    prevHash: state.head,
    account: me.account,
    device: me.device,
    listVersion: versionOf(head),
    action: { tag: "join", invite: idOfInvite(secret), aik: me.secrets.aik, listHash: head.hash },
    tsMs: turn.nowMs,
  } as const;
  return signEntry(fields, signingKeyOf(me), inviteKeyOf(secret));
}

/** What is kept of a link once it has been used: enough to know it again. */
export function linkHash(link: string): Uint8Array {
  return blake2b256(utf8(`Rapport link ${link}`));
}

/** `linkHash` of the link that made this vault, empty for a new vault or one that was linked. */
export function joinedWith(tx: Transaction): Uint8Array {
  return SETTINGS.get(tx, "")?.linkHash ?? EMPTY;
}

/** The registration that the server once took, for one that was restored from a time before it. */
export function registrationAgain(turn: Turn): Register | null {
  return REGISTERED.get(turn.tx, "")?.register ?? null;
}

/** A registration that was prepared and not answered, as it was or will be sent; null if there is none. */
export function waitingRegistration(tx: Transaction): Register | null {
  return JOINING.get(tx, "")?.register ?? null;
}

/** The link of a registration that was prepared and not answered; null if there is none. */
export function waitingLink(tx: Transaction): string | null {
  return JOINING.get(tx, "")?.link ?? null;
}

/** The invite that a registration was prepared with and has not been answered: its card and end; null if none was. */
export function waitingInvite(tx: Transaction, link: string): [card: Card, expiresMs: number] | null {
  const held = JOINING.get(tx, "");
  if (held === null || held.card === null || held.link !== link) {
    return null;
  }
  const actions = held.chain.map((entry) => parseSignedEntry(entry).fields.action);
  const used = actions.findLast((action) => action.tag === "join")?.invite;
  const invite = actions.find((action) => action.tag === "invite" && action.invite === used);
  return [held.card, invite?.tag === "invite" ? invite.expiresMs : 0];
}

/**
 * The account exists.
 *
 * The conversation is open with the inviter's welcome in it, and our name is the first post to send.
 */
export function registered(turn: Turn, answer: Registered): Me {
  const held = JOINING.need(turn.tx, "");
  const me = { ...turn.me, role: answer.role };
  ME.put(turn.tx, "", me);
  JOINING.delete(turn.tx, "");
  REGISTERED.put(turn.tx, "", { register: held.register });
  amend(SETTINGS, turn.tx, "", { oneTimeLeft: held.register.prekeys.oneTime.length });
  if (held.chain.length > 0) {
    openJoined(turn, held, answer.seq);
  }
  return me;
}

/** We are in a conversation: it is open, with the inviter's welcome, and our name is the first post to send. */
export function openJoined(turn: Turn, held: Pick<Joining, "chain" | "card">, seq: number): void {
  const { conv } = openConversation(turn, held.chain.map(parseSignedEntry), seq);
  const { card } = held;
  if (card === null) {
    return;
  }
  rename(turn, card.account, card.name);
  keepInviteCard(turn, conv, { ...NEW_CARD, ...card });
  if (card.welcome) {
    putMessage(turn, {
      ...NEW_MESSAGE,
      id: idOf<MessageId>(turn.random(16)),
      conv,
      account: card.account,
      device: must(newestList(turn, card.account).content.devices[0]).device,
      seq: 0,
      atMs: turn.nowMs,
      kind: "card",
      text: card.welcome,
      status: "received",
      order: placeOf(0),
    });
    indexWritten(turn);
  }
  introduce(turn, conv);
}
