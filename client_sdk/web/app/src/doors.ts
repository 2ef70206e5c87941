/** Doors that somebody waits at while another screen is shown. Pure. */

import type { DoorPlace } from "@rapport/elements";
import type { AppointmentId, RapportClient, Room } from "@rapport/sdk";
import { lets } from "./entering.ts";
import { meetsInWriting, waitingPeople } from "./live-views.ts";
import { nameOf } from "./office-views.ts";

/** States of a place in which its host is told that somebody waits. */
const WAITS: readonly string[] = ["invited", "checking", "waiting", "disconnected", "admitting"];

/** Where this device waits or is let in, but for the waiting room on the screen, and for calls: they have a line of their own. */
export function atDoors(client: RapportClient, shown: AppointmentId | null): DoorPlace[] {
  return client.waitingRoom.all().flatMap((room): DoorPlace[] => {
    const stands = standsAt(client, room);
    if (stands === null || room.appointment === shown) {
      return [];
    }
    const host = client.appointments.of(room.appointment)?.host;
    return [{ appointment: room.appointment, name: host === undefined ? "" : nameOf(client, host), stands }];
  });
}

function standsAt(client: RapportClient, room: Room): DoorPlace["stands"] | null {
  const { place, appointment } = room;
  const call = client.calls.live().find((one) => one.appointment === appointment);
  if (place === null || (call !== undefined && !call.admits)) {
    return null;
  }
  if (place.state === "in_room") {
    return meetsInWriting(client, room) ? "writing" : null;
  }
  return call !== undefined && lets(call) ? "called" : WAITS.includes(place.state) ? "waits" : null;
}

/** Names of those who wait at this account's doors. */
export function waitingNames(client: RapportClient): string[] {
  return waitingPeople(client).flatMap(({ state, name }) => (state === "waiting" ? [name] : []));
}
