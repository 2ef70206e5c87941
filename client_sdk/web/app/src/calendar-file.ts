/** A calendar file, handed to the browser to be kept or opened. */

import type { AppointmentId, RapportClient } from "@rapport/sdk";

/** It says nothing but the time. Rejected, Unreachable. */
export async function saveCalendar(client: RapportClient, appointment: string): Promise<void> {
  const file = await client.appointments.calendar(appointment as AppointmentId);
  const url = URL.createObjectURL(new Blob([new Uint8Array(file)], { type: "text/calendar" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = "appointment.ics";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000); // the browser has read it by then
}
