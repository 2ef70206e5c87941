/**
 * The vault in a browser's IndexedDB. Made durable by one transaction per step; everything is sealed before it gets
 * there, and all of it is held in memory: as sealed bytes from opening on, in the clear once it was read.
 *
 *     records   id -> { id, group, order, serial, value }    as `vault-sealing.ts` says; order and serial in the clear
 *     state     "rev" -> how many transactions have written; "key" -> `RestingKey`; "probe" -> one sealed record
 *
 * Whoever opens it holds the vault's Web Lock (`worker/owner.ts`). Should that ever fail, the revision is compared in
 * the same transaction that writes: of two writers the second cannot commit.
 *
 * Source: W3C Indexed Database API 3.0, 2.7 (transactions, durability hints).
 */

import { type Transaction, type Vault, VaultProblem } from "../ports.ts";
import { SYSTEM_CLOCK } from "./clock.ts";
import { layToRest, newVaultKey, type RestingKey, wake } from "./vault-key.ts";
import { type Held, RecordSet, RecordTransaction } from "./vault-records.ts";
import { RecordSeal } from "./vault-sealing.ts";

const VERSION = 1;
const RECORDS = "records";
const STATE = "state";
const PROBE = "probe";
const PROBE_ID = "0".repeat(32);

/** A browser that clears storage closes what is opened meanwhile; opening is tried so often, waiting longer each time. */
const ATTEMPTS = 6;
const AGAIN_MS = 100;
/** And what is opened while it clears may never be answered: it is given up after so long, ms. */
const OPEN_WITHIN_MS = 3_000;
const NEVER = new AbortController().signal;

const GONE = "the vault was deleted, or its storage was closed by the browser";
const FULL = "the browser's storage is full: the vault cannot be written";
const FAILED = "the vault's storage failed";

interface Row {
  readonly id: string;
  readonly group: string;
  readonly order: number;
  readonly serial: number;
  readonly value: Uint8Array;
}

/** What a vault starts from. */
interface Contents {
  readonly seal: RecordSeal;
  readonly key: Uint8Array;
  readonly resting: RestingKey;
  readonly rev: number;
  readonly rows: readonly Row[];
}

/** A device's storage in a browser. Made by `openIndexedDbVault`. */
export class IndexedDbVault implements Vault {
  /** Resolves when the vault can never be used again: its storage went away. Never rejects; does not end on close. */
  readonly lost: Promise<void>;
  /** Whether that has happened. */
  isLost = false;
  private readonly database: IDBDatabase;
  private readonly seal: RecordSeal;
  private readonly key: Uint8Array;
  private resting: RestingKey;
  private readonly records = new RecordSet();
  private rev: number;
  private queue: Promise<unknown> = Promise.resolve();
  private failed: string | null = null;
  private lose: () => void = () => undefined;
  private cutOff: (problem: DOMException) => void = () => undefined;

  constructor(database: IDBDatabase, contents: Contents) {
    this.database = database;
    this.seal = contents.seal;
    this.key = contents.key;
    this.resting = contents.resting;
    this.rev = contents.rev;
    this.lost = new Promise((resolve) => {
      this.lose = resolve;
    });
    for (const { id, group, order, serial, value } of contents.rows) {
      this.records.set(id, { table: "", id, group, order, serial, plain: null, sealed: value });
    }
    database.onclose = () => this.fail(GONE);
    // Somebody deletes the database, or a later version of this program wants to change it: holding on blocks them.
    database.onversionchange = () => this.fail(GONE);
  }

  /** See `Vault.run`. */
  run<T>(step: (tx: Transaction) => T): Promise<T> {
    return this.inTurn(() => this.perform(step));
  }

  /**
   * Locks the vault with a passphrase, changes it, or takes it away (null).
   *
   * current: the one that holds now, null for none. Rejects with WrongPassphrase or VaultProblem: nothing has changed.
   */
  setPassphrase(next: string | null, current: string | null): Promise<void> {
    return this.inTurn(async () => {
      await wake(this.resting, current);
      const resting = await layToRest(this.key, next);
      await this.commit((_, state) => state.put(resting, "key"));
      this.resting = resting;
    });
  }

  /** Whether it opens with a passphrase only. */
  get hasPassphrase(): boolean {
    return this.resting.salt !== null;
  }

  /** See `Vault.close`. */
  close(): Promise<void> {
    return this.inTurn(async () => {
      this.failed ??= "the vault is closed";
      this.database.close();
    });
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.queue.then(work);
    this.queue = done.catch(() => undefined);
    return done;
  }

  private async perform<T>(step: (tx: Transaction) => T): Promise<T> {
    if (this.failed !== null) {
      throw new VaultProblem(this.failed);
    }
    const transaction = new RecordTransaction(this.records, this.seal, this.rev);
    try {
      const result = step(transaction);
      const written = [...transaction.written()];
      if (written.length > 0) {
        const rows = written.map(([id, held]) => [id, held && this.row(held)] as const);
        await this.commit((records) => {
          for (const [id, row] of rows) {
            if (row === null) {
              records.delete(id);
            } else {
              records.put(row);
            }
          }
        });
      }
      return result;
    } catch (error) {
      transaction.undo();
      throw error;
    }
  }

  private row(held: Held): Row {
    const { id, group, order, serial, plain } = held;
    if (plain === null) {
      throw new VaultProblem(FAILED);
    }
    return { id, group, order, serial, value: this.seal.seal(held.table, id, plain) };
  }

  /** One durable transaction that writes only if nobody else has written. */
  private async commit(write: (records: IDBObjectStore, state: IDBObjectStore) => void): Promise<void> {
    let foreign: string | null = null;
    let problem: string;
    try {
      const transaction = this.database.transaction([RECORDS, STATE], "readwrite", { durability: "strict" });
      const ended = completed(transaction);
      const records = transaction.objectStore(RECORDS);
      const state = transaction.objectStore(STATE);
      const asked = state.get("rev");
      asked.onsuccess = () => {
        if (asked.result === this.rev) {
          write(records, state);
          state.put(this.rev + 1, "rev");
        } else {
          foreign = asked.result === undefined ? GONE : "the vault was written by somebody else";
          transaction.abort();
        }
      };
      // A browser that takes the storage away does not always say so to the transactions that it cuts off.
      const cutOff = new Promise<never>((_, reject) => {
        this.cutOff = reject;
      });
      await Promise.race([ended, cutOff]);
      this.rev += 1;
      return;
    } catch (error) {
      problem = foreign ? "the vault was written by somebody else" : sentenceOf(error);
    }
    if (problem !== FULL) {
      this.fail(problem); // nobody knows what is there now: not without opening it again
    }
    throw new VaultProblem(problem);
  }

  private fail(sentence: string): void {
    if (this.failed === null) {
      this.failed = sentence;
      this.isLost = true;
      this.database.close();
      this.lose();
      this.cutOff(new DOMException("cut off", "AbortError"));
    }
  }
}

/**
 * Opens the vault of this name, or makes an empty one.
 *
 * passphrase: null when none was given. Rejects with PassphraseNeeded, WrongPassphrase, or VaultProblem: it is damaged,
 * was written by a later version, or the browser gives no storage. Nothing has changed then.
 */
export async function openIndexedDbVault(name: string, passphrase: string | null = null): Promise<IndexedDbVault> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await attempted(name, passphrase);
    } catch (error) {
      if (!(error instanceof VaultProblem) || error.detail !== GONE || attempt === ATTEMPTS) {
        throw error;
      }
      await SYSTEM_CLOCK.sleep(AGAIN_MS * attempt, NEVER);
    }
  }
}

async function attempted(name: string, passphrase: string | null): Promise<IndexedDbVault> {
  let database: IDBDatabase;
  try {
    database = await opened(name);
  } catch (error) {
    throw new VaultProblem(
      nameOf(error) === "VersionError"
        ? "the vault was written by a later version: reload the page"
        : sentenceOf(error),
    );
  }
  try {
    const closed = new Promise<never>((_, reject) => {
      database.onclose = () => reject(new VaultProblem(GONE));
    });
    return new IndexedDbVault(database, await Promise.race([contentsOf(database, passphrase), closed]));
  } catch (error) {
    database.close();
    throw error instanceof VaultProblem ? error : new VaultProblem(sentenceOf(error));
  }
}

/** Deletes the vault of this name, which must be closed everywhere. Rejects with VaultProblem. */
export function deleteIndexedDbVault(name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(name);
    const refuse = () => reject(new VaultProblem("the vault cannot be deleted: close the other tabs"));
    request.onsuccess = () => resolve();
    request.onerror = refuse;
    request.onblocked = refuse;
  });
}

function opened(name: string): Promise<IDBDatabase> {
  const request = indexedDB.open(name, VERSION);
  request.onupgradeneeded = () => {
    request.result.createObjectStore(RECORDS, { keyPath: "id" });
    request.result.createObjectStore(STATE);
  };
  return new Promise((resolve, reject) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      reject(new DOMException("not answered", "AbortError"));
    }, OPEN_WITHIN_MS);
    request.onsuccess = () => {
      clearTimeout(timer);
      if (late) {
        request.result.close();
      }
      resolve(request.result);
    };
    request.onerror = () => {
      clearTimeout(timer);
      reject(request.error);
    };
  });
}

async function contentsOf(database: IDBDatabase, passphrase: string | null): Promise<Contents> {
  const state = database.transaction(STATE).objectStore(STATE);
  const [held, rev, probe] = await Promise.all([
    answered<RestingKey | undefined>(state.get("key")),
    answered<number | undefined>(state.get("rev")),
    answered<Uint8Array | undefined>(state.get(PROBE)),
  ]);
  if (held === undefined || rev === undefined || probe === undefined) {
    return made(database);
  }
  const key = await wake(held, passphrase);
  const seal = new RecordSeal(key);
  seal.check(PROBE, PROBE_ID, probe);
  const rows = await answered<Row[]>(database.transaction(RECORDS).objectStore(RECORDS).getAll());
  return { seal, key, resting: held, rev, rows };
}

/** A new vault: key, revision and probe together, so that there is never one without the others. */
async function made(database: IDBDatabase): Promise<Contents> {
  const key = newVaultKey();
  const resting = await layToRest(key, null);
  const seal = new RecordSeal(key);
  const transaction = database.transaction([RECORDS, STATE], "readwrite", { durability: "strict" });
  const ended = completed(transaction);
  const state = transaction.objectStore(STATE);
  const records = transaction.objectStore(RECORDS).count();
  const states = state.count();
  states.onsuccess = () => {
    if (records.result + states.result > 0) {
      transaction.abort(); // records without their key, or a vault that somebody else has made: not ours to replace
      return;
    }
    state.put(resting, "key");
    state.put(0, "rev");
    state.put(seal.seal(PROBE, PROBE_ID, { key: "", value: {} }), PROBE);
  };
  await ended;
  return { seal, key, resting, rev: 0, rows: [] };
}

function answered<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function completed(transaction: IDBTransaction): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
  });
}

function nameOf(error: unknown): string {
  return typeof error === "object" && error !== null && "name" in error ? String(error.name) : "";
}

function sentenceOf(error: unknown): string {
  switch (nameOf(error)) {
    case "QuotaExceededError":
      return FULL;
    case "InvalidStateError":
    case "AbortError":
    case "NotFoundError":
    case "UnknownError":
      return GONE;
    default:
      return FAILED;
  }
}
