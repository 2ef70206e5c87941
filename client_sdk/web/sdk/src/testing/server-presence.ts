/**
 * Presence as the server sees it, without its delays: a lost connection is a good-bye, and every change is told.
 *
 * Source: docs/protocol.md, chapter 14.
 */

import type { AccountId, DeviceId } from "../protocol/ids.ts";
import { splitIds } from "../protocol/ids.ts";
import type { Present, ServerMessage, Watch } from "../protocol/messages.ts";
import { conversationsOf } from "./server-accounts.ts";
import type { Principal, Store } from "./server-state.ts";

interface Seat {
  readonly principal: Principal;
  readonly send: (message: ServerMessage) => void;
  state: string;
  /** Whom it watches, and what it was told of them. */
  watched: Map<AccountId, string>;
}

/** Who is connected, how they want to be seen, and who watches them. */
export class FakePresence {
  readonly #store: Store;
  readonly #seats = new Map<DeviceId, Seat>();

  constructor(store: Store) {
    this.#store = store;
  }

  /** A device has signed in. */
  open(principal: Principal, send: (message: ServerMessage) => void): void {
    const state = principal.role === "client" ? "hidden" : "online";
    this.#seats.set(principal.device, { principal, send, state, watched: new Map() });
    this.#tell();
  }

  /** Its connection is gone. */
  close(principal: Principal): void {
    this.#seats.delete(principal.device);
    this.#tell();
  }

  /** It says how it wants to be seen. */
  say({ device }: Principal, { state }: Present): void {
    const seat = this.#seats.get(device);
    if (seat !== undefined) {
      seat.state = state;
      this.#tell();
    }
  }

  /** It says whom it watches; those who are there are told again. */
  watch({ device }: Principal, { accounts }: Watch): void {
    const seat = this.#seats.get(device);
    if (seat !== undefined) {
      seat.watched = new Map(splitIds<AccountId>(accounts).map((account) => [account, "offline"]));
      this.#tell();
    }
  }

  #stateOf(watcher: Principal, account: AccountId): string {
    const mine = new Set(conversationsOf(this.#store, watcher.account));
    const shared = conversationsOf(this.#store, account).some((conv) => mine.has(conv));
    const states = [...this.#seats.values()].filter((seat) => seat.principal.account === account);
    const most = ["online", "away"].find((state) => states.some((seat) => seat.state === state));
    return shared && watcher.role !== "client" ? (most ?? "offline") : "offline";
  }

  #tell(): void {
    for (const { principal, send, watched } of this.#seats.values()) {
      for (const [account, told] of watched) {
        const state = this.#stateOf(principal, account);
        if (state !== told) {
          watched.set(account, state);
          send({ tag: "presence", account, state });
        }
      }
    }
  }
}
