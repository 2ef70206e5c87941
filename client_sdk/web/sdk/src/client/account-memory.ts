/** A note that there is an account in this browser, which survives the database: so its storage can be missed. */

import { askToPersist, type Notes } from "./browser.ts";

const NOTE = "joined";

/** notes: null where a program has none, as outside of browsers; then nothing is remembered. */
export class AccountMemory {
  private readonly notes: Notes | null;

  constructor(notes: Notes | null) {
    this.notes = notes;
  }

  /** Whether there was an account here. */
  get has(): boolean {
    return this.notes !== null && this.notes.read(NOTE) !== null;
  }

  /** There is, or was, one. */
  keep(): void {
    this.notes?.write(NOTE, "yes");
  }

  /** There is none any more, on purpose. */
  forget(): void {
    this.notes?.write(NOTE, null);
  }

  /** There is one: noted, and with the first note the browser is asked once not to clear it; refused: it says no. */
  remember(refused: () => void): void {
    if (this.notes === null || this.has) {
      return;
    }
    this.keep();
    void askToPersist().then((agreed) => {
      if (!agreed) {
        refused();
      }
    });
  }
}
