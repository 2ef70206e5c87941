/**
 * How the fields of a body's content are read from a map and written into one: small checks, so that nothing that a peer
 * wrote is used before it is known to be what its type says.
 */

import { FormatError } from "../../protocol/errors.ts";
import type { Id } from "../../protocol/ids.ts";
import { ID_BYTES, idBytes, idOf } from "../../protocol/ids.ts";

/** How one field is read from a map and written into one. absent: what it is where the map lacks it. */
export interface Field<T> {
  /** Throws FormatError. */
  readonly read: (value: unknown) => T;
  readonly write: (value: T) => unknown;
  readonly absent?: T;
}

const same = <T>(value: T): unknown => value;

/** A field's value as it is, if it is one. */
function checked<T>(fits: (value: unknown) => value is T): Field<T> {
  return { read: (value) => (fits(value) ? value : wrong()), write: same };
}

function wrong(): never {
  throw new FormatError("content");
}

/** A byte string of `least` to `most` bytes. */
export function bytes(least: number, most = least): Field<Uint8Array> {
  return checked(
    (value): value is Uint8Array => value instanceof Uint8Array && value.length >= least && value.length <= most,
  );
}

/** A text of `least` to `most` characters. */
export function text(most: number, least = 0): Field<string> {
  return checked((value): value is string => {
    if (typeof value !== "string" || value.length < least) {
      return false;
    }
    return value.length <= most || [...value].length <= most; // characters, not units of UTF-16
  });
}

/** A text of this pattern. */
export function matching(pattern: RegExp): Field<string> {
  return checked((value): value is string => typeof value === "string" && pattern.test(value));
}

/** A whole number of `least` to `most`. */
export function whole(least: number, most: number): Field<number> {
  return checked(
    (value): value is number => typeof value === "number" && Number.isInteger(value) && value >= least && value <= most,
  );
}

/** true or false. */
export const flag: Field<boolean> = checked((value) => typeof value === "boolean");

/** An identifier. */
export function id<Kind extends Id<string>>(): Field<Kind> {
  const sixteen = bytes(ID_BYTES);
  return { read: (value) => idOf<Kind>(sixteen.read(value)), write: idBytes };
}

/** nil, or that. */
export function orNull<T>(field: Field<T>): Field<T | null> {
  return {
    read: (value) => (value === null ? null : field.read(value)),
    write: (value) => (value === null ? null : field.write(value)),
    absent: null,
  };
}

/** That, or `absent` where the map lacks it. */
export function or<T>(field: Field<T>, absent: T): Field<T> {
  return { ...field, absent };
}

/** At most so many of these. */
export function listOf<T>(field: Field<T>, most: number): Field<readonly T[]> {
  return {
    read: (value) => (Array.isArray(value) && value.length <= most ? value.map(field.read) : wrong()),
    write: (value) => value.map(field.write),
  };
}

/** An array of these two. */
export function pairOf<One, Other>(one: Field<One>, other: Field<Other>): Field<readonly [One, Other]> {
  return {
    read: (value) =>
      Array.isArray(value) && value.length === 2 ? [one.read(value[0]), other.read(value[1])] : wrong(),
    write: ([first, second]) => [one.write(first), other.write(second)],
  };
}

/** The fields of one type of content. */
export type Shape<T> = { readonly [Name in keyof T]-?: Field<T[Name]> };
/** The same, to go through. */
export type Fields = readonly (readonly [name: string, field: Field<unknown>])[];

/** The fields of a shape. */
export function fieldsOf<T>(shape: Shape<T>): Fields {
  return Object.entries(shape) as unknown as Fields; // a Shape holds nothing but fields
}

/** Fields in a row, for what comes in numbers. Further ones, of later versions, are left out. */
export function row<T extends object>(shape: Shape<T>): Field<T> {
  const fields = fieldsOf(shape);
  return {
    read: (value) => (Array.isArray(value) ? (taken(fields, (_, at) => value[at] as unknown) as T) : wrong()), // every field was read
    write: (value) => {
      const given = new Map(Object.entries(value));
      return fields.map(([name, field]) => field.write(given.get(name)));
    },
  };
}

/** Every field as it was given. FormatError. */
export function taken(fields: Fields, given: (name: string, at: number) => unknown): Record<string, unknown> {
  return Object.fromEntries(
    fields.map(([name, field], at) => {
      const value = given(name, at);
      return [name, value === undefined && field.absent !== undefined ? field.absent : field.read(value)];
    }),
  );
}
