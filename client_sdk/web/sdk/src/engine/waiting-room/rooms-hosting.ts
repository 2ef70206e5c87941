/**
 * What a host does at the door of a waiting room, and join links into it.
 *
 * An act names the version of the room that the host was shown, so that two devices of hosts never undo each other; it
 * happens with a connection or not at all. Words that go with it are sealed, for the one whom it is about.
 *
 * Source: docs/protocol.md, chapter 23.
 */

import {
  encodeRoomLink,
  hashOfRoomLink,
  idOfRoomLink,
  parseRoomLink,
  type RoomLinkParts,
  SECRET_BYTES,
} from "../../crypto/room-links.ts";
import { utf8 } from "../../protocol/bytes.ts";
import { FormatError, LocalError } from "../../protocol/errors.ts";
import type { AccountId, AppointmentId, ConversationId, MessageId, RoomLinkId } from "../../protocol/ids.ts";
import type { HostAct, RoomAct, RoomLink, RoomView } from "../../protocol/meeting.ts";
import { viewOf } from "../appointments/appointments.ts";
import { WORDS_BYTES } from "../bodies/meetings.ts";
import { compose } from "../composing.ts";
import { accountsOf } from "../conversations.ts";
import { pairWith } from "../cover/covering.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import type { Turn } from "../vault/turn.ts";
import { isHost, isKnown, takeRoom } from "./rooms.ts";
import { isExpected, roomOf } from "./rooms-shown.ts";

/** A join link works from so long before the start, to so long after the end. */
const LINK_BEFORE_MS = 86_400_000;
const LINK_AFTER_MS = 3_600_000;
const PASSCODE_CHARACTERS = 64;

/** What a host wants. account: whom it is about; call: with admit, the id of the call that will be offered. */
export interface HostWish {
  readonly act: Exclude<RoomAct, "enter" | "leave">;
  readonly account?: AccountId | null;
  readonly call?: MessageId | null;
  /** With admit: although they are not on the appointment. */
  readonly sure?: boolean;
  /** Said to them, sealed; at most 500 bytes of UTF-8. */
  readonly words?: string;
}

/** Throws LocalError: "not_found" for an appointment without a room that is known here. */
export function requireRoom(turn: Turn, appointment: AppointmentId): void {
  if (!isKnown(turn, appointment)) {
    throw new LocalError("not_found", "no such waiting room");
  }
}

/** Throws LocalError: "not_found", "forbidden" for everybody but a therapist or owner of the appointment. */
export function requireHost(turn: Turn, appointment: AppointmentId): void {
  requireRoom(turn, appointment);
  if (!isHost(turn, appointment)) {
    throw new LocalError("forbidden", "a host does that");
  }
}

/**
 * The act as it is sent. LocalError: "not_found", "forbidden" for nobody's host and, without `sure`, for admitting
 * somebody whom the sealed appointment does not know, "too_large".
 */
export function actOf(turn: Turn, appointment: AppointmentId, wish: HostWish): HostAct {
  requireHost(turn, appointment);
  const { act, account = null, call = null, sure = false, words = "" } = wish;
  if (act === "admit" && !sure && (account === null || !isExpected(turn, appointment, account))) {
    throw new LocalError("forbidden", "this person is not on the appointment: ask twice");
  }
  if (utf8(words).length > WORDS_BYTES) {
    throw new LocalError("too_large", `words: at most ${WORDS_BYTES} bytes of UTF-8`);
  }
  if (words !== "" && (account === null || placeOfWords(turn, appointment, account) === null)) {
    throw new LocalError("not_found", "no conversation with them to say it in");
  }
  return { act, version: roomOf(turn, appointment)?.version ?? 0, account, call, sure };
}

/** The server has done it: the room is as it says, and the words are on their way. */
export function acted(turn: Turn, appointment: AppointmentId, wish: HostWish, view: RoomView): void {
  const { act, account = null, words = "" } = wish;
  const conv = words === "" || account === null ? null : placeOfWords(turn, appointment, account);
  takeRoom(turn, view);
  if (conv !== null) {
    compose(turn, conv, { type: "room.words", appointment, act, words });
  }
}

/** The pair in which somebody is told something about an appointment: its own, else any with them. */
function placeOfWords(turn: Turn, appointment: AppointmentId, account: AccountId): ConversationId | null {
  const conv = viewOf(turn, appointment)?.conversation ?? null;
  const conversation = conv === null ? null : CONVERSATIONS.get(turn.tx, conv);
  const isPair = conversation?.membership?.kind === "pair" && accountsOf(turn, conversation).includes(account);
  return isPair ? conv : pairWith(turn, account);
}

// --- join links ------------------------------------------------------------------------------------------------------

/** A new link and what the server is told of it. LocalError: "not_found", "forbidden", "too_large" for the passcode. */
export function newRoomLink(
  turn: Turn,
  appointment: AppointmentId,
  passcode: string,
): { readonly url: string; readonly body: RoomLink } {
  requireHost(turn, appointment);
  const known = viewOf(turn, appointment);
  if ([...passcode].length > PASSCODE_CHARACTERS) {
    throw new LocalError("too_large", `passcode: at most ${PASSCODE_CHARACTERS} characters`);
  }
  const secret = turn.random(SECRET_BYTES);
  const [link, secretHash] = [idOfRoomLink(secret), hashOfRoomLink(secret)];
  const { startMs = 0, endMs = 0 } = known ?? {};
  const times = { notBeforeMs: Math.max(0, startMs - LINK_BEFORE_MS), expiresMs: endMs + LINK_AFTER_MS };
  const url = encodeRoomLink({ base: turn.me.base, appointment, secret });
  return { url, body: { link, secretHash, ...times, passcode } };
}

/** A join link of our own server, and what the server calls it. LocalError: "bad_format", "forbidden" for another one. */
export function readRoomLink(turn: Turn, url: string): RoomLinkParts & { readonly link: RoomLinkId } {
  let parts: RoomLinkParts;
  try {
    parts = parseRoomLink(url);
  } catch (problem) {
    if (problem instanceof FormatError) {
      throw new LocalError("bad_format", "this is no link into a waiting room");
    }
    throw problem;
  }
  if (parts.base !== turn.me.base) {
    throw new LocalError("forbidden", "this link is of another server");
  }
  return { ...parts, link: idOfRoomLink(parts.secret) };
}
