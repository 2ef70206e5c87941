/** What a device does about office hours, promises and its person's card, for whoever holds the running engine. */

import type { Card, Kept } from "../agreements.ts";
import { setCard } from "../engine/cards.ts";
import type { Step } from "../engine/core.ts";
import type { Engine } from "../engine/link/loop.ts";
import * as publishing from "../engine/office/office-publishing.ts";
import { kept } from "../engine/office/promises.ts";
import * as promisesSaid from "../engine/promises-said.ts";
import { confirmUrgent } from "../engine/urgent-seen.ts";
import type { OfficeHours, OverrideState } from "../office/hours.ts";
import type { Repair } from "../office/rules.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import type { Holidays, PushState, PushSubscription } from "../protocol/requests.ts";
import type { AgreedCalls } from "./types.ts";

/** The part of `LocalDevice` that agrees on times. See `AgreedCalls`, which says what each method does. */
export abstract class AgreedDevice implements AgreedCalls {
  protected abstract readonly engine: Engine;
  protected abstract do<T>(step: Step<T>): Promise<T>;

  async publishOffice(hours: OfficeHours): Promise<readonly Repair[]> {
    return await this.do((turn) => publishing.publish(turn, hours));
  }

  async stepAway(untilMs: number, state: OverrideState = "away"): Promise<void> {
    await this.do((turn) => publishing.stepAway(turn, untilMs, state));
  }

  async comeBack(): Promise<void> {
    await this.do(publishing.comeBack);
  }

  async holidays(country: string, region: string, year: number): Promise<Holidays> {
    return await this.engine.request("office.holidays", {}, { country, region, year }, null);
  }

  async pushState(): Promise<PushState> {
    return await this.engine.request("push.state", {}, {}, null);
  }

  async subscribePush(asked: PushSubscription): Promise<PushState> {
    return await this.engine.request("push.subscribe", {}, {}, asked);
  }

  async setCard(card: Card): Promise<void> {
    await this.do((turn) => setCard(turn, card));
  }

  async kept(sinceMs: number, untilMs: number): Promise<Kept> {
    return await this.do((turn) => kept(turn, sinceMs, untilMs));
  }

  async extendPromise(conv: ConversationId, untilMs: number): Promise<void> {
    await this.do((turn) => promisesSaid.extend(turn, conv, untilMs));
  }

  async askForSlot(conv: ConversationId): Promise<void> {
    await this.do((turn) => promisesSaid.askForSlot(turn, conv));
  }

  async confirmUrgent(conv: ConversationId, message: MessageId): Promise<void> {
    await this.do((turn) => confirmUrgent(turn, conv, message));
  }
}
