/**
 * A vault's records in memory, and the transaction over them: what every vault of this SDK works on. A vault adds how
 * records are named, opened and made durable.
 */

import type { Place, Range, Transaction } from "../ports.ts";

/** A record's key and value in the clear. */
export interface Plain {
  readonly key: string;
  readonly value: object;
}

/** One record. group and id are the names of `Naming`; equal orders are listed by serial, the older first. */
export interface Held {
  /** "" in a record that was not read or written since the vault was opened: its name is sealed. */
  readonly table: string;
  readonly id: string;
  readonly group: string;
  readonly order: number;
  readonly serial: number;
  /** Null until the record was read for the first time. */
  plain: Plain | null;
  /** As it stands in the storage, until it is read for the first time. */
  sealed: Uint8Array | null;
}

/** How a vault names its records, and how it opens one. */
export interface Naming {
  id(table: string, key: string): string;
  group(table: string, group: string): string;
  /** The record in the clear. Throws VaultProblem when it is damaged. */
  open(table: string, held: Held): Plain;
}

/** All records, findable by id and listable by group in the order of (order, serial). */
export class RecordSet {
  private readonly byId = new Map<string, Held>();
  private readonly groups = new Map<string, Held[]>();
  private serial = 0;

  get(id: string): Held | null {
    return this.byId.get(id) ?? null;
  }

  /** A number above all earlier ones. */
  nextSerial(): number {
    return this.serial + 1;
  }

  /** Adds, replaces, or removes with null; returns what was there. */
  set(id: string, held: Held | null): Held | null {
    const before = this.get(id);
    if (before !== null) {
      this.byId.delete(id);
      const group = this.groups.get(before.group) ?? [];
      group.splice(firstFrom(group, before.order, before.serial), 1);
      if (group.length === 0) {
        this.groups.delete(before.group);
      }
    }
    if (held !== null) {
      this.byId.set(id, held);
      this.serial = Math.max(this.serial, held.serial);
      const group = this.groups.get(held.group);
      if (group === undefined) {
        this.groups.set(held.group, [held]);
      } else {
        group.splice(firstFrom(group, held.order, held.serial), 0, held);
      }
    }
    return before;
  }

  /** Records of a group whose order is above `above` and below `below`, oldest first. */
  between(group: string, above: number, below: number): Held[] {
    const members = this.groups.get(group) ?? [];
    return members.slice(firstFrom(members, above, Number.POSITIVE_INFINITY), firstFrom(members, below, -1));
  }

  /** How many records a group holds. */
  size(group: string): number {
    return this.groups.get(group)?.length ?? 0;
  }

  /** Every record, in no particular order. */
  all(): Iterable<Held> {
    return this.byId.values();
  }
}

/** Where (order, serial) stands, or would be inserted. */
function firstFrom(members: readonly Held[], order: number, serial: number): number {
  let low = 0;
  let high = members.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = members[middle];
    if (at !== undefined && (at.order < order || (at.order === order && at.serial < serial))) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Writes through to the records and remembers how to undo. */
export class RecordTransaction implements Transaction {
  readonly rev: number;
  /** Whether the step asked that nothing deleted may remain in the storage. */
  purging = false;
  private readonly records: RecordSet;
  private readonly naming: Naming;
  private readonly undoing: [id: string, before: Held | null][] = [];

  constructor(records: RecordSet, naming: Naming, rev: number) {
    this.records = records;
    this.naming = naming;
    this.rev = rev;
  }

  /** Ids written so far, each once, with what they hold now. */
  written(): Map<string, Held | null> {
    return new Map(this.undoing.map(([id]) => [id, this.records.get(id)]));
  }

  /** Undoes all writes since a mark, the newest first. */
  undo(mark = 0): void {
    for (const [id, before] of this.undoing.splice(mark).reverse()) {
      this.records.set(id, before);
    }
  }

  part<T>(work: () => T): T {
    const mark = this.undoing.length;
    try {
      return work();
    } catch (error) {
      this.undo(mark);
      throw error;
    }
  }

  get(table: string, key: string): object | null {
    const held = this.records.get(this.naming.id(table, key));
    return held === null ? null : this.naming.open(table, held).value;
  }

  put(table: string, key: string, value: object, place: Place = {}): void {
    const id = this.naming.id(table, key);
    const serial = this.records.get(id)?.serial ?? this.records.nextSerial();
    const group = this.naming.group(table, place.group ?? "");
    const held = { table, id, group, order: place.order ?? 0, serial, plain: { key, value }, sealed: null };
    this.undoing.push([id, this.records.set(id, held)]);
  }

  delete(table: string, key: string): void {
    const id = this.naming.id(table, key);
    const before = this.records.set(id, null);
    if (before !== null) {
      this.undoing.push([id, before]);
    }
  }

  list(table: string, group = "", range: Range = {}): [key: string, value: object][] {
    const { above = -1, below = Number.POSITIVE_INFINITY, limit = 0, newestFirst = false } = range;
    let found = this.records.between(this.naming.group(table, group), above, below);
    if (newestFirst) {
      found.reverse();
    }
    if (limit > 0) {
      found = found.slice(0, limit);
    }
    return found.map((held) => {
      const { key, value } = this.naming.open(table, held);
      return [key, value];
    });
  }

  count(table: string, group = ""): number {
    return this.records.size(this.naming.group(table, group));
  }

  purge(): void {
    this.purging = true;
  }
}
