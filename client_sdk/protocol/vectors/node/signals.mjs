// Signals (docs/protocol.md 8).

import { concat, Reader, demand, u32, u64 } from "./bytes.mjs";
import { readSignal } from "./maps.mjs";
import { padTo, stripPadding } from "./padding.mjs";
import { hkdf, L, seal, unseal } from "./primitives.mjs";

const FIELDS_SIZE = 84;
const SIZES = [256, 1024, 2048, 4096];

export const signalKey = (messageKey, ref, device) => hkdf(ref, messageKey, concat(L("signal"), device), 32);

/** Seal the MessagePack map `content`, padded to `size` bytes. */
export function sealSignal(fields, key, content, size, nonce) {
  const front = concat(
    fields.conv,
    u64(fields.epoch),
    fields.account,
    fields.device,
    fields.ref,
    u32(fields.ctr),
    u64(fields.ts),
  );
  return concat(front, nonce, seal(key, nonce, padTo(content, size), front));
}

/** Open a frame: its fields, the MessagePack bytes and the padded size. */
export function openSignal(key, frame) {
  const reader = new Reader(frame);
  const fields = {
    conv: reader.take(16),
    epoch: reader.u64(),
    account: reader.take(16),
    device: reader.take(16),
    ref: reader.take(16),
    ctr: reader.u32(),
    ts: reader.u64(),
  };
  const nonce = reader.take(24);
  const padded = unseal(key, nonce, frame.slice(FIELDS_SIZE + 24), frame.slice(0, FIELDS_SIZE));
  demand(SIZES.includes(padded.length), "bad_format", "size of the signal");
  const content = stripPadding(padded);
  readSignal(content);
  return { fields, content, paddedSize: padded.length };
}
