/**
 * Signals: typing and the like, sealed under the key of an earlier message so that they never touch a ratchet.
 *
 * Frame = fields (84 bytes, clear and authenticated), nonce24, ct. The signal key comes from a message of the same
 * device, so nobody who has not read that message can read or make the signal; members of a group could forge each
 * other's.
 *
 * Source: docs/protocol.md, chapter 8.
 */

import { concat } from "../protocol/bytes.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import type { DeviceId, MessageId } from "../protocol/ids.ts";
import { encodeSignalFields, exact, id16, label, SIGNAL_FIELDS_BYTES, type SignalFields } from "../protocol/signed.ts";
import { asText, decodeMap, encodeMap, type Fields } from "./maps.ts";
import { padTo, unpadFrom } from "./padding.ts";
import { hkdf, NONCE_BYTES, openSealed, type Random, seal } from "./primitives.ts";

/** Padded sizes: 256 for typing, the others for ICE. */
const SIGNAL_SIZES = [256, 1024, 2048, 4096] as const;
/** A signal whose time is further off the server's clock is dropped. */
const SIGNAL_TOLERANCE_MS = 60_000;

/** K_s from K of the message `ref` that `device` sent; 32 bytes. */
export function signalKey(messageKey: Uint8Array, ref: MessageId, device: DeviceId): Uint8Array {
  return hkdf(id16(ref), exact(messageKey, 32), concat(label("signal"), id16(device)), 32);
}

/**
 * Make a frame for all connected devices.
 *
 * content: a map whose "type" says what it is. smallest: padded size to start from. LocalError("too_large") above 4,095
 * bytes of MessagePack.
 */
export function sealSignal(
  fields: SignalFields,
  key: Uint8Array,
  content: Fields,
  random: Random,
  smallest: number = SIGNAL_SIZES[0],
): Uint8Array {
  const plain = encodeMap(content);
  const size = SIGNAL_SIZES.find((fit) => fit >= smallest && fit > plain.length);
  if (size === undefined) {
    throw new LocalError("too_large", "signal");
  }
  const clear = encodeSignalFields(fields);
  const nonce = random(NONCE_BYTES);
  return concat(clear, nonce, seal(key, nonce, padTo(plain, size), clear));
}

/**
 * Open a frame whose fields the caller has read with `parseSignalFields` and checked with `signalRises`.
 *
 * AuthenticationFailed or FormatError: drop it silently.
 */
export function openSignal(frame: Uint8Array, key: Uint8Array): Fields {
  const sealedAt = SIGNAL_FIELDS_BYTES + NONCE_BYTES;
  const clear = frame.subarray(0, SIGNAL_FIELDS_BYTES);
  const padded = openSealed(key, frame.subarray(SIGNAL_FIELDS_BYTES, sealedAt), frame.subarray(sealedAt), clear);
  if (!SIGNAL_SIZES.some((size) => size === padded.length)) {
    throw new FormatError("signal: size");
  }
  const content = decodeMap(unpadFrom(padded), "signal");
  const { type } = content;
  asText()(type, "signal: type");
  return content;
}

/**
 * Whether a signal is fresh: current epoch, time within 60 s, (ts, ctr) above the last of its (device, ref).
 *
 * last: [tsMs, ctr] of that one, null if there is none. After a successful `openSignal` the caller keeps the new pair.
 */
export function signalRises(
  fields: SignalFields,
  last: readonly [tsMs: number, ctr: number] | null,
  epoch: number,
  nowMs: number,
): boolean {
  const { tsMs, ctr } = fields;
  const above = last === null || tsMs > last[0] || (tsMs === last[0] && ctr > last[1]);
  return Math.abs(nowMs - tsMs) <= SIGNAL_TOLERANCE_MS && fields.epoch === epoch && above;
}
