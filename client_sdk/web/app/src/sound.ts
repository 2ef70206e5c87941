/** The knock of an urgent message: two soft taps at once, after one minute and after three, until it was seen. */

/** After so long it sounds, milliseconds. */
const KNOCKS_MS = [0, 60_000, 180_000];
/** Both taps of one knock, seconds. */
const TAPS_S = [0, 0.22];

/** Sounds for as long as there is something new to be seen. */
export class Knock {
  #context: AudioContext | null = null;
  #due: ReturnType<typeof setTimeout>[] = [];
  #heard = new Set<string>();

  /** These wait to be seen now; each new one begins anew. on: whether it may sound. */
  waits(messages: readonly string[], on: boolean): void {
    const fresh = messages.some((message) => !this.#heard.has(message));
    this.#heard = new Set(messages);
    if (messages.length === 0 || !on) {
      this.end();
    } else if (fresh) {
      this.end();
      this.#due = KNOCKS_MS.map((afterMs) => setTimeout(() => this.#sound(), afterMs));
    }
  }

  /** Nothing sounds any more. */
  end(): void {
    for (const timer of this.#due.splice(0)) {
      clearTimeout(timer);
    }
  }

  /** Wood has a low tone that ends at once. A browser that no one has touched yet stays silent: the banner stands there. */
  #sound(): void {
    if (!("AudioContext" in globalThis)) {
      return;
    }
    this.#context ??= new AudioContext();
    const context = this.#context;
    void context.resume().catch(() => undefined);
    for (const atS of TAPS_S) {
      const from = context.currentTime + atS;
      const [tone, volume] = [context.createOscillator(), context.createGain()];
      tone.frequency.setValueAtTime(180, from);
      volume.gain.setValueAtTime(0.35, from);
      volume.gain.exponentialRampToValueAtTime(0.001, from + 0.12);
      tone.connect(volume).connect(context.destination);
      tone.start(from);
      tone.stop(from + 0.15);
    }
  }
}
