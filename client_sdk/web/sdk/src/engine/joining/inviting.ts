/**
 * Inviting somebody: a fresh secret, a new pair conversation with the invite in it, and the sealed card that waits for
 * them.
 *
 * Everything is committed before the server hears of it; the link is given out once the server has the invite. The
 * invitee can join while we are offline.
 *
 * Source: docs/protocol.md, section 3.1.
 */

import {
  type Card,
  encodeLink,
  type InviteSecret,
  idOfInvite,
  inviteKeyOf,
  makeInviteSecret,
  NEW_CARD,
  sealCard,
} from "../../crypto/invites.ts";
import { utf8 } from "../../protocol/bytes.ts";
import { versionOf } from "../../protocol/device-lists.ts";
import { LocalError } from "../../protocol/errors.ts";
import type { ConversationId, InviteId } from "../../protocol/ids.ts";
import { INVITE_LIFE_MS } from "../../protocol/limits.ts";
import { advance, begin } from "../../protocol/membership.ts";
import {
  genesisFields,
  isAdmin,
  parseSignedEntry,
  type SignedEntry,
  signEntry,
} from "../../protocol/membership-entries.ts";
import type { Appended, Role } from "../../protocol/requests.ts";
import { inviteFields } from "../cards.ts";
import { compose } from "../composing.ts";
import { newestList } from "../contacts.ts";
import { listOf, openConversation, openSelf } from "../conversations.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS, INVITES, SETTINGS } from "../vault/records.ts";
import { type Call, makeCall, signingKeyOf, type Turn } from "../vault/turn.ts";

/** Longest welcome, bytes of UTF-8. */
const WELCOME_BYTES = 4_096;

/**
 * Makes an invite into a new pair conversation and plans its creation on the server.
 *
 * LocalError: "forbidden" before registration or for a role that may not invite; "too_large" for a welcome above 4,096
 * bytes.
 */
export function newInvite(turn: Turn, role: Role, welcome: string | null): InviteId {
  const own = turn.me.role;
  if (own === null || !isAdmin(own) || role === "owner") {
    throw new LocalError("forbidden", "this role may not give that one");
  }
  if (welcome !== null && utf8(welcome).length > WELCOME_BYTES) {
    throw new LocalError("too_large", "welcome");
  }
  const secret = makeInviteSecret(turn.random);
  const id = idOfInvite(secret);
  const [genesis, invite] = entriesFor(turn, secret, own, role);
  const card = sealCard(secret, cardFor(turn, genesis, role, welcome), turn.random);
  const entries = [genesis.encoded, invite.encoded];
  INVITES.put(turn.tx, id, { token: secret.token, conv: genesis.fields.conv, entries, card });
  errands.plan(turn, "invite", id);
  return id;
}

function entriesFor(
  turn: Turn,
  secret: InviteSecret,
  own: Role,
  role: Role,
): [genesis: SignedEntry, invite: SignedEntry] {
  const { me, nowMs } = turn;
  const key = signingKeyOf(me);
  const version = versionOf(newestList(turn, me.account));
  const begun = { tag: "genesis", kind: "pair", role: own, nonce: turn.random(16), aik: me.secrets.aik } as const;
  const genesis = signEntry(genesisFields(begun, me.account, me.device, version, nowMs), key);
  const fields = {
    conv: genesis.fields.conv,
    epoch: 2,
    prevHash: genesis.hash,
    account: me.account,
    device: me.device,
    listVersion: version,
    action: {
      tag: "invite",
      invite: idOfInvite(secret),
      ipk: inviteKeyOf(secret).publicKey,
      role,
      expiresMs: nowMs + INVITE_LIFE_MS,
    },
    tsMs: nowMs,
  } as const;
  const invite = signEntry(fields, key);
  const lists = listOf(turn);
  advance(begin(genesis, lists), invite, lists); // what the server will check, before it is asked
  return [genesis, invite];
}

function cardFor(turn: Turn, genesis: SignedEntry, role: Role, welcome: string | null): Card {
  const { account, secrets, serverId } = turn.me;
  const head = newestList(turn, account);
  return {
    ...NEW_CARD,
    name: SETTINGS.need(turn.tx, "").name,
    account,
    aik: secrets.aik,
    version: versionOf(head),
    dlh: head.hash,
    serverId,
    conv: genesis.fields.conv,
    genesis: genesis.hash,
    role,
    welcome,
    ...inviteFields(turn, genesis.fields.conv),
  };
}

/** Nobody will be given the link: it is not asked for any more. */
export function withdraw(turn: Turn, invite: InviteId): void {
  if (errands.planned(turn, "invite", invite)) {
    errands.drop(turn, "invite", invite);
    INVITES.delete(turn.tx, invite);
  }
}

/** Creates the invite; identical bytes until it is answered. */
export function inviteCall(turn: Turn, errand: Errand): Call | null {
  const record = INVITES.get(turn.tx, errand.subject);
  if (record === null) {
    errands.drop(turn, "invite", errand.subject);
    return null;
  }
  const { entries, card } = record;
  return makeCall(errands.keyOf(errand), "invite.create", { body: { entries, card } });
}

/** The server has it: the conversation is open, and our other devices learn of the invite. */
export function inviteMade(turn: Turn, errand: Errand, answer: Appended): void {
  errands.drop(turn, "invite", errand.subject);
  const { token, conv, entries } = INVITES.need(turn.tx, errand.subject);
  if (!CONVERSATIONS.has(turn.tx, conv)) {
    openConversation(turn, entries.map(parseSignedEntry), answer.seq);
  }
  compose(turn, openSelf(turn), { type: "invite", token, conv });
}

/** The server will not have it: nobody can use the link, so it is forgotten. */
export function inviteRefused(turn: Turn, errand: Errand): void {
  errands.drop(turn, "invite", errand.subject);
  INVITES.delete(turn.tx, errand.subject);
}

/** The link of an invite that the server has, and its conversation. LocalError("not_found"). */
export function inviteLink(turn: Turn, invite: InviteId): [link: string, conv: ConversationId] {
  const record = INVITES.get(turn.tx, invite);
  if (record === null || errands.planned(turn, "invite", invite)) {
    throw new LocalError("not_found", "no such invite");
  }
  return [encodeLink({ tag: "invite", base: turn.me.base, secret: { token: record.token } }), record.conv];
}
