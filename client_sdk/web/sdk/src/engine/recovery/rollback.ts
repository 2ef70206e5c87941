/**
 * When this vault is an earlier state of itself: a copy that was put back, a disk that lost its last writes.
 *
 * What was done since is unknown, so nothing that may have been used is used again: no ratchet state, no place in a
 * chain, no prekey id. Who we are, our history and our inbox stay. A server cannot make us do this: only our own
 * signature counts, under a higher revision than this vault remembers to have signed.
 *
 * Source: docs/protocol.md, section 9.1.
 */

import { makeSecurityEvent } from "../../events.ts";
import { equal } from "../../protocol/bytes.ts";
import { RemoteError } from "../../protocol/errors.ts";
import type { DeviceId } from "../../protocol/ids.ts";
import type { AuthTranscript } from "../../protocol/signed.ts";
import { parseAuthTranscript, verifyAuth } from "../../protocol/signed.ts";
import { putSession, sessionsOf } from "../keys/kept-sessions.ts";
import * as prekeys from "../keys/prekeys.ts";
import { count } from "../vault/figures.ts";
import { DIRECTS } from "../vault/outgoing.ts";
import { CONVERSATIONS, DEVICES } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { signingKeyOf } from "../vault/turn.ts";
import { amendUpkeep } from "../vault/upkeep.ts";

const SIGNATURE_BYTES = 64;

/**
 * Compares what this device has signed in with now to what it signed the last time.
 *
 * stateRev: revision of the present sign-in. signedRev: of the last one before it that this vault remembers, 0 = none. A
 * vault that was put back may have reached the old revision again, but does not remember that it signed it: whatever was
 * signed after the copy was made has a higher revision than what the copy remembers. No clock is asked: the server's may
 * stand still, or go back.
 * lastAuth: transcript and signature as the server has kept them. What this device did not sign is reported and changes
 * nothing.
 * Returns whether this vault is an earlier one: what it had acknowledged since does not come again by itself.
 */
export function lookBack(turn: Turn, lastAuth: Uint8Array | null, stateRev: number, signedRev: number): boolean {
  if (lastAuth === null) {
    return false;
  }
  const before = ownAuth(turn, lastAuth);
  if (before === null) {
    turn.show(makeSecurityEvent("forged_sign_in", { device: turn.me.device }));
    return false;
  }
  if (before.stateRev <= (signedRev || stateRev)) {
    return false;
  }
  beginAnew(turn);
  return true;
}

function ownAuth(turn: Turn, lastAuth: Uint8Array): AuthTranscript | null {
  const { me } = turn;
  let transcript: AuthTranscript;
  try {
    transcript = parseAuthTranscript(lastAuth.slice(0, -SIGNATURE_BYTES));
    verifyAuth(transcript, signingKeyOf(me).publicKey, lastAuth.slice(-SIGNATURE_BYTES));
  } catch (problem) {
    if (problem instanceof RemoteError) {
      return null;
    }
    throw problem;
  }
  const own = transcript.account === me.account && transcript.device === me.device;
  return own && equal(transcript.serverId, me.serverId) ? transcript : null;
}

/**
 * Posts that were sealed before the copy was made are sent again as they are; all else is sealed on new sessions.
 *
 * Directs that wait are dropped: one may have been sealed since the copy was put back, on a state that is used up.
 */
function beginAnew(turn: Turn): void {
  count(turn, "rollbacks");
  amendUpkeep(turn, { rolledBackMs: turn.nowMs });
  for (const [key] of DEVICES.list(turn.tx)) {
    const device = key as DeviceId;
    for (const session of sessionsOf(turn.tx, device)) {
      putSession(turn.tx, device, { ...session, stopped: true });
    }
  }
  for (const [id] of DIRECTS.list(turn.tx)) {
    DIRECTS.delete(turn.tx, id);
  }
  newChains(turn);
  prekeys.beginAnew(turn, { leap: true });
}

/** The next post of each conversation starts a chain of its own. */
export function newChains(turn: Turn): void {
  for (const [conv, conversation] of CONVERSATIONS.list(turn.tx)) {
    CONVERSATIONS.put(turn.tx, conv, { ...conversation, chain: 0, sseq: 0, prev: null });
  }
}
