/**
 * Asking the sending device for what could not be opened, over a session that works, and taking its answers.
 *
 * One request holds all that one device is to send again; more than five in ten minutes are put together. If the
 * failure says that the session is broken, the request goes over a new one, which becomes the one to send on once the
 * peer has answered on it. Two requests to the sender, then others of its account's devices are asked too: they may
 * have the key. Five requests over seven days; then the placeholder stays, and the sender is told.
 *
 * Source: docs/protocol.md, section 4.9.
 */

import type { Session } from "../../crypto/ratchet.ts";
import { makeSecurityEvent } from "../../events.ts";
import { concat, EMPTY } from "../../protocol/bytes.ts";
import { FormatError } from "../../protocol/errors.ts";
import type { AccountId, DeviceId, MessageId } from "../../protocol/ids.ts";
import { CT_BYTES } from "../../protocol/limits.ts";
import type { Claimed } from "../../protocol/requests.ts";
import type { Outer } from "../../protocol/signed.ts";
import { bodyHash, parseOuter } from "../../protocol/signed.ts";
import type { Keyed } from "../archiving.ts";
import { makeKeyed } from "../archiving.ts";
import type { ResendBody, ResendRefusal } from "../bodies/content.ts";
import { RESEND_ITEMS } from "../bodies/content.ts";
import { accountOf, listedDevices } from "../contacts.ts";
import { DIRECTS_MOST, putContent, putNote } from "../directs.ts";
import { getSession } from "../keys/kept-sessions.ts";
import { choose } from "../keys/sessions.ts";
import type { FailureClass, OpenedMessage } from "../opening.ts";
import { Failed, openWith } from "../opening.ts";
import * as pending from "../pending.ts";
import { commitPost } from "../posts.ts";
import { claimFor, freshSession } from "../sealing.ts";
import { accountSeq, removePlaceholder } from "../shown/showing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { count } from "../vault/figures.ts";
import { DIRECTS } from "../vault/outgoing.ts";
import type { Envelope, Helper, PendingMessage } from "../vault/records.ts";
import { HELPERS, NEW_HELPER, PENDING, SEEN } from "../vault/records.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";
import { mayHaveLost } from "../vault/upkeep.ts";
import { sharedConversation } from "./renewing.ts";

/** Requests for one message. */
export const ASK_MOST = 5;
/** After this time nothing more is asked. */
export const ASK_WITHIN_MS = 7 * 86_400_000;
/** So many requests go to the sending device before others of its account are asked. */
const SENDER_FIRST = 2;
/** Waits after the first, second … request: the peer may be away for days. */
const ASK_AGAIN_MS = [600_000, 3_600_000, 6 * 3_600_000, 24 * 3_600_000] as const;
const ASK_AGAIN_LAST_MS = 5 * 86_400_000;
const WINDOW_MS = 600_000;
/** Requests to one device in ten minutes; what fails after them waits until these are over, then all is asked at once. */
const REQUESTS_MOST = 5;
/** At most one session is started for asking in this time, then in twice as long, up to six hours. */
const SESSION_EVERY_MS = 600_000;
const SESSION_EVERY_MOST_MS = 6 * 3_600_000;
/** The server had no bundle for the device: asked again after an hour. */
const NO_BUNDLE_MS = 3_600_000;

/** Failures that say that the present session is not to be relied on. */
export const NEEDS_SESSION: ReadonlySet<string> = new Set<FailureClass>(["F2", "F3", "F4"]);

// --- whom to ask, and when -------------------------------------------------------------------------------------------

/** The sending device, then its account's other listed ones; never this one, and none that has been removed. */
function helpers(turn: Turn, held: PendingMessage): DeviceId[] {
  const listed = listedDevices(turn, held.account).filter((device) => device !== turn.me.device);
  const others = listed.filter((device) => device !== held.device).sort();
  return listed.includes(held.device) ? [held.device, ...others] : others;
}

/** The server could not help: a device that may have the key is asked; without any the placeholder stays. */
export function ask(turn: Turn, held: PendingMessage): void {
  const devices = helpers(turn, held);
  const target = devices[Math.max(0, held.asked - SENDER_FIRST + 1) % devices.length];
  if (target === undefined) {
    pending.giveUp(turn, held, "lost");
    return;
  }
  const kept = target === held.device ? null : target;
  pending.update(turn, { ...held, attempt: "ask", target: kept, dueMs: Math.max(held.dueMs, turn.nowMs) });
}

function waitingFor(turn: Turn, device: DeviceId): PendingMessage[] {
  return pending.allPending(turn).filter((held) => held.attempt === "ask" && pending.helperOf(held) === device);
}

/** Sends one request for all that this device is to send again and that is due; gives up what was asked often enough. */
export function askDue(turn: Turn, device: DeviceId): void {
  errands.drop(turn, "ask", device);
  const due: PendingMessage[] = [];
  const lost: PendingMessage[] = [];
  for (const held of waitingFor(turn, device)) {
    if (held.dueMs > turn.nowMs) {
      errands.plan(turn, "ask", device, { dueMs: held.dueMs });
    } else if (held.asked >= ASK_MOST || turn.nowMs - held.sinceMs > ASK_WITHIN_MS) {
      lost.push(held);
    } else {
      due.push(held);
    }
  }
  exhausted(turn, lost);
  askNow(turn, device, due);
}

function askNow(turn: Turn, device: DeviceId, due: readonly PendingMessage[]): void {
  const [first] = due;
  if (first === undefined) {
    return;
  }
  let helper = HELPERS.get(turn.tx, device) ?? { ...NEW_HELPER, device, account: first.account };
  if (turn.nowMs - helper.windowMs >= WINDOW_MS) {
    helper = { ...helper, windowMs: turn.nowMs, requests: 0 };
  }
  if (helper.requests >= REQUESTS_MOST) {
    errands.plan(turn, "ask", device, { dueMs: helper.windowMs + WINDOW_MS });
    return;
  }
  const session = askingSession(turn, device, helper, due);
  if (session === null) {
    planSession(turn, device, helper);
    return;
  }
  HELPERS.put(turn.tx, device, { ...helper, requests: helper.requests + 1 });
  for (let start = 0; start < due.length; start += RESEND_ITEMS) {
    const batch = due.slice(start, start + RESEND_ITEMS);
    const fresh = getSession(turn.tx, device, session.sid) ?? session;
    const items = batch.map((held) => ({ id: held.id, commitment: held.commitment, body: needsBody(held) }));
    putContent(turn, batch[0]?.conv ?? first.conv, device, fresh, { type: "resend.request", items });
  }
  count(turn, "asked", due.length);
  for (const held of due) {
    const dueMs = turn.nowMs + (ASK_AGAIN_MS[held.asked] ?? ASK_AGAIN_LAST_MS);
    ask(turn, { ...held, asked: held.asked + 1, dueMs, part: EMPTY });
  }
}

function needsBody(held: PendingMessage): boolean {
  return held.envelope === null || held.failure === "F7";
}

function spacingMs(helper: Helper): number {
  const doublings = Math.min(Math.max(helper.started - 1, 0), 10);
  return Math.min(SESSION_EVERY_MS * 2 ** doublings, SESSION_EVERY_MOST_MS);
}

/** The session to ask on; null when one has to be started for it first. */
function askingSession(turn: Turn, device: DeviceId, helper: Helper, due: readonly PendingMessage[]): Session | null {
  const current = choose(turn, device);
  if (!due.some((held) => held.device === device && NEEDS_SESSION.has(held.failure))) {
    return current;
  }
  const session = helper.sid === null ? null : getSession(turn.tx, device, helper.sid);
  const recent = turn.nowMs - helper.sessionMs < spacingMs(helper);
  return session !== null && !session.stopped && recent ? session : null;
}

/** A session for asking, as soon as there may be another one: a week without any begins the counting anew. */
function planSession(turn: Turn, device: DeviceId, before: Helper): void {
  const helper = turn.nowMs - before.sessionMs >= ASK_WITHIN_MS ? { ...before, started: 0 } : before;
  HELPERS.put(turn.tx, device, helper);
  const freeMs = helper.started ? helper.sessionMs + spacingMs(helper) : 0;
  if (freeMs > turn.nowMs) {
    errands.plan(turn, "ask", device, { dueMs: freeMs });
  } else if (!errands.planned(turn, "help_claim", device)) {
    errands.plan(turn, "help_claim", device);
  }
}

/** Nobody helped: the placeholder stays for good, and the sender learns that its message was never read here. */
function exhausted(turn: Turn, lost: readonly PendingMessage[]): void {
  for (const held of lost) {
    pending.giveUp(turn, held, "lost");
  }
  const told = new Set<DeviceId>();
  for (const { account, device, conv } of lost) {
    const session = account === turn.me.account || told.has(device) ? null : choose(turn, device);
    told.add(device);
    if (session !== null && DIRECTS.count(turn.tx) < DIRECTS_MOST) {
      const ids = lost.filter((held) => held.device === device).map((held) => held.id);
      putContent(turn, conv, device, session, { type: "resend.lost", ids: ids.slice(0, RESEND_ITEMS) });
    }
  }
}

/** Claims a bundle of the device, to start a session for asking. */
export function helpCall(turn: Turn, errand: Errand): Call {
  const device = errand.subject as DeviceId;
  return makeCall(errands.keyOf(errand), "prekeys.claim", { body: claimFor(turn, device, [device]) });
}

/** Starts the session and asks on it; if the server has no bundle, tries again in an hour. */
export function helpAnswered(turn: Turn, errand: Errand, answer: Claimed): void {
  const device = errand.subject as DeviceId;
  errands.drop(turn, "help_claim", device);
  const fresh = freshSession(turn, device, device, answer);
  if (fresh === null) {
    errands.plan(turn, "ask", device, { dueMs: turn.nowMs + NO_BUNDLE_MS });
    return;
  }
  const account = accountOf(turn, device) ?? turn.me.account;
  const helper = HELPERS.get(turn.tx, device) ?? { ...NEW_HELPER, device, account };
  HELPERS.put(turn.tx, device, { ...helper, sid: fresh.sid, sessionMs: turn.nowMs, started: helper.started + 1 });
  if (waitingFor(turn, device).length > 0) {
    errands.plan(turn, "ask", device);
    return;
  }
  const conv = sharedConversation(turn, helper.account);
  if (conv !== null) {
    putNote(turn, conv, device, fresh); // nothing to ask for: the peer need only know of it
  }
}

/**
 * A message came on a session that is out of step, and could be opened otherwise: the next one shall not need that. A
 * new session is started, as seldom as for asking, unless there has just been one.
 */
export function repairSession(turn: Turn, account: AccountId, device: DeviceId): void {
  const helper = HELPERS.get(turn.tx, device) ?? { ...NEW_HELPER, device, account };
  if (device !== turn.me.device && (!helper.started || turn.nowMs - helper.sessionMs >= spacingMs(helper))) {
    planSession(turn, device, helper);
  }
}

// --- answers ---------------------------------------------------------------------------------------------------------

/** What is still closed and may be answered by this device: its sender, or another one of the sender's account. */
function askedOf(turn: Turn, message: OpenedMessage, asked: MessageId): PendingMessage | null {
  const held = PENDING.get(turn.tx, asked);
  if (held === null || held.account !== message.outer.account) {
    return null;
  }
  return held.device === message.outer.device || message.known.listed ? held : null;
}

/** A key that was sent again: opens the message it refers to, if that is what its own sender sealed. */
export function takeKey(turn: Turn, message: OpenedMessage): void {
  const payload = message.payload;
  const held = payload === null ? null : askedOf(turn, message, payload.ref);
  if (payload !== null && held !== null) {
    const keyed = makeKeyed(payload.key, payload.bodyHash, { trust: "resend" });
    openResent(turn, { ...held, key: keyed.key, hash: keyed.hash }, held.envelope, keyed);
  }
}

/** A whole message again, perhaps in parts, for a device that the server does not give it to. */
export function takeBody(turn: Turn, message: OpenedMessage, content: ResendBody): void {
  const held = askedOf(turn, message, content.id);
  if (held === null || (content.at && content.at !== held.part.length)) {
    return;
  }
  const ct = content.at ? concat(held.part, content.ct) : content.ct;
  const size = content.size || ct.length;
  if (ct.length < size && size <= CT_BYTES) {
    pending.update(turn, { ...held, part: ct });
    return;
  }
  let outer: Outer;
  try {
    outer = parseOuter(content.outer);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return;
    }
    throw problem;
  }
  if (outer.id !== held.id || outer.conv !== held.conv || outer.device !== held.device) {
    return;
  }
  const envelope: Envelope = {
    seq: held.envelope?.seq ?? 0,
    at: held.envelope?.at ?? message.envelope.at,
    outer: content.outer,
    nonce: content.nonce,
    ct,
    key: EMPTY,
  };
  const keyed = makeKeyed(content.key, bodyHash(envelope.outer, envelope.nonce, ct), { trust: "resend" });
  openResent(turn, { ...held, part: EMPTY }, envelope, keyed);
}

function openResent(turn: Turn, held: PendingMessage, envelope: Envelope | null, keyed: Keyed): void {
  if (envelope === null || envelope.ct.length === 0) {
    pending.update(turn, { ...held, attempt: "fetch", dueMs: turn.nowMs }); // its body may have been withheld before
    return;
  }
  let opened: OpenedMessage;
  try {
    opened = openWith(turn, envelope, keyed);
  } catch (problem) {
    if (!(problem instanceof Failed)) {
      throw problem;
    }
    problem.report(turn, envelope);
    const atOnce = problem.failure !== held.failure; // another kind of help; the same one is asked for in its own time
    const dueMs = atOnce ? turn.nowMs : held.dueMs;
    pending.update(turn, { ...held, failure: problem.failure, attempt: "ask", dueMs });
    return;
  }
  commitPost(turn, opened);
  if (held.failure === "F9" && !mayHaveLost(turn)) {
    const { conv, account, device } = held;
    turn.show(makeSecurityEvent("withheld_message", { conversation: conv, account, device }));
  }
}

/** Its time was over before it could be opened here: it is taken for read and gone. */
function removed(turn: Turn, held: PendingMessage): void {
  const seq = held.envelope?.seq ?? 0;
  SEEN.put(turn.tx, held.id, { seq, entry: null }, { order: turn.nowMs });
  pending.forget(turn, held.id);
  removePlaceholder(turn, held.id);
  turn.ack(held.id);
  if (seq) {
    accountSeq(turn, held.conv, seq);
  }
}

/** A device says why it does not help. Only the sending one knows for sure; else the next one is asked. */
export function takeRefusal(turn: Turn, message: OpenedMessage, refusal: ResendRefusal): void {
  for (const item of refusal.items) {
    const held = askedOf(turn, message, item.id);
    if (held === null || held.device !== message.outer.device) {
      continue; // its account's other devices may have the key or not: the next request is planned already
    }
    if (item.reason === "no_such_message") {
      const { conv, account, device } = held;
      turn.show(makeSecurityEvent("no_such_message", { conversation: conv, account, device }));
      pending.giveUp(turn, held, "lost");
      removePlaceholder(turn, held.id);
    } else if (item.reason === "not_addressed") {
      pending.giveUp(turn, held, "not_addressed");
    } else if (item.reason === "removed") {
      removed(turn, held);
    } else if (held.asked <= SENDER_FIRST && helpers(turn, held).length > 1) {
      ask(turn, { ...held, asked: SENDER_FIRST, dueMs: turn.nowMs });
    } else {
      pending.giveUp(turn, held, "lost");
    }
  }
}
