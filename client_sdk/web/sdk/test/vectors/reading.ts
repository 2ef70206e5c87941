/** How a check reads a vector, and how it compares what it found with what the vector says. */

import { AuthenticationFailed, DuplicatePosition, TooFarAhead } from "../../src/crypto/failures.ts";
import type { Random } from "../../src/crypto/primitives.ts";
import { fromHex, toHex } from "../../src/protocol/bytes.ts";
import { RapportError } from "../../src/protocol/errors.ts";
import { RuleBroken } from "../../src/protocol/rules.ts";

/** A case of a file, or an object inside one. */
export type Vector = Readonly<Record<string, unknown>>;

/** What is done with a case of one kind. */
export type Check = (vector: Vector) => void;

/** The checks of a file by kind ("" where cases have none); may look at all cases first. */
export type Checks = (cases: readonly Vector[]) => Readonly<Record<string, Check>>;

/** File -> its chapter and checks. */
export type Files = Readonly<Record<string, readonly [chapter: number, checks: Checks]>>;

/** A vector and this implementation disagree. */
export class Difference extends Error {}

// --- fields ----------------------------------------------------------------------------------------------------------

function ill(name: string): Difference {
  return new Difference(`the vector has no fitting "${name}"`);
}

/** A text. */
export function text(vector: Vector, name: string): string {
  const value = vector[name];
  if (typeof value !== "string") {
    throw ill(name);
  }
  return value;
}

/** A byte string. */
export function bytes(vector: Vector, name: string): Uint8Array {
  return fromHex(text(vector, name));
}

/** An integer. */
export function number(vector: Vector, name: string): number {
  const value = vector[name];
  if (typeof value !== "number") {
    throw ill(name);
  }
  return value;
}

/** Whether a value is an object with fields. */
export function isVector(value: unknown): value is Vector {
  return value !== null && typeof value === "object" && !Array.isArray(value);
}

/** A structure. */
export function inner(vector: Vector, name: string): Vector {
  const value = vector[name];
  if (!isVector(value)) {
    throw ill(name);
  }
  return value;
}

/** A list of texts. */
export function texts(vector: Vector, name: string): readonly string[] {
  const value = vector[name];
  if (!Array.isArray(value)) {
    throw ill(name);
  }
  return value.map(String);
}

/** A list of structures. */
export function inners(vector: Vector, name: string): readonly Vector[] {
  const value: unknown = vector[name];
  if (!Array.isArray(value) || !value.every(isVector)) {
    throw ill(name);
  }
  return value;
}

/** A source of randomness that gives these byte strings, in this order and no other sizes. */
export function drawing(...parts: readonly Uint8Array[]): Random {
  const left = [...parts];
  return (size) => {
    const part = left.shift();
    if (part?.length !== size) {
      throw new Difference(`${size} random bytes were asked for`);
    }
    return part;
  };
}

// --- comparing -------------------------------------------------------------------------------------------------------

/** A value as the vectors write it: byte strings as hexadecimal text, names with underscores. */
export function written(value: unknown): unknown {
  if (value instanceof Uint8Array) {
    return toHex(value);
  }
  if (Array.isArray(value)) {
    return value.map(written);
  }
  if (!isVector(value)) {
    return value;
  }
  const names = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(value).map(([name, held]) => [names(name), written(held)]));
}

/** Text that is the same for equal values, whatever the order of their keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, held: unknown) =>
    isVector(held) ? Object.fromEntries(Object.entries(held).sort(([one], [two]) => (one < two ? -1 : 1))) : held,
  );
}

function shown(canon: string): string {
  return canon.length > 400 ? `${canon.slice(0, 400)}… (${canon.length} characters)` : canon;
}

/** Demand that `found`, as vectors write it, is what the vector says. */
export function equal(what: string, found: unknown, expected: unknown): void {
  const [one, two] = [canonical(written(found)) ?? "nothing", canonical(expected) ?? "nothing"];
  if (one !== two) {
    throw new Difference(`${what}: found ${shown(one)}, the vector says ${shown(two)}`);
  }
}

/** "ok", or the verdict that `action` refuses with. */
export function verdictOf(action: () => unknown): string {
  try {
    action();
    return "ok";
  } catch (error) {
    if (error instanceof AuthenticationFailed) return "authentication";
    if (error instanceof DuplicatePosition) return "duplicate";
    if (error instanceof TooFarAhead) return "too_far";
    if (error instanceof RuleBroken) return error.rule;
    if (error instanceof RapportError) return error.code;
    throw error;
  }
}

/** Demand that `action` comes to the verdict of the vector ("ok" in a case without one); whether that is "ok". */
export function checkVerdict(vector: Vector, action: () => unknown): boolean {
  const expected = "verdict" in vector ? text(vector, "verdict") : "ok";
  equal("verdict", verdictOf(action), expected);
  return expected === "ok";
}
