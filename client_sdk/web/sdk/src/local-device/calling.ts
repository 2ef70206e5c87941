/** Calls: what the person and the page do about them. */

import type { CallMode, ModeWhy } from "../call-views.ts";
import type { Description } from "../engine/bodies/meetings.ts";
import * as calling from "../engine/calls/calls-here.ts";
import type { Candidate } from "../engine/vault/call-records.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import type { TurnCredentials, TurnWanted } from "../protocol/meeting.ts";
import { CoveringDevice } from "./covering.ts";
import type { CallingCalls } from "./types.ts";

/** What hangs in a connection that was cut is asked for anew: TCP repeats itself after ever longer waits. */
const CREDENTIALS_MS = 2_000;

/** The part of `LocalDevice` that calls. See `CallingCalls`, which says what each method does. */
export abstract class CallingDevice extends CoveringDevice implements CallingCalls {
  async offerCall(conv: ConversationId, offering: calling.Offering): Promise<void> {
    await this.do((turn) => calling.offerCall(turn, conv, offering));
  }

  async answerCall(call: MessageId, page: string): Promise<void> {
    await this.do((turn) => calling.answerCall(turn, call, page));
  }

  async moveCall(call: MessageId, page: string): Promise<void> {
    await this.do((turn) => calling.moveCall(turn, call, page));
  }

  async resumeCall(call: MessageId, page: string): Promise<void> {
    await this.do((turn) => calling.resumeCall(turn, call, page));
  }

  async declineCall(call: MessageId): Promise<void> {
    await this.do((turn) => calling.declineCall(turn, call));
  }

  async hangUpCall(call: MessageId): Promise<void> {
    await this.do((turn) => calling.hangUpCall(turn, call));
  }

  async describeCall(call: MessageId, page: string, description: Description, restart: boolean): Promise<void> {
    await this.do((turn) => calling.describeCall(turn, call, page, description, restart));
  }

  async foundCandidates(
    call: MessageId,
    page: string,
    userName: string,
    candidates: readonly Candidate[],
    last: boolean,
  ): Promise<void> {
    await this.do((turn) => calling.foundCandidates(turn, call, page, userName, candidates, last));
  }

  async callMedia(call: MessageId, page: string, news: calling.MediaNews): Promise<void> {
    await this.do((turn) => calling.callMedia(turn, call, page, news));
  }

  async callAlive(call: MessageId, page: string): Promise<void> {
    await this.do((turn) => calling.callAlive(turn, call, page));
  }

  async callMode(call: MessageId, page: string, mode: CallMode, why: ModeWhy): Promise<void> {
    await this.do((turn) => calling.callMode(turn, call, page, mode, why));
  }

  async turnCredentials(wanted: TurnWanted): Promise<TurnCredentials> {
    const over = new AbortController();
    const late = new AbortController();
    this.clock.sleep(CREDENTIALS_MS, late.signal).then(
      () => over.abort(),
      () => undefined, // it was answered
    );
    try {
      return await this.engine.request("turn.credentials", {}, {}, wanted, over.signal);
    } finally {
      late.abort();
    }
  }
}
