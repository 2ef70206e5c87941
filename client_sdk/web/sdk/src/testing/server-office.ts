/**
 * Office hours as the server keeps and tells them, and the little that it does for notifications and urgent messages.
 *
 * Every change is told at once; openings, closings and ends of what was said by hand are told when the server's clock
 * comes to them. Source: docs/protocol.md, chapter 15.
 */

import { checkDocument, hoursOf, type OfficeDocument, parseDocument } from "../office/document.ts";
import { problems } from "../office/rules.ts";
import { officeState } from "../office/status.ts";
import type { Clock } from "../ports.ts";
import { EMPTY, equal } from "../protocol/bytes.ts";
import { Rejected } from "../protocol/errors.ts";
import type { AccountId, DeviceId } from "../protocol/ids.ts";
import { splitIds } from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS } from "../protocol/limits.ts";
import type { Office, ServerMessage, WatchOffice } from "../protocol/messages.ts";
import type { Holidays, OfficePublish, OfficeView, PushState, PushSubscription } from "../protocol/requests.ts";
import { contactsOf, notFound, type Principal, type Store } from "./server-state.ts";

interface Seat {
  readonly principal: Principal;
  readonly send: (message: ServerMessage) => void;
  watched: readonly AccountId[];
  /** What it was told of them on this connection. */
  readonly told: Map<AccountId, Told>;
}

interface Told {
  readonly status: string;
  readonly until: number;
  readonly version: number;
}

/** An office as the server sees it now; changesAtMs: when that is next different. */
interface Standing extends Told {
  readonly document: Uint8Array;
  readonly changesAtMs: number | null;
}

/** Who watches whose office, and what they were told. */
export class FakeOffices {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #seats = new Map<DeviceId, Seat>();
  #waiting: AbortController | null = null;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** A device has signed in. */
  open(principal: Principal, send: (message: ServerMessage) => void): void {
    this.#seats.set(principal.device, { principal, send, watched: [], told: new Map() });
  }

  /** Its connection is gone. */
  close({ device }: Principal): void {
    this.#seats.delete(device);
    this.tell();
  }

  /** It says whom it watches; each of them that publishes hours, and that it may see, is told again. */
  watch({ device }: Principal, { accounts }: WatchOffice): void {
    const seat = this.#seats.get(device);
    if (seat !== undefined) {
      seat.watched = splitIds<AccountId>(accounts);
      for (const [account, told] of seat.told) {
        seat.told.set(account, { ...told, status: "" });
      }
      this.tell();
    }
  }

  /** Tells everybody what is different for them, and again when something next changes by itself. */
  tell(): void {
    const changes: number[] = [];
    for (const seat of this.#seats.values()) {
      for (const account of seat.watched) {
        const standing = mayAskFor(this.#store, seat.principal, account) ? this.#standing(account) : null;
        if (standing !== null) {
          this.#tellSeat(seat, account, standing);
          changes.push(...(standing.changesAtMs === null ? [] : [standing.changesAtMs]));
        }
      }
    }
    this.#waitFor(changes.length > 0 ? Math.min(...changes) : null);
  }

  #tellSeat(seat: Seat, account: AccountId, { document, changesAtMs: _, ...now }: Standing): void {
    const before = seat.told.get(account);
    if (before?.status === now.status && before.until === now.until && before.version === now.version) {
      return;
    }
    seat.told.set(account, now);
    const { status, until, version } = now;
    const carried = before?.version === version ? null : document;
    seat.send({ tag: "office", account, status, until, document: carried } satisfies Office);
  }

  #standing(account: AccountId): Standing | null {
    const document = this.#store.state.offices.get(account);
    if (document === undefined) {
      return null;
    }
    const parsed = parseDocument(document);
    const now = this.#store.now();
    const { status, untilMs, changesAtMs } = officeState(hoursOf(parsed), now);
    const over = now >= parsed.validUntilMs; // it says nothing any more
    const version = parsed.version;
    return {
      status: over ? "closed" : status,
      until: untilMs ?? 0,
      changesAtMs: over ? null : changesAtMs,
      version,
      document,
    };
  }

  #waitFor(changesAtMs: number | null): void {
    this.#waiting?.abort();
    this.#waiting = null;
    if (changesAtMs === null) {
      return;
    }
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.#clock.sleep(Math.max(0, changesAtMs - this.#store.now()), waiting.signal).then(
      () => this.tell(),
      () => undefined, // something else came first
    );
  }
}

function mayAskFor(store: Store, who: Principal, account: AccountId): boolean {
  return account === who.account || contactsOf(store, who.account).has(account);
}

/** Takes the asker's next document; the one that stands may come again at any time. */
export function publishOffice(store: Store, who: Principal, { document: encoded }: OfficePublish): OfficeView {
  const document = parseDocument(encoded);
  if (document.account !== who.account) {
    throw new Rejected("forbidden", "office hours are published by a device of their account");
  }
  const held = store.state.offices.get(who.account);
  if (held === undefined || !equal(held, encoded)) {
    checkNext(store, document, held === undefined ? 0 : parseDocument(held).version);
    store.state.offices.set(who.account, encoded);
    store.offices();
  }
  return { document: encoded, serverTimeMs: store.now() };
}

function checkNext({ state, now }: Store, document: OfficeDocument, version: number): void {
  const signer = state.devices.get(document.device);
  if (signer === undefined || !signer.listed || signer.account !== document.account) {
    throw new Rejected("unauthenticated", "the device is not in the account's newest list");
  }
  checkDocument(document, signer.dsig);
  if (Math.abs(document.issuedMs - now()) > CLOCK_TOLERANCE_MS) {
    throw new Rejected("bad_time", "issued too far from the server's time");
  }
  if (problems(hoursOf(document)).length > 0) {
    throw new Rejected("rule_broken", "the rules contradict themselves");
  }
  if (document.version <= version) {
    throw new Rejected("conflict", "a newer document stands");
  }
}

/** The document of an account that stands, empty when it has none; one's own, or of somebody whom one talks to. */
export function officeOf(store: Store, who: Principal, account: AccountId): OfficeView {
  if (!mayAskFor(store, who, account)) {
    throw notFound();
  }
  return { document: store.state.offices.get(account) ?? EMPTY, serverTimeMs: store.now() };
}

/** A few holidays that are the same every year, whatever the region: enough for an editor's tests. */
export function holidaysOf(country: string, year: number): Holidays {
  if (!/^[A-Z]{2}$/.test(country)) {
    throw new Rejected("not_found", "no such country: two letters as in ISO 3166, like GB");
  }
  const days = [
    { date: `${year}-01-01`, name: "New Year's Day" },
    { date: `${year}-12-25`, name: "Christmas Day" },
    { date: `${year}-12-26`, name: "Boxing Day" },
  ];
  return { days, regions: country === "GB" ? ["ENG", "NIR", "SCT", "WLS"] : [] };
}

/** How pushes to the asking device stand. This server has a key and sends none. */
export function pushState({ state }: Store, { device }: Principal): PushState {
  const held = state.pushes.get(device);
  return { vapidKey: VAPID_KEY, subscribed: held !== undefined, quiet: held?.quiet ?? null };
}

/** A point's first byte and nothing real behind it. */
const VAPID_KEY = Uint8Array.from({ length: 65 }, (_, at) => (at === 0 ? 4 : at));

/** Where the asking device is reached from now on; an empty endpoint ends that. */
export function subscribePush(store: Store, who: Principal, asked: PushSubscription): PushState {
  if (asked.endpoint === "") {
    store.state.pushes.delete(who.device);
  } else {
    store.state.pushes.set(who.device, asked);
  }
  return pushState(store, who);
}
