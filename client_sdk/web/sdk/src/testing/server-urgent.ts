/**
 * The urgent ladder as the server climbs it, and what devices are told of it. It pushes nothing.
 *
 * Source: docs/protocol.md, chapter 17.
 */

import { hoursOf, parseDocument } from "../office/document.ts";
import { officeState } from "../office/status.ts";
import type { Clock } from "../ports.ts";
import type { AccountId, MessageId } from "../protocol/ids.ts";
import type { UrgentSeen, UrgentState } from "../protocol/requests.ts";
import { type Outer, URGENT } from "../protocol/signed.ts";
import { encodeCoverAsked, encodeReport, nextAfter, RUNGS, RUNNING_MOST, type Rung } from "../protocol/urgent.ts";
import {
  KIND_PAIR,
  listedDevices,
  notFound,
  notify,
  type Principal,
  type Store,
  type UrgentLadder,
} from "./server-state.ts";

/** A post was accepted: if it is an urgent text of a client to their therapist, its ladder begins. */
export function postedUrgent(store: Store, who: Principal, { conv, id, flags, kind }: Outer): void {
  const pair = store.state.conversations.get(conv);
  if (!(flags & URGENT) || kind !== "post" || who.role !== "client" || pair?.kind !== KIND_PAIR) {
    return;
  }
  const therapist = [...pair.members].find((member) => isTherapist(store, member));
  const running = [...store.state.urgent.values()].filter((each) => each.client === who.account && each.nextMs > 0);
  if (therapist === undefined || running.length >= RUNNING_MOST) {
    return;
  }
  const at = store.now();
  const nextMs = nextAfter("stored", at, at);
  const times = { acceptedMs: at, cover: null, rung: "stored", rungMs: at, nextMs } as const;
  store.state.urgent.set(id, { message: id, conv, client: who.account, therapist, ...times });
}

function isTherapist({ state }: Store, account: AccountId): boolean {
  const role = state.accounts.get(account)?.role;
  return role === "therapist" || role === "owner";
}

/** A device has acknowledged a message. */
export function acknowledgedUrgent(store: Store, who: Principal, message: MessageId): void {
  const ladder = store.state.urgent.get(message);
  if (ladder?.rung === "stored" && who.account === ladder.therapist) {
    climb(store, ladder, "told");
  }
}

function climb(store: Store, ladder: UrgentLadder, rung: Rung): void {
  const { message, conv, client, therapist, acceptedMs } = ladder;
  const rungMs = Math.max(store.now(), ladder.rungMs);
  Object.assign(ladder, { rung, rungMs, nextMs: nextAfter(rung, acceptedMs, rungMs) });
  const about = encodeReport({ message, rung, atMs: rungMs, nextMs: ladder.nextMs });
  notify(store, listedDevices(store, new Set([client, therapist])), "urgent", about, conv);
}

/** Does what is due by now; returns when something is due next, null = nothing is. */
export function climbDue(store: Store): number | null {
  let next: number | null = null;
  for (const ladder of store.state.urgent.values()) {
    while (ladder.nextMs > 0 && ladder.nextMs <= store.now()) {
      climbOne(store, ladder);
    }
    if (ladder.nextMs > 0) {
      next = Math.min(next ?? ladder.nextMs, ladder.nextMs);
    }
  }
  return next;
}

function climbOne(store: Store, ladder: UrgentLadder): void {
  if (ladder.rung === "stored" || ladder.rung === "told") {
    climb(store, ladder, "asked_again");
  } else if (ladder.rung === "asked_again") {
    askCover(store, ladder);
  } else {
    climb(store, ladder, "ended");
  }
}

function askCover(store: Store, ladder: UrgentLadder): void {
  const { message, client, therapist } = ladder;
  for (const cover of namedIn(store, therapist)) {
    const pair = [...store.state.conversations].find(
      ([, { kind, members }]) => kind === KIND_PAIR && members.has(client) && members.has(cover),
    );
    if (pair !== undefined && isTherapist(store, cover) && cover !== therapist) {
      ladder.cover = cover;
      climb(store, ladder, "cover_asked");
      const about = encodeCoverAsked({ message, client, therapist, atMs: ladder.rungMs });
      notify(store, listedDevices(store, new Set([cover])), "urgent_cover", about, pair[0]);
      return;
    }
  }
  climb(store, ladder, "no_cover");
}

function namedIn(store: Store, therapist: AccountId): AccountId[] {
  const document = store.state.offices.get(therapist);
  if (document === undefined) {
    return [];
  }
  const hours = hoursOf(parseDocument(document));
  return [officeState(hours, store.now()).cover, hours.cover].filter((account) => account !== null);
}

/** A person has seen a message: its ladder ends. Rejected("not_found") for what is not the asker's to confirm. */
export function seenUrgent(store: Store, who: Principal, { message, client }: UrgentSeen): UrgentState {
  const ladder = store.state.urgent.get(message);
  if (ladder?.client !== client || (who.account !== ladder.therapist && who.account !== ladder.cover)) {
    throw notFound();
  }
  if (ladder.nextMs > 0) {
    climb(store, ladder, "confirmed");
  }
  return { rung: RUNGS.indexOf(ladder.rung), atMs: ladder.rungMs, nextMs: ladder.nextMs };
}

/** Climbs by itself when the server's clock comes to it. */
export class FakeLadders {
  readonly #store: Store;
  readonly #clock: Clock;
  #waiting: AbortController | null = null;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** Something may be due now, or something else next. */
  look(): void {
    const next = climbDue(this.#store);
    this.#waiting?.abort();
    this.#waiting = null;
    if (next === null) {
      return;
    }
    const waiting = new AbortController();
    this.#waiting = waiting;
    this.#clock.sleep(Math.max(0, next - this.#store.now()), waiting.signal).then(
      () => this.look(),
      () => undefined, // something else came first
    );
  }
}
