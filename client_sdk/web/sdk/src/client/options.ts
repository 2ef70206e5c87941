/** How a client is made, and how its storage may stand. */

import type { DeviceInThread } from "../local-device/types.ts";
import type { WorkerSource } from "./browser.ts";

/** How a client in a browser is made. */
export interface ClientOptions {
  /** The server's address; this page's own unless given. */
  readonly server?: string;
  /** Which of this origin's vaults, by a name of the host's; "main" unless given. All tabs share it. */
  readonly vault?: string;
  /** Where the worker's program is: `worker.js` of this package, as a URL of this origin, or what makes a worker. */
  readonly worker: WorkerSource;
}

/** A client over a device in this thread: Node.js, tests. */
export interface InThreadOptions {
  readonly device: DeviceInThread;
}

/** Where the storage stands; "lost": an account was here and its storage is gone (see `storageLost`). */
export type StorageState = "opening" | "open" | "locked" | "lost" | "failed";
