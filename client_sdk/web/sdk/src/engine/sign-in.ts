/**
 * Signing in from the device's side: prove who we are to the pinned server, and make sure that it is the pinned one.
 *
 * Source: docs/protocol.md, chapter 9.
 */

import type { Random } from "../ports.ts";
import { equal } from "../protocol/bytes.ts";
import { RemoteError } from "../protocol/errors.ts";
import type { Auth, Challenge, Hello } from "../protocol/messages.ts";
import type { AuthTranscript } from "../protocol/signed.ts";
import { signAuth, verifyAuthOk } from "../protocol/signed.ts";
import { askAll } from "./appointments/appointments-planning.ts";
import { callsOffline } from "./calls/calls.ts";
import { prekeysLeft } from "./keys/prekeys.ts";
import * as officePublishing from "./office/office-publishing.ts";
import * as outbox from "./outbox.ts";
import * as catchingUp from "./recovery/catching-up.ts";
import { noticeEpoch } from "./recovery/reposting.ts";
import { lookBack } from "./recovery/rollback.ts";
import { numberOn } from "./shown/showing.ts";
import * as errands from "./vault/errands.ts";
import type { Me, Turn } from "./vault/turn.ts";
import { signingKeyOf } from "./vault/turn.ts";
import { amendUpkeep, upkeepOf } from "./vault/upkeep.ts";
import { roomsOnline } from "./waiting-room/rooms-watching.ts";

/** What answers is not the server that the link or the card named. */
export class WrongServer extends RemoteError {
  constructor() {
    super("invalid_signature", "this is not the server of the invite");
  }
}

/**
 * How far the vault is as it signs in, by which a later state of it is told from this one.
 *
 * rev: the revision to sign. signedRev: the one that was signed the last time, 0 = never.
 */
export interface VaultState {
  readonly rev: number;
  readonly signedRev: number;
}

/** The answer to a challenge, and what `hello` must sign. */
export interface Proof {
  readonly auth: Auth;
  readonly transcript: AuthTranscript;
}

/** Notes the revision that is about to be signed. To be committed before the answer to the challenge leaves. */
export function prepare(turn: Turn): VaultState {
  const state = { rev: turn.tx.rev, signedRev: upkeepOf(turn).signedRev };
  amendUpkeep(turn, { signedRev: state.rev });
  return state;
}

/** Signs the challenge. origin: scheme, host and port that the stream really talks to. WrongServer for another key. */
export function prove(me: Me, challenge: Challenge, origin: string, stateRev: number, random: Random): Proof {
  const { serverId, conn, nonce: serverNonce, serverTimeMs } = challenge;
  if (!equal(serverId, me.serverId)) {
    throw new WrongServer();
  }
  const { account, device } = me;
  const clientNonce = random(32);
  const transcript = { origin, serverId, conn, serverNonce, clientNonce, account, device, stateRev, serverTimeMs };
  const sig = signAuth(transcript, signingKeyOf(me));
  return { auth: { tag: "auth", account, device, origin, nonce: clientNonce, stateRev, sig }, transcript };
}

/** Whether the server that answers holds the pinned key and has seen what we signed. WrongServer. */
export function checkHello(me: Me, proof: Proof, hello: Hello): void {
  try {
    verifyAuthOk(me.serverId, proof.transcript, proof.auth.sig, hello.storeEpoch, hello.sig);
  } catch (problem) {
    throw problem instanceof RemoteError ? new WrongServer() : problem;
  }
}

/**
 * A connection is up: everything that waited for one is due, and what it tells about the server, and about this vault,
 * is taken note of. state: of the vault as it was prepared for this sign-in.
 */
export function signedIn(turn: Turn, hello: Hello, state: VaultState): void {
  const forgotten = hello.lastAuth === null && state.signedRev > 0; // what a restored server took meanwhile never waited
  const behind = lookBack(turn, hello.lastAuth, state.rev, state.signedRev) || forgotten;
  const bases = new Map(hello.bases.map(({ conv, base }) => [conv, base]));
  catchingUp.online(turn, { behind });
  noticeEpoch(turn, hello.storeEpoch, bases);
  numberOn(turn, bases);
  prekeysLeft(turn, hello.oneTimeKeys);
  if (!errands.planned(turn, "tend")) {
    errands.plan(turn, "tend");
  }
  officePublishing.tend(turn);
  askAll(turn);
  callsOffline(turn); // until it has caught up
  roomsOnline(turn);
  errands.hurry(turn);
  outbox.resumeAll(turn, ["keys", "devices", "chain", "alone", "later", "alarm"]);
}
