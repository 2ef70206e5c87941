/** Promises of this calendar month that were kept: counted on this device, for its therapist alone. */

import { type Kept, type RapportClient, RapportError } from "@rapport/sdk";
import { serverNow } from "./office-views.ts";

/** Counts again when it is asked to; one count at a time. */
export class KeptCount {
  readonly #client: RapportClient;
  readonly #changed: () => void;
  #kept: Kept | null = null;
  #counting = false;

  /** changed: called when there is another number. */
  constructor(client: RapportClient, changed: () => void) {
    this.#client = client;
    this.#changed = changed;
  }

  /** As it was counted last; null before the first time. */
  get kept(): Kept | null {
    return this.#kept;
  }

  async count(): Promise<void> {
    const client = this.#client;
    if (client.identity === null || client.identity.role === "client" || this.#counting) {
      return;
    }
    this.#counting = true;
    const now = new Date(serverNow(client));
    const since = new Date(now.getFullYear(), now.getMonth(), 1).getTime();
    try {
      const kept = await client.kept(since, now.getTime());
      if (kept.kept !== this.#kept?.kept || kept.of !== this.#kept.of) {
        this.#kept = kept;
        this.#changed();
      }
    } catch (error) {
      if (!(error instanceof RapportError)) {
        throw error;
      }
    } finally {
      this.#counting = false;
    }
  }
}
