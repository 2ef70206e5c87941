/**
 * What is unanswered on one connection. Gone with it: the outbox in the vault knows what to send again.
 *
 * Used by steps only; a turn that fails to commit ends the connection and with it this.
 */

import type { ConversationId, MessageId } from "../protocol/ids.ts";
import { UNANSWERED_SENDS } from "../protocol/limits.ts";
import type { SignalMemory } from "./signal-memory.ts";
import { must } from "./vault/tables.ts";

/**
 * Posts and directs on their way, at most 64.
 *
 * Each post remembers the round it was sent in; a refusal begins a new round of its conversation, and what is still on
 * its way from an earlier round can only be answered `blocked`.
 */
export class Flight {
  readonly signals: SignalMemory;
  /** Keys of errands whose calls have not come back. */
  readonly underWay: Set<string> = new Set();
  private readonly unanswered: Map<MessageId, { conv: ConversationId | null; round: number }> = new Map();
  private readonly rounds: Map<ConversationId, number> = new Map();

  constructor(signals: SignalMemory) {
    this.signals = signals;
  }

  get size(): number {
    return this.unanswered.size;
  }

  /** How many more may be sent now. */
  get room(): number {
    return UNANSWERED_SENDS - this.unanswered.size;
  }

  has(message: MessageId): boolean {
    return this.unanswered.has(message);
  }

  private roundOf(conv: ConversationId | null): number {
    return conv === null ? 0 : (this.rounds.get(conv) ?? 0);
  }

  /** A post of this conversation, or a direct (null), leaves. */
  add(message: MessageId, conv: ConversationId | null): void {
    this.unanswered.set(message, { conv, round: this.roundOf(conv) });
  }

  /** The conversation of a post on its way; null for a direct. */
  conversation(message: MessageId): ConversationId | null {
    return must(this.unanswered.get(message)).conv;
  }

  /** Whether it was sent before the last refusal in its conversation. */
  isStale(message: MessageId): boolean {
    const { conv, round } = must(this.unanswered.get(message));
    return round < this.roundOf(conv);
  }

  /** It was answered. */
  forget(message: MessageId): void {
    this.unanswered.delete(message);
  }

  /** What is on its way now, for `backTo`. */
  mark(): ReadonlySet<MessageId> {
    return new Set(this.unanswered.keys());
  }

  /** What was added since has not left after all. */
  backTo(mark: ReadonlySet<MessageId>): void {
    for (const message of [...this.unanswered.keys()]) {
      if (!mark.has(message)) {
        this.unanswered.delete(message);
      }
    }
  }

  /**
   * It was answered with a refusal. Returns its conversation, in which a new round begins; null if it was not on its
   * way.
   */
  refused(message: MessageId): ConversationId | null {
    const conv = this.unanswered.get(message)?.conv ?? null;
    this.unanswered.delete(message);
    if (conv !== null) {
      this.rounds.set(conv, this.roundOf(conv) + 1);
    }
    return conv;
  }
}
