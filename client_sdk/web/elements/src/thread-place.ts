/** Where a thread is scrolled to: at its end it stays there, elsewhere nothing moves what is being read. */

/** How near the end counts as there, and how near the top earlier messages are wanted, pixels. */
const AT_THE_END_PX = 48;
const NEAR_THE_TOP_PX = 160;

/** What scrolling has led to. */
export type Scrolled = "end" | "top" | "between";

/** One thread's place. `hold` before its lines change, `settle` afterwards. */
export class ThreadPlace {
  atEnd = true;
  readonly #root: () => ParentNode | null;
  /** The sizes when the end was last gone to. */
  #sizes = "";
  #held: { readonly key: string; readonly top: number } | null = null;

  /** root: what the scroller with the class `log` and its lines with the class `msg` are in. */
  constructor(root: () => ParentNode | null) {
    this.#root = root;
  }

  get #log(): HTMLElement | null {
    return this.#root()?.querySelector<HTMLElement>(".log") ?? null;
  }

  /** Remembers the first message on the screen, so that what comes above it does not move it. */
  hold(): void {
    const log = this.#log;
    if (!log || this.atEnd) {
      return;
    }
    const top = log.getBoundingClientRect().top;
    for (const line of log.querySelectorAll<HTMLElement>(".msg")) {
      const place = line.getBoundingClientRect();
      if (place.bottom > top) {
        this.#held = { key: line.getAttribute("data-key") ?? "", top: place.top };
        return;
      }
    }
  }

  /** Puts it back where it was; false before anything is drawn. */
  settle(): boolean {
    const log = this.#log;
    if (!log) {
      return false;
    }
    if (this.atEnd) {
      this.toEnd();
    } else if (this.#held) {
      const line = log.querySelector<HTMLElement>(`[data-key="${CSS.escape(this.#held.key)}"]`);
      log.scrollTop += line ? line.getBoundingClientRect().top - this.#held.top : 0;
    }
    this.#held = null;
    return true;
  }

  toEnd(): void {
    const log = this.#log;
    if (log) {
      this.#sizes = sizesOf(log);
      log.scrollTop = log.scrollHeight;
    }
  }

  /** The scroller has moved; null when it was not the person who moved it. */
  scrolled(): Scrolled | null {
    const log = this.#log;
    if (!log) {
      return null;
    }
    if (this.atEnd && this.#sizes !== sizesOf(log)) {
      this.toEnd(); // what stands there, or its room, is of another size since: nobody has scrolled
      return null;
    }
    this.atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < AT_THE_END_PX;
    return this.atEnd ? "end" : log.scrollTop < NEAR_THE_TOP_PX ? "top" : "between";
  }
}

function sizesOf(log: HTMLElement): string {
  return `${log.scrollHeight} ${log.clientHeight}`;
}
