/**
 * libsodium, loaded when it is first needed: it is most of the SDK's bytes, and a page shows something before it.
 *
 * Everything above calls it synchronously; whoever starts a device awaits `loadSodium` first.
 */

import type Sodium from "libsodium-wrappers-sumo";

let loaded: typeof Sodium | null = null;
let loading: Promise<void> | null = null;

async function load(): Promise<void> {
  const { default: library } = await import("libsodium-wrappers-sumo");
  await library.ready;
  loaded = library;
}

/** Fetches and compiles the library, once; a failed attempt may be repeated. Rejects with what the platform says. */
export function loadSodium(): Promise<void> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

/** The library. Throws Error before `loadSodium` has resolved: a mistake in the order of starting. */
export function sodium(): typeof Sodium {
  if (loaded === null) {
    throw new Error("libsodium is not loaded");
  }
  return loaded;
}
