/** Texts in MessagePack: the library takes bytes that are no UTF-8 for something else instead of refusing them. */

import { fromUtf8 } from "./bytes.ts";

/** By heads c0 to df: bytes that follow; negative: a length of so many bytes follows. */
const AFTER_HEAD = [
  0, 0, 0, 0, -1, -2, -4, -1, -2, -4, 4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17, -1, -2, -4, -2, -4, -2, -4,
] as const;

/**
 * Throws TypeError for a text that is not UTF-8, which the library reads as something else. source: MessagePack.
 *
 * elements: if it is an array, only so many of its elements are looked at: nobody reads the others.
 */
export function checkTexts(source: Uint8Array, elements = Number.POSITIVE_INFINITY): void {
  let at = 0;
  const skip = (size: number) => {
    at += size;
    return source.subarray(at - size, at);
  };
  for (let left = 1, most = elements; left > 0; left--, most = Number.POSITIVE_INFINITY) {
    const [head = 0] = skip(1);
    const after = AFTER_HEAD[head - 0xc0] ?? 0;
    const size = after < 0 ? skip(-after).reduce((value, byte) => value * 256 + byte, 0) : after;
    if (head >= 0xe0 || head < 0x80) {
    } else if (head < 0x90) {
      left += 2 * (head & 0x0f);
    } else if (head < 0xa0) {
      left += Math.min(head & 0x0f, most);
    } else if (head < 0xc0) {
      fromUtf8(skip(head & 0x1f));
    } else if (head >= 0xde) {
      left += 2 * size;
    } else if (head >= 0xdc) {
      left += Math.min(size, most);
    } else if (head >= 0xd9) {
      fromUtf8(skip(size));
    } else {
      skip(head >= 0xc7 && head < 0xca ? size + 1 : size);
    }
  }
}
