/** Closes a match over a union: a forgotten arm does not compile. Throws if a value gets past the types. */
export function unreachable(value: never): never {
  throw new TypeError(`no arm for ${typeof value}`);
}
