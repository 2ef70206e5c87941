/**
 * What cannot be opened is never silently lost: it is kept, fetched again, asked of its sender, and shown as waiting
 * meanwhile.
 *
 * This is the first half of a failed message's way: wait for what it needs (device lists, membership), else fetch it
 * again with the account's archive entry. The second half, asking the sending device, stands in `asking.ts`.
 *
 * Source: docs/protocol.md, section 4.7.
 */

import type { PlaceholderReason } from "../../events.ts";
import { makeSecurityEvent } from "../../events.ts";
import { VaultProblem } from "../../ports.ts";
import { RemoteError } from "../../protocol/errors.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "../../protocol/ids.ts";
import { idOf } from "../../protocol/ids.ts";
import { FETCH_IDS } from "../../protocol/limits.ts";
import type { Fetch, FetchedItem, FetchedItems } from "../../protocol/requests.ts";
import type { Outer } from "../../protocol/signed.ts";
import { ForgedEntry, makeKeyed, openArchived } from "../archiving.ts";
import { stepSession } from "../directs.ts";
import type { FailureClass, OpenedMessage } from "../opening.ts";
import { Failed, messageId, openEnvelope, openWith, parseOuter } from "../opening.ts";
import * as pending from "../pending.ts";
import { commitPost } from "../posts.ts";
import { plausible } from "../shown/showing.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { fault } from "../vault/faults.ts";
import type { Attempt, Envelope, PendingMessage } from "../vault/records.ts";
import { NEW_PENDING, PENDING } from "../vault/records.ts";
import type { Call, Turn } from "../vault/turn.ts";
import { makeCall } from "../vault/turn.ts";
import { ASK_WITHIN_MS, ask, NEEDS_SESSION, repairSession } from "./asking.ts";

/** How often a wrong body is fetched again. */
export const FETCH_MOST = 3;
/** How often the sender's lists are fetched before its device is taken for a stranger. */
const LISTS_MOST = 2;
/** A message of an unknown session may have been overtaken: its session is given this time to start. */
const SESSION_WAIT_MS = 5_000;
/** A membership epoch that the server knows nothing of is asked for again after this time. */
const CHAIN_AGAIN_MS = 60_000;
/** Of which kc is not known, or the key has not come. */
const NO_BYTES_32 = new Uint8Array(32);

// --- keeping ---------------------------------------------------------------------------------------------------------

/** Attempts that end with something else coming in, not with this message being looked for. */
const WAITED_FOR: readonly Attempt[] = ["lists", "chain", "update"];

type First = readonly [attempt: Attempt, reason: PlaceholderReason];
const FIRST_ATTEMPT: { readonly [failure in FailureClass]?: First } = {
  F5: ["lists", "unknown_sender"],
  F6: ["chain", "waiting"],
  F8: ["update", "update"],
};
const FETCHED_FIRST: First = ["fetch", "waiting"];

/** Stores what could not be opened, raw, and plans what may help. The caller parks it. */
export function keepFailed(turn: Turn, envelope: Envelope, message: MessageId, failed: Failed): void {
  const outer = outerOrNull(envelope);
  let first = FIRST_ATTEMPT[failed.failure] ?? FETCHED_FIRST;
  if (outer === null) {
    first = ["update", "update"];
  } else if (failed.stranger) {
    turn.show(strangerEvent(outer.conv, outer.account, outer.device));
    first = ["none", "unknown_sender"];
  }
  pending.keep(turn, asPending(turn, envelope, message, outer, failed.failure, first));
}

function outerOrNull(envelope: Envelope): Outer | null {
  try {
    return parseOuter(envelope);
  } catch (problem) {
    if (problem instanceof Failed) {
      return null;
    }
    throw problem;
  }
}

function strangerEvent(conversation: ConversationId, account: AccountId, device: DeviceId) {
  return makeSecurityEvent("unknown_sender", { conversation, account, device });
}

function asPending(
  turn: Turn,
  envelope: Envelope,
  message: MessageId,
  outer: Outer | null,
  failure: FailureClass,
  [attempt, reason]: First,
): PendingMessage {
  const raw = envelope.outer;
  return {
    ...NEW_PENDING,
    id: message,
    conv: outer?.conv ?? idOf<ConversationId>(raw.subarray(3, 19)),
    account: outer?.account ?? idOf<AccountId>(raw.subarray(27, 43)),
    device: outer?.device ?? idOf<DeviceId>(raw.subarray(43, 59)),
    failure,
    attempt,
    sinceMs: turn.nowMs,
    envelope,
    commitment: outer?.commitment ?? NO_BYTES_32,
    reason,
    dueMs: turn.nowMs + (failure === "F2" ? SESSION_WAIT_MS : 0),
  };
}

// --- trying again ----------------------------------------------------------------------------------------------------

/** Something that may be what was missing has come: tries those kept for it again; of one conversation or device. */
export function retry(
  turn: Turn,
  attempts: readonly Attempt[],
  { conv = null, device = null }: { conv?: ConversationId | null; device?: DeviceId | null } = {},
): void {
  for (const held of pending.allPending(turn, conv)) {
    const wanted = attempts.includes(held.attempt) || (attempts.includes("lists") && held.failure === "F5");
    if (wanted && (device === null || held.device === device)) {
      alone(turn, held, () => tryAgain(turn, held));
    }
  }
}

/**
 * The server has given out this account's lists. A device that is still in none of them is a stranger, but only after
 * a second answer: the first one may have been on its way when the device was added.
 */
export function listsCame(turn: Turn, account: AccountId): void {
  retry(turn, ["lists"]);
  for (const held of pending.allPending(turn)) {
    if (held.attempt !== "lists" || held.account !== account) {
      continue;
    }
    if (held.fetched + 1 < LISTS_MOST) {
      pending.update(turn, { ...held, fetched: held.fetched + 1 });
    } else {
      turn.show(strangerEvent(held.conv, held.account, held.device));
      pending.giveUp(turn, held, "unknown_sender");
    }
  }
}

/** What our own code stumbles over waits for a better version; the rest, and what had come, is not held up. */
function alone(turn: Turn, held: PendingMessage, work: () => void): void {
  try {
    turn.part(work);
  } catch (problem) {
    if (problem instanceof VaultProblem) {
      throw problem;
    }
    fault("a kept message could not be taken in", problem);
    pending.update(turn, { ...held, failure: "F8", attempt: "update", reason: "update" });
  }
}

/** One more try with its own sealed key. What was kept without its bytes is fetched first. */
function tryAgain(turn: Turn, held: PendingMessage): void {
  if (held.envelope === null || held.envelope.key.length === 0) {
    if (held.envelope !== null && WAITED_FOR.includes(held.attempt)) {
      pending.update(turn, { ...held, attempt: "fetch", dueMs: turn.nowMs });
    }
    return;
  }
  let message: OpenedMessage;
  try {
    message = openEnvelope(turn, held.envelope);
  } catch (problem) {
    if (problem instanceof Failed) {
      stillClosed(turn, held, problem);
      return;
    }
    throw problem;
  }
  stepSession(turn, message);
  commitPost(turn, message);
}

/** It fails otherwise than before: what helps now is another thing. */
function stillClosed(turn: Turn, held: PendingMessage, failed: Failed): void {
  if (failed.stranger) {
    turn.show(strangerEvent(held.conv, held.account, held.device));
    pending.giveUp(turn, held, "unknown_sender");
  } else if (failed.failure !== held.failure) {
    const [attempt, reason] = FIRST_ATTEMPT[failed.failure] ?? FETCHED_FIRST;
    pending.update(turn, { ...held, failure: failed.failure, attempt, reason, dueMs: turn.nowMs });
  } else if (held.attempt === "chain" && turn.nowMs - held.sinceMs > ASK_WITHIN_MS) {
    pending.giveUp(turn, held, "lost");
  } else if (held.attempt === "chain") {
    errands.plan(turn, "chain", held.conv, { dueMs: turn.nowMs + CHAIN_AGAIN_MS });
  }
}

// --- fetching --------------------------------------------------------------------------------------------------------

function waitingForFetch(turn: Turn, conv: ConversationId): PendingMessage[] {
  return pending.allPending(turn, conv).filter((held) => held.attempt === "fetch");
}

function planFetch(turn: Turn, conv: ConversationId, waiting: readonly PendingMessage[]): void {
  if (waiting.length > 0) {
    errands.plan(turn, "fetch", conv, { dueMs: Math.min(...waiting.map((held) => held.dueMs)) });
  }
}

/** Asks the server for everything of a conversation that waits for being fetched and is due. */
export function fetchCall(turn: Turn, errand: Errand): Call | null {
  const conv = errand.subject as ConversationId;
  const waiting = waitingForFetch(turn, conv);
  const ids = waiting.filter((held) => held.dueMs <= turn.nowMs).map((held) => held.id);
  if (ids.length > 0) {
    const body: Fetch = { ids: ids.slice(0, FETCH_IDS) };
    return makeCall(errands.keyOf(errand), "messages.fetch", { body, path: { conv } });
  }
  errands.drop(turn, "fetch", conv);
  planFetch(turn, conv, waiting);
  return null;
}

/** Opens what came, by the archive entry or the sealed key; asks the sender for the rest. */
export function fetchAnswered(turn: Turn, errand: Errand, asked: Fetch, answer: FetchedItems): void {
  const conv = errand.subject as ConversationId;
  errands.drop(turn, "fetch", conv);
  const found = new Map(answer.items.map((item) => [messageId(item.outer), item]));
  for (const id of asked.ids) {
    const held = PENDING.get(turn.tx, id);
    if (held?.attempt === "fetch") {
      alone(turn, held, () => fetched(turn, held, found.get(held.id) ?? null));
    }
  }
  planFetch(turn, conv, waitingForFetch(turn, conv));
}

function fetched(turn: Turn, held: PendingMessage, item: FetchedItem | null): void {
  if (item === null || !plausible(turn, held.conv, item.seq)) {
    ask(turn, held);
    return;
  }
  const key = item.key ?? held.envelope?.key ?? new Uint8Array(0);
  const envelope: Envelope = { seq: item.seq, at: item.at, outer: item.outer, nonce: item.nonce, ct: item.ct, key };
  let message: OpenedMessage;
  try {
    const outer = parseOuter(envelope);
    if (outer.conv !== held.conv || outer.account !== held.account || outer.device !== held.device) {
      throw new Failed("F3");
    }
    message = openFetched(turn, held, envelope, outer, item.entry);
  } catch (problem) {
    if (problem instanceof Failed) {
      fetchFailed(turn, held, envelope, problem);
      return;
    }
    throw problem;
  }
  stepSession(turn, message);
  commitPost(turn, message);
  if (NEEDS_SESSION.has(held.failure) && message.opened === null) {
    repairSession(turn, held.account, held.device); // it came from the archive: the session stays broken
  }
}

function fetchFailed(turn: Turn, held: PendingMessage, envelope: Envelope, failed: Failed): void {
  failed.report(turn, envelope);
  const whole = held.envelope !== null && held.envelope.ct.length > 0;
  const after = { ...held, envelope: whole ? held.envelope : envelope, fetched: held.fetched + 1 };
  const first = FIRST_ATTEMPT[failed.failure];
  if (failed.failure === "F7" && after.fetched < FETCH_MOST) {
    pending.update(turn, { ...after, dueMs: turn.nowMs + (1_000 << after.fetched) });
  } else if (first !== undefined) {
    const waiting = { ...after, attempt: first[0] };
    pending.update(turn, waiting);
    stillClosed(turn, waiting, failed);
  } else {
    ask(turn, { ...after, failure: held.failure === "F9" ? held.failure : failed.failure });
  }
}

function openFetched(
  turn: Turn,
  held: PendingMessage,
  envelope: Envelope,
  outer: Outer,
  entry: Uint8Array | null,
): OpenedMessage {
  if (entry !== null) {
    try {
      const record = openArchived(turn, outer, entry);
      return openWith(turn, envelope, makeKeyed(record.key, record.bodyHash, { trust: record.trust }));
    } catch (problem) {
      if (problem instanceof ForgedEntry) {
        turn.show(makeSecurityEvent("forged_archive", { conversation: held.conv })); // the sealed key may still do
      } else if (!(problem instanceof RemoteError)) {
        throw problem; // a RemoteError: of an archive key that is not held, or damaged
      }
    }
  }
  if (held.key.length > 0) {
    return openWith(turn, envelope, makeKeyed(held.key, held.hash, { trust: "resend" }));
  }
  if (envelope.key.length === 0) {
    throw new Failed("F1");
  }
  return openEnvelope(turn, envelope);
}
