// What a device and the server sign when a device signs in (docs/protocol.md 9).

import { ascii, concat, lp, Reader, demand, u64 } from "./bytes.mjs";
import { h256 } from "./primitives.mjs";

/** A: what the device signs. */
export function encodeSignIn(signIn) {
  return concat(
    lp(ascii(signIn.origin)),
    signIn.serverId,
    signIn.conn,
    signIn.serverNonce,
    signIn.clientNonce,
    signIn.account,
    signIn.device,
    u64(signIn.stateRev),
    u64(signIn.serverTime),
  );
}

/** Read A. */
export function readSignIn(bytes) {
  const reader = new Reader(bytes);
  const origin = Buffer.from(reader.lp(512)).toString("latin1");
  demand(/^https?:\/\/[\x21-\x7e]+$/.test(origin), "bad_format", "origin");
  const signIn = {
    origin,
    serverId: reader.take(32),
    conn: reader.take(16),
    serverNonce: reader.take(32),
    clientNonce: reader.take(32),
    account: reader.take(16),
    device: reader.take(16),
    stateRev: reader.u64(),
    serverTime: reader.u64(),
  };
  reader.end();
  return signIn;
}

/** The hash of what the device signed, and the bytes the server signs. */
export function answerTo(signedBytes, signature, storeEpoch) {
  const transcriptHash = h256("auth-transcript", signedBytes, signature);
  return { transcriptHash, answer: concat(transcriptHash, storeEpoch) };
}
