/**
 * Reminders of appointments: shown if they name the sealed start, and answered, so that both sides know beforehand who
 * can be reached.
 *
 * Source: docs/protocol.md, chapter 22.
 */

import { FormatError } from "../../protocol/errors.ts";
import type { AppointmentId } from "../../protocol/ids.ts";
import type { Appointments } from "../../protocol/meeting.ts";
import { parseReminder, REMINDERS, type Reminder } from "../../protocol/reminders.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import { takeRows, viewOf } from "./appointments.ts";

const MINUTE_MS = 60_000;

/**
 * A notice `appointment_reminder`. What names another start than the sealed one, or comes after it, is not shown and not
 * answered; one whose successor is due is not shown: of both the last one counts.
 */
export function takeReminder(turn: Turn, about: Uint8Array): void {
  const reminder = readReminder(about);
  const known = reminder && viewOf(turn, reminder.appointment);
  if (!known || known.cancelled || known.startMs !== reminder.startMs || known.startMs <= turn.nowMs) {
    return;
  }
  const { appointment, minutes, startMs } = reminder;
  errands.plan(turn, "appointment_reached", `${appointment}:${minutes}`);
  if (REMINDERS.some((next) => next < minutes && startMs <= turn.nowMs + next * MINUTE_MS)) {
    return;
  }
  turn.show({ type: "appointmentReminder", conversation: known.conversation, appointment, minutes, startMs });
}

function readReminder(about: Uint8Array): Reminder | null {
  try {
    const reminder = parseReminder(about);
    return REMINDERS.includes(reminder.minutes) ? reminder : null;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/** Tells the server that this device has taken a reminder. */
export function reachedCall(_turn: Turn, errand: Errand): Call {
  const [appointment = "", minutes = ""] = errand.subject.split(":");
  return makeCall(errands.keyOf(errand), "appointment.reached", {
    path: { appointment: appointment as AppointmentId }, // as it was planned
    body: { minutes: Number(minutes) },
  });
}

/** It knows. */
export function reachedTold(turn: Turn, { subject }: Errand, answer: Appointments): void {
  errands.drop(turn, "appointment_reached", subject);
  takeRows(turn, answer.appointments);
}

/** It does not want to know: it has moved the appointment, or has no such. */
export function reachedRefused(turn: Turn, { subject }: Errand): void {
  errands.drop(turn, "appointment_reached", subject);
}
