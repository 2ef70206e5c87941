/**
 * For programs that embed Rapport: a server in memory and a clock in the hand, so that their tests need neither a network
 * nor patience.
 *
 *     await loadSodium();
 *     const clock = new HandClock();
 *     const server = new FakeServer({ clock });
 *     // connector: server.connector(), api: server.api(), the first person joins with server.ownerLink()
 */

export { loadSodium } from "../crypto/sodium.ts";
export { FakeServer, type FakeServerOptions } from "./fake-server.ts";
export { HandClock } from "./hand-clock.ts";
