/** One turn of the engine: a vault transaction, the time, chance, who we are, and the effects that come of it. */

import type { DeviceSecrets } from "../../crypto/identity.ts";
import { signingKeyOf as signingKeyOfDevice } from "../../crypto/identity.ts";
import type { Event } from "../../events.ts";
import type { Place, Random, Range, Transaction } from "../../ports.ts";
import type { Rejected } from "../../protocol/errors.ts";
import type { AccountId, DeviceId, ItemId, MessageId } from "../../protocol/ids.ts";
import { ACK_ITEMS } from "../../protocol/limits.ts";
import type { Ack, AckItem, ClientMessage } from "../../protocol/messages.ts";
import type { OperationName, RequestOf, Role } from "../../protocol/requests.ts";
import type { SigningKey } from "../../protocol/signed.ts";
import { SignalMemory } from "../signal-memory.ts";

/**
 * This device's identity and secrets, as the vault holds them from registration on.
 *
 * base: the server's address as it stands in links. serverId: its pinned key. aikSeed: the account identity key, on
 * the account's first device, else empty. archiveEpoch, archiveKey: the highest AK held. role: what the account is in
 * its practice; null until registration is answered.
 */
export interface Me {
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly secrets: DeviceSecrets;
  readonly aikSeed: Uint8Array;
  readonly base: string;
  readonly serverId: Uint8Array;
  readonly archiveEpoch: number;
  readonly archiveKey: Uint8Array;
  readonly role: Role | null;
}

/** DSIG. */
export function signingKeyOf(me: Me): SigningKey {
  return signingKeyOfDevice(me.secrets);
}

/** One HTTP operation to perform for the errand with this key; its answer goes back to the errand's step. */
export interface Call<Name extends OperationName = OperationName> {
  readonly errand: string;
  readonly operation: Name;
  readonly body: RequestOf<Name>;
  readonly path: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, number>>;
}

/** A call; no body, path values or query unless given. */
export function makeCall<Name extends OperationName>(
  errand: string,
  operation: Name,
  { body, path = {}, query = {} }: { body?: RequestOf<Name>; path?: Call["path"]; query?: Call["query"] } = {},
): Call {
  return { errand, operation, body: body ?? null, path, query };
}

/** Of these tables hosts are shown something: what a turn puts into them is noted. */
const SHOWN_TABLES: ReadonlySet<string> = new Set([
  "appointment",
  "call",
  "card",
  "conversation",
  "contact",
  "cover",
  "cover_step",
  "settings",
  "device_name",
  "figure",
  "message",
  "office",
  "office_own",
  "own",
  "room",
  "room_present",
  "room_watch",
  "room_words",
  "unsettled",
  "urgent",
  "waiting",
]);

/** A transaction that notes which records of the shown tables were written. */
class Noting implements Transaction {
  readonly rev: number;
  readonly noted: [table: string, key: string][] = [];
  private readonly tx: Transaction;

  constructor(tx: Transaction) {
    this.tx = tx;
    this.rev = tx.rev;
  }

  part<T>(work: () => T): T {
    const mark = this.noted.length;
    try {
      return this.tx.part(work);
    } catch (problem) {
      this.noted.length = mark; // what was undone was not written
      throw problem;
    }
  }

  get(table: string, key: string): object | null {
    return this.tx.get(table, key);
  }

  put(table: string, key: string, value: object, place?: Place): void {
    if (SHOWN_TABLES.has(table)) {
      this.noted.push([table, key]);
    }
    this.tx.put(table, key, value, place);
  }

  delete(table: string, key: string): void {
    this.tx.delete(table, key);
  }

  list(table: string, group?: string, range?: Range): [key: string, value: object][] {
    return this.tx.list(table, group, range);
  }

  count(table: string, group?: string): number {
    return this.tx.count(table, group);
  }

  purge(): void {
    this.tx.purge();
  }
}

/** What a step works with. Effects are carried out by the shell after the transaction has committed, never before. */
export class Turn {
  readonly tx: Transaction;
  readonly me: Me;
  /** The server's clock as far as it is known, milliseconds. */
  readonly nowMs: number;
  readonly random: Random;
  readonly events: Event[] = [];
  readonly acked: AckItem[] = [];
  readonly parked: ItemId[] = [];
  readonly sends: ClientMessage[] = [];
  readonly calls: Call[] = [];
  /** Errands that a call's answer has brought to their end; with the refusal, if it was one. */
  readonly finished: Map<string, Rejected | null> = new Map();
  /** Urgent messages that this turn has written. */
  readonly urgent: Set<MessageId> = new Set();
  /** What this process remembers of signals. */
  readonly signals: SignalMemory;
  private readonly noting: Noting;

  constructor(tx: Transaction, me: Me, nowMs: number, random: Random, signals: SignalMemory = new SignalMemory()) {
    this.signals = signals;
    this.noting = new Noting(tx);
    this.tx = this.noting;
    this.me = me;
    this.nowMs = nowMs;
    this.random = random;
  }

  /** Tells the host. */
  show(event: Event): void {
    this.events.push(event);
  }

  /** Acknowledges what this transaction commits. entry: the archive entry for a post, 149 bytes. */
  ack(item: ItemId, entry: Uint8Array | null = null): void {
    this.acked.push({ id: item, entry });
  }

  /** Tells the server that the item is stored here, unopened. */
  park(item: ItemId): void {
    this.parked.push(item);
  }

  /** Says something on the stream. */
  send(message: ClientMessage): void {
    this.sends.push(message);
  }

  /** A part that fails alone: leaving by an exception undoes its writes and effects, and the exception goes on. */
  part<T>(work: () => T): T {
    const lists = [this.events, this.acked, this.parked, this.sends];
    const marks = lists.map((list) => list.length);
    try {
      return this.tx.part(work);
    } catch (problem) {
      lists.forEach((list, at) => {
        list.length = marks[at] ?? 0;
      });
      throw problem;
    }
  }

  /** Keys of the records of a table shown to hosts that this turn has put. */
  written(table: string): string[] {
    return [...new Set(this.noting.noted.filter(([name]) => name === table).map(([, key]) => key))];
  }

  /** The acknowledgements of this turn in as few frames as the contract allows; usually one. */
  ackFrames(): Ack[] {
    const frames: Ack[] = [];
    let [acked, parked] = [this.acked, this.parked];
    while (acked.length > 0 || parked.length > 0) {
      const room = Math.max(0, ACK_ITEMS - acked.length);
      frames.push({ tag: "ack", ok: acked.slice(0, ACK_ITEMS), parked: parked.slice(0, room) });
      [acked, parked] = [acked.slice(ACK_ITEMS), parked.slice(room)];
    }
    return frames;
  }
}
