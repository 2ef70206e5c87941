// How a check compares what it found with what a vector says.

import { isDeepStrictEqual } from "node:util";

import { hex, Refused } from "../bytes.mjs";

/** A vector and this implementation disagree. */
export class Difference extends Error {}

const shown = (value) => {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length} characters)` : text;
};

/** Demand that `found` is what the vector says; byte strings are compared as hexadecimal text. */
export function equal(what, found, expected) {
  const value = found instanceof Uint8Array ? hex(found) : found;
  if (!isDeepStrictEqual(value, expected))
    throw new Difference(`${what}: found ${shown(value)}, the vector says ${shown(expected)}`);
}

/** "ok", or the verdict that `action` refuses with. */
export function verdictOf(action) {
  try {
    action();
    return "ok";
  } catch (error) {
    if (error instanceof Refused) return error.verdict;
    throw error;
  }
}

/** Demand that `action` comes to the verdict of the vector; a case without one is `ok`. Returns that verdict. */
export function checkVerdict(vector, action) {
  const { verdict = "ok" } = vector;
  equal("verdict", verdictOf(action), verdict);
  return verdict;
}
