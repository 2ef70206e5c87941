/** What a browser must have, and where it must be asked from. */

import { RapportError } from "../protocol/errors.ts";

/** What may be missing: something of the platform, by its name. */
export type Requirement =
  | "secure page"
  | "IndexedDB"
  | "Web Locks"
  | "WebAssembly"
  | "BroadcastChannel"
  | "module workers";

/** This browser, or this page's address, does not allow for a safe vault. `missing` names what is not there. */
export class Unsupported extends RapportError {
  readonly missing: readonly Requirement[];

  constructor(missing: readonly Requirement[]) {
    super("unsupported", "this browser cannot keep messages safely: use a current one, over https");
    this.missing = missing;
  }
}

/** What this browser lacks; empty = everything is there. */
export function missingHere(here: object = globalThis): Requirement[] {
  const navigator: unknown = Reflect.get(here, "navigator");
  const tests: readonly (readonly [Requirement, boolean])[] = [
    // Without https (or localhost) there is no WebCrypto, and anybody on the way could change this very program.
    ["secure page", Reflect.get(here, "isSecureContext") === true],
    ["IndexedDB", Boolean(Reflect.get(here, "indexedDB"))],
    ["Web Locks", typeof navigator === "object" && navigator !== null && "locks" in navigator],
    ["WebAssembly", "WebAssembly" in here],
    ["BroadcastChannel", "BroadcastChannel" in here],
    // Every browser that has `AbortSignal.any` runs modules in workers; there is no direct question for that.
    ["module workers", "Worker" in here && "any" in AbortSignal],
  ];
  return tests.filter(([, there]) => !there).map(([requirement]) => requirement);
}
