/**
 * Cover and hand-over: who may say what where, and what has come of it. Pure: steps in, state out.
 *
 *     request        therapist  to colleague   in their pair
 *     ready/refused  colleague  to therapist   in that pair
 *     offer          therapist  to client      in theirs, names that colleague and carries that link
 *     accepted/refused  client  to therapist   in that pair
 *     card           therapist  to colleague   in the pair of the request
 *
 * Every device folds the steps that it has opened, in whatever order it met them. Of several steps in one place the one
 * that the server accepted first counts, our own that waits in the outbox last: all devices come to the same.
 *
 * Source: docs/protocol.md, chapter 18.
 */

import type { CoverSide, CoverStage, CoverState } from "../../agreements.ts";
import type { MessageKind } from "../../events.ts";
import { toHex } from "../../protocol/bytes.ts";
import type { AccountId, ConversationId, DeviceId, MessageId } from "../../protocol/ids.ts";
import { INVITE_LIFE_MS, MAX_INTEGER } from "../../protocol/limits.ts";
import { isAdmin } from "../../protocol/membership-entries.ts";
import type { Role } from "../../protocol/requests.ts";
import type { CoverAccepted, CoverCard, CoverOffer, CoverReady, CoverRefused, CoverRequest } from "./agreements.ts";
import type { Content } from "./content.ts";

/** What is said about a cover. */
export type CoverContent = CoverRequest | CoverReady | CoverRefused | CoverOffer | CoverAccepted | CoverCard;
/** Steps that stand in their conversation for people to read; the others are control posts. */
export type CoverBubble = CoverRequest | CoverOffer | CoverCard;

const KINDS = {
  "cover.request": "cover_request",
  "cover.offer": "cover_offer",
  "cover.card": "cover_card",
} as const satisfies Record<CoverBubble["type"], MessageKind>;

const TYPES: ReadonlySet<string> = new Set<CoverContent["type"]>([
  "cover.request",
  "cover.ready",
  "cover.refused",
  "cover.offer",
  "cover.accepted",
  "cover.card",
]);

/** Whether a content is a step of a cover. */
export function isCoverContent(content: Content | null): content is CoverContent {
  return content !== null && TYPES.has(content.type);
}

/** Whether a content is a step that people read. */
export function isCoverBubble(content: Content | null): content is CoverBubble {
  return content !== null && Object.hasOwn(KINDS, content.type);
}

/** What sort of message such a step is. */
export function kindOf(content: CoverBubble): MessageKind {
  return KINDS[content.type];
}

/** The id that holds the steps of one cover together, 32 hexadecimal digits. */
export function requestOf(content: CoverContent): string {
  return toHex(content.request);
}

/** One step as it was said, in a pair of `by` and `other`. seq: 0 while it waits in our outbox. */
export interface Heard<C extends CoverContent = CoverContent> {
  readonly content: C;
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly by: AccountId;
  readonly device: DeviceId;
  readonly other: AccountId;
  readonly seq: number;
  readonly atMs: number;
}

/** Whether somebody of this role may say this in a pair with somebody of that role. */
export function fits({ type }: CoverContent, by: Role, other: Role): boolean {
  const [colleagues, toClient] = [isAdmin(by) && isAdmin(other), isAdmin(by) && other === "client"];
  const byClient = by === "client" && isAdmin(other);
  switch (type) {
    case "cover.request":
    case "cover.ready":
    case "cover.card":
      return colleagues;
    case "cover.refused":
      return colleagues || byClient;
    case "cover.offer":
      return toClient;
    case "cover.accepted":
      return byClient;
  }
}

type Answer = CoverReady | CoverRefused;
type Consent = CoverAccepted | CoverRefused;

/** The steps of one request, each kind where it belongs; null = not said, or not by whom it must be. */
interface Said {
  readonly request: Heard<CoverRequest>;
  readonly answer: Heard<Answer> | null;
  readonly offer: Heard<CoverOffer> | null;
  readonly consent: Heard<Consent> | null;
  readonly card: Heard<CoverCard> | null;
}

/**
 * What has come of one request, seen by our account; null when nothing in it is for us. When it ends by itself is said
 * in `endsMs`, see `atTime`.
 *
 * over: the link was tried and is of no use any more.
 */
export function fold(me: AccountId, steps: readonly Heard[], { over = false } = {}): CoverState | null {
  const asked = first(steps, ["cover.request"], ({ by }) => by === me);
  if (asked !== null) {
    return asTherapist(saidOf(steps, asked, me));
  }
  const request = first(steps, ["cover.request"], ({ other }) => other === me);
  if (request !== null) {
    return asColleague(saidOf(steps, request, me));
  }
  const offer = offerTo(me, steps);
  return offer === null ? null : asClient(steps, offer, over);
}

/** The state at this time of the server: an invite works for seven days, and it was made before it was spoken of. */
export function atTime(state: CoverState, nowMs: number): CoverState {
  return state.endsMs > 0 && nowMs >= state.endsMs ? { ...state, stage: "over" } : state;
}

function saidOf(steps: readonly Heard[], request: Heard<CoverRequest>, me: AccountId): Said {
  const [therapist, colleague, { client }] = [request.by, request.other, request.content];
  if (client === therapist || client === colleague) {
    return { request, answer: null, offer: null, consent: null, card: null };
  }
  const inPair = steps.filter(({ conv }) => conv === request.conv);
  const offer = first(steps, ["cover.offer"], ({ by, other }) => by === me && other === client);
  return {
    request,
    answer: first(inPair, ["cover.ready", "cover.refused"], ({ by }) => by === colleague),
    offer,
    consent: offer === null ? null : consentTo(steps, offer),
    card: first(inPair, ["cover.card"], ({ by }) => by === therapist),
  };
}

function consentTo(steps: readonly Heard[], offer: Heard<CoverOffer>): Heard<Consent> | null {
  const kinds = ["cover.accepted", "cover.refused"] as const;
  return first(steps, kinds, ({ conv, by }) => conv === offer.conv && by === offer.other);
}

/** The step that the server accepted first; of two that wait, or stand in different places, the older one. */
function first<T extends CoverContent["type"]>(
  steps: readonly Heard[],
  types: readonly T[],
  counts: (step: Heard<Extract<CoverContent, { type: T }>>) => boolean,
): Heard<Extract<CoverContent, { type: T }>> | null {
  const isOne = (step: Heard): step is Heard<Extract<CoverContent, { type: T }>> =>
    (types as readonly string[]).includes(step.content.type);
  return steps.filter(isOne).filter(counts).sort(byPlace)[0] ?? null;
}

function byPlace(left: Heard, right: Heard): number {
  const places = (left.seq || MAX_INTEGER) - (right.seq || MAX_INTEGER);
  return places || left.atMs - right.atMs || (left.id < right.id ? -1 : 1);
}

// --- one side each ---------------------------------------------------------------------------------------------------

function asTherapist({ request, answer, offer, consent, card }: Said): CoverState {
  let [newest, stage]: [Heard, CoverStage] = [request, "asked"];
  if (answer !== null) {
    [newest, stage] = [answer, answer.content.type === "cover.ready" ? "ready" : "refused"];
  }
  if (offer !== null) {
    [newest, stage] = [offer, "offered"];
  }
  if (consent !== null) {
    [newest, stage] = [consent, agreedOrNot(consent)];
  }
  const isOpen = answer !== null && (stage === "ready" || stage === "offered");
  if (card !== null && stage === "accepted") {
    [newest, stage] = [card, "handed_over"];
  }
  return stateOf(request, newest, "therapist", stage, isOpen ? answer : null);
}

function asColleague({ request, answer, card }: Said): CoverState {
  if (answer === null) {
    return stateOf(request, request, "colleague", "asked", null);
  }
  if (answer.content.type === "cover.refused") {
    return stateOf(request, answer, "colleague", "refused", null);
  }
  return card === null
    ? stateOf(request, answer, "colleague", "ready", answer)
    : stateOf(request, card, "colleague", "handed_over", null);
}

function asClient(steps: readonly Heard[], offer: Heard<CoverOffer>, over: boolean): CoverState {
  const { content, conv, by, other } = offer;
  const consent = consentTo(steps, offer);
  const isOpen = consent === null && !over;
  return {
    request: requestOf(content),
    side: "client",
    stage: consent !== null ? agreedOrNot(consent) : over ? "over" : "offered",
    conversation: conv,
    therapist: by,
    colleague: content.colleague,
    client: other,
    name: content.name,
    note: content.note,
    lasting: content.lasting,
    atMs: (consent ?? offer).atMs,
    endsMs: isOpen ? offer.atMs + INVITE_LIFE_MS : 0,
  };
}

function agreedOrNot({ content }: Heard<Consent>): CoverStage {
  return content.type === "cover.accepted" ? "accepted" : "declined";
}

/** ends: what was said of the link that waits to be used, null for none. */
function stateOf(
  request: Heard<CoverRequest>,
  newest: Heard,
  side: CoverSide,
  stage: CoverStage,
  ends: Heard | null,
): CoverState {
  const { content, conv, by, other } = request;
  return {
    request: requestOf(content),
    side,
    stage,
    conversation: conv,
    therapist: by,
    colleague: other,
    client: content.client,
    name: content.name,
    note: content.note,
    lasting: content.lasting,
    atMs: newest.atMs,
    endsMs: ends === null ? 0 : ends.atMs + INVITE_LIFE_MS,
  };
}

/** The link that stands in what was said: for the therapist the colleague's, for the client the offered one. */
export function linkIn(me: AccountId, steps: readonly Heard[]): string | null {
  const request = first(steps, ["cover.request"], ({ by }) => by === me);
  if (request !== null) {
    const { answer } = saidOf(steps, request, me);
    return answer?.content.type === "cover.ready" ? answer.content.link : null;
  }
  return offerTo(me, steps)?.content.link ?? null;
}

/** The offer to us that counts: of a third person, by somebody who is not that person. */
function offerTo(me: AccountId, steps: readonly Heard[]): Heard<CoverOffer> | null {
  return first(steps, ["cover.offer"], ({ content: { colleague }, by, other }) => {
    return other === me && colleague !== by && colleague !== other;
  });
}
