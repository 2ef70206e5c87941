/**
 * Who answers, and when: `RapportClient.office`, and what conversations say of it. All of it works without a connection
 * but `holidays`. Times are milliseconds of Unix time, by the server's clock.
 */

import type { AutomaticAnswer, Card, OfficeShown, OwnOffice, Promised, Waiting } from "../agreements.ts";
import * as officeAnswers from "../engine/office/office-answers.ts";
import { countingAt, officeShown, promiseOf } from "../engine/office-shown.ts";
import type { Message } from "../events.ts";
import type { ConversationView, Snapshot } from "../local-device/types.ts";
import type { OfficeHours, OverrideState } from "../office/hours.ts";
import type { Repair } from "../office/rules.ts";
import { officeState } from "../office/status.ts";
import type { AccountId } from "../protocol/ids.ts";
import type { Holidays } from "../protocol/requests.ts";
import type { Port } from "./port.ts";

/** The server's time, as far as it is known. */
export function timeOf({ aheadMs }: Snapshot): number {
  return Date.now() + aheadMs;
}

function shownOf({ offices, officeSaid }: Snapshot, account: AccountId, nowMs: number): OfficeShown {
  return officeShown(account, offices[account] ?? null, officeSaid[account] ?? null, nowMs);
}

/** Office hours of contacts, and our own with our card. Changes are events `officeChanged` and `settingChanged`. */
export class Offices {
  readonly #port: Port;
  readonly #look: () => Snapshot;

  constructor(port: Port, look: () => Snapshot) {
    this.#port = port;
    this.#look = look;
  }

  /** Our own office hours; `pending` while the newest change is not at the server yet. */
  get mine(): OwnOffice {
    return this.#look().ownOffice;
  }

  /**
   * Our office hours are these from now on: signed, sent as soon as there is a connection, shown to our contacts.
   *
   * Resolves to what was changed in them so that they are valid, a code and a place each. HoursRefused: they cannot be
   * repaired; its `problems` say why. LocalError(forbidden) for a client. Nothing has changed then. Of several devices
   * that change them at once the newest change stands in the end.
   */
  publish(hours: OfficeHours): Promise<readonly Repair[]> {
    return this.#port.call("publishOffice", hours);
  }

  /**
   * From now until then our office stands like this, at most 7 days; published like any change.
   *
   * HoursRefused for a time that is over or too far ahead; LocalError(not_found) without office hours.
   */
  stepAway(untilMs: number, state: OverrideState = "away"): Promise<void> {
    return this.#port.call("stepAway", untilMs, state);
  }

  /** Ends what `stepAway` has said. LocalError(not_found) without office hours. */
  comeBack(): Promise<void> {
    return this.#port.call("comeBack");
  }

  /**
   * How the office of a therapist or owner stands now, and its hours; also our own.
   *
   * What depends on the time is computed with every call: look again at `state.changesAtMs`.
   */
  of(account: AccountId, nowMs?: number): OfficeShown {
    const snapshot = this.#look();
    return shownOf(snapshot, account, nowMs ?? timeOf(snapshot));
  }

  /**
   * Public holidays of a country, ISO 3166, for the editor that makes dates of them; needs a connection.
   *
   * Rejected (not_found: no such country; bad_format: no such region or year), Unreachable.
   */
  holidays(country: string, region = "", year = new Date().getFullYear()): Promise<Holidays> {
    return this.#port.call("holidays", country, region, year);
  }

  /** Our own card, on all our devices; null = there is none yet. */
  get card(): Card | null {
    return this.#look().card;
  }

  /**
   * Our card is this from now on; every client is sent it, sealed, and new ones have it from their invite.
   *
   * LocalError: forbidden for a client; too_large for a text above 1,000 bytes of UTF-8, or above 4,096 bytes of JSON in
   * all; too_many above 6 lines; bad_format for a country that is not two capital letters, or a line without a name or
   * number or above 80, 40 and 120 characters.
   */
  setCard(card: Card): Promise<void> {
    return this.#port.call("setCard", card);
  }
}

// --- of a conversation -----------------------------------------------------------------------------------------------

/** The text that waits for the therapist's answer; null if none does. */
export function waitingIn(view: ConversationView, nowMs: number): Waiting | null {
  if (view.waiting === null || view.sides === null) {
    return null;
  }
  const { message, sinceMs, dueMs, extended, slotWanted, urgent } = view.waiting;
  const missed = dueMs > 0 && dueMs <= nowMs;
  return {
    conversation: view.id,
    message,
    sinceMs,
    dueMs: dueMs || null,
    missed,
    extended,
    slotWanted,
    urgent,
  };
}

/** Clients who wait for an answer of ours: missed promises first, then by when they are due, then without one. */
export function allWaiting(snapshot: Snapshot, nowMs: number = timeOf(snapshot)): Waiting[] {
  const me = snapshot.identity?.account;
  const ours = snapshot.views.filter(({ sides }) => sides !== null && sides.therapist === me);
  const found = ours.map((view) => waitingIn(view, nowMs)).filter((waiting) => waiting !== null);
  const last = Number.POSITIVE_INFINITY;
  return found.sort((one, other) => {
    const [left, right] = [one.dueMs ?? last, other.dueMs ?? last];
    return left === right ? one.sinceMs - other.sinceMs : left - right;
  });
}

/** What a conversation says of who answers, and when; for one that is looked at. */
export class Answering {
  readonly #look: () => { readonly view: ConversationView; readonly snapshot: Snapshot };

  constructor(look: () => { readonly view: ConversationView; readonly snapshot: Snapshot }) {
    this.#look = look;
  }

  /** The therapist's office, as a client sees it; null for everybody else, and outside of such pairs. */
  office(nowMs?: number): OfficeShown | null {
    const { view, snapshot } = this.#look();
    const isClient = view.sides !== null && view.sides.client === snapshot.identity?.account;
    return view.sides !== null && isClient ? shownOf(snapshot, view.sides.therapist, nowMs ?? timeOf(snapshot)) : null;
  }

  /** The therapist's card; for the therapist, what their clients see. */
  get card(): Card | null {
    const { view, snapshot } = this.#look();
    return view.sides !== null && view.sides.therapist === snapshot.identity?.account ? snapshot.card : view.card;
  }

  /** See `Conversation.promise`. */
  promise(nowMs?: number): Promised | null {
    const { view, snapshot } = this.#look();
    const { sides } = view;
    if (sides === null || sides.client !== snapshot.identity?.account) {
      return null;
    }
    const now = nowMs ?? timeOf(snapshot);
    const hoursOf = (account: AccountId) => countingAt(snapshot.offices[account] ?? null, now)?.hours ?? null;
    const hours = hoursOf(sides.therapist);
    if (hours === null) {
      return null;
    }
    const { cover } = officeState(hours, now);
    const made = promiseOf(hours, cover === null ? null : hoursOf(cover), now);
    return made && { dueMs: made.dueMs, by: made.byCover && cover !== null ? cover : sides.therapist };
  }

  /** See `Conversation.waiting`. */
  waiting(nowMs?: number): Waiting | null {
    const { view, snapshot } = this.#look();
    return waitingIn(view, nowMs ?? timeOf(snapshot));
  }

  /** See `Conversation.automaticAnswers`. */
  automaticAnswers(messages: Iterable<Message>, nowMs?: number): AutomaticAnswer[] {
    const { view, snapshot } = this.#look();
    const office = view.sides === null ? null : (snapshot.offices[view.sides.therapist] ?? null);
    if (view.sides === null || office === null || countingAt(office, nowMs ?? timeOf(snapshot)) === null) {
      return [];
    }
    return officeAnswers.automaticAnswers(messages, view.sides.client, office.kept);
  }
}
