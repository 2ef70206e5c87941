/**
 * What own devices say to each other in the self conversation, and what each kind of it does here.
 *
 * Only posts of our account's listed devices count, and only in the self conversation; a device that has been removed
 * since has no say any more, not even in history. Source: docs/protocol.md, section 4.10.
 */

import { FormatError } from "../protocol/errors.ts";
import { selfConversation } from "../protocol/signed.ts";
import { type Content, type OwnContent, type OwnSetting, parseContent } from "./bodies/content.ts";
import { readElsewhere } from "./delivery.ts";
import type { OpenedMessage } from "./opening.ts";
import { takePin } from "./own-pins.ts";
import { SETTINGS_MOST, settings, tell } from "./own-state.ts";
import { ownValue, settleValue, standing, unqueueValue } from "./own-values.ts";
import * as errands from "./vault/errands.ts";
import type { OutgoingPost } from "./vault/outgoing.ts";
import { CONVERSATIONS } from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** Whether a content is for our own devices, with one value per type and subject. */
export function isOwnContent(content: Content | null): content is OwnContent {
  switch (content?.type) {
    case "own.read":
    case "own.mute":
    case "own.draft":
    case "own.setting":
    case "own.pin":
      return true;
    default:
      return false;
  }
}

/**
 * Whether every post counts, in whatever order (a position that only moves forward): `apply` is called for each. For the
 * others it is called with what stands now, when that has changed.
 */
function merges(content: OwnContent): boolean {
  return content.type === "own.read";
}

/** What the content does here. */
function apply(turn: Turn, content: OwnContent): void {
  switch (content.type) {
    case "own.read":
      readElsewhere(turn, content.conv, content.id);
      break;
    case "own.mute": {
      const conversation = CONVERSATIONS.get(turn.tx, content.conv);
      if (conversation !== null && conversation.mutedUntilMs !== content.until) {
        amend(CONVERSATIONS, turn.tx, content.conv, { mutedUntilMs: content.until });
        turn.show({ type: "conversationChanged", conversation: content.conv });
      }
      break;
    }
    case "own.draft": {
      const conversation = CONVERSATIONS.get(turn.tx, content.conv);
      const writing = errands.planned(turn, "draft", content.conv); // that will be told, and counts above this
      if (conversation !== null && !writing && conversation.draft !== content.text) {
        amend(CONVERSATIONS, turn.tx, content.conv, { draft: content.text });
        turn.show({ type: "conversationChanged", conversation: content.conv });
      }
      break;
    }
    case "own.setting":
      turn.show({ type: "settingChanged", name: content.name });
      break;
    case "own.pin":
      takePin(turn, content);
  }
}

/** An own device says something, live or from the archive. */
export function takeOwn(turn: Turn, message: OpenedMessage, content: OwnContent): void {
  const { account } = turn.me;
  if (message.outer.account !== account || message.outer.conv !== selfConversation(account) || !message.known.listed) {
    return;
  }
  if (content.type === "own.setting" && isOneTooMany(turn, content)) {
    return;
  }
  const newest = settleValue(turn, content, message.envelope.seq);
  if (merges(content) || (newest && ownValue(turn, content).queued === null)) {
    apply(turn, content);
  }
}

function isOneTooMany(turn: Turn, content: OwnSetting): boolean {
  return standing(turn.tx, content) === null && Object.keys(settings(turn)).length >= SETTINGS_MOST;
}

/**
 * The server has given a post of ours its place: from now on it counts by that.
 *
 * What another device said at a higher place, and we kept back, happens now.
 */
export function ownAccepted(turn: Turn, post: OutgoingPost, seq: number): void {
  const content = contentOf(post);
  if (content !== null) {
    settleValue(turn, content, seq);
    unqueue(turn, post, content);
  }
}

/** The server will never take it: what others have said counts again. */
export function ownGivenUp(turn: Turn, post: OutgoingPost): void {
  const content = contentOf(post);
  if (content !== null) {
    unqueue(turn, post, content);
  }
}

function unqueue(turn: Turn, post: OutgoingPost, content: OwnContent): void {
  unqueueValue(turn, content, post.id);
  const stands = standing(turn.tx, content);
  if (stands !== null && !merges(content) && !isSame(stands, content)) {
    apply(turn, stands);
  }
}

/** Both were read by `parseContent`: their fields stand in one order. */
function isSame(left: OwnContent, right: OwnContent): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** What an outgoing post says to our own devices; null if it is for others. */
function contentOf(post: OutgoingPost): OwnContent | null {
  try {
    const content = parseContent(post.type, post.content);
    return isOwnContent(content) ? content : null;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

/** This device has signed a list with a new device of ours: it is told what no archive holds. */
export function deviceAdded(turn: Turn): void {
  for (const [, { conv, readId, draft }] of CONVERSATIONS.list(turn.tx)) {
    if (readId !== null) {
      tell(turn, { type: "own.read", conv, id: readId });
    }
    if (draft) {
      tell(turn, { type: "own.draft", conv, text: draft });
    }
  }
}
