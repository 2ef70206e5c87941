/** Appointments as hosts use them: a part of `RapportClient` that stands behind `client.appointments`. */

import { type Warning, warnings, weeklyStarts } from "../appointments.ts";
import type { Snapshot } from "../local-device/types.ts";
import type { Appointment } from "../meetings.ts";
import type { AppointmentId, ConversationId } from "../protocol/ids.ts";
import type { Modality, Outcome } from "../protocol/meeting.ts";
import { timeOf } from "./office.ts";
import type { Port } from "./port.ts";

/**
 * What an appointment is to be. minutes: 10 to 120. zone: whose wall time it keeps; unless given, that of our office
 * hours, else this machine's. title: at most 200 bytes of UTF-8; note: at most 2,000. weekly: how many weeks, 1 to 52.
 */
export interface AppointmentPlan {
  readonly startMs: number;
  readonly minutes: number;
  readonly modality: Modality;
  readonly zone?: string;
  readonly title?: string;
  readonly note?: string;
  readonly weekly?: number;
}

/** Every appointment that is kept, by its start. */
export function appointmentsIn({ appointments }: Snapshot): Appointment[] {
  const found = Object.values(appointments).filter((one) => one !== null);
  return found.sort((one, other) => one.startMs - other.startMs || (one.id < other.id ? -1 : 1));
}

/**
 * Planned meetings. What they are about is sealed; the server knows their times and members, reminds of them, and keeps
 * the waiting room. What is shown is what the host has sealed; `differs` says where the server has something else.
 *
 * Changes come as `appointmentChanged`, reminders as `appointmentReminder`. Only a therapist or owner plans; LocalError:
 * not_found, forbidden for everybody else, bad_time for a start in the past, bad_format, too_large, conflict while another
 * change of the same one is under way; Rejected(conflict) when another device was faster. Unreachable after 30 s without
 * an answer: it stays asked for, and is shown as `pending`.
 */
export class AppointmentBook {
  readonly #port: Port;
  readonly #look: () => Snapshot;

  constructor(port: Port, look: () => Snapshot) {
    this.#port = port;
    this.#look = look;
  }

  /** Those that begin in this time, `toMs` excluded, by their start; cancelled ones too. All unless given. */
  list(fromMs = 0, toMs = Number.POSITIVE_INFINITY): Appointment[] {
    return appointmentsIn(this.#look()).filter(({ startMs }) => startMs >= fromMs && startMs < toMs);
  }

  /** One appointment; null for one that is not known. */
  of(id: AppointmentId): Appointment | null {
    return this.#look().appointments[id] ?? null;
  }

  /** The one that runs or comes next, if it is not cancelled; null = there is none. nowMs: now unless given. */
  next(nowMs?: number): Appointment | null {
    const snapshot = this.#look();
    const now = nowMs ?? timeOf(snapshot);
    const isAhead = ({ cancelled, endMs, lateMinutes }: Appointment) =>
      !cancelled && endMs + lateMinutes * 60_000 > now;
    return appointmentsIn(snapshot).find(isAhead) ?? null;
  }

  /** Plans one, or a weekly series of them; the others of the conversation are told once the server has it. */
  async plan(conversation: ConversationId, plan: AppointmentPlan): Promise<Appointment[]> {
    const zone = plan.zone ?? this.zone;
    const ids = await this.#port.call("planAppointment", conversation, { ...plan, zone });
    return ids.map((id) => this.of(id)).filter((one) => one !== null);
  }

  /** IANA name of the zone whose wall time is kept unless another is given: our office's, else this machine's. */
  get zone(): string {
    return this.#look().ownOffice.hours?.zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  }

  /** When a weekly series would begin each time: `zone` keeps its wall time. weeks: 1 to 52, else RangeError. */
  starts(startMs: number, weeks: number): readonly number[] {
    return weeklyStarts(this.zone, startMs, weeks);
  }

  /** Moves one; the others of its series stay. minutes: as before unless given. */
  async move(id: AppointmentId, startMs: number, minutes: number | null = null): Promise<Appointment | null> {
    await this.#port.call("moveAppointment", id, startMs, minutes);
    return this.of(id);
  }

  /** Cancels one; it stays in the list. words: for the others, at most 2,000 bytes of UTF-8. */
  async cancel(id: AppointmentId, words = ""): Promise<Appointment | null> {
    await this.#port.call("cancelAppointment", id, words);
    return this.of(id);
  }

  /** We begin so many minutes later, 0 to 120; 0 takes it back. words: at most 500 bytes of UTF-8. */
  late(id: AppointmentId, minutes: number, words = ""): Promise<void> {
    return this.#port.call("sayLate", id, minutes, words);
  }

  /** How it went, in place of what the server has counted. Needs a connection. */
  setOutcome(id: AppointmentId, outcome: Outcome, minutesHeld: number): Promise<void> {
    return this.#port.call("setOutcome", id, outcome, minutesHeld);
  }

  /** A calendar file (RFC 5545) that says nothing but the time. Rejected, Unreachable. */
  calendar(id: AppointmentId): Promise<Uint8Array> {
    return this.#port.call("calendarFile", id);
  }

  /**
   * Makes an address under which a calendar program reads the times of our appointments: whoever has it sees them. The
   * one before is void. Rejected, Unreachable.
   */
  feed(): Promise<string> {
    return this.#port.call("makeFeed");
  }

  /** There is no such address any more. Rejected, Unreachable. */
  endFeed(): Promise<void> {
    return this.#port.call("endFeed");
  }

  /** What speaks against a time: other appointments of ours, closed hours. except: one that is about to be moved. */
  warnings(startMs: number, minutes: number, except: AppointmentId | null = null): Warning[] {
    const snapshot = this.#look();
    return [...warnings(startMs, minutes, appointmentsIn(snapshot), snapshot.ownOffice.hours, except)];
  }
}
