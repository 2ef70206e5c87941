/** Whether the other person speaks now, from the sound that comes. */

/** How often it is listened, milliseconds. */
const EVERY_MS = 250;
/** Louder than this is a voice, quieter is not; of 1. */
const LOUD = 0.02;
/** A voice that pauses for less goes on, in turns of listening. */
const PAUSE = 3;

/** `changed` is called when it begins or ends. */
export class Speaking {
  readonly #changed: () => void;
  #stream: MediaStream | null = null;
  #context: AudioContext | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #quiet = PAUSE;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** Whether somebody speaks. */
  get now(): boolean {
    return this.#quiet < PAUSE;
  }

  /** Listens to this, null: to nothing. */
  hear(stream: MediaStream | null): void {
    const audible = stream !== null && stream.getAudioTracks().length > 0 ? stream : null;
    if (audible === this.#stream) {
      return;
    }
    this.#end();
    this.#stream = audible;
    if (audible !== null && "AudioContext" in globalThis) {
      this.#begin(audible);
    }
  }

  #begin(stream: MediaStream): void {
    const context = new AudioContext();
    this.#context = context;
    void context.resume().catch(() => undefined); // not touched yet: nobody is said to speak
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(stream).connect(analyser);
    const heard = new Float32Array(analyser.fftSize);
    this.#timer = setInterval(() => {
      analyser.getFloatTimeDomainData(heard);
      const loudness = Math.sqrt(heard.reduce((sum, value) => sum + value * value, 0) / heard.length);
      const before = this.now;
      this.#quiet = loudness > LOUD ? 0 : this.#quiet + 1;
      if (before !== this.now) {
        this.#changed();
      }
    }, EVERY_MS);
  }

  #end(): void {
    if (this.#timer !== null) {
      clearInterval(this.#timer);
      this.#timer = null;
    }
    void this.#context?.close();
    this.#context = null;
    this.#quiet = PAUSE;
  }
}
