/** A client who waits is let in: the host's call is taken without asking again, and the app goes to it. */

import { calledName, textsFor } from "@rapport/elements";
import type { AppointmentId, CallView, MessageId, RapportClient } from "@rapport/sdk";
import { type Entry, entryOf, joinMedia, lets } from "./entering.ts";
import { nameOf } from "./office-views.ts";
import { joinAs } from "./preferences.ts";
import { doorTone } from "./sound.ts";

/** One that cannot be taken is tried no more often than this: every change of the call leads here. */
const TRIED_MOST = 3;

/** Takes each admitting call once. The microphone is on in the call only if it was turned on before the door. */
export class Admission {
  readonly #client: RapportClient;
  readonly #admitted: (call: CallView, words: string) => void;
  readonly #taken = new Set<MessageId>();
  readonly #tried = new Map<MessageId, number>();
  readonly #waited = new Set<AppointmentId>();
  #door: AppointmentId | null = null;
  #camera: boolean | null = null;
  #microphone = false;

  /** admitted: called once the call is taken, with what is announced. */
  constructor(client: RapportClient, admitted: (call: CallView, words: string) => void) {
    this.#client = client;
    this.#admitted = admitted;
  }

  /** How the person wants to come in, as said at the door. */
  join({ camera, microphone }: { readonly camera?: boolean; readonly microphone?: boolean }): void {
    this.#camera = camera ?? this.#camera;
    this.#microphone = microphone ?? this.#microphone;
  }

  /** The waiting room on the screen of this page is now that of this appointment, null: none. */
  show(door: AppointmentId | null): void {
    if (door === this.#door) {
      return;
    }
    this.#door = door;
    if (door !== null) {
      this.#waited.add(door);
      for (const { id } of this.#client.calls.live()) {
        this.look(id); // it may have come before they did
      }
    }
  }

  /** This call stands differently: is it the one that lets us in? */
  look(id: MessageId): void {
    const call = this.#client.calls.of(id);
    if (call === null || !lets(call) || !call.canAnswer || this.#taken.has(id) || call.appointment === null) {
      return;
    }
    const waited = this.#waited.has(call.appointment);
    const atDoor = this.#door === call.appointment;
    const entry = entryOf({ waited, atDoor, visible: document.visibilityState === "visible" });
    if (entry !== null) {
      this.#taken.add(id);
      void this.#take(call, entry);
    }
  }

  async #take(call: CallView, entry: Exclude<Entry, null>): Promise<void> {
    const { appointment, media } = call;
    const held = appointment === null ? null : this.#client.appointments.of(appointment);
    const seen = entry === "as_wanted";
    try {
      const live = this.#client.calls.open(call.id);
      live.mute(!seen || !this.#microphone);
      await live.accept({ media: joinMedia(held, media, seen && (this.#camera ?? joinAs() === "video")) });
    } catch {
      const tried = (this.#tried.get(call.id) ?? 0) + 1; // what stands in its way is said by the state of the call
      this.#tried.set(call.id, tried);
      if (tried < TRIED_MOST) {
        this.#taken.delete(call.id);
      }
      return;
    }
    doorTone();
    const { room } = textsFor(document.documentElement.lang);
    this.#admitted(call, room.come(calledName(nameOf(this.#client, call.withAccount))));
  }
}
