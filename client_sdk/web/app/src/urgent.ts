/** Urgent messages as screens show them: what was tried, what marking would do, and who is asked to look. Pure. */

import { type Aside, type CrisisLine, numbersOf, textsFor, type UrgentCall, type UrgentPlan } from "@rapport/elements";
import type { Conversation, Message, RapportClient } from "@rapport/sdk";
import { coverOf, nameOf, otherName } from "./office-views.ts";
import { helpCountry } from "./preferences.ts";

/** Lines that stand in a confirmation: few, so that they are read. */
const LINES_MOST = 4;

/** Below each urgent message of a client's own: what the server says it tried, and who has seen it. */
export function urgentAsides(client: RapportClient, conversation: Conversation, messages: readonly Message[]): Aside[] {
  const me = client.identity?.account;
  const name = otherName(client, conversation);
  const cover = coverOf(client, conversation)?.name ?? "";
  return messages.flatMap((message): Aside[] => {
    const { id, atMs: markedMs } = message;
    const stands = message.urgent && message.account === me ? conversation.urgency(id) : null;
    if (stands === null) {
      return [];
    }
    const { atMs, nextMs, silent, seenBy, seenMs } = stands;
    const rung = atMs === 0 || message.status === "queued" ? "queued" : stands.rung;
    const seen = seenBy === null ? null : { name: nameOf(client, seenBy), atMs: seenMs };
    return [
      {
        id: `${id} urgent`,
        after: id,
        kind: "urgent",
        urgency: { name, cover, markedMs, rung, atMs, nextMs, silent, seen },
      },
    ];
  });
}

/** What marking as urgent would do here; null for everybody but a client who writes to their therapist. */
export function urgentPlan(client: RapportClient, conversation: Conversation): UrgentPlan | null {
  const shown = conversation.office;
  if (shown === null) {
    return null;
  }
  const closed = shown.state !== null && shown.state.status !== "open";
  return {
    cover: coverOf(client, conversation)?.name ?? "",
    muted: closed && shown.hours?.pushClosed === "none",
    lines: linesFor(conversation),
  };
}

/** The emergency number, the therapist's own lines, the country's. */
function linesFor(conversation: Conversation): CrisisLine[] {
  const card = conversation.card;
  const { crisis } = textsFor(document.documentElement.lang);
  const numbers = numbersOf(helpCountry() ?? card?.country ?? "");
  const country = numbers.lines.filter(({ send }) => !send).map(({ name, number, note }) => ({ name, number, note }));
  const first = { name: crisis.emergency, number: numbers.emergency, note: "" };
  return [first, ...(card?.lines ?? []), ...country].slice(0, LINES_MOST);
}

/** Urgent messages that this account is asked to look at, the oldest first. */
export function callsOf(client: RapportClient): UrgentCall[] {
  const named = new Map(client.conversations().map((one) => [one.id, otherName(client, one)]));
  const me = client.identity?.account;
  return client.urgentCalls().map(({ conversation, message, atMs, therapist }) => ({
    conversation,
    message,
    atMs,
    name: named.get(conversation) ?? "",
    therapist: therapist === null || therapist === me ? "" : nameOf(client, therapist),
  }));
}
