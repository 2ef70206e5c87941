/** Escape three times is the way out, on every screen of a client. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

const ESCAPES = 3;
const WITHIN_MS = 2_000;

/** Calls `leave` when Escape is pressed three times within two seconds, for as long as its element is in the page. */
export class Escapes implements ReactiveController {
  readonly #leave: () => void;
  readonly #counts: () => boolean;
  #pressed: number[] = [];

  /** counts: whether the way out is there now. */
  constructor(host: ReactiveControllerHost, counts: () => boolean, leave: () => void) {
    this.#counts = counts;
    this.#leave = leave;
    host.addController(this);
  }

  hostConnected(): void {
    window.addEventListener("keydown", this.#key, { capture: true });
  }

  hostDisconnected(): void {
    window.removeEventListener("keydown", this.#key, { capture: true });
  }

  readonly #key = (event: KeyboardEvent) => {
    if (event.key === "Escape" && this.#counts()) {
      this.#pressed = [...this.#pressed.filter((at) => event.timeStamp - at < WITHIN_MS), event.timeStamp];
      if (this.#pressed.length >= ESCAPES) {
        this.#pressed = [];
        this.#leave();
      }
    }
  };
}
