/**
 * What the engine needs from the outside world, as narrow interfaces with their promises in prose.
 *
 * Adapters: `adapters/` (the network, storage, the clock). Tests drive the same engine through in-memory ones.
 */

import { RapportError } from "./protocol/errors.ts";
import type { ClientMessage, ServerMessage } from "./protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "./protocol/requests.ts";

/** So many bytes from the platform's generator (tests pass a seeded one). */
export type Random = (size: number) => Uint8Array;

/**
 * The stream is gone or could not be opened; what was sent may or may not have arrived. The engine reconnects.
 *
 * closeCode: the WebSocket close code, null when the socket broke or was never opened.
 */
export class StreamClosed extends RapportError {
  readonly closeCode: number | null;

  constructor(closeCode: number | null = null) {
    super("unavailable", "the stream is closed");
    this.closeCode = closeCode;
  }
}

/** A request got no answer: it is not known whether it was done. Every operation may be repeated. */
export class Unreachable extends RapportError {
  constructor() {
    super("unavailable", "the server did not answer");
  }
}

/** The vault cannot be opened, read or written; `detail` is one sentence for the person. Nothing was changed. */
export class VaultProblem extends RapportError {
  constructor(detail: string) {
    super("unavailable", detail);
  }
}

/** Another tab or process holds the vault: a device has exactly one writer. */
export class VaultLocked extends VaultProblem {
  constructor() {
    super("the vault is in use by another process");
  }
}

/** Time, so that tests can hold it in the hand. */
export interface Clock {
  /** This machine's Unix time in milliseconds: advisory, never compared with a server's. */
  nowMs(): number;
  /** Seconds that never go back. */
  monotonic(): number;
  /** Resolves after so many milliseconds; rejects with the signal's reason when that is aborted first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

/** Where a record is listed. order: 0 to 2^53-1, stored in the clear (places, times in ms; never content). */
export interface Place {
  readonly group?: string;
  readonly order?: number;
}

/** Which records of a group are listed: by order, both ends exclusive; limit 0 = all. */
export interface Range {
  readonly above?: number;
  readonly below?: number;
  readonly limit?: number;
  readonly newestFirst?: boolean;
}

/**
 * The inside of one vault transaction: synchronous, seen by nobody until it commits.
 *
 * A record is (table, key) -> value: plain data that can be cloned, and that nobody changes once it was put. Neither
 * values nor keys can be read from the storage beneath. `group` and `order` allow listing.
 */
export interface Transaction {
  /** The vault's revision before this transaction: how many have written to it. Sent as `state_rev` at sign-in. */
  readonly rev: number;
  /** Leaving by an exception undoes what was written inside, and the exception goes on. The rest stays. */
  part<T>(work: () => T): T;
  /** The value, or null. */
  get(table: string, key: string): object | null;
  /** Adds or replaces a record, its group ("" unless given) and its order (0 unless given). */
  put(table: string, key: string, value: object, place?: Place): void;
  /** Removes a record; no error when it is absent. */
  delete(table: string, key: string): void;
  /** Key and value of one group by order, equal ones by age. */
  list(table: string, group?: string, range?: Range): [key: string, value: object][];
  /** How many records the group holds. */
  count(table: string, group?: string): number;
  /**
   * What this transaction deletes or replaces shall be gone from the storage once it has committed, as far as the
   * storage can say: what lies beneath it (a flash memory's spare blocks, backups) is not reached.
   */
  purge(): void;
}

/** The device's own encrypted storage. One holder at a time; one transaction at a time, in order of asking. */
export interface Vault {
  /**
   * Runs a step in one durable transaction: committed when it resolves; rejected = rolled back.
   *
   * The step is synchronous and always whole. Rejects with what the step threw, or with VaultProblem when the storage
   * cannot write or another writer was there.
   */
  run<T>(step: (tx: Transaction) => T): Promise<T>;
  /** Finishes the running step, closes the storage, releases the lock. */
  close(): Promise<void>;
}

/** One live connection: whole messages in and out, in order. Not yet signed in. */
export interface Stream {
  /** scheme://host[:port] that this stream talks to: signed at sign-in, so that a proof cannot be relayed. */
  readonly origin: string;
  /** The WebSocket close code once closed (1006 when there was none). */
  readonly closeCode: number | null;
  /** Queues a message; waits when the socket is full. Throws StreamClosed. */
  send(message: ClientMessage): Promise<void>;
  /**
   * The next message; null after a close. Unknown tags are skipped. Throws StreamClosed for a broken socket, FormatError
   * for bytes that are no message.
   */
  receive(): Promise<ServerMessage | null>;
  /** Closes cleanly, within a second. */
  close(): Promise<void>;
}

/** Opens streams to one server. */
export interface Connector {
  /** One attempt, at most 10 s; given up when the signal is aborted. Throws StreamClosed. */
  connect(signal: AbortSignal): Promise<Stream>;
}

/** What belongs to a request beside its body. token: of the present connection, 32 bytes. */
export interface CallOptions {
  /** Ids in hexadecimal, by the names that stand in the operation's path. */
  readonly path?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, number | string>>;
  readonly token?: Uint8Array | null;
  /** Gives the request up; it rejects with Unreachable then. */
  readonly signal?: AbortSignal;
}

/** HTTP operations of `protocol/requests.ts`. */
export interface Api {
  /**
   * One request, at most 20 s. Resolves to the operation's response, checked against its type.
   *
   * Throws Rejected with the server's code, FormatError for an answer that is none, or Unreachable when there was none;
   * then it is not known whether it was done, and it may be repeated since every operation is idempotent.
   */
  call<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    options?: CallOptions,
  ): Promise<ResponseOf<Name>>;
  /** Gives up what is under way. */
  close(): Promise<void>;
}
