/**
 * For programs that embed Rapport: a server in memory and clients of it, so that their tests need no network.
 *
 *     const server = await startFakeServer();
 *     const dana = await openClient(server);
 *     await dana.join(server.ownerLink(), "Dana");
 *
 * With a `HandClock` time stands still until the test lets it pass.
 */

import { systemRandom } from "../adapters/clock.ts";
import { MemoryStorage, MemoryVault } from "../adapters/vault-memory.ts";
import { RapportClient, VERSION } from "../client/client.ts";
import { LocalDevice } from "../local-device/local-device.ts";
import { loadSodium } from "../protocol/sodium.ts";
import { FakeServer, type FakeServerOptions } from "./fake-server.ts";

export { FakeServer, type FakeServerOptions } from "./fake-server.ts";
export { HandClock } from "./hand-clock.ts";
export { MemoryStorage };

/** A server that nobody has joined yet. */
export async function startFakeServer(options: FakeServerOptions = {}): Promise<FakeServer> {
  await loadSodium();
  return new FakeServer(options);
}

/**
 * A client that can reach this server and no other. storage: where its vault lies; it outlives the client, so that
 * another one over it goes on. VaultLocked while another client is open over it.
 */
export async function openClient(server: FakeServer, storage = new MemoryStorage()): Promise<RapportClient> {
  const device = await LocalDevice.open({
    openVault: async () => new MemoryVault(storage),
    wipeVault: async () => storage.wipe(),
    network: () => ({ api: server.api(), connector: server.connector() }),
    clock: server.clock,
    random: systemRandom,
    version: VERSION,
    server: server.origin,
  });
  const client = new RapportClient({ device });
  await client.ready;
  return client;
}
