/** Who is there, as the server reports it, and how we want to be seen: `RapportClient.presence`. */

import { PRESENCE_SETTING, SHOWN } from "../engine/presence.ts";
import type { PresenceState } from "../events.ts";
import type { Snapshot } from "../local-device/types.ts";
import type { AccountId } from "../protocol/ids.ts";
import type { Port } from "./port.ts";

/**
 * Presence of contacts, and our own. Therapists and owners watch their contacts by themselves. Nothing of it is kept
 * anywhere, nobody is told since when, and it is the server's word alone. Changes are events `presenceChanged`.
 */
export class Presence {
  readonly #port: Port;
  readonly #look: () => Snapshot;

  constructor(port: Port, look: () => Snapshot) {
    this.#port = port;
    this.#look = look;
  }

  /**
   * How a contact is. "unknown" without a connection; somebody who does not want to be seen, or may not be, is "offline"
   * like somebody who is not there.
   */
  of(account: AccountId): PresenceState {
    const { presence, state, caughtUp } = this.#look();
    return presence[account] ?? (state === "connected" && caughtUp ? "offline" : "unknown");
  }

  /** Whether our therapists may see that we are there: not until a client allows it. Always so for others. */
  get allowed(): boolean {
    const { identity, settings } = this.#look();
    return identity !== null && (identity.role !== "client" || settings[PRESENCE_SETTING] === SHOWN);
  }

  /** A client lets its therapists see that it is there, or no longer: on all its devices. Others: changes nothing. */
  allow(allowed: boolean): Promise<void> {
    return this.#port.call("presence", allowed ? "shown" : "hidden");
  }

  /** The person is doing something else. Pages say so by themselves when none was looked at for five minutes. */
  away(): Promise<void> {
    return this.#port.call("presence", "away");
  }

  /** The person is back. */
  back(): Promise<void> {
    return this.#port.call("presence", "back");
  }

  /** Watches contacts as a client, too. Tells of therapists only if the practice shows them to clients. */
  watch(): Promise<void> {
    return this.#port.call("presence", "watch");
  }
}
