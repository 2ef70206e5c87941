/**
 * What should not have happened, kept so that a person can read it later.
 *
 * Every SecurityEvent of a turn is stored in the same transaction as what it is about. The same thing is stored once an
 * hour, and each kind has its own share of the log: a server that provokes one kind a million times pushes nothing else
 * out.
 */

import type { LogEntry, SecurityKind } from "../events.ts";
import { toHex } from "../protocol/bytes.ts";
import type { Noticed } from "./vault/records.ts";
import { NOTICED } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

/** Most entries of the log, all kinds together. */
export const LOG_MOST = 1_000;
/** The same kind about the same account, device and conversation is stored once in this time. */
export const ONCE_MS = 3_600_000;

/** What a person reads, per kind: what happened, what was kept, what to do. */
export const SENTENCES: Readonly<Record<SecurityKind, string>> = {
  equivocation:
    "Two different lists of this person's devices carry valid signatures; both were kept and nothing is sent to " +
    "them: compare safety numbers with them.",
  forged_list:
    "The server showed a list of this person's devices with a wrong signature or against the rules; it was " +
    "ignored and the list that was known stays: nothing to do.",
  forged_entry:
    "The server showed a change of a conversation's members that nobody entitled has signed; it was ignored: " +
    "nothing to do.",
  forged_prekeys:
    "The server handed out keys for a device which that device did not sign; they were not used, and your message" +
    " waits for the right ones: nothing to do.",
  unlisted_device:
    "The server asked for a key for a device that is not on this person's signed list; it got none and your " +
    "messages wait: if it goes on, ask whoever runs the server.",
  withheld_device:
    "The server left out a device that wrote to you lately; your messages wait, so that nobody is left out " +
    "unnoticed: if it goes on, ask whoever runs the server.",
  unknown_sender: "A message came from a device or person who does not belong here; it was not opened: nothing to do.",
  no_such_message:
    "The server delivered a message which its sender says they never wrote; it was removed from the conversation:" +
    " nothing to do.",
  order:
    "The server numbered messages in another order than they were written in; they are shown as they are " +
    "numbered: read the conversation again before you rely on its order.",
  identity_changed:
    "This person appears with a new identity: perhaps they lost all their devices, perhaps somebody is in their " +
    "place; nothing is sent to them: ask them in another way, and acknowledge it only if they confirm it.",
  old_list:
    "The server answered with older lists of this person's devices than were known already; they were ignored: " +
    "nothing to do.",
  withheld_list:
    "The server keeps back a change of this person's devices that somebody else has seen; messages go to the " +
    "devices known so far: ask this person whether they removed a device.",
  altered:
    "A message was changed on its way; the change was not shown and the original is asked of its sender: nothing " +
    "to do.",
  commitment:
    "The sender of a message tried to give it a second meaning; it was not shown: ask them what they meant to " +
    "say.",
  last_resort:
    "The server had no fresh one-time key for a device and a reusable one was taken; that is usual for a device " +
    "that was away for long, and a new key follows with the next renewal: nothing to do.",
  old_prekey:
    "The server handed out a key of a device that is more than 30 days old; it was used, since that device may " +
    "have been away: nothing to do, unless the person uses that device daily.",
  prekey_reused:
    "The server handed a one-time key of yours out twice; the second message could not be opened with it and is " +
    "asked of its sender again: nothing to do.",
  withheld_message:
    "The server does not deliver a message that was sent; its sender is asked for it: nothing to do, unless it " +
    "stays missing.",
  not_delivered:
    "A message of yours has not arrived for a day, though the person was online; it is kept: ask them whether " +
    "they can read it.",
  forged_archive:
    "The server showed stored history that none of your devices has written; it was ignored: nothing to do.",
  history_gap:
    "The stored history has gaps: messages with a limited life that are over, some that no device of yours has " +
    "opened yet, or something that the server keeps back; what is there was kept: look on another device of " +
    "yours.",
  key_refused:
    "A device of somebody else asked for the key of a message that was not meant for them; it got none: nothing " +
    "to do.",
  forged_sign_in:
    "The server claimed to have met this device in a later state, without this device's signature; nothing was " +
    "changed: nothing to do.",
  forged_office:
    "The server showed office hours of this person that none of their devices has signed, or against the rules; " +
    "they were ignored: nothing to do.",
  office_equivocation:
    "Two different office hours of this person of one version carry valid signatures; the first ones stay: ask " +
    "them when they are there.",
  old_office:
    "The server showed older office hours of this person than were known already; they were ignored: nothing to do.",
  withheld_office:
    "This person writes under newer office hours than the server gives out; theirs are not shown meanwhile: ask " +
    "them when they are there.",
  wrong_server:
    "Something answered at the server's address that is not the server you joined; nothing was told to it: try " +
    "another network, and ask whoever runs the server.",
};

const KINDS = Object.keys(SENTENCES) as readonly SecurityKind[];
const MOST_PER_KIND = Math.floor(LOG_MOST / KINDS.length);

/** Stores what this turn shows as a SecurityEvent; call it once, at the turn's end. */
export function keepNoticed(turn: Turn): void {
  for (const event of turn.events) {
    if (event.type === "securityEvent") {
      const { kind, conversation: conv, account, device } = event;
      keep(turn, { kind, atMs: turn.nowMs, conv, account, device });
    }
  }
}

function keep(turn: Turn, noticed: Noticed): void {
  const group = noticed.kind;
  for (const [, held] of NOTICED.list(turn.tx, group, { above: turn.nowMs - ONCE_MS })) {
    if (held.conv === noticed.conv && held.account === noticed.account && held.device === noticed.device) {
      return;
    }
  }
  NOTICED.put(turn.tx, toHex(turn.random(16)), noticed, { group, order: turn.nowMs });
  if (NOTICED.count(turn.tx, group) > MOST_PER_KIND) {
    for (const [key] of NOTICED.list(turn.tx, group, { limit: 1 })) {
      NOTICED.delete(turn.tx, key);
    }
  }
}

/** The newest `limit` entries of all kinds, newest first. */
export function readLog(turn: Turn, limit: number): LogEntry[] {
  const most = Math.max(0, Math.min(limit, LOG_MOST));
  return KINDS.flatMap((kind) => NOTICED.list(turn.tx, kind, { limit: Math.max(1, most), newestFirst: true }))
    .map(([, { kind, atMs, conv, account, device }]) => {
      return { atMs, kind, sentence: SENTENCES[kind], conversation: conv, account, device };
    })
    .sort((left, right) => right.atMs - left.atMs)
    .slice(0, most);
}
