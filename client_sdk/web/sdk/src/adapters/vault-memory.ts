/**
 * The vault in memory: the same promises as the one in a browser's storage, as long as the process lives. For tests and
 * throw-away devices.
 *
 * A `MemoryStorage` outlives the vaults opened over it, as a disk outlives processes: closing or crashing a vault and
 * opening another over the same storage shows exactly what was committed.
 */

import { decode, encode } from "@msgpack/msgpack";
import { type Place, type Transaction, type Vault, VaultLocked, VaultProblem } from "../ports.ts";
import { concat, utf8 } from "../protocol/bytes.ts";
import { type Naming, RecordSet, RecordTransaction } from "./vault-records.ts";

/** Where a simulated crash strikes: the step ran and nothing of it is kept; or it is kept and its caller never hears. */
export type CrashPoint = "before_commit" | "after_commit";

/** The simulated end of the process; the vault is unusable, its storage may be opened again. */
export class Crash extends Error {}

/** What is committed: `rev` and the records of the vaults that are opened over it. */
export class MemoryStorage {
  rev = 0;
  locked = false;
  records = new RecordSet();

  /** Nothing is kept any more; for a storage whose vault is closed. */
  wipe(): void {
    this.rev = 0;
    this.records = new RecordSet();
  }

  /** All that an onlooker with the key would see, for tests that search for what must not be kept. */
  everything(): Uint8Array {
    return concat(...[...this.records.all()].flatMap((held) => [utf8(held.id), encode(held.plain)]));
  }
}

const NAMING: Naming = {
  id: (table, key) => `${table}\n${key}`,
  group: (table, group) => `${table}\n${group}`,
  open(_table, held) {
    if (held.plain === null) {
      throw new VaultProblem("the vault is damaged");
    }
    return held.plain;
  },
};

/** Stores what a vault on disk would give back, and refuses to let it be changed in place: both are found out early. */
class CopyingTransaction extends RecordTransaction {
  override put(table: string, key: string, value: object, place: Place = {}): void {
    const copy = frozen(decode(encode(value)));
    if (typeof copy === "object" && copy !== null) {
      super.put(table, key, copy, place);
    }
  }
}

/** A vault over a `MemoryStorage`. `crashNext` lets the next writing step end in a Crash. */
export class MemoryVault implements Vault {
  crashNext: CrashPoint | null = null;
  private readonly storage: MemoryStorage;
  private isOpen = true;

  /** Throws VaultLocked while another vault is open over the storage. */
  constructor(storage: MemoryStorage = new MemoryStorage()) {
    if (storage.locked) {
      throw new VaultLocked();
    }
    storage.locked = true;
    this.storage = storage;
  }

  /** See `Vault.run`. */
  async run<T>(step: (tx: Transaction) => T): Promise<T> {
    return this.runNow(step);
  }

  /** The same without waiting. */
  runNow<T>(step: (tx: Transaction) => T): T {
    if (!this.isOpen) {
      throw new VaultProblem("the vault is closed");
    }
    const transaction = new CopyingTransaction(this.storage.records, NAMING, this.storage.rev);
    let result: T;
    let changed: boolean;
    try {
      result = step(transaction);
      changed = transaction.written().size > 0;
      if (changed && this.strikes("before_commit")) {
        throw new Crash();
      }
    } catch (error) {
      transaction.undo();
      throw error;
    }
    if (changed) {
      this.storage.rev += 1;
      if (this.strikes("after_commit")) {
        throw new Crash();
      }
    }
    return result;
  }

  /** Lets go of the storage, as the end of a process does. */
  release(): void {
    if (this.isOpen) {
      this.isOpen = false;
      this.storage.locked = false;
    }
  }

  /** See `Vault.close`. */
  async close(): Promise<void> {
    this.release();
  }

  private strikes(point: CrashPoint): boolean {
    if (this.crashNext !== point) {
      return false;
    }
    this.crashNext = null;
    this.release();
    return true;
  }
}

function frozen(value: unknown): unknown {
  if (typeof value === "object" && value !== null && !ArrayBuffer.isView(value)) {
    Object.values(value).forEach(frozen);
    Object.freeze(value);
  }
  return value;
}
