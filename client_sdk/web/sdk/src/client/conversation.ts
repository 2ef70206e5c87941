/** A conversation as hosts use it: what stands in it, and what can be said in it. */

import { systemRandom } from "../adapters/clock.ts";
import type {
  AutomaticAnswer,
  Card,
  CoverStep,
  OfficeShown,
  Promised,
  Urgency,
  UrgentElsewhere,
  Waiting,
} from "../agreements.ts";
import type { Member, Message } from "../events.ts";
import type { ConversationView, HistoryOptions, RestoredCount, SendOptions, Snapshot } from "../local-device/types.ts";
import { type ConversationId, idOf, type MessageId } from "../protocol/ids.ts";
import { stepsIn } from "./cover.ts";
import { Answering } from "./office.ts";
import type { Port } from "./port.ts";
import { elsewhereIn, urgencyIn } from "./urgent.ts";

/** One conversation of this account. Made by the client; stays valid as long as the client is open. */
export class Conversation {
  /** The same on every device. */
  readonly id: ConversationId;
  private readonly port: Port;
  private readonly look: () => ConversationView;
  private readonly answering: Answering;
  private readonly snapshot: () => Snapshot;

  constructor(port: Port, id: ConversationId, look: () => ConversationView, snapshot: () => Snapshot) {
    this.port = port;
    this.id = id;
    this.look = look;
    this.snapshot = snapshot;
    this.answering = new Answering(() => ({ view: look(), snapshot: snapshot() }));
  }

  /** As it stands now: members, unread, draft, when it was last active. LocalError(not_found) when it is gone. */
  get view(): ConversationView {
    return this.look();
  }

  /** Everybody in it, ourselves included. */
  get members(): readonly Member[] {
    return this.view.members;
  }

  /**
   * Writes a text: 1 to 15,000 bytes of UTF-8.
   *
   * Resolves once it is in the vault; it is sent as soon as there is a connection, whatever happens in between.
   * `messageStatus` events tell how far it has come. A therapist's text also confirms what is urgent here. LocalError
   * (too_large, bad_format, forbidden: not urgent here), VaultProblem: nothing was written.
   */
  sendText(text: string, options: SendOptions = {}): Promise<Message> {
    const id = options.id ?? idOf<MessageId>(systemRandom(16));
    return this.port.call("sendText", this.id, text, { ...options, id });
  }

  /** Changes a message of ours. LocalError: not_found, forbidden (not ours), too_large. */
  edit(message: MessageId, text: string): Promise<Message> {
    return this.port.call("edit", this.id, message, text);
  }

  /** Takes a message of ours out of view, here and at the others. LocalError: not_found, forbidden (not ours). */
  delete(message: MessageId): Promise<Message> {
    return this.port.call("delete", this.id, message);
  }

  /** Our one reaction to a message, at most 64 bytes of UTF-8; null takes it back. LocalError: not_found, too_large. */
  react(message: MessageId, emoji: string | null): Promise<Message> {
    return this.port.call("react", this.id, message, emoji);
  }

  /** The person has seen everything up to now; members and our other devices hear of it every ten seconds. */
  markRead(): Promise<void> {
    return this.port.call("markRead", this.id);
  }

  /** Tells connected members that we are writing: call it with every key, it is sent every three seconds at most. */
  typing(): Promise<void> {
    return this.port.call("typing", this.id);
  }

  /** Keeps what stands in the input, "" for nothing; our other devices hear of it. At most 15,000 bytes. */
  setDraft(text: string): Promise<void> {
    return this.port.call("setDraft", this.id, text);
  }

  /** Mutes it on all our devices until then (Unix time, ms; 2^53 - 1 = for good), null = not any more. */
  mute(untilMs: number | null): Promise<void> {
    return this.port.call("mute", this.id, untilMs);
  }

  /** The newest messages (50 unless told, at most 1,000), or those before one: oldest first, queued ones at the end. */
  history(options: HistoryOptions = {}): Promise<Message[]> {
    return this.port.call("history", this.id, options);
  }

  /** One message as it stands; null when there is none of that id here. */
  message(id: MessageId): Promise<Message | null> {
    return this.port.call("message", this.id, id);
  }

  // --- who answers here, and when -------------------------------------------------------------------------------------

  /** The therapist's office, as a client sees it; null for everybody else, and outside of such pairs. */
  get office(): OfficeShown | null {
    return this.answering.office();
  }

  /** The therapist's card; for the therapist, what their clients see. null = there is none. */
  get card(): Card | null {
    return this.answering.card;
  }

  /**
   * By when a text that a client sends now would be answered, and by whom.
   *
   * null where nothing is promised: no signed hours that count, or no promise in them. While the therapist is on leave
   * it is the promise of the colleague who covers, if the client is in a conversation with them.
   */
  promise(nowMs?: number): Promised | null {
    return this.answering.promise(nowMs);
  }

  /** The client's text that waits for the therapist's answer, for both of them; null if none does. */
  get waiting(): Waiting | null {
    return this.answering.waiting();
  }

  /**
   * As the therapist: the waiting text is answered by then instead; the client is told that it was put off.
   *
   * LocalError: not_found if nothing waits, forbidden for anybody else, bad_format for a time that is over or not after
   * the one that was promised.
   */
  extendPromise(untilMs: number): Promise<void> {
    return this.port.call("extendPromise", this.id, untilMs);
  }

  /**
   * As the client: an appointment would be better than an answer to the waiting text; the therapist sees it.
   *
   * LocalError: not_found if nothing waits, forbidden for anybody else.
   */
  askForSlot(): Promise<void> {
    return this.port.call("askForSlot", this.id);
  }

  /**
   * What is shown between these messages in the therapist's name while the office is not open, oldest first.
   *
   * messages: of this conversation, oldest first, as `history` gives them. They are no messages: mark them as automatic,
   * and show the card's crisis numbers with them. nowMs: now unless given.
   */
  automaticAnswers(messages: Iterable<Message>, nowMs?: number): AutomaticAnswer[] {
    return this.answering.automaticAnswers(messages, nowMs);
  }

  // --- urgent messages ------------------------------------------------------------------------------------------------

  /**
   * How an urgent message of this conversation stands; null for one that is not urgent, or long over.
   *
   * "told" and "asked" are the server's word; only `seenBy` says that a person has seen it. nowMs: now unless given.
   */
  urgency(message: MessageId, nowMs?: number): Urgency | null {
    return urgencyIn(this.snapshot(), this.id, message, nowMs);
  }

  /** What we are asked about here: the client has written it to a colleague, and nobody has confirmed it. */
  urgentElsewhere(): UrgentElsewhere[] {
    return elsewhereIn(this.snapshot(), this.id);
  }

  /**
   * A person has seen an urgent message of the other: tells them, sealed, and the server, which then stops.
   *
   * Whoever answers with a text need not call this. In a conversation with a client who has written to a colleague: we
   * have taken notice of it. LocalError: not_found for one that is not urgent or not of this conversation, forbidden for
   * our own.
   */
  confirmUrgent(message: MessageId): Promise<void> {
    return this.port.call("confirmUrgent", this.id, message);
  }

  /** The messages here that are steps of a cover or hand-over, to be shown as cards; nowMs: now unless given. */
  coverSteps(nowMs?: number): CoverStep[] {
    return stepsIn(this.snapshot(), this.id, nowMs);
  }

  /** Fetches archived history that this device does not hold. Rejected, Unreachable: what came is kept; go on later. */
  restore(): Promise<RestoredCount> {
    return this.port.call("restore", this.id);
  }
}
