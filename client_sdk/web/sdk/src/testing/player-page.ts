/** The page of a Chromium player: a `Player` whose clients work as in any tab. `player-chromium.ts` drives it. */

import { RapportClient } from "../client/client.ts";
import { loadSodium } from "../protocol/sodium.ts";
import type { Entry } from "./journal.ts";
import type { Order, Reply } from "./orders.ts";
import { startWorker } from "./page-worker.ts";
import { Player } from "./player.ts";

declare global {
  /** What the process around the browser offers, and what it calls. */
  var keepEntry: (name: string, entry: Entry) => Promise<void>;
  var keptEntries: (name: string) => Promise<readonly Entry[]>;
  var obey: (order: Order) => Promise<Reply>;
}

const player = new Player({
  async open(vault) {
    const client = new RapportClient({ vault, worker: startWorker });
    await client.ready;
    return client;
  },
  sink: (name) => (entry) => void globalThis.keepEntry(name, entry),
  before: (name) => globalThis.keptEntries(name),
});

globalThis.obey = async (order) => {
  await loadSodium();
  return player.obey(order);
};
