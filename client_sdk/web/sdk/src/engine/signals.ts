/**
 * Typing: sealed under the key of an earlier post, never stored, never a step of any ratchet, dropped when anything is
 * odd. Source: docs/protocol.md, chapter 8.
 */

import { openSignal, sealSignal, signalKey, signalRises } from "../crypto/signals.ts";
import { RemoteError } from "../protocol/errors.ts";
import type { ConversationId } from "../protocol/ids.ts";
import type { Signal } from "../protocol/messages.ts";
import { parseSignalFields, type SignalFields } from "../protocol/signed.ts";
import { deviceParty } from "./contacts.ts";
import type { SignalMemory } from "./signal-memory.ts";
import { CHAINS, CONVERSATIONS, epochOf } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/** Tells connected members that we are writing. A device that has not posted here has no key to say it with: silence. */
export function sendTyping(turn: Turn, memory: SignalMemory, conv: ConversationId): void {
  const { account, device } = turn.me;
  const conversation = CONVERSATIONS.get(turn.tx, conv);
  const own = CHAINS.get(turn.tx, conv + device);
  if (conversation === null || !own?.key.length) {
    return; // no key once that post has expired
  }
  const place = { conv, epoch: epochOf(conversation), account, device, ref: own.last };
  const fields: SignalFields = { ...place, ctr: memory.next(), tsMs: turn.nowMs };
  const frame = sealSignal(fields, signalKey(own.key, own.last, device), { type: "typing" }, turn.random);
  turn.send({ tag: "signal", frame });
}

/** Shows that somebody writes, if the signal is under the key of that device's newest post, current and fresh. */
export function takeSignal(turn: Turn, memory: SignalMemory, { frame }: Signal): void {
  const fields = typingIn(turn, memory, frame);
  if (fields === null) {
    return;
  }
  memory.note(fields);
  const { conv, account } = fields;
  if (deviceParty(turn, account, fields.device)?.listed && account !== turn.me.account) {
    turn.show({ type: "typing", conversation: conv, account });
  }
}

/** The fields of a fresh typing signal; null for anything else. */
function typingIn(turn: Turn, memory: SignalMemory, frame: Uint8Array): SignalFields | null {
  try {
    const fields = parseSignalFields(frame);
    const conversation = CONVERSATIONS.get(turn.tx, fields.conv);
    const chain = CHAINS.get(turn.tx, fields.conv + fields.device);
    if (conversation === null || chain?.last !== fields.ref || !chain.key.length) {
      return null;
    }
    if (!signalRises(fields, memory.last(fields), epochOf(conversation), turn.nowMs)) {
      return null;
    }
    const { type } = openSignal(frame, signalKey(chain.key, fields.ref, fields.device));
    return type === "typing" ? fields : null;
  } catch (problem) {
    if (problem instanceof RemoteError) {
      return null;
    }
    throw problem;
  }
}
