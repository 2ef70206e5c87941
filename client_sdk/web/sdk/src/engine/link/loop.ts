/**
 * The shell as hosts know it: one device at work, its vault's turns, its connection.
 *
 * Two things happen for ever: turns are run, and the connection is kept. What they show is handed to the host at once.
 */

import type { OwnOffice } from "../../agreements.ts";
import type { Device, Event } from "../../events.ts";
import type { Vault } from "../../ports.ts";
import { Unreachable } from "../../ports.ts";
import type { Changed, ConnectionState } from "../../protocol/connection.ts";
import type { AccountId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { CLOSE_AUTH_FAILED } from "../../protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../protocol/requests.ts";
import { type Appointments, viewAppointments } from "../appointments/appointments.ts";
import { callsOffline, viewCalls } from "../calls/calls.ts";
import type { CallShown } from "../calls/calls-shown.ts";
import type { Done, Step } from "../core.ts";
import { Core } from "../core.ts";
import { type CoverView, viewCovers } from "../cover/cover-ledger.ts";
import { allDevices } from "../device-names.ts";
import { isListed, notRecognised } from "../devices/device-changes.ts";
import type { Flight } from "../flight.ts";
import { viewOffices } from "../office/office.ts";
import { ownOffice } from "../office/office-publishing.ts";
import type { OfficeView } from "../office-shown.ts";
import { settings } from "../own-state.ts";
import { ServerClock } from "../server-clock.ts";
import { viewUrgent } from "../urgent.ts";
import type { UrgentView } from "../urgent-shown.ts";
import * as errands from "../vault/errands.ts";
import { fault } from "../vault/faults.ts";
import type { Figures } from "../vault/figures.ts";
import type { Me } from "../vault/turn.ts";
import type { ContactView, ConversationView } from "../views.ts";
import { viewAll, viewContacts } from "../views.ts";
import { Deferred, Gate } from "../waiting.ts";
import { type Rooms, viewRooms } from "../waiting-room/rooms-shown.ts";
import type { Network } from "./keeper.ts";
import { Keeper } from "./keeper.ts";
import { begin } from "./starting.ts";
import { Turns } from "./turns.ts";

/** Calls that are remembered, by id. */
export type Calls = Readonly<Record<MessageId, CallShown>>;

/**
 * What the engine tells whoever made it: each turn that has committed, after its effects and with its events, and what
 * the connection says (done null). The engine's views are new by then.
 */
export type Telling = (done: Done | null, events: readonly Event[]) => void;

/**
 * One device at work: make it, then `run` it until `stop`. The vault is the caller's. version: of this program; messages
 * that no earlier one could read are tried again when it is another than last time.
 */
export class Engine {
  readonly core: Core;
  /** Every conversation as it stands after the last turn. */
  readonly views: Map<ConversationId, ConversationView> = new Map();
  /** Every pinned account, our own included, as it stands after the last turn. */
  readonly contacts: Map<AccountId, ContactView> = new Map();
  /** How often what happened, by class; of storage failures (F10) those of this process. */
  figures: Figures = {};
  /** The settings that our devices share, by name. */
  settings: Readonly<Record<string, string>> = {};
  /** The listed devices of every pinned account, our own included. */
  devices: Readonly<Record<AccountId, readonly Device[]>> = {};
  /** Office hours of everybody of whom any are held, our own included. */
  offices: Readonly<Record<AccountId, OfficeView>> = {};
  /** Our own office hours, with what is on its way. */
  ownOffice: OwnOffice = { hours: null, version: 0, validUntilMs: 0, pending: false };
  /** Urgent messages and how they stand. */
  urgent: Readonly<Record<MessageId, UrgentView>> = {};
  /** Covers and how they stand, by request. */
  covers: Readonly<Record<string, CoverView>> = {};
  /** Calls that are remembered, by id. */
  calls: Calls = {};
  /** Appointments by id; null = gone. */
  appointments: Appointments = {};
  /** Waiting rooms by appointment, by the server's word. */
  rooms: Rooms = {};
  /** Everything that waited when the present connection was made is in the vault. */
  readonly caughtUp = new Gate();
  /** Open once the first turn has read what hosts see at once; `run` rejects when that cannot be. */
  readonly started = new Gate();
  private readonly version: string;
  private readonly telling: Telling;
  private readonly serverClock: ServerClock;
  private readonly turns: Turns;
  private readonly keeper: Keeper;
  private readonly waiting: Map<string, Deferred<void>> = new Map();
  private stateChanged: Gate = new Gate();

  constructor(
    vault: Vault,
    me: Me,
    network: Network,
    { telling = () => undefined, version = "" }: { telling?: Telling; version?: string } = {},
  ) {
    this.version = version;
    this.telling = (done, events) => {
      try {
        telling(done, events);
      } catch (problem) {
        fault("a host stumbled over what it was told", problem); // turns go on for everybody else
      }
    };
    this.core = new Core(me, network.random);
    this.core.presence.show = (event) => this.telling(null, [event]);
    this.core.offices.show = (event) => this.telling(null, [event]);
    this.serverClock = new ServerClock(network.clock);
    this.turns = new Turns(vault, this.core, this.serverClock, {
      deliver: (done, flight) => this.deliver(done, flight),
      failed: (problem) => this.storageFailed(problem.detail),
    });
    this.keeper = new Keeper(this.core, this.turns, this.serverClock, network, (change) => this.showState(change));
  }

  // --- the host ----------------------------------------------------------------------------------------------------

  /** Where the connection stands. */
  get state(): ConnectionState {
    return this.keeper.state;
  }

  /** Whether this device is signed out for good: no connection is made any more. */
  get halted(): boolean {
    return this.keeper.halted;
  }

  /** The server's clock as far as it is known, milliseconds. */
  nowMs(): number {
    return this.serverClock.nowMs();
  }

  /** Runs a step; see `Turns.do`. */
  async do<T>(step: Step<T>): Promise<T> {
    return await this.turns.do(step);
  }

  /** The host knows whether there is a network. */
  online({ available }: { available: boolean }): void {
    this.keeper.online({ available });
  }

  /** Contacts are watched from now on, whatever our role. */
  watchPresence(): void {
    this.core.presence.watch();
    this.core.presence.update(this.views.values(), this.settings);
  }

  /** Ends the connection and then `run`. */
  stop(): void {
    this.keeper.stop();
  }

  /** Resolves once the connection stands there. */
  async waitUntil(state: ConnectionState): Promise<void> {
    while (this.state !== state) {
      await this.stateChanged.wait();
    }
  }

  /** Resolves once the server has done what the errand asks for. Rejected when it refuses for good. */
  async errandDone(errand: string): Promise<void> {
    const waiting = this.waiting.get(errand) ?? new Deferred<void>();
    this.waiting.set(errand, waiting);
    try {
      if ((await this.do((turn) => errands.get(turn, errand))) !== null) {
        await waiting.promise;
      }
    } finally {
      this.waiting.delete(errand);
    }
  }

  /**
   * One HTTP request over the present connection's token, given up when the signal is aborted. Unreachable without a
   * connection; Rejected.
   */
  async request<Name extends OperationName>(
    operation: Name,
    path: Readonly<Record<string, string>>,
    query: Readonly<Record<string, number | string>>,
    body: RequestOf<Name>,
    signal?: AbortSignal,
  ): Promise<ResponseOf<Name>> {
    const { link } = this.keeper;
    if (link === null || this.state !== "connected") {
      throw new Unreachable();
    }
    return await link.request(operation, path, query, body, signal);
  }

  // --- running -----------------------------------------------------------------------------------------------------

  /** Works until `stop`. Rejects with what is a fault of our own, and when the vault cannot be read. */
  async run(): Promise<void> {
    const [turning, keeping] = [new AbortController(), new AbortController()];
    const turns = this.turns.run(turning.signal);
    let keeper: Promise<void> = Promise.resolve();
    try {
      await this.start();
      keeper = this.keeper.run(keeping.signal);
      await Promise.race([turns, keeper]);
    } finally {
      keeping.abort(); // the connection goes before the turns that it needs
      await Promise.allSettled([keeper]);
      turning.abort();
      await Promise.allSettled([turns]);
      for (const waiting of this.waiting.values()) {
        waiting.reject(new Unreachable());
      }
    }
  }

  private async start(): Promise<void> {
    const listed = await this.turns.do((turn) => {
      this.figures = begin(turn, this.version);
      this.showViews(viewAll(turn), viewContacts(turn));
      this.settings = settings(turn);
      this.devices = allDevices(turn);
      this.showOffices(viewOffices(turn), ownOffice(turn));
      this.core.presence.update(this.views.values(), this.settings);
      this.core.offices.watch(this.views.values());
      this.showUrgent(viewUrgent(turn));
      this.showCovers(viewCovers(turn));
      [this.appointments, this.rooms] = [viewAppointments(turn), viewRooms(turn)];
      callsOffline(turn);
      this.showCalls(viewCalls(turn));
      return isListed(turn);
    });
    if (!listed) {
      this.keeper.halt();
      this.telling(null, [{ type: "signedOut" }]);
    }
    this.started.open();
  }

  // --- what turns and the connection say ---------------------------------------------------------------------------

  private showState({ state, reason, code }: Changed): void {
    if (code === CLOSE_AUTH_FAILED) {
      this.turns.tell(notRecognised);
    }
    if (state !== "connected") {
      this.caughtUp.close();
    }
    if (state !== "connected" && Object.keys(this.calls).length > 0) {
      this.turns.tell(callsOffline);
    }
    this.telling(null, [{ type: "connectionChanged", state, reason, code }]);
    this.stateChanged.open();
    this.stateChanged = new Gate();
  }

  private deliver(done: Done, flight: Flight | null): void {
    this.keeper.link?.carryOut(done, flight);
    this.showViews(done.views, done.contacts);
    this.figures = { ...this.figures, ...done.figures };
    this.devices = { ...this.devices, ...done.devices };
    this.settings = done.settings ?? this.settings;
    this.showOffices(done.offices, done.ownOffice);
    this.showUrgent(done.urgent);
    this.showCovers(done.covers);
    if (Object.keys(done.appointments).length > 0) {
      this.appointments = { ...this.appointments, ...done.appointments };
    }
    this.rooms = done.rooms ?? this.rooms;
    this.showCalls(done.calls);
    if (done.views.length > 0) {
      this.core.offices.watch(this.views.values());
    }
    if (done.settings || done.views.length > 0) {
      this.core.presence.update(this.views.values(), this.settings);
    }
    for (const [errand, refusal] of done.turn.finished) {
      const waiting = this.waiting.get(errand);
      if (refusal === null) {
        waiting?.resolve();
      } else {
        waiting?.reject(refusal);
      }
    }
    for (const { type } of done.turn.events) {
      if (type === "caughtUp" && flight !== null && flight === this.core.flight) {
        this.caughtUp.open();
        this.core.presence.caughtUp();
      }
      if (type === "signedOut") {
        this.keeper.halt(); // it stops connecting, and never adds itself again
      }
    }
    this.telling(done, done.turn.events);
  }

  private showViews(views: readonly ConversationView[], contacts: readonly ContactView[]): void {
    for (const view of views) {
      this.views.set(view.id, view);
    }
    for (const contact of contacts) {
      this.contacts.set(contact.shown.account, contact);
    }
  }

  private showOffices(offices: readonly OfficeView[], own: OwnOffice | null): void {
    for (const office of offices) {
      this.offices = { ...this.offices, [office.account]: office };
    }
    this.ownOffice = own ?? this.ownOffice;
  }

  private showUrgent(views: readonly UrgentView[]): void {
    if (views.length > 0) {
      this.urgent = Object.fromEntries(views.map((view) => [view.message, view]));
    }
  }

  /** In a call, or on the way into one, the connection is watched closely. */
  private showCalls(calls: readonly CallShown[] | null): void {
    if (calls !== null) {
      this.calls = Object.fromEntries(calls.map((shown) => [shown.view.id, shown]));
      this.keeper.vigil.inCall({ live: calls.some(({ view }) => view.here) });
    }
  }

  private showCovers(views: readonly CoverView[]): void {
    for (const view of views) {
      this.covers = { ...this.covers, [view.request]: view };
    }
  }

  /** F10: nothing of the turn was kept, nothing is acknowledged; the connection starts over once there is hope. */
  private storageFailed(detail: string): void {
    this.figures = { ...this.figures, F10: (this.figures["F10"] ?? 0) + 1 };
    this.telling(null, [{ type: "storageProblem", detail }]);
    this.keeper.storageFailed();
  }
}
