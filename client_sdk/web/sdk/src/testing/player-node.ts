/**
 * `node player-node.ts FOLDER`: a player (`player.ts`) whose clients run in this process, with vaults in memory and
 * journals in FOLDER. Orders come line by line on standard input, replies go to standard output; it ends with its input.
 */

import { createInterface } from "node:readline";
import { MemoryStorage, openInThread } from "../in-thread.ts";
import { readEntries, writeEntry } from "./journal-files.ts";
import type { Order } from "./orders.ts";
import { Player } from "./player.ts";

const [folder = "."] = process.argv.slice(2);
const storages = new Map<string, MemoryStorage>();

const player = new Player({
  open(name) {
    const storage = storages.get(name) ?? new MemoryStorage();
    storages.set(name, storage);
    return openInThread({ storage });
  },
  sink: (name) => (entry) => writeEntry(folder, name, entry),
  before: async (name) => readEntries(folder, name),
});

for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  void player.obey(order).then((reply) => process.stdout.write(`${JSON.stringify(reply)}\n`));
}
process.exit(0);
