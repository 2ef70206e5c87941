/** How somebody who waited comes into the call that lets them in. Pure. */

import type { Appointment, CallMedia, CallView } from "@rapport/sdk";

/** How a page takes the call that lets its person in; null: it does not, they have never waited in it. */
export type Entry = "as_wanted" | "quietly" | null;

/** waited: their waiting room was open in this page; atDoor: it is now; visible: this page can be seen. */
export interface Standing {
  readonly waited: boolean;
  readonly atDoor: boolean;
  readonly visible: boolean;
}

/**
 * As the person has said at the door only while they look at it: whoever is elsewhere comes in unseen and unheard, so that
 * nobody is shown who has gone from the screen.
 */
export function entryOf({ waited, atDoor, visible }: Standing): Entry {
  return waited ? (atDoor && visible ? "as_wanted" : "quietly") : null;
}

/** Whether this call lets its person in now: the server has said that its host still calls. */
export function lets({ admits, phase }: Pick<CallView, "admits" | "phase">): boolean {
  return admits && phase === "ringing_here";
}

/**
 * With a picture if the person wants that and the appointment has one. appointment: null for who came by a join link;
 * offered: what the host calls with, which counts then.
 */
export function joinMedia(
  appointment: Pick<Appointment, "modality"> | null,
  offered: CallMedia,
  camera: boolean,
): CallMedia {
  const pictured = appointment === null ? offered === "video" : appointment.modality === "video";
  return camera && pictured ? "video" : "audio";
}
