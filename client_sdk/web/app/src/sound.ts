/** Sounds: the knock, two soft taps at once, after one minute and after three, until it was seen; the ring of a call; the door. */

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

/** Both notes of one ring, hertz, and when they begin, seconds. */
const RING: readonly (readonly [tone: number, atS: number])[] = [
  [440, 0],
  [554, 0.35],
];
/** From the beginning of one ring to the next, milliseconds. */
const RING_EVERY_MS = 3_000;
/** No call rings longer. */
const RINGS_MOST = 15;

/** A call that rings: two warm notes, again and again, for 45 s at most. */
export class Ring {
  #context: AudioContext | null = null;
  #due: ReturnType<typeof setTimeout> | null = null;
  #call: string | null = null;

  /** This call rings now, null: none does. Each new one begins anew. */
  rings(call: string | null): void {
    if (call !== this.#call) {
      this.end();
      this.#call = call;
      this.#sound(call === null ? 0 : RINGS_MOST);
    }
  }

  /** Nothing sounds any more. */
  end(): void {
    this.#call = null;
    if (this.#due !== null) {
      clearTimeout(this.#due);
      this.#due = null;
    }
  }

  #sound(left: number): void {
    if (left === 0 || !("AudioContext" in globalThis)) {
      return;
    }
    this.#context ??= new AudioContext();
    void this.#context.resume().catch(() => undefined); // one that nobody has touched yet stays silent: the call is on the screen
    for (const [tone, atS] of RING) {
      note(this.#context, tone, atS, 0.3);
    }
    this.#due = setTimeout(() => this.#sound(left - 1), RING_EVERY_MS);
  }
}

/** One low tone: the door opens. */
export function doorTone(): void {
  playTone(196, 0.5);
}

/** A tone to listen for. */
export function testTone(speaker = ""): void {
  playTone(440, 1.2, speaker);
}

function playTone(tone: number, lengthS: number, speaker = ""): void {
  if (!("AudioContext" in globalThis)) {
    return;
  }
  const context = new AudioContext();
  const choose: unknown = Reflect.get(context, "setSinkId");
  if (speaker !== "" && typeof choose === "function") {
    Promise.resolve(choose.call(context, speaker)).catch(() => undefined); // gone: the browser's own sounds
  }
  note(context, tone, 0, lengthS);
  setTimeout(() => void context.close(), lengthS * 1_000 + 500);
}

/** Swells and fades: a warm tone has no edge. */
function note(context: AudioContext, tone: number, atS: number, lengthS: number): void {
  const from = context.currentTime + atS;
  const [oscillator, volume] = [context.createOscillator(), context.createGain()];
  oscillator.type = "triangle";
  oscillator.frequency.setValueAtTime(tone, from);
  volume.gain.setValueAtTime(0.001, from);
  volume.gain.exponentialRampToValueAtTime(0.25, from + 0.05);
  volume.gain.exponentialRampToValueAtTime(0.001, from + lengthS);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(from);
  oscillator.stop(from + lengthS + 0.05);
}
