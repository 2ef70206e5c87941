/** A device in this thread, with its vault in memory: Node.js programs and tests. */

import { SYSTEM_CLOCK, systemRandom } from "./adapters/clock.ts";
import { HttpApi } from "./adapters/http.ts";
import { MemoryStorage, MemoryVault } from "./adapters/vault-memory.ts";
import { WebSocketConnector } from "./adapters/websocket.ts";
import { RapportClient, VERSION } from "./client/client.ts";
import { LocalDevice } from "./local-device/local-device.ts";
import { loadSodium } from "./protocol/sodium.ts";

export { MemoryStorage };

/** What a client in this thread stands on. */
export interface InThread {
  /** Where its vault lies; a new one unless given. It outlives the client: open another one over it to go on. */
  readonly storage?: MemoryStorage;
  /** The only server it may talk to, as an address; any unless given. */
  readonly server?: string;
}

/** A client whose device runs in this thread. VaultLocked while another client is open over the storage. */
export async function openInThread({ storage = new MemoryStorage(), server }: InThread = {}): Promise<RapportClient> {
  await loadSodium();
  const device = await LocalDevice.open({
    openVault: async () => new MemoryVault(storage),
    wipeVault: async () => storage.wipe(),
    network: (origin) => ({ api: new HttpApi(origin), connector: new WebSocketConnector(origin) }),
    clock: SYSTEM_CLOCK,
    random: systemRandom,
    version: VERSION,
    server: server ?? null,
  });
  const client = new RapportClient({ device });
  await client.ready;
  return client;
}
