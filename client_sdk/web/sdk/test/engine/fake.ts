/** Two devices over a fake server that a test may reach into. */

import { loadSodium } from "../../src/protocol/sodium.ts";
import { FakeServer } from "../../src/testing/fake-server.ts";
import { Device, HandClock, Pair, type Relay, seededRandom, settle } from "./devices.ts";

/** A fake server as devices see it, and itself. */
export interface FakeRelay extends Relay {
  readonly server: FakeServer;
}

/** Devices over a fake server. */
export type FakePair = Pair & { readonly relay: FakeRelay };

/** A therapist and a client in one conversation on a new server, both connected and at rest. */
export async function startPair(
  make: (relay: Relay, seed: number) => Device = (relay, seed) => new Device(relay, seed),
): Promise<FakePair> {
  await loadSodium();
  const clock = new HandClock();
  const server = new FakeServer({ clock, random: seededRandom(99) });
  const relay: FakeRelay = {
    clock,
    server,
    connector: server.connector(),
    api: server.api(),
    ownerLink: server.ownerLink(),
    settle,
    close: async () => server.down(),
  };
  const pair = await Pair.start(relay, (seed) => make(relay, seed));
  return Object.assign(pair, { relay });
}
