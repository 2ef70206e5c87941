/** What the other person says, while the call of this page is under another screen. */

import type { LiveCall, MessageId, RapportClient } from "@rapport/sdk";

/** Plays where no call screen does: a person who looks something up goes on hearing the other one. */
export class CallSound {
  readonly #client: RapportClient;
  readonly #audio = new Audio();
  #live: LiveCall | null = null;
  #end: (() => void) | null = null;
  #shown: MessageId | null = null;

  constructor(client: RapportClient) {
    this.#client = client;
  }

  /** shown: the call on the screen, which is heard there; null for none. */
  look(shown: MessageId | null): void {
    this.#shown = shown;
    const { current } = this.#client.calls;
    if (current !== this.#live) {
      this.#end?.();
      this.#live = current;
      this.#end = current?.onChange(() => this.#play()) ?? null;
    }
    this.#play();
  }

  /** Nothing is heard any more. */
  end(): void {
    this.#end?.();
    this.#end = null;
    this.#live = null;
    this.#play();
  }

  #play(): void {
    const live = this.#live;
    const stream = live === null || live.id === this.#shown ? null : live.remote;
    if (this.#audio.srcObject === stream) {
      return;
    }
    this.#audio.srcObject = stream;
    if (stream === null || live === null) {
      return;
    }
    const speaker = live.using("speaker");
    if (speaker !== "" && "setSinkId" in this.#audio) {
      this.#audio.setSinkId(speaker).catch(() => undefined); // gone: the browser's own
    }
    this.#audio.play().catch(() => undefined); // nobody has touched this page yet: the line above the screen leads to the call
  }
}
