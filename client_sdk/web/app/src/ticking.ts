/** Redraws a screen on every full minute: what it says of offices and promises is said in minutes. */

import type { ReactiveController, ReactiveControllerHost } from "lit";

const MINUTE_MS = 60_000;
/** A little after the minute: a timer that comes early would draw the old one. */
const AFTER_MS = 50;

/** Lives as long as its element is in the page. */
export class Ticking implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  #due: ReturnType<typeof setTimeout> | null = null;

  constructor(host: ReactiveControllerHost) {
    this.#host = host;
    host.addController(this);
  }

  hostConnected(): void {
    this.#wait();
  }

  hostDisconnected(): void {
    if (this.#due !== null) {
      clearTimeout(this.#due);
      this.#due = null;
    }
  }

  #wait(): void {
    this.#due = setTimeout(
      () => {
        this.#host.requestUpdate();
        this.#wait();
      },
      MINUTE_MS - (Date.now() % MINUTE_MS) + AFTER_MS,
    );
  }
}
