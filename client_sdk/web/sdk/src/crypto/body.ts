/**
 * What a message says: a MessagePack map, read only after every check of `envelope.ts` has passed.
 *
 * Fields that this version does not know are kept, so that a message survives a way through an older device.
 *
 * Source: docs/protocol.md, chapter 4.
 */

import { fromHex, toHex } from "../protocol/bytes.ts";
import { type AccountId, type Id, idBytes, idOf, type MessageId } from "../protocol/ids.ts";
import { MEMBERS_PER_CONVERSATION } from "../protocol/limits.ts";
import {
  asArray,
  asBytes,
  asCount,
  asMap,
  asStructure,
  asText,
  type Check,
  decodeMap,
  encodeMap,
  type Fields,
  optional,
} from "./maps.ts";
import type { Random } from "./primitives.ts";

/** A member's device list as the sender holds it. hashStart: first 16 bytes of its hash, 32 hexadecimal digits. */
export interface RosterEntry {
  readonly account: AccountId;
  readonly version: number;
  readonly hashStart: string;
}

/**
 * The inside of a post or direct. `content` depends on `type`.
 *
 * chain: random per sending device and conversation, new after a re-link, rollback or restore. sseq: place in that
 * chain, from 1. prev: this device's previous post here; after: the newest post of others it had shown. Both null at a
 * baseline. kept: this device's previous post here that the archive holds, zeros for none, where that is not prev.
 * officeVersion: of the therapist's document that the sender held; promised: by when it says an answer comes,
 * milliseconds (chapter 16). extra: fields of later versions, kept as they came. attachments, expire: see their chapters.
 */
export interface Body {
  readonly type: string;
  readonly content: Fields;
  readonly chain: number;
  readonly sseq: number;
  readonly roster: readonly RosterEntry[];
  readonly prev: MessageId | null;
  readonly after: MessageId | null;
  readonly replyTo: MessageId | null;
  readonly officeVersion: number | null;
  readonly attachments: readonly unknown[] | null;
  readonly expire: number | null;
  readonly kept: MessageId | null;
  readonly promised: number | null;
  readonly extra: Fields;
}

/** What a body has unless it is said. */
const NEW_BODY = {
  roster: [],
  prev: null,
  after: null,
  replyTo: null,
  officeVersion: null,
  attachments: null,
  expire: null,
  kept: null,
  promised: null,
  extra: {},
} as const;

/** A body; everything of `rest` that is not given is absent. */
export function makeBody(
  type: string,
  content: Fields,
  chain: number,
  sseq: number,
  rest: Partial<Omit<Body, "type" | "content" | "chain" | "sseq">> = {},
): Body {
  return { ...NEW_BODY, type, content, chain, sseq, ...rest };
}

/** The MessagePack map; fields that are null are left out. */
export function encodeBody(body: Body): Uint8Array {
  const id = (value: MessageId | null) => (value === null ? undefined : idBytes(value));
  return encodeMap({
    ...body.extra,
    type: body.type,
    content: body.content,
    chain: body.chain,
    sseq: body.sseq,
    roster: body.roster.map((entry) => [idBytes(entry.account), entry.version, fromHex(entry.hashStart)]),
    prev: id(body.prev),
    after: id(body.after),
    reply_to: id(body.replyTo),
    office_version: body.officeVersion ?? undefined,
    attachments: body.attachments ?? undefined,
    expire: body.expire ?? undefined,
    kept: id(body.kept),
    promised: body.promised ?? undefined,
  });
}

const asCounted = asCount();
const asType = asText(1, 64);
const asAny: Check<unknown> = (value) => value;

function asId<Name extends Id<string>>(value: unknown, what: string): Name {
  return idOf<Name>(asBytes(16)(value, what));
}

const asRoster = asArray<RosterEntry>(
  (value, what) => {
    const [account, version, start] = asStructure(3)(value, what);
    return {
      account: asId<AccountId>(account, what),
      version: asCounted(version, what),
      hashStart: toHex(asBytes(16)(start, what)),
    };
  },
  0,
  MEMBERS_PER_CONVERSATION,
);

/** Read a body. FormatError if it is no such map, a known field is missing or has another type. */
export function parseBody(source: Uint8Array): Body {
  const {
    type,
    content,
    chain,
    sseq,
    roster,
    prev,
    after,
    reply_to,
    office_version,
    attachments,
    expire,
    kept,
    promised,
    ...extra
  } = decodeMap(source, "body");
  const asMessage = optional((value, what) => asId<MessageId>(value, what));
  return {
    type: asType(type, "body"),
    content: asMap(content, "body"),
    chain: asCounted(chain, "body"),
    sseq: asCounted(sseq, "body"),
    roster: asRoster(roster, "body"),
    prev: asMessage(prev, "body"),
    after: asMessage(after, "body"),
    replyTo: asMessage(reply_to, "body"),
    officeVersion: optional(asCounted)(office_version, "body"),
    attachments: optional(asArray(asAny))(attachments, "body"),
    expire: optional(asCounted)(expire, "body"),
    kept: asMessage(kept, "body"),
    promised: optional(asCounted)(promised, "body"),
    extra,
  };
}

/** A random chain number below 2^53, never 0. */
export function newChain(random: Random): number {
  const drawn = random(7).reduce((value, byte, at) => value * 256 + (at === 0 ? byte & 0x1f : byte), 0);
  return drawn || 1;
}
