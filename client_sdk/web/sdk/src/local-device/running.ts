/** An account at work on this device: its engine, what hosts see of it, and what of that is new. */

import { cardIn } from "../engine/cards.ts";
import type { Done } from "../engine/core.ts";
import type { CoverView } from "../engine/cover/cover-ledger.ts";
import { Engine } from "../engine/link/loop.ts";
import type { OfficeView } from "../engine/office-shown.ts";
import { restorePage } from "../engine/recovery/restoring.ts";
import type { UrgentView } from "../engine/urgent-shown.ts";
import type { Me } from "../engine/vault/turn.ts";
import { unlessAborted, within } from "../engine/waiting.ts";
import type { Event } from "../events.ts";
import { type Clock, Unreachable, type Vault } from "../ports.ts";
import type { ConversationId } from "../protocol/ids.ts";
import { PAGE_ITEMS } from "../protocol/limits.ts";
import type { Delta, Identity, Network, News, RestoredCount, Snapshot, Surroundings } from "./types.ts";

/** How long the server may take for what a person waits for, milliseconds; what is asked for stays asked for. */
const WITHIN_MS = 30_000;
/** The two clocks are told of anew when they have moved apart by so much, milliseconds. */
const APART_MS = 1_000;

/** Resolves once the server has done what the errand asks for. Rejected; Unreachable after 30 s. */
export async function errandWithin(engine: Engine, clock: Clock, errand: string): Promise<void> {
  const never = new AbortController().signal;
  const done = await within(clock, WITHIN_MS, never, (signal) => unlessAborted(engine.errandDone(errand), signal));
  if (!done) {
    throw new Unreachable();
  }
}

/** Fetches all history of a conversation that this device does not hold. Rejected, Unreachable: what came is kept. */
export async function restoreAll(engine: Engine, conv: ConversationId): Promise<RestoredCount> {
  const to = engine.views.get(conv)?.shown ?? 0;
  let [restored, unreadable] = [0, 0];
  for (let from = 1; from > 0 && from <= to; ) {
    const page = await engine.request("archive.page", { conv }, { from, to, limit: PAGE_ITEMS }, null);
    const came = await engine.do((turn) => restorePage(turn, conv, page));
    restored += came.restored;
    unreadable += came.unreadable;
    from = page.nextSeq;
  }
  return { restored, unreadable };
}

/** What is told whenever it has changed, whole. */
type Standing = Pick<Snapshot, "identity" | "state" | "signedOut" | "caughtUp" | "aheadMs" | "presence" | "officeSaid">;

/** The engine of a registered device, from `start` to `stop`. The vault is the caller's. */
export class Running {
  readonly engine: Engine;
  private readonly network: Network;
  private readonly clock: Clock;
  private readonly show: (news: News) => void;
  private readonly stopping = new AbortController();
  private ended: Promise<void> = Promise.resolve();
  private told: Standing;

  private constructor(vault: Vault, me: Me, surroundings: Surroundings, network: Network, show: (news: News) => void) {
    const { clock, random, version } = surroundings;
    this.network = network;
    this.clock = clock;
    this.show = show;
    const telling = (done: Done | null, events: readonly Event[]): void => this.tell(done, events);
    const options = version === undefined ? { telling } : { telling, version };
    this.engine = new Engine(vault, me, { ...network, clock, random }, options);
    this.told = this.standing();
  }

  /** Starts to work and to connect. VaultProblem when the vault cannot be read. */
  static async start(
    vault: Vault,
    me: Me,
    surroundings: Surroundings,
    network: Network,
    show: (news: News) => void,
  ): Promise<Running> {
    const running = new Running(vault, me, surroundings, network, show);
    running.ended = running.engine.run();
    await Promise.race([running.engine.started.wait(), running.ended]);
    running.told = running.standing();
    return running;
  }

  /** Aborted once it has stopped. */
  get stopped(): AbortSignal {
    return this.stopping.signal;
  }

  /** Resolves when it has stopped; rejects with a fault of our own. */
  get end(): Promise<void> {
    return this.ended;
  }

  /** Closes the connection. What is queued stays queued for the next time. */
  async stop(): Promise<void> {
    this.stopping.abort(new Unreachable());
    this.engine.stop();
    await Promise.allSettled([this.ended]);
    await this.network.api.close();
  }

  /** Everything that a host can see now. */
  snapshot(): Snapshot {
    const { engine } = this;
    return {
      ...this.standing(),
      views: [...engine.views.values()],
      contacts: [...engine.contacts.values()],
      devices: engine.devices,
      settings: engine.settings,
      offices: engine.offices,
      ownOffice: engine.ownOffice,
      card: cardIn(engine.settings),
      urgent: engine.urgent,
      covers: engine.covers,
      appointments: engine.appointments,
      rooms: engine.rooms,
      calls: engine.calls,
      figures: engine.figures,
    };
  }

  private standing(): Standing {
    const { engine } = this;
    const aheadMs = engine.nowMs() - this.clock.nowMs();
    return {
      identity: this.identity(),
      state: engine.state,
      signedOut: engine.halted,
      caughtUp: engine.caughtUp.isOpen,
      presence: engine.core.presence.there,
      officeSaid: engine.core.offices.said,
      aheadMs: this.told && Math.abs(aheadMs - this.told.aheadMs) < APART_MS ? this.told.aheadMs : aheadMs,
    };
  }

  private identity(): Identity | null {
    const { account, device, role, base } = this.engine.core.me;
    const own = [...this.engine.views.values()].find((view) => view.isSelf);
    return role === null ? null : { account, device, role, name: own?.members[0]?.name ?? "", base };
  }

  /** After a turn, or when the connection says something (done null). */
  private tell(done: Done | null, events: readonly Event[]): void {
    const before = this.told;
    this.told = this.standing();
    const changed: Delta = {
      ...differences(before, this.told),
      ...(done?.views.length ? { views: done.views } : {}),
      ...(done?.contacts.length ? { contacts: done.contacts } : {}),
      ...(done && Object.keys(done.devices).length > 0 ? { devices: done.devices } : {}),
      ...(done?.settings ? { settings: done.settings, card: cardIn(done.settings) } : {}),
      ...(done?.offices.length ? { offices: byAccount(done.offices) } : {}),
      ...(done?.ownOffice ? { ownOffice: done.ownOffice } : {}),
      ...(done?.urgent.length ? { urgent: byMessage(done.urgent) } : {}),
      ...(done?.covers.length ? { covers: byRequest(done.covers) } : {}),
      ...(done && Object.keys(done.appointments).length > 0 ? { appointments: done.appointments } : {}),
      ...(done?.rooms ? { rooms: done.rooms } : {}),
      ...(done?.calls ? { calls: this.engine.calls } : {}),
      ...(done && Object.keys(done.figures).length > 0 ? { figures: done.figures } : {}),
    };
    if (events.length > 0 || Object.keys(changed).length > 0) {
      this.show({ type: "turn", changed, events });
    }
  }
}

function byAccount(offices: readonly OfficeView[]): Snapshot["offices"] {
  return Object.fromEntries(offices.map((office) => [office.account, office]));
}

function byMessage(urgent: readonly UrgentView[]): Snapshot["urgent"] {
  return Object.fromEntries(urgent.map((view) => [view.message, view]));
}

function byRequest(covers: readonly CoverView[]): Snapshot["covers"] {
  return Object.fromEntries(covers.map((view) => [view.request, view]));
}

function differences(before: Standing, after: Standing): Delta {
  const { identity, ...rest } = after;
  const same = identity?.name === before.identity?.name && identity?.role === before.identity?.role;
  const fields = Object.entries(rest).filter(([name, value]) => before[name as keyof Standing] !== value); // of `rest`
  return { ...Object.fromEntries(fields), ...(same ? {} : { identity }) };
}
