/** Who was asked to wait outside again, and when: what this page has seen, for as long as it is open. */

import type { AccountId, AppointmentId, CallView, Room } from "@rapport/sdk";

const times = new Map<string, number>();

function keyOf(appointment: AppointmentId, account: AccountId): string {
  return `${appointment} ${account}`;
}

/** This person of the appointment waits outside again since then, Unix milliseconds. */
export function markSentBack(appointment: AppointmentId, account: AccountId, atMs: number): void {
  times.set(keyOf(appointment, account), atMs);
}

/** They are in again. */
export function forgetSentBack(appointment: AppointmentId, account: AccountId): void {
  times.delete(keyOf(appointment, account));
}

/** Since when; null: they were not. */
export function sentBackMs(appointment: AppointmentId, account: AccountId): number | null {
  return times.get(keyOf(appointment, account)) ?? null;
}

/**
 * Whether a host has asked us to wait outside, of a call that has ended: with words, or by the room, which nobody leaves
 * for its door in another way. wasIn: during this call the server has counted us in.
 */
export function isSentBack({ atMs, connectedMs }: CallView, room: Room | null, wasIn: boolean): boolean {
  const said = room?.words?.act === "send_back" && room.words.atMs >= (connectedMs || atMs);
  return said || (wasIn && room?.place?.state === "waiting");
}
