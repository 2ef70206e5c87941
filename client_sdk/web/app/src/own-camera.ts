/** One's own picture while one waits: the camera alone, and only while it is wanted. The microphone stays off. */

/** `changed` is called when there is another picture, or none any more. */
export class OwnCamera {
  readonly #changed: () => void;
  #stream: MediaStream | null = null;
  #asked = 0;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** What it shows now; null for nothing. */
  get stream(): MediaStream | null {
    return this.#stream;
  }

  /** Takes the camera, or gives it back. A browser or person that says no leaves it without a picture. */
  async turn(on: boolean): Promise<void> {
    this.#asked += 1;
    const asked = this.#asked;
    if (!on) {
      this.#drop();
      return;
    }
    if (this.#stream !== null) {
      return;
    }
    const taken = await navigator.mediaDevices?.getUserMedia({ video: { facingMode: "user" } }).catch(() => null);
    if (asked !== this.#asked) {
      for (const track of taken?.getTracks() ?? []) {
        track.stop(); // it is not wanted any more
      }
      return;
    }
    this.#stream = taken ?? null;
    this.#changed();
  }

  #drop(): void {
    for (const track of this.#stream?.getTracks() ?? []) {
      track.stop();
    }
    this.#stream = null;
    this.#changed();
  }
}
