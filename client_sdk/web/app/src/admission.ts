/** A client who waits is let in: the host's call is taken without asking again, and the app goes to it. */

import type { CallView, MessageId, RapportClient } from "@rapport/sdk";
import { nameOf } from "./office-views.ts";
import { joinAs } from "./preferences.ts";
import { doorTone } from "./sound.ts";
import { comeIn, joinMedia } from "./wait-screen.ts";

/** One that cannot be taken is tried no more often than this: every change of the call leads here. */
const TRIED_MOST = 3;

/** Takes each admitting call once. The microphone is on in the call only if it was turned on before the door. */
export class Admission {
  readonly #client: RapportClient;
  readonly #admitted: (call: CallView, words: string) => void;
  readonly #taken = new Set<MessageId>();
  readonly #tried = new Map<MessageId, number>();
  #camera: boolean | null = null;
  #microphone = false;

  /** admitted: called once the call is being taken, with what is announced. */
  constructor(client: RapportClient, admitted: (call: CallView, words: string) => void) {
    this.#client = client;
    this.#admitted = admitted;
  }

  /** How the person wants to come in, as said at the door. */
  join({ camera, microphone }: { readonly camera?: boolean; readonly microphone?: boolean }): void {
    this.#camera = camera ?? this.#camera;
    this.#microphone = microphone ?? this.#microphone;
  }

  /** This call stands differently: is it the one that lets us in? */
  look(id: MessageId): void {
    const call = this.#client.calls.of(id);
    if (call?.admits && call.canAnswer && !this.#taken.has(id)) {
      this.#taken.add(id);
      void this.#take(call);
    }
  }

  async #take(call: CallView): Promise<void> {
    const { appointment } = call;
    const held = appointment === null ? null : this.#client.appointments.of(appointment);
    doorTone();
    this.#admitted(call, comeIn(nameOf(this.#client, call.withAccount)));
    try {
      const live = this.#client.calls.open(call.id);
      live.mute(!this.#microphone);
      await live.accept({ media: joinMedia(held, this.#camera ?? joinAs() === "video") });
    } catch {
      const tried = (this.#tried.get(call.id) ?? 0) + 1; // what stands in its way is said by the state of the call
      this.#tried.set(call.id, tried);
      if (tried < TRIED_MOST) {
        this.#taken.delete(call.id);
      }
    }
  }
}
