/** When what was read of a conversation has to be read again. */

import type { ClientEvent } from "@rapport/sdk";

/** Events that say that what stands in a conversation is not what was read of it; each names the conversation. */
export const STALE = [
  "messageReceived",
  "messageChanged",
  "messageStatus",
  "messageRemoved",
  "placeholder",
  "placeholderRemoved",
  "notDelivered",
  "notReadable",
  "conversationChanged",
] as const satisfies readonly ClientEvent["type"][];
