/** The call of this tab, as its person had it: a reload goes on with it by itself, as muted as it was. */

import type { MessageId } from "@rapport/sdk";

const KEY = "rapport:call";

/** What is kept while a call is on: in this tab alone, forgotten with it. */
export interface KeptCall {
  readonly call: MessageId;
  readonly muted: boolean;
  readonly camera: boolean;
}

/** What was kept last; null for nothing. */
export function keptCall(): KeptCall | null {
  try {
    const { call, muted, camera } = Object(JSON.parse(sessionStorage.getItem(KEY) ?? "null"));
    return typeof call === "string"
      ? { call: call as MessageId, muted: muted !== false, camera: camera === true }
      : null;
  } catch {
    return null; // this browser keeps nothing, or it is not ours
  }
}

/** Keeps it, null forgets it. */
export function keepCall(kept: KeptCall | null): void {
  try {
    if (kept === null) {
      sessionStorage.removeItem(KEY);
    } else {
      sessionStorage.setItem(KEY, JSON.stringify(kept));
    }
  } catch {
    // a reload asks then
  }
}
