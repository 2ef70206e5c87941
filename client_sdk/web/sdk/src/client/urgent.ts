/** Urgent messages as a page asks about them: pure looks at a snapshot. */

import type { Urgency, UrgentCall, UrgentElsewhere } from "../agreements.ts";
import { type UrgentView, urgencyOf } from "../engine/urgent-shown.ts";
import type { Snapshot } from "../local-device/types.ts";
import type { ConversationId, MessageId } from "../protocol/ids.ts";
import { timeOf } from "./office.ts";

/** How an urgent message of a conversation stands; null for one that is not urgent, or long over. */
export function urgencyIn(
  snapshot: Snapshot,
  conv: ConversationId,
  message: MessageId,
  nowMs?: number,
): Urgency | null {
  const view = snapshot.urgent[message];
  const me = snapshot.identity?.account;
  if (view === undefined || me === undefined || view.row.conv !== conv || view.row.client === null) {
    return null;
  }
  return urgencyOf(view, me, nowMs ?? timeOf(snapshot));
}

/** What we are asked about in a conversation: the client has written it to a colleague, and nobody has confirmed it. */
export function elsewhereIn(snapshot: Snapshot, conv: ConversationId): UrgentElsewhere[] {
  return Object.values(snapshot.urgent).flatMap(({ message, row }) => {
    const { client, therapist, atMs } = row;
    const isOpen = row.conv === conv && row.seenBy === null && client !== null && therapist !== null;
    return isOpen ? [{ type: "urgentElsewhere" as const, client, therapist, message, atMs }] : [];
  });
}

/** Urgent messages of clients that nobody has confirmed, to us or to a colleague whose cover we are; oldest first. */
export function urgentCalls(snapshot: Snapshot): UrgentCall[] {
  const me = snapshot.identity?.account;
  const isOpen = ({ row }: UrgentView): boolean => row.client !== null && row.client !== me && row.seenBy === null;
  return Object.values(snapshot.urgent)
    .filter(isOpen)
    .map(({ message, row }) => ({ conversation: row.conv, message, atMs: row.atMs, therapist: row.therapist }))
    .sort((one, other) => one.atMs - other.atMs);
}
