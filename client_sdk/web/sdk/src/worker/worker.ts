/** A page's worker: waits for its turn to own the vault. The page assigns it one and tells it when to end. */

import { onFault } from "../engine/vault/faults.ts";
import type { Assignment } from "./messages.ts";
import { ownWhenFree } from "./owner.ts";

const ending = new AbortController();
onFault((sentence) => globalThis.reportError(new Error(sentence))); // for whoever looks at the browser's console

globalThis.onmessage = ({ data }: MessageEvent<Assignment | null>) => {
  if (data === null) {
    ending.abort();
    return;
  }
  ownWhenFree(data, ending.signal)
    .catch((error: unknown) => {
      if (!ending.signal.aborted) {
        throw error; // the page hears of it as an error of its worker
      }
    })
    .finally(() => globalThis.postMessage(null));
};
