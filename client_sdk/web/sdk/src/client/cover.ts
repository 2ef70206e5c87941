/** Cover and hand-over as hosts use it: a part of `RapportClient` that stands behind `client.cover`. */

import type { CoverState, CoverStep } from "../agreements.ts";
import { atTime } from "../engine/bodies/cover.ts";
import type { Asking } from "../engine/cover/covering.ts";
import type { Message } from "../events.ts";
import type { CoverView, Snapshot } from "../local-device/types.ts";
import type { AccountId, ConversationId } from "../protocol/ids.ts";
import { timeOf } from "./office.ts";
import type { Port } from "./port.ts";

/**
 * A colleague who is there for a client: for a time away, or for good.
 *
 * All of it is sealed; the server learns nothing but that two people have a conversation. The therapist asks (`request`),
 * the colleague agrees or refuses, the client is asked by the therapist's device and accepts or refuses, the therapist
 * sends the hand-over card. Every step is in the vault before it leaves, and all devices of each of the three follow it:
 * `coverChanged`. A cover is named by its request, `Message.request` of its messages.
 */
export class Cover {
  readonly #port: Port;
  readonly #look: () => Snapshot;

  constructor(port: Port, look: () => Snapshot) {
    this.#port = port;
    this.#look = look;
  }

  /** Every cover that this device knows of, at most 256, the newest word first. nowMs: now unless given. */
  all(nowMs?: number): CoverState[] {
    const snapshot = this.#look();
    const found = Object.values(snapshot.covers).map(({ state }) => state && atTime(state, nowMs ?? timeOf(snapshot)));
    return found.filter((state) => state !== null).sort((one, other) => other.atMs - one.atMs);
  }

  /** Those in which it is our turn: to agree, to accept, or to send the card. */
  pending(nowMs?: number): CoverState[] {
    return this.all(nowMs).filter(isOurTurn);
  }

  /** How far one has come; null for one that is not known. */
  state(request: string, nowMs?: number): CoverState | null {
    return this.all(nowMs).find((state) => state.request === request) ?? null;
  }

  /**
   * Asks the colleague of one conversation to be there for the client of the other.
   *
   * The message's `request` names it from now on. LocalError: not_found, forbidden unless these are our pairs with a
   * colleague and with a client, too_large.
   */
  request(colleague: ConversationId, client: ConversationId, asking: Asking = {}): Promise<Message> {
    return this.#port.call("requestCover", colleague, client, asking);
  }

  /**
   * The colleague's yes: an invite for the client is made, and its link told as soon as there is a connection.
   *
   * LocalError: not_found, conflict when it was answered.
   */
  agree(request: string): Promise<void> {
    return this.#port.call("agreeToCover", request);
  }

  /** No, of the colleague or of the client. LocalError: not_found, conflict when it was answered. */
  refuse(request: string): Promise<void> {
    return this.#port.call("refuseCover", request);
  }

  /**
   * The client's yes: joins a conversation with the colleague, which it resolves to, and tells the therapist.
   *
   * LocalError: not_found, conflict when it was answered, expired when the link is of no use any more, forbidden or
   * invalid_signature when it is not from the colleague whom the therapist has named (the offer is refused then).
   * Unreachable when the server does not answer within 30 s: it goes on by itself.
   */
  accept(request: string): Promise<ConversationId> {
    return this.#port.call("acceptCover", request);
  }

  /**
   * The hand-over card: what the colleague needs to know, at most 8,000 bytes of UTF-8; after the client's yes.
   *
   * LocalError: not_found, conflict before that or when it was sent, too_large.
   */
  sendCard(request: string, note: string): Promise<Message> {
    return this.#port.call("sendCoverCard", request, note);
  }
}

function isOurTurn({ side, stage }: CoverState): boolean {
  switch (side) {
    case "colleague":
      return stage === "asked";
    case "client":
      return stage === "offered";
    case "therapist":
      return stage === "accepted";
  }
}

/** The messages of a conversation that are steps of a cover for us, as cards. See `Conversation.coverSteps`. */
export function stepsIn(snapshot: Snapshot, conv: ConversationId, nowMs: number = timeOf(snapshot)): CoverStep[] {
  const me = snapshot.identity?.account;
  return Object.values(snapshot.covers).flatMap((view) =>
    view.state === null || me === undefined ? [] : cardsOf(view, atTime(view.state, nowMs), conv, me),
  );
}

function cardsOf({ bubbles }: CoverView, state: CoverState, conv: ConversationId, me: AccountId): CoverStep[] {
  const { request, therapist, colleague, client, lasting, stage } = state;
  const ours = bubbles.filter(({ conversation, by }) => conversation === conv && by === therapist);
  return ours.map(({ message, by, step: type, name, note }) => {
    const step = WORDS[type];
    const said = { message, request, step, mine: by === me, name, note, state: answerOf(step, state) };
    return { ...said, therapist, colleague, client, lasting, stage };
  });
}

const WORDS = { "cover.request": "request", "cover.offer": "offer", "cover.card": "card" } as const;

/** What has come of one step. */
function answerOf(step: CoverStep["step"], { stage }: CoverState): CoverStep["state"] {
  switch (stage) {
    case "asked":
      return "open";
    case "agreeing":
      return "busy";
    case "refused":
      return "no";
    case "ready":
    case "offered":
      return step === "offer" ? "open" : "yes";
    case "declined":
      return step === "offer" ? "no" : "yes";
    case "accepted":
    case "handed_over":
      return "yes";
    case "over":
      return step === "card" ? "yes" : "over";
  }
}
