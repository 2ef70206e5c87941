/** One device of one account, at work in this thread: everything that a host may ask of it. */

import { originOf } from "../adapters/addresses.ts";
import { type LinkCode, parseCode } from "../crypto/linking.ts";
import * as composing from "../engine/composing.ts";
import type { Step } from "../engine/core.ts";
import * as delivery from "../engine/delivery.ts";
import * as ownDevices from "../engine/devices/own-devices.ts";
import * as inviting from "../engine/joining/inviting.ts";
import { loadMe, waitingLink } from "../engine/joining/registration.ts";
import type { Engine } from "../engine/link/loop.ts";
import * as ownState from "../engine/own-state.ts";
import { SEARCH_MOST, search } from "../engine/shown/searching.ts";
import { asShown, history } from "../engine/shown/showing.ts";
import { sendTyping } from "../engine/signals.ts";
import * as errands from "../engine/vault/errands.ts";
import { fault } from "../engine/vault/faults.ts";
import { MESSAGES } from "../engine/vault/records.ts";
import type { Me } from "../engine/vault/turn.ts";
import type { Device, Message } from "../events.ts";
import { type Clock, Unreachable, type Vault } from "../ports.ts";
import { LocalError } from "../protocol/errors.ts";
import type { AccountId, ConversationId, DeviceId, LinkId, MessageId } from "../protocol/ids.ts";
import type { Role } from "../protocol/requests.ts";
import { loadSodium } from "../protocol/sodium.ts";
import { KnowingDevice } from "./identities.ts";
import { type Entrance, inspect, isOwnLink, join, readLink, requireName, serverFor } from "./joining.ts";
import { LinkOffering, TakenLink } from "./linking.ts";
import { EMPTY_SNAPSHOT } from "./mirror.ts";
import { OwnPresence } from "./own-presence.ts";
import { InviteProblem, isFinal, LinkProblem } from "./problems.ts";
import { errandWithin, Running, restoreAll } from "./running.ts";
import type {
  DeviceInThread,
  HistoryOptions,
  InviteCard,
  LinkOffer,
  News,
  PresenceWish,
  RestoredCount,
  SendOptions,
  Snapshot,
  Surroundings,
} from "./types.ts";

/** Most messages of one `history` call. */
const HISTORY_MOST = 1_000;
/** Typing is told at most this often; it holds for about five seconds. */
const TYPING_EVERY_S = 3;

/** See `DeviceCalls`, which says what each method does. Made by `LocalDevice.open`. */
export class LocalDevice extends KnowingDevice implements DeviceInThread {
  private readonly around: Surroundings;
  private readonly listeners: Set<(news: News) => void> = new Set();
  private readonly closing = new AbortController();
  private readonly typed: Map<ConversationId, number> = new Map();
  private vault: Vault;
  private running: Running | null = null;
  private taken: TakenLink | null = null;
  private finishing: Promise<unknown> = Promise.resolve();
  private offering: LinkOffering | null = null;
  private last: Promise<unknown> = Promise.resolve();
  private readonly own: OwnPresence;

  private constructor(around: Surroundings, vault: Vault) {
    super();
    this.around = around;
    this.vault = vault;
    this.own = new OwnPresence(around.clock, () => this.running?.engine ?? null);
  }

  /** Opens the vault and starts to connect, if somebody has joined. VaultProblem, VaultLocked. */
  static async open(around: Surroundings): Promise<LocalDevice> {
    await loadSodium();
    const device = new LocalDevice(around, await around.openVault());
    try {
      const me = await device.vault.run(loadMe);
      if (me !== null && me.role !== null) {
        await device.work(me);
      } else if (me !== null && me.aikSeed.length === 0) {
        await device.wipe(); // a link that was cut off is of no use to anybody
      }
    } catch (problem) {
      await device.close();
      throw problem;
    }
    return device;
  }

  // --- its life ----------------------------------------------------------------------------------------------------

  onNews(listener: (news: News) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.closing.abort(new Unreachable());
    this.own.end();
    this.taken?.end();
    this.endOffer();
    const { running } = this;
    this.running = null;
    await running?.stop();
    await Promise.allSettled([this.last, this.finishing]);
    await Promise.allSettled([this.vault.close()]);
  }

  private endOffer(): void {
    this.offering?.end();
    this.offering = null;
  }

  private show(news: News): void {
    for (const listener of this.listeners) {
      listener(news);
    }
  }

  private async work(me: Me): Promise<void> {
    const network = this.around.network(originOf(me.base));
    const running = await Running.start(this.vault, me, this.around, network, (news) => this.show(news));
    running.end.catch((problem: unknown) => fault("the engine has stopped", problem));
    this.running = running;
    this.show({ type: "snapshot", snapshot: running.snapshot() });
  }

  /** A new vault in place of this one. */
  private async wipe(): Promise<void> {
    await this.vault.close();
    await this.around.wipeVault();
    this.vault = await this.around.openVault();
  }

  /** One after the other: whatever takes the vault from somebody or gives it to somebody. */
  private async alone<T>(work: () => Promise<T>): Promise<T> {
    const before = this.last;
    const mine = (async () => {
      await Promise.allSettled([before]);
      this.closing.signal.throwIfAborted();
      return await work();
    })();
    this.last = mine;
    return await mine;
  }

  protected override get engine(): Engine {
    if (this.running === null) {
      throw new LocalError("not_found", "nobody has joined on this device");
    }
    return this.running.engine;
  }

  protected override async do<T>(step: Step<T>): Promise<T> {
    return await this.engine.do(step);
  }

  protected override get clock(): Clock {
    return this.around.clock;
  }

  private async within<T>(conv: ConversationId, step: Step<T>): Promise<T> {
    if (!this.engine.views.has(conv)) {
      throw new LocalError("not_found", "no such conversation");
    }
    return await this.engine.do(step);
  }

  // --- what there is -----------------------------------------------------------------------------------------------

  async snapshot(): Promise<Snapshot> {
    return this.running?.snapshot() ?? EMPTY_SNAPSHOT;
  }

  async network(available: boolean): Promise<void> {
    this.running?.engine.online({ available });
  }

  async caughtUp(): Promise<void> {
    await this.engine.caughtUp.wait(this.running?.stopped);
  }

  // --- coming in ---------------------------------------------------------------------------------------------------

  private async entering<T>(base: string, work: (entrance: Entrance) => Promise<T>): Promise<T> {
    const { clock, random } = this.around;
    const { api } = this.around.network(originOf(base));
    try {
      return await work({ vault: this.vault, api, clock, random, signal: this.closing.signal });
    } finally {
      await api.close();
    }
  }

  async inspect(text: string): Promise<InviteCard> {
    const link = readLink(text, this.around.server ?? null);
    if (this.running !== null && (await isOwnLink(this.vault, link))) {
      throw new InviteProblem("yours");
    }
    return await this.entering(link.base, (entrance) => inspect(entrance, link));
  }

  async join(text: string, name: string): Promise<AccountId> {
    const link = readLink(text, this.around.server ?? null);
    requireName(name);
    await this.endTakenLink();
    return await this.alone(async () => {
      const own = await isOwnLink(this.vault, link);
      if (this.running !== null) {
        if (!own) {
          throw new InviteProblem("occupied");
        }
        return this.engine.core.me.account;
      }
      if (!own) {
        await this.finishOther();
      }
      const me = await this.registered(text, name);
      await this.work(me);
      return me.account;
    });
  }

  /** Sends what was prepared with the link, or prepares it; a registration that is refused for good is forgotten. */
  private async registered(text: string, name: string): Promise<Me> {
    const link = readLink(text, null);
    try {
      return await this.entering(link.base, (entrance) => join(entrance, link, name));
    } catch (problem) {
      if (isFinal(problem) && (await this.vault.run(loadMe)) !== null) {
        await this.wipe();
      }
      throw problem;
    }
  }

  /**
   * A registration by another link, whose answer has not come, is asked for once more: the server may have taken it,
   * and then there is an account here already. Refused, it is forgotten.
   */
  private async finishOther(): Promise<void> {
    const text = await this.vault.run(waitingLink);
    if (text === null) {
      return;
    }
    try {
      await this.work(await this.registered(text, ""));
    } catch (problem) {
      if (problem instanceof InviteProblem) {
        return;
      }
      throw problem;
    }
    throw new InviteProblem("occupied");
  }

  async takeLink(codeOrUrl: string, label: string): Promise<string> {
    const [named, code] = parseCode(codeOrUrl);
    ownDevices.requireLabel(label);
    const base = serverFor(named, this.around.server ?? null);
    await this.endTakenLink();
    return await this.alone(async () => {
      if ((await this.vault.run(loadMe)) !== null) {
        throw new InviteProblem("occupied");
      }
      return await this.meet(base, code, label);
    });
  }

  private async meet(base: string, code: LinkCode, label: string): Promise<string> {
    const { clock, random } = this.around;
    const { api } = this.around.network(originOf(base));
    const taken = new TakenLink({ vault: this.vault, api, clock, random, base }, code, label);
    this.taken = taken;
    try {
      return await taken.meet();
    } catch (problem) {
      this.taken = null;
      throw problem;
    }
  }

  async linkFinished(): Promise<AccountId> {
    const { taken } = this;
    if (taken === null) {
      throw new LocalError("not_found", "no device is being linked");
    }
    const finishing = this.finish(taken);
    this.finishing = finishing;
    return await finishing;
  }

  private async finish(taken: TakenLink): Promise<AccountId> {
    let me: Me;
    try {
      me = await taken.finished();
    } catch (problem) {
      if (!this.closing.signal.aborted) {
        await this.wipe();
      }
      throw problem;
    } finally {
      this.taken = null;
    }
    await this.work(me);
    return me.account;
  }

  async endTakenLink(): Promise<void> {
    this.taken?.end();
    await Promise.allSettled([this.finishing]);
    this.taken = null;
  }

  // --- conversations -----------------------------------------------------------------------------------------------

  async sendText(conv: ConversationId, text: string, options: SendOptions = {}): Promise<Message> {
    return await this.do((turn) => composing.writeText(turn, conv, text, options));
  }

  async edit(conv: ConversationId, message: MessageId, text: string): Promise<Message> {
    return await this.do((turn) => composing.editMessage(turn, conv, message, text));
  }

  async delete(conv: ConversationId, message: MessageId): Promise<Message> {
    return await this.do((turn) => composing.deleteMessage(turn, conv, message));
  }

  async react(conv: ConversationId, message: MessageId, emoji: string | null): Promise<Message> {
    return await this.do((turn) => composing.react(turn, conv, message, emoji));
  }

  async markRead(conv: ConversationId): Promise<void> {
    await this.within(conv, (turn) => delivery.markRead(turn, conv));
  }

  async typing(conv: ConversationId): Promise<void> {
    const now = this.around.clock.monotonic();
    if (now - (this.typed.get(conv) ?? Number.NEGATIVE_INFINITY) >= TYPING_EVERY_S) {
      this.typed.set(conv, now);
      const { signals } = this.engine.core;
      await this.within(conv, (turn) => sendTyping(turn, signals, conv));
    }
  }

  async setDraft(conv: ConversationId, text: string): Promise<void> {
    await this.do((turn) => ownState.setDraft(turn, conv, text));
  }

  async mute(conv: ConversationId, untilMs: number | null): Promise<void> {
    await this.do((turn) => ownState.mute(turn, conv, untilMs));
  }

  async history(conv: ConversationId, { before = null, limit = 50 }: HistoryOptions = {}): Promise<Message[]> {
    return await this.within(conv, (turn) => history(turn.tx, conv, before, bounded(limit, HISTORY_MOST)));
  }

  async message(conv: ConversationId, id: MessageId): Promise<Message | null> {
    return await this.within(conv, (turn) => {
      const record = MESSAGES.get(turn.tx, id);
      return record?.conv === conv ? asShown(record) : null;
    });
  }

  async restore(conv: ConversationId): Promise<RestoredCount> {
    return await restoreAll(this.engine, conv);
  }

  async search(
    words: string,
    {
      conversation = null,
      limit = 50,
    }: { readonly conversation?: ConversationId | null; readonly limit?: number } = {},
  ): Promise<Message[]> {
    return await this.do((turn) => search(turn, words, conversation, bounded(limit, SEARCH_MOST)));
  }

  // --- the account -------------------------------------------------------------------------------------------------

  async invite(role: Role = "client", welcome: string | null = null): Promise<string> {
    const invite = await this.do((turn) => inviting.newInvite(turn, role, welcome));
    try {
      await errandWithin(this.engine, this.around.clock, errands.errandKey("invite", invite));
    } catch (problem) {
      await this.do((turn) => inviting.withdraw(turn, invite));
      throw problem;
    }
    return await this.do((turn) => inviting.inviteLink(turn, invite)[0]);
  }

  async rename(name: string): Promise<void> {
    await this.do((turn) => composing.changeName(turn, name));
  }

  async setting(name: string): Promise<string | null> {
    const { settings } = this.engine;
    return Object.hasOwn(settings, name) ? (settings[name] ?? null) : null;
  }

  async setSetting(name: string, value: string | null): Promise<void> {
    await this.do((turn) => ownState.setSetting(turn, name, value));
  }

  async presence(wish: PresenceWish): Promise<void> {
    await this.own.wish(wish);
  }

  // --- devices -----------------------------------------------------------------------------------------------------

  async devices(): Promise<readonly Device[]> {
    return this.engine.devices[this.engine.core.me.account] ?? [];
  }

  async contactDevices(account: AccountId): Promise<readonly Device[]> {
    return this.engine.devices[account] ?? [];
  }

  async nameDevice(label: string): Promise<void> {
    await this.do((turn) => ownDevices.nameDevice(turn, label));
  }

  async revoke(device: DeviceId): Promise<void> {
    const errand = await this.do((turn) => ownDevices.revoke(turn, device));
    await errandWithin(this.engine, this.around.clock, errand);
  }

  async signOut(): Promise<void> {
    const { engine } = this;
    const errand = engine.halted ? null : await this.do(ownDevices.leave);
    if (errand !== null) {
      await errandWithin(engine, this.around.clock, errand);
    }
    await this.alone(async () => {
      const { running } = this;
      this.running = null;
      this.endOffer();
      this.typed.clear();
      try {
        await running?.stop();
        await this.wipe();
      } finally {
        this.show({ type: "snapshot", snapshot: EMPTY_SNAPSHOT });
      }
    });
  }

  async offerLink(): Promise<LinkOffer> {
    await this.do(ownDevices.requireRoom);
    const offering = new LinkOffering(this.engine, this.around.clock, this.around.random);
    const offer = await offering.open();
    this.endOffer();
    this.offering = offering;
    return offer;
  }

  private offered(offer: LinkId): LinkOffering {
    if (this.offering?.id !== offer) {
      throw new LinkProblem("expired");
    }
    return this.offering;
  }

  async linkJoined(offer: LinkId): Promise<void> {
    await this.offered(offer).joined();
  }

  async confirmLink(offer: LinkId, digits: string): Promise<Device> {
    return await this.offered(offer).confirm(digits);
  }

  async cancelLink(offer: LinkId): Promise<void> {
    if (this.offering?.id === offer) {
      await this.offering.cancel();
    }
  }
}

function bounded(limit: number, most: number): number {
  return Math.max(1, Math.min(limit, most));
}
