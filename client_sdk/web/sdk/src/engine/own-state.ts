/**
 * What this device tells the account's other devices: how far was read, what is muted, drafted and set.
 *
 * It happens here at once and is posted into the self conversation, sealed like everything else. How often is bounded:
 * read positions go with the read receipts, at most one per ten seconds and conversation; drafts at most one per two
 * seconds and conversation; and a post that has not left yet is given the new value instead of a successor.
 *
 * Source: docs/protocol.md, section 4.10.
 */

import { utf8 } from "../protocol/bytes.ts";
import { LocalError } from "../protocol/errors.ts";
import type { ConversationId } from "../protocol/ids.ts";
import { MAX_INTEGER } from "../protocol/limits.ts";
import {
  archived,
  asMap,
  type OwnContent,
  SETTING_BYTES,
  SETTING_NAME_CHARACTERS,
  TEXT_BYTES,
} from "./bodies/content.ts";
import { compose } from "./composing.ts";
import { listedDevices } from "./contacts.ts";
import { openSelf, othersIn } from "./conversations.ts";
import { newestRead } from "./delivery.ts";
import { ownValue, queueValue, standingAll } from "./own-values.ts";
import * as errands from "./vault/errands.ts";
import { OUTBOX } from "./vault/outgoing.ts";
import { CONVERSATIONS, type Conversation, OWN } from "./vault/records.ts";
import { amend } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** At most one draft per conversation in this time. */
const DRAFT_EVERY_MS = 2_000;
/** Most named settings; a further name is refused here, and ignored when another device says it. */
export const SETTINGS_MOST = 256;

/**
 * Posts to our other devices what has just been changed here.
 *
 * What is not archived is told only if there is another device: nobody else could ever read it.
 */
export function tell(turn: Turn, content: OwnContent): void {
  const { queued } = ownValue(turn, content);
  const waiting = queued === null ? null : OUTBOX.get(turn.tx, queued);
  if (waiting !== null && waiting.sealed === null && waiting.chain === 0) {
    const after = { ...waiting, content: asMap(content) };
    OUTBOX.put(turn.tx, waiting.id, after, { group: waiting.conv, order: waiting.order });
    queueValue(turn, content, waiting.id);
  } else if (archived(content.type) || listedDevices(turn, turn.me.account).length > 1) {
    queueValue(turn, content, compose(turn, openSelf(turn), content));
  }
}

function needConversation(turn: Turn, conv: ConversationId): Conversation {
  const found = CONVERSATIONS.get(turn.tx, conv);
  if (found === null) {
    throw new LocalError("not_found", "no such conversation");
  }
  return found;
}

// --- read positions ------------------------------------------------------------------------------------------------

/**
 * Ten seconds are over, or it was the first.
 *
 * One read receipt for everything read since, and the same to our other devices.
 */
export function tellRead(turn: Turn, conv: ConversationId): void {
  errands.drop(turn, "read", conv);
  const conversation = needConversation(turn, conv);
  const newest = newestRead(turn, conversation);
  if (newest === null || newest === conversation.told) {
    return;
  }
  amend(CONVERSATIONS, turn.tx, conv, { told: newest, toldMs: turn.nowMs });
  if (othersIn(turn, conversation).length > 0) {
    compose(turn, conv, { type: "read", id: newest });
  }
  tell(turn, { type: "own.read", conv, id: newest });
}

// --- mute and drafts -----------------------------------------------------------------------------------------------

/**
 * Nothing rings for the conversation until then, on any of our devices.
 *
 * null = it is not muted. LocalError: "not_found"; "bad_format" for a time outside of 1 to 2^53 - 1.
 */
export function mute(turn: Turn, conv: ConversationId, untilMs: number | null): void {
  if (untilMs !== null && !(Number.isInteger(untilMs) && untilMs > 0 && untilMs <= MAX_INTEGER)) {
    throw new LocalError("bad_format", "until: milliseconds, 1 to 2^53 - 1");
  }
  const until = untilMs ?? 0;
  if (needConversation(turn, conv).mutedUntilMs !== until) {
    amend(CONVERSATIONS, turn.tx, conv, { mutedUntilMs: until });
    tell(turn, { type: "own.mute", conv, until });
  }
}

/**
 * What stands in the input, "" for nothing; told to our other devices every two seconds at most.
 *
 * LocalError: "not_found", "too_large" above 15,000 bytes.
 */
export function setDraft(turn: Turn, conv: ConversationId, text: string): void {
  if (utf8(text).length > TEXT_BYTES) {
    throw new LocalError("too_large", `draft: at most ${TEXT_BYTES} bytes of UTF-8`);
  }
  const conversation = needConversation(turn, conv);
  if (conversation.draft === text) {
    return;
  }
  amend(CONVERSATIONS, turn.tx, conv, { draft: text });
  errands.plan(turn, "draft", conv, { dueMs: Math.max(turn.nowMs, conversation.draftToldMs + DRAFT_EVERY_MS) });
}

/** Two seconds are over, or it was the first: the draft as it stands now is told. */
export function draftDue(turn: Turn, conv: ConversationId): void {
  errands.drop(turn, "draft", conv);
  const { draft } = amend(CONVERSATIONS, turn.tx, conv, { draftToldMs: turn.nowMs });
  tell(turn, { type: "own.draft", conv, text: draft });
}

// --- settings ------------------------------------------------------------------------------------------------------

/**
 * Sets a named value on all of our devices; null removes it.
 *
 * LocalError: "bad_format" for a name that is not 1 to 64 characters, "too_large" for a value above 4,096 bytes,
 * "too_many" for a name beyond the 256th.
 */
export function setSetting(turn: Turn, name: string, value: string | null): void {
  const characters = [...name].length;
  if (characters === 0 || characters > SETTING_NAME_CHARACTERS) {
    throw new LocalError("bad_format", `name: 1 to ${SETTING_NAME_CHARACTERS} characters`);
  }
  if (value !== null && utf8(value).length > SETTING_BYTES) {
    throw new LocalError("too_large", `value: at most ${SETTING_BYTES} bytes of UTF-8`);
  }
  const held = new Map(Object.entries(settings(turn)));
  if ((held.get(name) ?? null) === value) {
    return;
  }
  if (!held.has(name) && held.size >= SETTINGS_MOST) {
    throw new LocalError("too_many", `at most ${SETTINGS_MOST} settings`);
  }
  tell(turn, { type: "own.setting", name, value });
}

/** All settings as they stand. */
export function settings(turn: Turn): Readonly<Record<string, string>> {
  const found: [name: string, value: string][] = [];
  for (const { name, value } of standingAll(turn.tx, "own.setting")) {
    if (value !== null) {
      found.push([name, value]);
    }
  }
  return Object.fromEntries(found);
}

/** The same if this turn may have changed them, else null. */
export function changedSettings(turn: Turn): Readonly<Record<string, string>> | null {
  return turn.written(OWN.name).length > 0 ? settings(turn) : null;
}
