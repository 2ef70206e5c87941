/** Which camera, microphone and speaker a screen offers and uses. */

import { type DevicesView, NO_DEVICES } from "@rapport/elements";
import { type DeviceChoice, type DeviceKind, namedDevices, watchDevices } from "@rapport/sdk";
import { chosenDevices, setChosenDevices } from "./preferences.ts";

/** The kinds that media are taken from. */
const TAKEN = ["camera", "microphone"] as const;

/** What uses devices: a call, or the test before one. using: the device in use, by its id. */
export interface UsesDevices {
  choose(kind: DeviceKind, device: string): Promise<void>;
  using(kind: DeviceKind): string;
}

/** Looks again whenever something was plugged in or pulled out. `changed` is called when there is something else to draw. */
export class ChoosingDevices {
  readonly #changed: () => void;
  #named: DevicesView = NO_DEVICES;
  #end: (() => void) | null = null;

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** What was chosen, for whatever begins now. */
  get chosen(): DeviceChoice {
    return chosenDevices();
  }

  /** What there is, and what this one uses. */
  of(uses: UsesDevices | null): DevicesView {
    const [cameraId, microphoneId] = TAKEN.map((kind) => uses?.using(kind) ?? "");
    return { ...this.#named, cameraId: cameraId ?? "", microphoneId: microphoneId ?? "", speakerId: this.#speaker };
  }

  /** One that is gone leaves the browser's own. */
  get #speaker(): string {
    const { speaker } = this.chosen;
    return this.#named.speakers.some(({ id }) => id === speaker) ? speaker : "";
  }

  /** From now on the list is kept as it is. */
  begin(): void {
    this.#end ??= watchDevices(() => void this.look());
    void this.look();
  }

  end(): void {
    this.#end?.();
    this.#end = null;
  }

  /** Looks again: names come once a device was let through. */
  async look(): Promise<void> {
    const { camera, microphone, speaker } = await namedDevices();
    const before = JSON.stringify(this.#named);
    this.#named = { ...NO_DEVICES, cameras: camera, microphones: microphone, speakers: speaker };
    if (JSON.stringify(this.#named) !== before) {
      this.#changed();
    }
  }

  /** The person has chosen: for this one, and for what comes. */
  async choose(uses: UsesDevices | null, kind: DeviceKind, device: string): Promise<void> {
    setChosenDevices({ ...this.chosen, [kind]: device });
    await uses?.choose(kind, device);
    this.#changed();
  }
}
