// Padding of bodies, cards and signals (docs/protocol.md 4.3 and 8).

import { concat, demand, zeros } from "./bytes.mjs";

const SMALL = [256, 512, 1024, 2048, 4096];
const LARGEST = 16_384;

/** The size that `size` bytes are padded to; `too_large` above 16,383 bytes. */
export function paddedSize(size) {
  const least = size + 1;
  demand(least <= LARGEST, "too_large", "body");
  const small = SMALL.find((step) => step >= least);
  if (small) return small;
  const exponent = Math.floor(Math.log2(least));
  const multiple = 2 ** (exponent - (Math.floor(Math.log2(exponent)) + 1));
  return Math.ceil(least / multiple) * multiple;
}

/** `content` with 0x80 and zeros, `size` bytes in all. */
export function padTo(content, size) {
  return concat(content, Uint8Array.of(0x80), zeros(size - content.length - 1));
}

export const pad = (content) => padTo(content, paddedSize(content.length));

/** What stands before the last 0x80; `bad_format` if that is followed by anything but zeros. */
export function stripPadding(padded) {
  const end = padded.findLastIndex((byte) => byte !== 0);
  demand(end >= 0 && padded[end] === 0x80, "bad_format", "no 0x80");
  return padded.slice(0, end);
}

/** The content of `padded`, whose size must be exactly the one for that content. */
export function unpad(padded) {
  demand(padded.length <= LARGEST, "bad_format", "padded too large");
  const content = stripPadding(padded);
  demand(padded.length === paddedSize(content.length), "bad_format", "padded to another size");
  return content;
}
