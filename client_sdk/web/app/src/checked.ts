/** What the test before an appointment has found, for whoever opens the door: kept by this page alone. */

import type { AppointmentId, PrecallState } from "@rapport/sdk";

const [MICROPHONE, CAMERA, CONNECTION] = [1, 2, 4];

const found = new Map<AppointmentId, number>();

/** Remembers what works, as the bits that a knock carries. */
export function rememberChecked(appointment: AppointmentId, { microphone, camera, udp, tcp }: PrecallState): void {
  const works = [
    microphone === "ok" ? MICROPHONE : 0,
    camera === "ok" ? CAMERA : 0,
    udp === "ok" || tcp === "ok" ? CONNECTION : 0,
  ];
  found.set(
    appointment,
    works.reduce((bits, bit) => bits | bit, found.get(appointment) ?? 0),
  );
}

/** What was found for this one; 0 = nothing was tried. */
export function checkedFor(appointment: AppointmentId): number {
  return found.get(appointment) ?? 0;
}
