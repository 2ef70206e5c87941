/**
 * What pages and the owner of a vault tell each other. Pages ask on one channel and listen on another; only the worker
 * that holds the vault's lock listens to what is asked.
 *
 *     page                                    owner
 *      | -- hello {from} ---------------------> |       asked: who owns the vault, and how does it stand
 *      | <------------- standing {owner, …} --- |       also by itself, when a worker has become the owner
 *      | -- call {owner, id, name, values} ---> |       to this owner only: another one does not touch it
 *      | <-- answer {to, id, …} --------------- |
 *      | <-- news {owner, news} --------------- |       to all pages
 *      | <-- gone {owner} --------------------- |       the vault broke under its owner: every page starts a new worker
 *
 * A new owner means that the last one died. A page then repeats what was not answered, if it may be repeated.
 *
 * Locks belong to the storage that they were asked in: when a browser clears an origin's storage, workers from before
 * and after hold the "same" lock side by side. An owner that hears another one therefore gives up, and all pages start
 * their workers anew. Until then the vault's revision sees to it that only one of them writes.
 */

import type { DeviceCalls, News, Snapshot } from "../local-device/types.ts";
import type { Carried } from "./carried.ts";

/** What the owner does beside the device itself. */
export interface VaultCalls {
  /** Opens a vault that is locked with a passphrase. WrongPassphrase. */
  unlock(passphrase: string): Promise<void>;
  /** Locks the vault with a passphrase, changes it, or takes it away (null). WrongPassphrase: nothing has changed. */
  setPassphrase(next: string | null, current: string | null): Promise<void>;
}

/** Everything that a page may call. */
export type Calls = DeviceCalls & VaultCalls;
/** The name of such a call. */
export type CallName = keyof Calls;

/**
 * How the vault stands. "open": the device is at work. "locked": a passphrase is needed. "failed": it cannot be opened,
 * for the reason in `problem`.
 */
export interface Standing {
  readonly storage: "open" | "locked" | "failed";
  readonly problem: Carried | null;
  /** Whether the vault opens with a passphrase only; null where it cannot have one. */
  readonly passphrase: boolean | null;
  readonly snapshot: Snapshot;
}

/** What pages say. from: the page; id: its number for this call. */
export type Asked =
  | { readonly type: "hello"; readonly from: string }
  | {
      readonly type: "call";
      readonly from: string;
      readonly owner: string;
      readonly id: number;
      readonly name: CallName;
      readonly values: readonly unknown[];
    };

/** What the owner says. to: one page; null = all. */
export type Told =
  | { readonly type: "standing"; readonly to: string | null; readonly owner: string; readonly standing: Standing }
  | { readonly type: "news"; readonly owner: string; readonly news: News }
  | { readonly type: "gone"; readonly owner: string }
  | { readonly type: "answer"; readonly to: string; readonly id: number; readonly value: unknown }
  | { readonly type: "refusal"; readonly to: string; readonly id: number; readonly problem: Carried };

/** What a page tells its own worker, once: which vault, and the only server that its device may talk to. */
export interface Assignment {
  readonly vault: string;
  readonly server: string;
  readonly version: string;
}

/** Calls that must not be made twice: whoever made one is told that it was interrupted. */
export const NEVER_REPEATED: ReadonlySet<CallName> = new Set<CallName>([
  "invite",
  "offerLink",
  "linkJoined",
  "confirmLink",
  "takeLink",
  "linkFinished",
  "signOut",
  "requestCover",
  "agreeToCover",
  "refuseCover",
  "acceptCover",
  "sendCoverCard",
  "planAppointment",
  "moveAppointment",
  "cancelAppointment",
  "sayLate",
  "makeFeed",
  "makeRoomLink",
  "endRoomLink",
  "setPassphrase",
]);

/** The names under which a vault's lock, channels and database are known in the browser. */
export function namesOf(vault: string): { lock: string; asks: string; tells: string; database: string } {
  const name = `rapport:${vault}`;
  return { lock: name, asks: `${name}:asks`, tells: `${name}:tells`, database: name };
}
