/**
 * The engine between the vault and the shell: runs steps as one turn, then does what has become due and sends what may
 * go.
 *
 * The shell and the tests drive the same object: `perform` inside a vault transaction, effects carried out after it has
 * committed. It holds what is gone with a connection (what is unanswered, which calls are under way) and nothing else
 * that changes.
 */

import type { OwnOffice } from "../agreements.ts";
import type { Device } from "../events.ts";
import type { Random, Transaction } from "../ports.ts";
import { VaultProblem } from "../ports.ts";
import type { AccountId } from "../protocol/ids.ts";
import * as agenda from "./agenda.ts";
import { type Appointments, changedAppointments } from "./appointments/appointments.ts";
import { changedCalls } from "./calls/calls.ts";
import type { CallShown } from "./calls/calls-shown.ts";
import { type CoverView, changedCovers } from "./cover/cover-ledger.ts";
import { changedDevices } from "./device-names.ts";
import { nextExpiry, removeExpired } from "./expiry.ts";
import { Flight } from "./flight.ts";
import { changedOffices } from "./office/office.ts";
import { changedOwnOffice } from "./office/office-publishing.ts";
import { settleWritten } from "./office/promises.ts";
import type { OfficeView } from "./office-shown.ts";
import { OfficeWords } from "./office-words.ts";
import * as outbox from "./outbox.ts";
import { changedSettings } from "./own-state.ts";
import { WhoIsThere } from "./presence.ts";
import { keepNoticed } from "./security-log.ts";
import { indexWritten } from "./shown/searching.ts";
import { SignalMemory } from "./signal-memory.ts";
import { changedUrgent, settleUrgent } from "./urgent.ts";
import type { UrgentView } from "./urgent-shown.ts";
import * as errands from "./vault/errands.ts";
import type { Figures } from "./vault/figures.ts";
import { changedFigures } from "./vault/figures.ts";
import type { Call, Me } from "./vault/turn.ts";
import { Turn } from "./vault/turn.ts";
import type { ContactView, ConversationView } from "./views.ts";
import { changedContacts, changedViews } from "./views.ts";
import { settleRooms } from "./waiting-room/rooms.ts";
import { changedRooms, type Rooms } from "./waiting-room/rooms-shown.ts";

/** A state change: synchronous, whole, over one transaction. */
export type Step<T = unknown> = (turn: Turn) => T;

/** Local errands may plan further ones that are due at once; after so many rounds the rest waits for the next turn. */
const ROUNDS = 8;

/** What a step gave, or what it threw; then nothing of it was kept. */
export type Result = { readonly value: unknown } | { readonly problem: unknown };

/**
 * What came of a turn. results: one per step, in order.
 *
 * turn: its effects. views, contacts: those that look different now. wakeMs: when the next turn is due, by the server's
 * clock; null = nothing is planned. figures: the counts that have changed. settings: all of them if any has, else null.
 * devices: listed devices of the accounts for which they have changed. offices: office hours that look different now;
 * ownOffice: our own, if they have changed.
 */
export interface Done {
  readonly results: readonly Result[];
  readonly turn: Turn;
  readonly views: readonly ConversationView[];
  readonly contacts: readonly ContactView[];
  readonly wakeMs: number | null;
  readonly figures: Figures;
  readonly settings: Readonly<Record<string, string>> | null;
  readonly devices: Readonly<Record<AccountId, readonly Device[]>>;
  readonly offices: readonly OfficeView[];
  readonly ownOffice: OwnOffice | null;
  /** Urgent messages that stand differently now. */
  readonly urgent: readonly UrgentView[];
  /** Covers that stand differently now. */
  readonly covers: readonly CoverView[];
  /** All calls that are remembered if any stands differently now, else null. */
  readonly calls: readonly CallShown[] | null;
  /** Appointments that look different now; null = gone. */
  readonly appointments: Appointments;
  /** All waiting rooms that are known if any looks different now, else null. */
  readonly rooms: Rooms | null;
}

/** One device's engine. */
export class Core {
  readonly me: Me;
  readonly random: Random;
  /** What is unanswered on the present connection; null = not signed in. */
  flight: Flight | null = null;
  readonly signals: SignalMemory = new SignalMemory();
  /** What was said of presence; no turn touches it. */
  readonly presence: WhoIsThere;
  /** What was said of offices; documents come from the turns. */
  readonly offices: OfficeWords;

  constructor(me: Me, random: Random) {
    this.me = me;
    this.random = random;
    this.presence = new WhoIsThere(me.account, me.role);
    this.offices = new OfficeWords(me.account, me.role);
  }

  /** Signed in: from the next turn on things are sent. Returns the new connection's flight. */
  connected(): Flight {
    this.flight = new Flight(this.signals);
    return this.flight;
  }

  /** The connection is gone, and with it what was on its way. */
  disconnected(): void {
    this.flight = null;
  }

  /**
   * One turn: the steps in order, each failing alone; what is due; what may be sent. VaultProblem ends the whole turn.
   *
   * flight: of the connection that the turn is for, as it was when the turn was asked for: signing in while the vault
   * waits for its storage must not give this turn sends that nobody would carry out.
   */
  perform(tx: Transaction, nowMs: number, steps: readonly Step[], flight: Flight | null): Done {
    const turn = new Turn(tx, this.me, nowMs, this.random, this.signals);
    removeExpired(turn);
    const results = steps.map((step) => one(turn, step));
    const connected = flight !== null;
    const underWay = flight?.underWay ?? new Set<string>();
    for (let round = 0; round < ROUNDS; round++) {
      const before = turn.calls.length;
      agenda.runDue(turn, { connected, underWay });
      for (const call of turn.calls.slice(before)) {
        underWay.add(call.errand);
      }
      if (flight !== null) {
        outbox.fill(turn, flight);
      }
      if (!agenda.anythingDue(turn, { connected, underWay })) {
        return doneWith(turn, results, () => wakeOf(turn, connected));
      }
    }
    return doneWith(turn, results, () => turn.nowMs);
  }

  /** The step for a call's end: what `agenda` does with it, with the errand free to be called again. */
  finished(call: Call, outcome: Step): Step {
    return (turn) => {
      this.flight?.underWay.delete(call.errand);
      const errand = errands.get(turn, call.errand);
      if (errand !== null) {
        agenda.carefully(turn, errand, outcome);
      }
      if (errands.get(turn, call.errand) === null && !turn.finished.has(call.errand)) {
        turn.finished.set(call.errand, null);
      }
    };
  }
}

function one(turn: Turn, step: Step): Result {
  try {
    return { value: turn.part(() => step(turn)) };
  } catch (problem) {
    if (problem instanceof VaultProblem) {
      throw problem;
    }
    return { problem };
  }
}

function wakeOf(turn: Turn, connected: boolean): number | null {
  const times = [errands.nextDue(turn.tx, { connected, above: turn.nowMs }), nextExpiry(turn.tx)];
  if (connected) {
    times.push(outbox.nextDirectDue(turn));
  }
  const planned = times.filter((time) => time !== null);
  return planned.length > 0 ? Math.min(...planned) : null;
}

/** wake: when the next turn is due, once everything of this one is done. */
function doneWith(turn: Turn, results: readonly Result[], wake: () => number | null): Done {
  removeExpired(turn); // what came too late is not kept for a moment
  settleWritten(turn);
  settleUrgent(turn);
  settleRooms(turn);
  indexWritten(turn);
  keepNoticed(turn);
  return {
    results,
    turn,
    views: changedViews(turn),
    contacts: changedContacts(turn),
    wakeMs: wake(),
    figures: changedFigures(turn),
    settings: changedSettings(turn),
    devices: changedDevices(turn),
    offices: changedOffices(turn),
    ownOffice: changedOwnOffice(turn),
    urgent: changedUrgent(turn),
    covers: changedCovers(turn),
    calls: changedCalls(turn),
    appointments: changedAppointments(turn),
    rooms: changedRooms(turn),
  };
}
