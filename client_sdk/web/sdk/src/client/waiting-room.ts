/** Waiting rooms as people and hosts use them: a part of `RapportClient` that stands behind `client.waitingRoom`. */

import { systemRandom } from "../adapters/clock.ts";
import type { HostWish } from "../engine/waiting-room/rooms-hosting.ts";
import type { Snapshot } from "../local-device/types.ts";
import type { LinkUsed, Room, RoomPerson } from "../meetings.ts";
import { type AccountId, type AppointmentId, idOf, type MessageId } from "../protocol/ids.ts";
import type { Port } from "./port.ts";

/** What somebody says at a door. checks: what works, as bits: 1 microphone, 2 camera, 4 connection. */
export interface KnockOptions {
  readonly checks?: number;
  /** Still testing camera and sound: the host is not called yet. */
  readonly checking?: boolean;
}

/** Somebody at a door. */
export interface AtDoor {
  readonly room: Room;
  readonly person: RoomPerson;
}

/**
 * The door in front of an appointment: people wait there, nobody sees or hears another, and only a host lets in.
 *
 * What stands here is the server's word, of the present connection; admission itself is the host's sealed call, which a
 * waiting device takes without asking again. Rooms of appointments that open soon are watched by themselves. Changes come
 * as `roomChanged`. LocalError: not_found, forbidden; Rejected and Unreachable where a server is needed.
 */
export class WaitingRoom {
  readonly #port: Port;
  readonly #look: () => Snapshot;

  constructor(port: Port, look: () => Snapshot) {
    this.#port = port;
    this.#look = look;
  }

  /** One room; null while nothing is known of it. */
  of(appointment: AppointmentId): Room | null {
    return this.#look().rooms[appointment] ?? null;
  }

  /** All that are known. */
  all(): Room[] {
    return Object.values(this.#look().rooms);
  }

  /** Watches these rooms too. At most 64 are watched, of which some are by themselves. */
  watch(appointments: readonly AppointmentId[]): Promise<void> {
    return this.#port.call("watchRooms", appointments);
  }

  // --- in front of the door -------------------------------------------------------------------------------------------

  /**
   * Takes a place, or says something else there. It is kept over lost connections and reloads until `leave`: this device
   * says every ten seconds that it is still there.
   */
  knock(appointment: AppointmentId, options: KnockOptions = {}): Promise<void> {
    return this.#port.call("knock", appointment, options);
  }

  /** Gives the place up; as a host, leaves the room. */
  leave(appointment: AppointmentId): Promise<void> {
    return this.#port.call("leaveRoom", appointment);
  }

  /**
   * Uses a join link: from now on this device, and no other, may knock. The same device may use it again.
   *
   * LocalError: bad_format for what is no such link, forbidden for one of another server. Rejected(not_found): it is
   * unknown, over, of another device, or the passcode is wrong; the fifth wrong one voids it.
   */
  useLink(url: string, passcode = ""): Promise<LinkUsed> {
    return this.#port.call("useRoomLink", url, passcode);
  }

  // --- as a host ------------------------------------------------------------------------------------------------------

  /** Everybody who waits at a door of ours, who came first first. */
  waiting(): AtDoor[] {
    const { rooms, appointments, identity } = this.#look();
    const ours = Object.values(rooms).filter(({ appointment }) => appointments[appointment] != null);
    const people = ours.flatMap((room) => room.people.map((person) => ({ room, person })));
    const isWaiting = ({ person: { account, state } }: AtDoor) =>
      account !== identity?.account && (state === "waiting" || state === "disconnected" || state === "admitting");
    return people.filter(isWaiting).sort((one, other) => one.person.sinceMs - other.person.sinceMs);
  }

  /** We are in the room as a host from now on, over lost connections and reloads, until `leave`. */
  enter(appointment: AppointmentId): Promise<void> {
    return this.#port.call("enterRoom", appointment);
  }

  /**
   * Lets somebody in: resolves to the id of the call that must now be offered to them, within ten seconds.
   *
   * LocalError(forbidden) for somebody who is not on the appointment, unless `sure`: ask twice. Rejected(conflict): they
   * have changed since they were shown; the room is up to date then.
   */
  async admit(appointment: AppointmentId, account: AccountId, { sure = false } = {}): Promise<MessageId> {
    const call = idOf<MessageId>(systemRandom(16));
    await this.#act(appointment, { act: "admit", account, call, sure });
    return call;
  }

  /** Lets everybody in who waits and is on the appointment; a call to each of them follows within ten seconds. */
  admitAll(appointment: AppointmentId): Promise<void> {
    return this.#act(appointment, { act: "admit_all" });
  }

  /** Not now. words: said to them, sealed, at most 500 bytes of UTF-8. They may knock again. */
  decline(appointment: AppointmentId, account: AccountId, words = ""): Promise<void> {
    return this.#act(appointment, { act: "decline", account, words });
  }

  /** Back to the waiting room; the call with them is ended by whoever calls this. */
  sendBack(appointment: AppointmentId, account: AccountId, words = ""): Promise<void> {
    return this.#act(appointment, { act: "send_back", account, words });
  }

  /** Out, for good. */
  remove(appointment: AppointmentId, account: AccountId, words = ""): Promise<void> {
    return this.#act(appointment, { act: "remove", account, words });
  }

  /** Nobody new may knock. */
  lock(appointment: AppointmentId): Promise<void> {
    return this.#act(appointment, { act: "lock" });
  }

  /** People may knock again. */
  unlock(appointment: AppointmentId): Promise<void> {
    return this.#act(appointment, { act: "unlock" });
  }

  /** A host knows who waits: nothing need alert them any more, on any device. */
  seen(appointment: AppointmentId): Promise<void> {
    return this.#act(appointment, { act: "seen" });
  }

  /** A link into this room, a secret: the first device that uses it is bound to it. passcode: said too; "" for none. */
  makeLink(appointment: AppointmentId, passcode = ""): Promise<string> {
    return this.#port.call("makeRoomLink", appointment, passcode);
  }

  /**
   * Takes a link back: from now on nobody gets in by it, nor the device that has used it; who is in the room stays.
   *
   * LocalError: bad_format for what is no such link, forbidden for one of another server. Rejected(not_found): it is not
   * of an appointment of ours.
   */
  endLink(url: string): Promise<void> {
    return this.#port.call("endRoomLink", url);
  }

  #act(appointment: AppointmentId, wish: HostWish): Promise<void> {
    return this.#port.call("actInRoom", appointment, wish);
  }
}
