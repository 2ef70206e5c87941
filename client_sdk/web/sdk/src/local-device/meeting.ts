/** Appointments and waiting rooms, for whoever holds the running engine. */

import * as appointments from "../engine/appointments/appointments.ts";
import * as planning from "../engine/appointments/appointments-planning.ts";
import { unlessAborted, within } from "../engine/waiting.ts";
import * as rooms from "../engine/waiting-room/rooms.ts";
import * as hosting from "../engine/waiting-room/rooms-hosting.ts";
import { watchToo } from "../engine/waiting-room/rooms-watching.ts";
import type { LinkUsed } from "../meetings.ts";
import { LocalError, Rejected } from "../protocol/errors.ts";
import type { AppointmentId, ConversationId } from "../protocol/ids.ts";
import type { Outcome } from "../protocol/meeting.ts";
import type { OperationName, RequestOf, ResponseOf } from "../protocol/requests.ts";
import { CallingDevice } from "./calling.ts";
import { errandWithin } from "./running.ts";
import type { AppointmentCalls } from "./types.ts";

/** Whoever opens a link has a page that is only just connecting: so long it is waited for, milliseconds. */
const CONNECTED_WITHIN_MS = 10_000;

/** The part of `LocalDevice` that meets people. See `AppointmentCalls`, which says what each method does. */
export abstract class MeetingDevice extends CallingDevice implements AppointmentCalls {
  /** One request, as soon as there is a connection. Rejected; Unreachable without one for ten seconds. */
  private async ask<Name extends OperationName>(
    operation: Name,
    path: Readonly<Record<string, string>>,
    query: Readonly<Record<string, number | string>>,
    body: RequestOf<Name>,
  ): Promise<ResponseOf<Name>> {
    const { engine } = this;
    const never = new AbortController().signal;
    await within(this.clock, CONNECTED_WITHIN_MS, never, (signal) =>
      unlessAborted(engine.waitUntil("connected"), signal),
    );
    return await engine.request(operation, path, query, body);
  }

  // --- appointments ---

  async planAppointment(conv: ConversationId, plan: planning.Plan): Promise<readonly AppointmentId[]> {
    const { put, ids } = await this.do((turn) => planning.plan(turn, conv, plan));
    await this.put(put);
    return ids;
  }

  async moveAppointment(id: AppointmentId, startMs: number, minutes: number | null): Promise<void> {
    await this.put(await this.do((turn) => planning.move(turn, id, startMs, minutes)));
  }

  async cancelAppointment(id: AppointmentId, words: string): Promise<void> {
    await this.put(await this.do((turn) => planning.cancel(turn, id, words)));
  }

  private async put(put: string): Promise<void> {
    await errandWithin(this.engine, this.clock, planning.putErrand(put));
  }

  async sayLate(id: AppointmentId, minutes: number, words: string): Promise<void> {
    await this.do((turn) => planning.sayLate(turn, id, minutes, words));
  }

  async setOutcome(id: AppointmentId, outcome: Outcome, minutesHeld: number): Promise<void> {
    const body = { outcome, minutesHeld };
    const answer = await this.ask("appointment.outcome", { appointment: id }, {}, body);
    await this.do((turn) => appointments.takeRows(turn, answer.appointments));
  }

  async calendarFile(id: AppointmentId): Promise<Uint8Array> {
    const { ics } = await this.ask("appointment.calendar", { appointment: id }, {}, null);
    return ics;
  }

  async makeFeed(): Promise<string> {
    const { path } = await this.ask("calendar.feed", {}, {}, null);
    if (!/^\/v1\/calendar\/[\w-]+\.ics$/.test(path)) {
      throw new LocalError("bad_format", "the server gave out no address");
    }
    return `${this.engine.core.me.base}${path}`;
  }

  async endFeed(): Promise<void> {
    await this.ask("calendar.end", {}, {}, null);
  }

  // --- waiting rooms ---

  async knock(appointment: AppointmentId, knocking: rooms.Knocking = {}): Promise<void> {
    await this.do((turn) => {
      hosting.requireRoom(turn, appointment);
      if (rooms.isHost(turn, appointment)) {
        throw new LocalError("forbidden", "a host enters");
      }
      rooms.knock(turn, appointment, knocking);
    });
  }

  async enterRoom(appointment: AppointmentId): Promise<void> {
    await this.do((turn) => {
      hosting.requireHost(turn, appointment);
      rooms.enter(turn, appointment);
    });
  }

  async leaveRoom(appointment: AppointmentId): Promise<void> {
    await this.do((turn) => rooms.leave(turn, appointment));
  }

  async watchRooms(wanted: readonly AppointmentId[]): Promise<void> {
    await this.do((turn) => watchToo(turn, wanted));
  }

  async actInRoom(appointment: AppointmentId, wish: hosting.HostWish): Promise<void> {
    const act = await this.do((turn) => hosting.actOf(turn, appointment, wish));
    try {
      const view = await this.ask("room.act", { appointment }, {}, act);
      await this.do((turn) => hosting.acted(turn, appointment, wish, view));
    } catch (problem) {
      if (problem instanceof Rejected && problem.code === "conflict") {
        const view = await this.ask("room.view", { appointment }, {}, null);
        await this.do((turn) => rooms.takeRoom(turn, view));
      }
      throw problem;
    }
  }

  async useRoomLink(url: string, passcode: string): Promise<LinkUsed> {
    const { link, secret, appointment: named } = await this.do((turn) => hosting.readRoomLink(turn, url));
    const opened = await this.ask("room.use_link", { link }, {}, { secret, passcode });
    const { appointment, startMs, minutes } = opened;
    if (appointment !== named) {
      throw new Rejected("not_found", "the server leads elsewhere than the link says");
    }
    await this.do((turn) => rooms.led(turn, appointment, { link, startMs, minutes }));
    return { appointment, startMs, minutes };
  }

  async makeRoomLink(appointment: AppointmentId, passcode: string): Promise<string> {
    const { url, body } = await this.do((turn) => hosting.newRoomLink(turn, appointment, passcode));
    await this.ask("room.link", { appointment }, {}, body);
    return url;
  }

  async endRoomLink(url: string): Promise<void> {
    const { link } = await this.do((turn) => hosting.readRoomLink(turn, url));
    await this.ask("room.end_link", { link }, {}, null);
  }
}
