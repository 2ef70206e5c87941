/** Who was asked to wait outside again, and when: what this page has seen, for as long as it is open. */

import type { AppointmentId } from "@rapport/sdk";

const times = new Map<AppointmentId, number>();

/** Somebody of this appointment waits outside again since then, Unix milliseconds. */
export function markSentBack(appointment: AppointmentId, atMs: number): void {
  times.set(appointment, atMs);
}

/** They are in again. */
export function forgetSentBack(appointment: AppointmentId): void {
  times.delete(appointment);
}

/** Since when; null: nobody was. */
export function sentBackMs(appointment: AppointmentId): number | null {
  return times.get(appointment) ?? null;
}
