/**
 * The sealed MessagePack maps: bodies, cards, signals, steps of a link. Read with one small check per field, so that
 * nothing that a peer wrote is used before it is known to be what the chapter says.
 *
 * Source: docs/protocol.md, chapters 1.1, 3.1, 4.6, 8 and 13.3.
 */

import { decode, encode } from "@msgpack/msgpack";

import { FormatError } from "../protocol/errors.ts";
import { checkTexts } from "../protocol/texts.ts";

/** A decoded map; its values are whatever the peer wrote. */
export type Fields = Readonly<Record<string, unknown>>;

function textKey(key: unknown): string {
  if (typeof key !== "string") {
    throw new TypeError("a key that is no text");
  }
  return key;
}

/** A value as MessagePack; keys whose value is undefined are left out. */
export function encodeMap(fields: Fields): Uint8Array {
  return encode(fields, { ignoreUndefined: true });
}

/** The map of some bytes. FormatError, naming `what`, if they are anything else. */
export function decodeMap(source: Uint8Array, what: string): Fields {
  try {
    const fields = decode(source, { mapKeyConverter: textKey });
    checkTexts(source);
    if (isMap(fields)) {
      return fields;
    }
  } catch {
    // falls through to the one answer that there is
  }
  throw new FormatError(what);
}

/** Whether a decoded value is a map. */
function isMap(value: unknown): value is Fields {
  return value !== null && typeof value === "object" && Object.getPrototypeOf(value) === Object.prototype;
}

/** A check of one value: what it is, or throws FormatError naming `what`. */
export type Check<T> = (value: unknown, what: string) => T;

function check<T>(fits: (value: unknown) => value is T): Check<T> {
  return (value, what) => {
    if (!fits(value)) {
      throw new FormatError(what);
    }
    return value;
  };
}

/** A map. */
export const asMap: Check<Fields> = check(isMap);

/** A text of `least` to `most` code points. */
export function asText(least = 0, most = Number.POSITIVE_INFINITY): Check<string> {
  return check((value): value is string => {
    if (typeof value !== "string") {
      return false;
    }
    const size = most < value.length ? [...value].length : value.length;
    return size >= least && size <= most;
  });
}

/** A byte string of `least` to `most` bytes; a copy, so that it does not keep the whole source alive. */
export function asBytes(least: number, most = least): Check<Uint8Array> {
  return (value, what) => {
    if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
      throw new FormatError(what);
    }
    return value.slice();
  };
}

/** An integer of `least` to 2^53 - 1. */
export function asCount(least = 0): Check<number> {
  return check((value): value is number => Number.isSafeInteger(value) && Number(value) >= least);
}

/** true or false. */
export const asBoolean: Check<boolean> = check((value) => typeof value === "boolean");

/** An array of `least` to `most` values. */
export function asArray<T>(each: Check<T>, least = 0, most = Number.POSITIVE_INFINITY): Check<T[]> {
  return (value, what) => {
    if (!Array.isArray(value) || value.length < least || value.length > most) {
      throw new FormatError(what);
    }
    return value.map((item) => each(item, what));
  };
}

/** The fields of an array that stands for a structure; more than `least` are fields of later versions. */
export function asStructure(least: number): Check<readonly unknown[]> {
  return asArray((value) => value, least);
}

/** What the check says, or null where the map has no such key (nil is no absence). */
export function optional<T>(one: Check<T>): Check<T | null> {
  return (value, what) => (value === undefined ? null : one(value, what));
}
