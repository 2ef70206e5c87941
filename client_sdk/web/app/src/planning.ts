/** What becomes of an appointment that is planned, moved or cancelled while the connection is bad. */

import type { AppointmentDraft } from "@rapport/elements";
import { type Appointment, type AppointmentId, Unreachable } from "@rapport/sdk";

/**
 * Resolves once the server has it, or once it is only kept: it goes out by itself and is shown as pending, and to ask for
 * it again would make another one. Rejects as `work` does with everything else.
 */
export async function kept(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof Unreachable)) {
      throw error;
    }
  }
}

/** The appointment of this draft, if it is not at the server yet; null if it is. */
export function pendingOf(appointments: readonly Appointment[], draft: AppointmentDraft): AppointmentId | null {
  const { conversation, startMs } = draft;
  const found = appointments.find(
    (one) => one.pending && one.conversation === conversation && one.startMs === startMs && !one.cancelled,
  );
  return found?.id ?? null;
}
