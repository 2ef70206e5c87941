// What driven devices do about calls, without media: `devices.ts` says what each order is.

import type { Description } from "../../src/engine/bodies/meetings.ts";
import { viewCalls } from "../../src/engine/calls/calls.ts";
import {
  answerCall,
  callMedia,
  declineCall,
  describeCall,
  hangUpCall,
  offerCall,
} from "../../src/engine/calls/calls-here.ts";
import type { Step } from "../../src/engine/core.ts";
import { MESSAGES } from "../../src/engine/vault/records.ts";
import type { Turn } from "../../src/engine/vault/turn.ts";
import { type ConversationId, idOf, type MessageId } from "../../src/protocol/ids.ts";

const PAGE = "driven";

function described(kind: Description["kind"], print: string): Description {
  return { kind, sdp: `v=0\r\na=fingerprint:sha-256 ${print}:${print}\r\na=ice-ufrag:${print}\r\n` };
}

function offer(turn: Turn, conv: ConversationId): MessageId {
  const id = idOf<MessageId>(turn.random(16));
  const description = described("offer", "cc");
  offerCall(turn, conv, { media: "video", description, appointment: null, id, page: PAGE });
  return id;
}

function accept(turn: Turn, call: MessageId): void {
  answerCall(turn, call, PAGE);
  describeCall(turn, call, PAGE, described("answer", "dd"), false);
}

function happen(turn: Turn, call: MessageId, event: string): void {
  if (event === "hang_up") {
    hangUpCall(turn, call);
  } else if (event === "decline") {
    declineCall(turn, call);
  } else {
    callMedia(turn, call, PAGE, "connected");
  }
}

function viewed(turn: Turn, call: MessageId): object {
  const found = viewCalls(turn).find(({ view }) => view.id === call);
  const { phase = "ended", reason = "", answeredElsewhere = false, answeredOn = null } = found?.view ?? {};
  const outcome = MESSAGES.get(turn.tx, call)?.call?.outcome ?? "";
  const described = (found?.orders.taken ?? 0) > 0;
  return { phase, reason, answeredElsewhere, answeredOn, outcome, described };
}

/** The step of an order about calls; undefined for every other order. */
export function callStep(what: string, [first, second]: readonly unknown[]): Step<unknown> | undefined {
  const id = String(first);
  const steps: Readonly<Record<string, Step<unknown>>> = {
    callOffer: (turn) => offer(turn, id as ConversationId),
    callAccept: (turn) => accept(turn, id as MessageId),
    callEvent: (turn) => happen(turn, id as MessageId, String(second)),
    callView: (turn) => viewed(turn, id as MessageId),
  };
  return Object.hasOwn(steps, what) ? steps[what] : undefined;
}
