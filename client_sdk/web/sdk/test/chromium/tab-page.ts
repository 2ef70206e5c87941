/** One tab of the app, without its face: `tabs.test.ts` and `storage.test.ts` call what stands at the end. */

import { RapportClient } from "../../src/client/client.ts";
import { RapportError } from "../../src/protocol/errors.ts";
import type { MessageId } from "../../src/protocol/ids.ts";
import { startWorker } from "../../src/testing/page-worker.ts";

/** What a page offers a test. */
export interface Tab {
  readonly client: RapportClient;
  /** Types of events that this page was told of, in order. */
  readonly told: string[];
  /** Makes a call; the class-independent part of its refusal comes back as text. */
  tried(call: (client: RapportClient) => Promise<unknown>): Promise<string>;
  /** Sends texts in the only conversation, one after the other, until there are no more; each with an id of its own. */
  race(): Promise<void>;
}

declare global {
  var tab: Tab;
  /** The next text to send, with its message id; null = enough. Told what came of the last one. */
  var nextText: (stored: string | null) => Promise<{ readonly id: string; readonly text: string } | null>;
}

const client = new RapportClient({ worker: startWorker });
const told: string[] = [];
for (const type of ["storageLost", "persistenceRefused", "passphraseNeeded", "storageProblem", "signedOut"] as const) {
  client.on(type, () => void told.push(type));
}

globalThis.tab = {
  client,
  told,
  async tried(call) {
    try {
      await call(client);
      return "done";
    } catch (error) {
      return error instanceof RapportError ? `${error.constructor.name}: ${error.detail}` : String(error);
    }
  },
  async race() {
    await client.ready;
    let stored: string | null = null;
    for (let next = await nextText(stored); next !== null; next = await nextText(stored)) {
      const [conversation] = client.conversations();
      await conversation?.sendText(next.text, { id: next.id as MessageId });
      stored = next.id;
    }
  },
};
