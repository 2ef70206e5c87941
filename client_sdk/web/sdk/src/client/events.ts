/** Events as a page's program takes them: by type, or all of them in a loop. */

import { Listener } from "../engine/listeners.ts";
import type { Event } from "../events.ts";

/** Something that concerns this page and its storage rather than the account. */
export type PageEvent =
  /** Anything in the client's `snapshot`, or its `storage`, may be different now: the moment to draw again. */
  | { readonly type: "changed" }
  /** There was an account here and its storage is gone: cleared by the person or the browser. Nothing is made anew. */
  | { readonly type: "storageLost" }
  /** The browser may clear the storage by itself when it needs room: it was asked not to, and refused. Shown once. */
  | { readonly type: "persistenceRefused" }
  /** The vault is locked: call `unlock`. */
  | { readonly type: "passphraseNeeded" };

/** Everything that a client says. */
export type ClientEvent = Event | PageEvent;
/** What it says under one type. */
export type ClientEventOf<Type extends ClientEvent["type"]> = Extract<ClientEvent, { readonly type: Type }>;

type Handler = (event: never) => void;

/** Who wants to hear what. */
export class Hearers {
  private readonly handlers = new Map<string, Set<Handler>>();
  private readonly listeners = new Set<Listener>();

  /** See `RapportClient.on`. */
  add<Type extends ClientEvent["type"]>(type: Type, handler: (event: ClientEventOf<Type>) => void): void {
    const held = this.handlers.get(type);
    if (held === undefined) {
      this.handlers.set(type, new Set([handler]));
    } else {
      held.add(handler);
    }
  }

  /** See `RapportClient.off`. */
  remove<Type extends ClientEvent["type"]>(type: Type, handler: (event: ClientEventOf<Type>) => void): void {
    this.handlers.get(type)?.delete(handler);
  }

  /** See `RapportClient.events`. */
  listen(): Listener {
    const listener = new Listener((left) => this.listeners.delete(left));
    this.listeners.add(listener);
    return listener;
  }

  /** Tells the loops: events of the account only. */
  show(event: Event): void {
    for (const listener of this.listeners) {
      listener.put(event);
    }
    this.tell(event);
  }

  /** Tells the handlers. One that throws does not keep the others from hearing; its error is reported as uncaught. */
  tell(event: ClientEvent): void {
    for (const handler of [...(this.handlers.get(event.type) ?? [])]) {
      try {
        handler(event as never); // added under this very type
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }

  /** Nothing more will be said. */
  end(): void {
    this.handlers.clear();
    for (const listener of this.listeners) {
      listener.end();
    }
  }
}
