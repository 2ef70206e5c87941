/**
 * What bodies say: the types of content that this version makes and understands, as maps inside the sealed body.
 *
 *     text            {text}                      a bubble
 *     edit            {id, text}                  control; by the author of the message `id`
 *     delete          {id}                        control; by the author
 *     reaction        {id, emoji or nil}          control; one per account and message
 *     read            {id}                        control; everything up to that message has been read
 *     profile         {name, device}              control; the sender's name and what the sending device is called
 *     invite          {token, conv}               control, self conversation; an invite that this account has made
 *     own.read        {conv, id}                  control, self conversation; read here up to that message
 *     own.mute        {conv, until}               control, self conversation; nothing rings for it until then
 *     own.draft       {conv, text}                control, self conversation; written and not sent
 *     own.setting     {name, value or nil}        control, self conversation; one named value
 *     own.archive_key {epoch, key}                control, self conversation; an archive key that was minted
 *     own.pin         {account, aik, version, hash, verified}  control, self conversation; a contact as pinned there
 *     keys.wanted     {}                          direct between own devices; archive keys are missing
 *     keys.given      {keys: [[epoch, key]]}      direct between own devices
 *     resend.request  {items: [[id, kc, body]]}   direct; kc zeros if unknown, body: outer, nonce and ct needed too
 *     resend.refusal  {items: [[id, reason]]}     direct
 *     resend.body     {id, outer, nonce, ct, key, at, size}    direct; a whole message again, or a piece of it
 *     resend.lost     {ids}                       direct; these could never be opened here
 *
 * Who answers, and when, stands in `agreements.ts`: cards, promises, urgent messages, cover. Calls and appointments stand
 * in `meetings.ts`.
 *
 * A type that is not known, or content of another shape, is kept and shown as unsupported. Source: docs/protocol.md,
 * chapter 4.
 */

import type { AccountId, ConversationId, MessageId } from "../../protocol/ids.ts";
import { CT_BYTES, MAX_INTEGER } from "../../protocol/limits.ts";
import { OUTER_BYTES } from "../../protocol/signed.ts";
import { AGREEMENTS, type Agreement } from "./agreements.ts";
import {
  bytes,
  type Field,
  type Fields,
  fieldsOf,
  flag,
  id,
  listOf,
  or,
  orNull,
  pairOf,
  row,
  type Shape,
  taken,
  text,
  whole,
} from "./content-fields.ts";
import { MEETINGS, type Meeting } from "./meetings.ts";

/** Longest text, bytes of UTF-8: it fits a body of 16,383 bytes with the largest roster. */
export const TEXT_BYTES = 15_000;
/** Longest reaction, bytes of UTF-8: the longest emoji sequence is below. */
export const EMOJI_BYTES = 64;
/** Longest name, bytes of UTF-8. */
export const NAME_BYTES = 200;
/** Longest name of a setting, characters. */
export const SETTING_NAME_CHARACTERS = 64;
/** Longest value of a setting, bytes of UTF-8. */
export const SETTING_BYTES = 4_096;
/** Longest name of a device, bytes of UTF-8. */
export const DEVICE_NAME_BYTES = 40;
/** Most archive keys of an account: the first, and one per removal. */
export const KEYS_MOST = 257;
/** Most messages in one resend request; the rest goes into the next one. */
export const RESEND_ITEMS = 64;
const U32_MOST = 2 ** 32 - 1;

/** A body's `content` as MessagePack has it: texts, whole numbers, byte strings, lists and maps of these. */
export type ContentMap = Readonly<Record<string, unknown>>;

/** A text that people read. */
export interface Text {
  readonly type: "text";
  readonly text: string;
}

/** The author's message says this now. */
export interface Edit {
  readonly type: "edit";
  readonly id: MessageId;
  readonly text: string;
}

/** The author's message is gone from view. */
export interface Delete {
  readonly type: "delete";
  readonly id: MessageId;
}

/** This account's reaction to a message; null takes it back. */
export interface Reaction {
  readonly type: "reaction";
  readonly id: MessageId;
  readonly emoji: string | null;
}

/** Everything up to this message has been read. */
export interface Read {
  readonly type: "read";
  readonly id: MessageId;
}

/** The sender's account is called this. device: what the sending device is called, "" if nothing. */
export interface Profile {
  readonly type: "profile";
  readonly name: string;
  readonly device: string;
}

/** To our own devices: an invite and its secret of 32 bytes. */
export interface InviteMade {
  readonly type: "invite";
  readonly token: Uint8Array;
  readonly conv: ConversationId;
}

/** To our own devices: everything of the conversation up to this message has been read. */
export interface OwnRead {
  readonly type: "own.read";
  readonly conv: ConversationId;
  readonly id: MessageId;
}

/** To our own devices: the conversation is muted until then, milliseconds; 0 = it is not. */
export interface OwnMute {
  readonly type: "own.mute";
  readonly conv: ConversationId;
  readonly until: number;
}

/** To our own devices: what stands in the conversation's input; "" = nothing. */
export interface OwnDraft {
  readonly type: "own.draft";
  readonly conv: ConversationId;
  readonly text: string;
}

/** To our own devices: a named value; null removes it. */
export interface OwnSetting {
  readonly type: "own.setting";
  readonly name: string;
  readonly value: string | null;
}

/**
 * To our own devices: a contact as this device has pinned it, and whether the person has compared safety numbers.
 * version, hash: of the newest list held.
 */
export interface OwnPin {
  readonly type: "own.pin";
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly version: number;
  readonly hash: Uint8Array;
  readonly verified: boolean;
}

/** To our own devices: AK_epoch (32 bytes), minted when a device was removed. */
export interface OwnArchiveKey {
  readonly type: "own.archive_key";
  readonly epoch: number;
  readonly key: Uint8Array;
}

/** To an own device: archive keys are missing here. */
export interface KeysWanted {
  readonly type: "keys.wanted";
}

/** To an own device: all archive keys that are held here, by epoch. */
export interface KeysGiven {
  readonly type: "keys.given";
  readonly keys: readonly (readonly [epoch: number, key: Uint8Array])[];
}

/** One message whose key is asked for again. commitment: kc as the asker has it, zeros if unknown. body: send it whole. */
export interface ResendItem {
  readonly id: MessageId;
  readonly commitment: Uint8Array;
  readonly body: boolean;
}

/** These messages cannot be opened here. */
export interface ResendRequest {
  readonly type: "resend.request";
  readonly items: readonly ResendItem[];
}

/** Why a key is not sent again. */
export type RefusalReason =
  /** This device never sent it, or not with that commitment. */
  | "no_such_message"
  /** The asking device was not among those that it was sealed for. */
  | "not_addressed"
  /** It is older than 97 days. */
  | "expired"
  /** Its time was over: it has been removed everywhere, and nobody needs to know that it was there. */
  | "removed";

/** One message that is not sent again, and why: a RefusalReason, or one of a later version. */
export interface RefusedItem {
  readonly id: MessageId;
  readonly reason: string;
}

/** These keys are not sent again. */
export interface ResendRefusal {
  readonly type: "resend.refusal";
  readonly items: readonly RefusedItem[];
}

/**
 * A whole message again, for a device to which the server does not give it. outer 125 bytes, nonce 24, key 32.
 *
 * A long ct comes in several bodies, in order. at: where this piece begins; size: of the whole, 0 = this is all.
 */
export interface ResendBody {
  readonly type: "resend.body";
  readonly id: MessageId;
  readonly outer: Uint8Array;
  readonly nonce: Uint8Array;
  readonly ct: Uint8Array;
  readonly key: Uint8Array;
  readonly at: number;
  readonly size: number;
}

/** These could never be opened here, and nobody is asked any more. */
export interface ResendLost {
  readonly type: "resend.lost";
  readonly ids: readonly MessageId[];
}

/** Word from one of our own devices to the others, in the self conversation. One value per type and subject. */
export type OwnContent = OwnRead | OwnMute | OwnDraft | OwnSetting | OwnPin;

/** Everything this version understands. */
export type Content =
  | Text
  | Edit
  | Delete
  | Reaction
  | Read
  | Profile
  | InviteMade
  | OwnContent
  | OwnArchiveKey
  | KeysWanted
  | KeysGiven
  | ResendRequest
  | ResendRefusal
  | ResendBody
  | ResendLost
  | Agreement
  | Meeting;

/** What an own content is about, among all of its type: a conversation, an account or a name. */
export function subjectOf(content: OwnContent): string {
  switch (content.type) {
    case "own.setting":
      return content.name;
    case "own.pin":
      return content.account;
    default:
      return content.conv;
  }
}

const conv = id<ConversationId>();
const message = id<MessageId>();
const key = bytes(32);
const archiveKey: Field<readonly [number, Uint8Array]> = pairOf(whole(1, U32_MOST), key);

const SHAPES: { readonly [Type in Content["type"]]: Shape<Omit<Extract<Content, { type: Type }>, "type">> } = {
  text: { text: text(TEXT_BYTES) },
  edit: { id: message, text: text(TEXT_BYTES) },
  delete: { id: message },
  reaction: { id: message, emoji: orNull(text(EMOJI_BYTES, 1)) },
  read: { id: message },
  profile: { name: text(NAME_BYTES, 1), device: or(text(DEVICE_NAME_BYTES), "") },
  invite: { token: key, conv },
  "own.read": { conv, id: message },
  "own.mute": { conv, until: whole(0, MAX_INTEGER) },
  "own.draft": { conv, text: text(TEXT_BYTES) },
  "own.setting": { name: text(SETTING_NAME_CHARACTERS, 1), value: orNull(text(SETTING_BYTES)) },
  "own.pin": { account: id<AccountId>(), aik: key, version: whole(1, U32_MOST), hash: key, verified: flag },
  "own.archive_key": { epoch: whole(1, U32_MOST), key },
  "keys.wanted": {},
  "keys.given": { keys: listOf(archiveKey, KEYS_MOST) },
  "resend.request": {
    items: listOf(row<ResendItem>({ id: message, commitment: key, body: or(flag, false) }), RESEND_ITEMS),
  },
  "resend.refusal": { items: listOf(row<RefusedItem>({ id: message, reason: text(MAX_INTEGER) }), RESEND_ITEMS) },
  "resend.body": {
    id: message,
    outer: bytes(OUTER_BYTES),
    nonce: bytes(24),
    ct: bytes(0, CT_BYTES),
    key,
    at: or(whole(0, CT_BYTES), 0),
    size: or(whole(0, CT_BYTES), 0),
  },
  "resend.lost": { ids: listOf(message, RESEND_ITEMS) },
  ...AGREEMENTS,
  ...MEETINGS,
};

const FIELDS: ReadonlyMap<string, Fields> = new Map(
  Object.entries(SHAPES).map(([type, shape]) => [type, fieldsOf<object>(shape)]),
);

/** Whether posts of this type stay in the account's archive: what changes with every word typed or read does not. */
export function archived(type: string): boolean {
  return type !== "own.read" && type !== "own.draft";
}

/** The body's `content`. */
export function asMap(content: Content): ContentMap {
  const given = new Map<string, unknown>(Object.entries(content));
  const fields = FIELDS.get(content.type) ?? [];
  return Object.fromEntries(fields.map(([name, field]) => [name, field.write(given.get(name))]));
}

/** The typed content, null for a type that is not known here. FormatError if it has not the shape of its type. */
export function parseContent(type: string, content: ContentMap): Content | null {
  const fields = FIELDS.get(type);
  if (fields === undefined) {
    return null;
  }
  const given = new Map(Object.entries(content));
  return { type, ...taken(fields, (name) => given.get(name)) } as Content; // every field was read
}
