/** How a device wants to be seen, by what its host and its pages say. */

import type { Engine } from "../engine/link/loop.ts";
import { setSetting } from "../engine/own-state.ts";
import { PRESENCE_SETTING, SHOWN } from "../engine/presence.ts";
import type { Clock } from "../ports.ts";
import { LocalError } from "../protocol/errors.ts";
import type { PresenceWish } from "./types.ts";

/** Pages say once a minute that they are looked at; after so long without a word the person is elsewhere. */
export const UNATTENDED_MS = 300_000;

/** See `DeviceCalls.presence`. A host without pages is never away by itself: attendance begins with a page's word. */
export class OwnPresence {
  private readonly clock: Clock;
  private readonly engine: () => Engine | null;
  private waiting: AbortController | null = null;

  /** engine: the one at work, null while nobody has joined. */
  constructor(clock: Clock, engine: () => Engine | null) {
    this.clock = clock;
    this.engine = engine;
  }

  /** Takes a wish; LocalError(not_found) while nobody has joined. */
  async wish(wish: PresenceWish): Promise<void> {
    const engine = this.engine();
    if (wish === "attended") {
      this.attended();
    } else if (engine === null) {
      throw new LocalError("not_found", "nobody has joined on this device");
    } else if (wish === "shown" || wish === "hidden") {
      const value = wish === "shown" ? SHOWN : null;
      await engine.do((turn) => setSetting(turn, PRESENCE_SETTING, value));
    } else if (wish === "watch") {
      engine.watchPresence();
    } else {
      engine.core.presence.away("said", { away: wish === "away" });
    }
  }

  private attended(): void {
    this.end();
    const waiting = new AbortController();
    this.waiting = waiting;
    this.engine()?.core.presence.away("unattended", { away: false });
    this.clock.sleep(UNATTENDED_MS, waiting.signal).then(
      () => this.engine()?.core.presence.away("unattended", { away: true }),
      () => undefined, // looked at again, or over
    );
  }

  /** Nothing is waited for any more. */
  end(): void {
    this.waiting?.abort();
    this.waiting = null;
  }
}
