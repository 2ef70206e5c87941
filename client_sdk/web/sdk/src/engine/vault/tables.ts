/** Typed tables over a vault transaction: records in, records out, one type per table. */

import type { Place, Range, Transaction } from "../../ports.ts";
import { VaultProblem } from "../../ports.ts";

/**
 * Records of one type under a name. defaults: of the fields that earlier versions of the record did not have, since
 * fields are only ever added.
 */
export class Table<R extends object> {
  readonly name: string;
  private readonly defaults: Partial<R>;
  private readonly names: readonly string[];

  constructor(name: string, defaults: Partial<R> = {}) {
    this.name = name;
    this.defaults = defaults;
    this.names = Object.keys(defaults);
  }

  private read(stored: object): R {
    const given = this.names.every((name) => name in stored) ? stored : { ...this.defaults, ...stored };
    return given as R; // written by `put` of this table, sealed since
  }

  /** The record, or null. */
  get(tx: Transaction, key: string): R | null {
    const stored = tx.get(this.name, key);
    return stored === null ? null : this.read(stored);
  }

  /** The record, which must be there. VaultProblem otherwise. */
  need(tx: Transaction, key: string): R {
    const record = this.get(tx, key);
    if (record === null) {
      throw new VaultProblem("the vault is damaged: a record is missing");
    }
    return record;
  }

  /** Whether there is such a record. */
  has(tx: Transaction, key: string): boolean {
    return tx.get(this.name, key) !== null;
  }

  /** Adds or replaces a record, its group and its order. */
  put(tx: Transaction, key: string, record: R, place?: Place): void {
    tx.put(this.name, key, record, place);
  }

  /** Removes a record; no error when it is absent. */
  delete(tx: Transaction, key: string): void {
    tx.delete(this.name, key);
  }

  /** [key, record] of a group by order; see `Range`. */
  list(tx: Transaction, group = "", range?: Range): [key: string, record: R][] {
    return tx.list(this.name, group, range).map(([key, stored]) => [key, this.read(stored)]);
  }

  /** How many records the group holds. */
  count(tx: Transaction, group = ""): number {
    return tx.count(this.name, group);
  }
}

/** Reads a record of a table without groups, replaces fields, puts it back and returns it. */
export function amend<R extends object>(table: Table<R>, tx: Transaction, key: string, changes: Partial<R>): R {
  const after = { ...table.need(tx, key), ...changes };
  table.put(tx, key, after);
  return after;
}

/** What this very transaction has put there or found there. VaultProblem if it is not: a fault of our own. */
export function must<T>(value: T | null | undefined): T {
  if (value === null || value === undefined) {
    throw new VaultProblem("the vault contradicts itself");
  }
  return value;
}
