/** Joining with the account that there is, and colleagues who are there for a client. */

import { idOfInvite } from "../crypto/invites.ts";
import * as covering from "../engine/cover/covering.ts";
import { accept, acceptErrand, outcome } from "../engine/joining/accepting.ts";
import type { Message } from "../events.ts";
import type { Clock } from "../ports.ts";
import { LocalError } from "../protocol/errors.ts";
import type { ConversationId, InviteId } from "../protocol/ids.ts";
import { AgreedDevice } from "./agreed.ts";
import { readLink } from "./joining.ts";
import { errandWithin } from "./running.ts";
import type { CoverCalls } from "./types.ts";

/** The part of `LocalDevice` that meets colleagues. See `CoverCalls`, which says what each method does. */
export abstract class CoveringDevice extends AgreedDevice implements CoverCalls {
  protected abstract readonly clock: Clock;

  async acceptInvite(text: string): Promise<ConversationId> {
    const link = readLink(text, null);
    if (link.tag !== "invite") {
      throw new LocalError("bad_format", "this link makes the first account of a practice: it invites nobody");
    }
    await this.do((turn) => accept(turn, link));
    return await this.joined(idOfInvite(link.secret));
  }

  private async joined(invite: InviteId): Promise<ConversationId> {
    await errandWithin(this.engine, this.clock, acceptErrand(invite));
    const conv = await this.do((turn) => outcome(turn, invite));
    if (conv instanceof LocalError) {
      throw conv;
    }
    if (conv === null) {
      throw new LocalError("not_found", "the invite is not being taken any more");
    }
    return conv;
  }

  async requestCover(
    colleague: ConversationId,
    client: ConversationId,
    asking: covering.Asking = {},
  ): Promise<Message> {
    return await this.do((turn) => covering.requestCover(turn, colleague, client, asking));
  }

  async agreeToCover(request: string): Promise<void> {
    await this.do((turn) => covering.agree(turn, request));
  }

  async refuseCover(request: string): Promise<void> {
    await this.do((turn) => covering.refuse(turn, request));
  }

  async acceptCover(request: string): Promise<ConversationId> {
    const invite = await this.do((turn) => covering.acceptCover(turn, request));
    return invite === null ? await this.do((turn) => covering.pairOf(turn, request)) : await this.joined(invite);
  }

  async sendCoverCard(request: string, note: string): Promise<Message> {
    return await this.do((turn) => covering.handOver(turn, request, note));
  }
}
