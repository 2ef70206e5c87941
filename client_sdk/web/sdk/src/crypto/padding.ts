/**
 * Padding that hides lengths: ISO 7816-4 (0x80, then zeros) to one of few sizes.
 *
 * Up to 4,096 bytes the sizes are 256, 512, 1,024, 2,048 and 4,096; above that PADMÉ of the length with its 0x80 (at
 * most 12 % more, few bits of the length shown). The largest padded size is 16,384 bytes, so a body has at most 16,383.
 *
 * Source: docs/protocol.md, chapter 4; ISO/IEC 7816-4; PADMÉ: Nikitin et al., "Reducing Metadata Leakage from Encrypted
 * Files", 2019.
 */

import { FormatError, LocalError } from "../protocol/errors.ts";

/** Largest padded size, bytes. */
const PADDED_MOST = 16_384;

const BUCKETS = [256, 512, 1024, 2048, 4096] as const;
const MARK = 0x80;

const bitLength = (value: number): number => 32 - Math.clz32(value);

/** The size after padding of a `size`-byte content; LocalError("too_large") above 16,383. */
export function paddedSize(size: number): number {
  if (size >= PADDED_MOST) {
    throw new LocalError("too_large", "body");
  }
  const marked = size + 1;
  const bucket = BUCKETS.find((fit) => marked <= fit);
  if (bucket !== undefined) {
    return bucket;
  }
  const exponent = bitLength(marked) - 1;
  const step = 2 ** (exponent - bitLength(exponent));
  return Math.ceil(marked / step) * step;
}

/** Append 0x80 and zeros up to exactly `size` bytes; LocalError("too_large") if there is no room for the 0x80. */
export function padTo(content: Uint8Array, size: number): Uint8Array {
  if (content.length >= size) {
    throw new LocalError("too_large", "padded content");
  }
  const padded = new Uint8Array(size);
  padded.set(content);
  padded[content.length] = MARK;
  return padded;
}

/** Pad to the size of the table. LocalError("too_large") above 16,383 bytes. */
export function pad(content: Uint8Array): Uint8Array {
  return padTo(content, paddedSize(content.length));
}

/** Take the padding off, whatever the size. FormatError if there is no 0x80 before the zeros. */
export function unpadFrom(padded: Uint8Array): Uint8Array {
  let end = padded.length - 1;
  while (end >= 0 && padded[end] === 0) {
    end--;
  }
  if (padded[end] !== MARK) {
    throw new FormatError("padding");
  }
  return padded.slice(0, end);
}

/** Take the padding off. FormatError unless the content was padded to exactly the size of the table. */
export function unpad(padded: Uint8Array): Uint8Array {
  const content = unpadFrom(padded);
  if (content.length >= PADDED_MOST || paddedSize(content.length) !== padded.length) {
    throw new FormatError("padding");
  }
  return content;
}
