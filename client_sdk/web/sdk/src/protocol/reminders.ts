/**
 * The notice `appointment_reminder`, which the server makes before an appointment begins.
 *
 *     about = appointment16 ‖ minutes u16 ‖ start u64        26 B
 *
 * Source: docs/protocol.md, chapter 22.
 */

import { concat } from "./bytes.ts";
import { type AppointmentId, idBytes } from "./ids.ts";
import { Reader, u16, u64 } from "./signed.ts";

/** When people are reminded, minutes before the start. */
export const REMINDERS: readonly number[] = [1_440, 10];

/** An appointment begins in so many minutes. startMs: by the server's row; what is shown is the sealed one. */
export interface Reminder {
  readonly appointment: AppointmentId;
  readonly minutes: number;
  readonly startMs: number;
}

/** The 26 bytes. */
export function encodeReminder({ appointment, minutes, startMs }: Reminder): Uint8Array {
  return concat(idBytes(appointment), u16(minutes), u64(startMs));
}

/** Reads 26 bytes. FormatError. */
export function parseReminder(source: Uint8Array): Reminder {
  const read = new Reader(source, "reminder");
  const [appointment, minutes, startMs] = [read.id<AppointmentId>(), read.u16(), read.u64()];
  read.end();
  return { appointment, minutes, startMs };
}
