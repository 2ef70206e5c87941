/**
 * Media that stand still are brought back: other ways are looked for first, then the connection is made anew.
 *
 * Nothing is tried before a fresh way through is to be had: that asks the server, and while nobody answers, a restart
 * would only look for ways that are not there. The calling device restarts; the other one asks it to.
 */

import type { Description } from "../engine/bodies/meetings.ts";
import type { Peer, Route } from "./peer.ts";

/** New pictures must have come within this time after a restart, ms. */
const RESTARTED_MS = 4_000;
/** The same after a connection was made anew: it shakes hands too. */
const REBUILT_MS = 6_000;
/** An answer is waited for as long as the other side may be away: then the call has ended, ms. */
const ANSWERED_MS = 30_000;
/** Attempts after which pictures are not waited for any more, as long as something comes. */
const ENOUGH = 2;
/** How often is looked whether they have, ms. */
const LOOK_EVERY_MS = 200;

/** What it works with. */
export interface Wards {
  /** Whether media flow. */
  flows(): boolean;
  /** How many pictures were decoded so far; null where none are expected. */
  pictures(): number | null;
  /** Fresh credentials; null when the call is over. Waits for as long as nobody gives any; never rejects. */
  route(signal: AbortSignal): Promise<Route | null>;
  /** Does something when nothing else is being done. */
  run<T>(work: () => Promise<T>): Promise<T>;
  peer(): Peer | null;
  isOwner(): boolean;
  /** Asks the calling device to restart. */
  ask(description: Description): void;
}

/** At most one attempt at a time; each ends when media flow, or the call does. */
export class Recovery {
  private readonly wards: Wards;
  private trying: AbortController | null = null;

  constructor(wards: Wards) {
    this.wards = wards;
  }

  /**
   * Media stand still. asked: the other side says so, or the network is another one: it is tried though media seem to
   * flow. Does nothing while it is being tried.
   */
  begin({ asked = false } = {}): void {
    if (this.trying === null) {
      const trying = new AbortController();
      this.trying = trying;
      this.tryUntil(asked, trying.signal).finally(() => {
        this.trying = this.trying === trying ? null : this.trying;
      });
    }
  }

  /** The call is over. */
  end(): void {
    this.trying?.abort();
    this.trying = null;
  }

  private async tryUntil(asked: boolean, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted; attempt++) {
      const route = await this.wards.route(signal);
      if (route === null || signal.aborted || ((attempt > 0 || !asked) && this.wards.flows())) {
        return;
      }
      const isAnew = this.wards.isOwner() && attempt % 2 === 1;
      const before = this.wards.pictures() ?? 0;
      await this.wards.run(() => this.once(route, isAnew)).catch(() => undefined); // it failed: there will be another
      // Who cannot be reached cannot answer: another attempt would only take away what may come back by itself.
      await this.within(ANSWERED_MS, signal, () => this.wards.peer()?.isAnswered !== false || this.hasNew(before));
      const isBack = () => this.hasNew(before);
      if (await this.within(isAnew ? REBUILT_MS : RESTARTED_MS, signal, isBack)) {
        return;
      }
      if (attempt >= ENOUGH && this.wards.flows()) {
        return; // packets come and no pictures: it is not the connection
      }
    }
  }

  private async once(route: Route, isAnew: boolean): Promise<void> {
    const peer = this.wards.peer();
    if (peer === null) {
      return;
    }
    if (!this.wards.isOwner()) {
      peer.by(route);
      const { standing } = peer;
      if (standing !== null) {
        this.wards.ask(standing);
      }
    } else if (isAnew) {
      await peer.rebuild(route);
    } else {
      await peer.restart(route);
    }
  }

  /** New pictures count, or new packets where there are no pictures; a connection made anew counts from zero. */
  private hasNew(before: number): boolean {
    const pictures = this.wards.pictures();
    return this.wards.flows() && (pictures === null || (pictures !== before && pictures > 0));
  }

  /** Whether it has become so in time. */
  private async within(ms: number, signal: AbortSignal, isSo: () => boolean): Promise<boolean> {
    for (let waited = 0; waited < ms && !signal.aborted; waited += LOOK_EVERY_MS) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
      if (isSo()) {
        return true;
      }
    }
    return false;
  }
}
