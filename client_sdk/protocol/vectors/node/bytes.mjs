// Byte strings, integers and exact reading (docs/protocol.md 1.1).

/** A refusal: `verdict` is one of docs/protocol.md 1.4 or a rule of its chapters 2 and 3. */
export class Refused extends Error {
  constructor(verdict, why) {
    super(`${verdict}: ${why}`);
    this.verdict = verdict;
  }
}

/** Refuse with `verdict` unless `condition` holds. */
export function demand(condition, verdict, why) {
  if (!condition) throw new Refused(verdict, why);
}

export const LARGEST_U64 = Number.MAX_SAFE_INTEGER;
export const LARGEST_U32 = 2 ** 32 - 1;

export const hex = (bytes) => Buffer.from(bytes).toString("hex");
export const ascii = (text) => Uint8Array.from(Buffer.from(text, "ascii"));
export const zeros = (length) => new Uint8Array(length);
export const isZero = (bytes) => bytes.every((byte) => byte === 0);

/** Compare byte strings that are no secrets. */
export const same = (a, b) => a.length === b.length && a.every((byte, at) => byte === b[at]);

/** The bytes of lower-case hexadecimal text, as the vectors write them. */
export function unhex(text) {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error("not lower-case hexadecimal text");
  return Uint8Array.from(Buffer.from(text, "hex"));
}

/** a ‖ b ‖ … */
export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function unsigned(value, size) {
  if (!Number.isSafeInteger(value) || value < 0 || value >= 2 ** (8 * size))
    throw new RangeError(`${value} is no u${8 * size}`);
  const bytes = new Uint8Array(size);
  for (let at = size - 1, rest = value; at >= 0; at -= 1, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  return bytes;
}

export const u8 = (value) => unsigned(value, 1);
export const u16 = (value) => unsigned(value, 2);
export const u32 = (value) => unsigned(value, 4);
export const u64 = (value) => unsigned(value, 8);
export const lp = (bytes) => concat(u32(bytes.length), bytes);

/** Reads a byte string from front to back; everything missing or left over is `bad_format`. */
export class Reader {
  #bytes;
  #at = 0;

  constructor(bytes) {
    this.#bytes = bytes;
  }

  take(length) {
    demand(this.#at + length <= this.#bytes.length, "bad_format", "too short");
    this.#at += length;
    return this.#bytes.slice(this.#at - length, this.#at);
  }

  #unsigned(size) {
    return this.take(size).reduce((value, byte) => value * 256n + BigInt(byte), 0n);
  }

  u8() {
    return Number(this.#unsigned(1));
  }

  u16() {
    return Number(this.#unsigned(2));
  }

  u32() {
    return Number(this.#unsigned(4));
  }

  u64() {
    const value = this.#unsigned(8);
    demand(value <= BigInt(LARGEST_U64), "bad_format", "u64 above 2^53 - 1");
    return Number(value);
  }

  lp(limit) {
    const length = this.u32();
    demand(length <= limit, "bad_format", "length above its limit");
    return this.take(length);
  }

  /** What has been read so far. */
  before() {
    return this.#bytes.slice(0, this.#at);
  }

  end() {
    demand(this.#at === this.#bytes.length, "bad_format", "trailing bytes");
  }
}
