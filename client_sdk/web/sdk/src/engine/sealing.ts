/**
 * From what was written to what is sent: one body under a fresh key, that key for every device, our archive entry.
 *
 * The place in our chain (chain, sseq, prev) is fixed at the first sealing. If membership moves on before the server has
 * taken the post, it is sealed anew under the same id and place; if only the device set was wrong, the body stays and
 * keys are added or dropped.
 */

import { encodeBody, makeBody, newChain } from "../crypto/body.ts";
import { encodeKeyPayload, NO_MESSAGE, payloadOf, sealBody } from "../crypto/envelope.ts";
import { type Session, unheldKey } from "../crypto/ratchet.ts";
import { makeSecurityEvent } from "../events.ts";
import { RemoteError } from "../protocol/errors.ts";
import { type ClaimId, type DeviceId, idOf } from "../protocol/ids.ts";
import { CLAIM_DEVICES, CLAIM_REMEMBERED_MS } from "../protocol/limits.ts";
import type { Claim, Claimed } from "../protocol/requests.ts";
import { type Outer, parseOuter } from "../protocol/signed.ts";
import { entryFor, type Keyed, makeKeyed } from "./archiving.ts";
import { archived } from "./bodies/content.ts";
import { accountOf, roster } from "./contacts.ts";
import { accountsOf, requiredDevices } from "./conversations.ts";
import { sessionsOf } from "./keys/kept-sessions.ts";
import { choose, sealFor, start } from "./keys/sessions.ts";
import { renewed } from "./office/promising.ts";
import * as errands from "./vault/errands.ts";
import { BUNDLELESS, CLAIMS, type Hold, OUTBOX, type OutgoingPost, type SealedPost } from "./vault/outgoing.ts";
import { CONTACTS, CONVERSATIONS, type Conversation, epochOf, isBlocked } from "./vault/records.ts";
import { amend, must } from "./vault/tables.ts";
import { type Call, makeCall, type Turn } from "./vault/turn.ts";

/** A claim is repeated under its id for nine minutes; the server remembers ten. */
const CLAIM_FRESH_MS = CLAIM_REMEMBERED_MS - 60_000;
/** A device that the server had no bundle of is written to without one; after an hour one is asked for again. */
const BUNDLELESS_MS = 3_600_000;

/**
 * Seals a post for the devices that need it now and keeps it; or says what it has to wait for, and has that fetched.
 */
export function sealPost(turn: Turn, post: OutgoingPost, conversation: Conversation): OutgoingPost | Hold {
  const hold = obstacle(turn, conversation);
  if (hold !== "none") {
    return hold;
  }
  const devices = requiredDevices(turn, conversation);
  if (missingSessions(turn, devices).length) {
    errands.plan(turn, "claim", conversation.conv);
    return "keys";
  }
  if (post.sealed !== null) {
    return withKeysFor(turn, post, devices); // a body that was sealed before, for keys of today
  }
  const placed = post.chain ? post : inChain(turn, renewed(turn, post), conversation);
  return keepSealed(turn, placed, seal(turn, placed, conversation, devices));
}

function keepSealed(turn: Turn, post: OutgoingPost, sealed: SealedPost): OutgoingPost {
  const after = { ...post, sealed };
  OUTBOX.put(turn.tx, post.id, after, { group: post.conv, order: post.order });
  return after;
}

function obstacle(turn: Turn, conversation: Conversation): Hold {
  if (conversation.membership === null) {
    return "none";
  }
  const accounts = accountsOf(turn, conversation);
  if (accounts.length < 2 || !accounts.includes(turn.me.account)) {
    return "alone";
  }
  for (const account of accounts) {
    const contact = CONTACTS.get(turn.tx, account);
    if (contact === null) {
      errands.plan(turn, "lists", account);
      return "devices";
    }
    if (isBlocked(contact)) {
      return "alarm";
    }
  }
  return "none";
}

/**
 * Takes the next place in our chain for the post; a new chain starts without a predecessor.
 *
 * Who reads the archive misses nothing between the post and its last predecessor there: `kept` names that one.
 */
function inChain(turn: Turn, post: OutgoingPost, conversation: Conversation): OutgoingPost {
  const begun = conversation.chain !== 0;
  const chain = begun ? conversation.chain : newChain(turn.random);
  const sseq = begun ? conversation.sseq + 1 : 1;
  const prev = begun ? conversation.prev : null;
  const kept = begun ? conversation.prevKept : null;
  const prevKept = isInArchive(post) ? post.id : kept;
  amend(CONVERSATIONS, turn.tx, post.conv, { chain, sseq, prev: post.id, prevKept });
  return { ...post, chain, sseq, prev, kept: kept === prev ? null : (kept ?? NO_MESSAGE) };
}

function isInArchive(post: OutgoingPost): boolean {
  return !post.expireMs && archived(post.type);
}

function seal(turn: Turn, post: OutgoingPost, conversation: Conversation, devices: readonly DeviceId[]): SealedPost {
  const { account, device } = turn.me;
  const epoch = epochOf(conversation);
  const outer: Outer = {
    conv: post.conv,
    epoch,
    account,
    device,
    id: post.id,
    tsMs: Math.min(post.createdMs, turn.nowMs),
    kind: post.kind,
    flags: post.flags,
    actUntilMs: post.actUntilMs,
    commitment: new Uint8Array(32),
  };
  const body = makeBody(post.type, post.content, post.chain, post.sseq, {
    roster: roster(turn, accountsOf(turn, conversation)),
    prev: post.prev,
    after: conversation.after,
    replyTo: post.replyTo,
    expire: post.expireMs || null,
    kept: post.kept,
    officeVersion: post.officeVersion || null,
    promised: post.promisedMs || null,
  });
  const sealed = sealBody(outer, encodeBody(body), turn.random);
  const { nonce, ciphertext: ct, key, hash } = sealed;
  const keys = keysFor(turn, devices, payloadOf(sealed));
  return { epoch, outer: sealed.outer, nonce, ct, key, hash, keys, entry: entryOf(turn, post, outer, sealed, devices) };
}

/**
 * Our archive entry. null for what history shall not bring back; but a post that nobody else gets would not be kept at
 * all without one.
 */
function entryOf(
  turn: Turn,
  post: OutgoingPost,
  outer: Outer,
  { key, hash }: Pick<Keyed, "key" | "hash">,
  devices: readonly DeviceId[],
): Uint8Array | null {
  return devices.length && !isInArchive(post) ? null : entryFor(turn, outer, makeKeyed(key, hash));
}

type DeviceKey = readonly [DeviceId, Uint8Array];

function keysFor(turn: Turn, devices: readonly DeviceId[], payload: Uint8Array): DeviceKey[] {
  return devices.map((device) => [device, keyFor(turn, device, payload)]);
}

/** The payload sealed for a device. One that has no prekeys gets what it has to ask for, and holds nobody up. */
function keyFor(turn: Turn, device: DeviceId, payload: Uint8Array): Uint8Array {
  const sealed = sealFor(turn, device, payload);
  return sealed !== null || !isBundleless(turn, device) ? must(sealed) : unheldKey(turn.random);
}

/**
 * Keeps the sealed body, drops keys of devices that are not among these, and seals keys for new ones.
 *
 * devices: ascending, checked against signed lists by the caller.
 */
export function withKeysFor(turn: Turn, post: OutgoingPost, devices: readonly DeviceId[]): OutgoingPost | Hold {
  const { sealed } = post;
  if (sealed === null) {
    return post;
  }
  const held = new Map(sealed.keys);
  const fresh = devices.filter((device) => !held.has(device));
  if (missingSessions(turn, fresh).length) {
    errands.plan(turn, "claim", post.conv);
    return "keys";
  }
  const { key, hash } = sealed;
  const added = keysFor(turn, fresh, encodeKeyPayload({ kind: "key", key, bodyHash: hash, ref: NO_MESSAGE }));
  const all = new Map([...held, ...added]);
  const keys = devices.map((device) => [device, must(all.get(device))] as const);
  return keepSealed(turn, post, withKeys(turn, sealed, keys));
}

/** The same body with these keys. Without any, only an archive entry keeps it: then it gets one. */
export function withKeys(turn: Turn, sealed: SealedPost, keys: readonly DeviceKey[]): SealedPost {
  const entry =
    sealed.entry === null && !keys.length
      ? entryFor(turn, parseOuter(sealed.outer), makeKeyed(sealed.key, sealed.hash))
      : sealed.entry;
  return { ...sealed, keys, entry };
}

// --- bundles for sessions that are missing ---------------------------------------------------------------------------

/** Those of the devices that a session has to be started with first: there is a bundle of them, or may be. */
export function missingSessions(turn: Turn, devices: readonly DeviceId[]): DeviceId[] {
  return devices.filter((device) => choose(turn, device) === null && !isBundleless(turn, device));
}

function isBundleless(turn: Turn, device: DeviceId): boolean {
  const held = BUNDLELESS.get(turn.tx, device);
  return held !== null && turn.nowMs < held.untilMs;
}

/** Claims bundles for the devices of a conversation that there is no session with. */
export function claimsCall(turn: Turn, errand: errands.Errand): Call | null {
  const conversation = CONVERSATIONS.get(turn.tx, errand.subject);
  const wanted = conversation === null ? [] : missingSessions(turn, requiredDevices(turn, conversation));
  if (!wanted.length) {
    errands.drop(turn, "claim", errand.subject);
    return null;
  }
  const body = claimFor(turn, errand.subject, wanted.slice(0, CLAIM_DEVICES));
  return makeCall(errands.keyOf(errand), "prekeys.claim", { body });
}

/** A claim for these devices; a repeat within nine minutes has the same id, so that no bundle is spent twice. */
export function claimFor(turn: Turn, subject: string, devices: readonly DeviceId[]): Claim {
  let held = CLAIMS.get(turn.tx, subject);
  if (held?.devices.join() !== devices.join() || turn.nowMs - held.madeMs > CLAIM_FRESH_MS) {
    held = { claim: idOf<ClaimId>(turn.random(16)), devices, madeMs: turn.nowMs };
    CLAIMS.put(turn.tx, subject, held);
  }
  return { claim: held.claim, devices: held.devices };
}

/**
 * Starts a session with every device whose bundle verifies. True if none was left out.
 *
 * Lists of the others are fetched; whoever is listed still, and has no bundle (a restored server may lack it until the
 * device comes back), is written to without one for an hour.
 */
export function claimAnswered(turn: Turn, subject: string, answer: Claimed): boolean {
  const leftOut = new Set(CLAIMS.get(turn.tx, subject)?.devices);
  CLAIMS.delete(turn.tx, subject);
  const given = new Set(answer.bundles.map((bundle) => bundle.device));
  for (const device of leftOut) {
    if (!given.has(device)) {
      BUNDLELESS.put(turn.tx, device, { untilMs: turn.nowMs + BUNDLELESS_MS });
    }
  }
  for (const bundle of answer.bundles) {
    const { device } = bundle;
    const account = accountOf(turn, device);
    if (account === null || !leftOut.has(device)) {
      continue;
    }
    try {
      if (turn.part(() => start(turn, account, bundle)) !== null) {
        leftOut.delete(device);
      }
    } catch (problem) {
      if (!(problem instanceof RemoteError)) {
        throw problem;
      }
      turn.show(makeSecurityEvent("forged_prekeys", { account, device }));
    }
  }
  for (const device of leftOut) {
    const account = accountOf(turn, device);
    if (account !== null) {
      errands.plan(turn, "lists", account);
    }
  }
  return leftOut.size === 0;
}

/** The session started from a bundle that was claimed for this device alone; null if there was no usable one. */
export function freshSession(turn: Turn, device: DeviceId, subject: string, answer: Claimed): Session | null {
  const before = new Set(sessionsOf(turn.tx, device).map((session) => session.sid));
  claimAnswered(turn, subject, answer);
  return sessionsOf(turn.tx, device).find((session) => !before.has(session.sid)) ?? null;
}
