/**
 * Frame bytes to message and back; bodies of HTTP operations alike.
 *
 * The only (de)serialiser of the stream and of HTTP. What is read is checked against `fields.ts` field by field: types,
 * lengths, ranges and counts. Fields of a later version are ignored, those that an earlier one leaves out get the empty
 * value of their kind. (JSON of the same types is for debugging with other tools and not spoken here.)
 *
 * Source: docs/protocol.md, "Frames".
 */

import { Decoder, Encoder } from "@msgpack/msgpack";
import { EMPTY } from "./bytes.ts";
import { FormatError } from "./errors.ts";
import { CLIENT_TAGS, FIELDS, SERVER_TAGS } from "./fields.ts";
import { ID_BYTES, idBytes, idOf } from "./ids.ts";
import { FRAME_BYTES, MAX_INTEGER } from "./limits.ts";
import type { ClientMessage, ServerMessage } from "./messages.ts";
import { OPERATIONS, type OperationName, type RequestOf, type ResponseOf } from "./requests.ts";
import { checkTexts } from "./texts.ts";

/**
 * A well-formed message whose tag this version does not know.
 *
 * A server answers "unsupported"; a client counts and ignores it.
 */
export class UnknownTag extends FormatError {
  constructor() {
    super("unknown message tag", "unsupported");
  }
}

// --- fields.ts, taken apart ----------------------------------------------------------------------------------------

/** A kind: its letter and bounds, or what stands behind it (`items` of a list, `of` a structure or choice of texts). */
interface Kind {
  readonly letter: string;
  readonly least: number;
  readonly most: number;
  readonly of: string;
  readonly items: Kind | null;
}

interface Field {
  readonly name: string;
  readonly kind: Kind;
  readonly nullable: boolean;
  readonly optional: boolean;
}

function kindOf(text: string): Kind {
  const [, letter = "", least = "", dash = "", most = "", of = ""] = /^(\W|\w)(\d*)(-?)(\d*)(.*)$/.exec(text) ?? [];
  const bounds = { least: Number(least), most: Number(most || (dash ? "" : least) || MAX_INTEGER) };
  return letter === "["
    ? { letter, ...bounds, of, items: kindOf(of.slice(1)) }
    : { letter, ...bounds, of, items: null };
}

const described = new Map<string, readonly Field[]>();

function fieldsOf(struct: string): readonly Field[] {
  let fields = described.get(struct);
  if (fields === undefined) {
    fields = (FIELDS[struct] ?? "")
      .split(" ")
      .filter(Boolean)
      .map((row) => {
        const [, name = "", kind = "", nullable, optional] = /^(\w+):(.*?)(\??)(=?)$/.exec(row) ?? [];
        return { name, kind: kindOf(kind), nullable: nullable === "?", optional: optional === "=" };
      });
    described.set(struct, fields);
  }
  return fields;
}

// --- values --------------------------------------------------------------------------------------------------------

function demand(condition: boolean): asserts condition {
  if (!condition) {
    throw new FormatError("malformed message", "bad_frame");
  }
}

function within(size: number, kind: Kind): void {
  demand(kind.least <= size && size <= kind.most);
}

function readValue(value: unknown, kind: Kind): unknown {
  switch (kind.letter) {
    case "i":
      demand(value instanceof Uint8Array && value.length === ID_BYTES);
      return idOf(value);
    case "b":
      demand(value instanceof Uint8Array);
      within(value.length, kind);
      return value.slice(); // a view would keep, and clone, the whole frame
    case "s":
      demand(typeof value === "string");
      within([...value].length, kind);
      return value;
    case "/":
      demand(typeof value === "string" && kind.of.split("|").includes(value));
      return value;
    case "u":
      demand(typeof value === "number" && Number.isInteger(value));
      within(value, kind);
      return value;
    case "n":
      demand(typeof value === "number" && Number.isInteger(value));
      return value;
    case "y":
      demand(typeof value === "boolean");
      return value;
    case "@":
      demand(Array.isArray(value));
      return isMessage(kind.of) ? readMessage(value, kind.of) : readStruct(value, kind.of);
    default: {
      const { items } = kind;
      demand(Array.isArray(value) && items !== null);
      within(value.length, kind);
      return value.map((item: unknown) => readValue(item, items));
    }
  }
}

function emptyOf({ kind, nullable }: Field): unknown {
  const empty: Readonly<Record<string, unknown>> = { "[": [], u: 0, y: false, s: "", b: EMPTY };
  return nullable ? null : empty[kind.letter];
}

/** Whether a structure is a message: it carries its tag, wherever it stands. */
function isMessage(struct: string): boolean {
  return CLIENT_TAGS.includes(struct) || SERVER_TAGS.includes(struct);
}

function readStruct(row: readonly unknown[], struct: string): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const [at, field] of fieldsOf(struct).entries()) {
    if (at >= row.length) {
      demand(field.optional);
      read[field.name] = emptyOf(field);
    } else {
      const value = row[at];
      read[field.name] = value === null && field.nullable ? null : readValue(value, field.kind);
    }
  }
  return read;
}

/** A message within another one. */
function readMessage([tag, ...row]: readonly unknown[], struct: string): object {
  demand(tag === struct);
  return { tag, ...readStruct(row, struct) };
}

function writtenValue(value: unknown, kind: Kind): unknown {
  if (kind.letter === "i" && typeof value === "string") {
    return idBytes(value);
  }
  if (kind.letter === "@" && typeof value === "object" && value !== null) {
    return [...(isMessage(kind.of) ? [kind.of] : []), ...writtenStruct(value, kind.of)];
  }
  const { items } = kind;
  return items !== null && Array.isArray(value) ? value.map((item: unknown) => writtenValue(item, items)) : value;
}

function writtenStruct(content: object, struct: string): unknown[] {
  const values = new Map<string, unknown>(Object.entries(content));
  return fieldsOf(struct).map((field) => writtenValue(values.get(field.name), field.kind));
}

// --- frames and bodies ---------------------------------------------------------------------------------------------

const encoder = new Encoder();
const MOST_ITEMS = 65_536;
const decoder = new Decoder({ maxArrayLength: MOST_ITEMS, maxMapLength: MOST_ITEMS });

/** The array that some bytes are. known: how many elements are read of one that begins like this. */
function readArray(bytes: Uint8Array, known: (first: unknown) => number): readonly unknown[] {
  let value: unknown;
  try {
    value = decoder.decode(bytes);
    checkTexts(bytes, Array.isArray(value) ? known(value[0]) : 0);
  } catch {
    throw new FormatError("malformed message", "bad_frame");
  }
  demand(Array.isArray(value));
  return value;
}

function decode(frame: Uint8Array, tags: readonly string[]): object {
  demand(frame.length <= FRAME_BYTES);
  const isKnown = (first: unknown): first is string => typeof first === "string" && tags.includes(first);
  const known = (first: unknown): number => (isKnown(first) ? 1 + fieldsOf(first).length : 1);
  const [tag, ...row] = readArray(frame, known);
  demand(typeof tag === "string");
  if (!tags.includes(tag)) {
    throw new UnknownTag();
  }
  return { tag, ...readStruct(row, tag) };
}

/** The frame of a message. */
export function encodeMessage(message: ClientMessage | ServerMessage): Uint8Array {
  return encoder.encode([message.tag, ...writtenStruct(message, message.tag)]);
}

/**
 * What a server says. frame: at most 262,144 bytes.
 *
 * Throws UnknownTag for a tag that is not ours (the connection may go on) and FormatError("bad_frame") for everything
 * else that is not a message; nothing has happened then.
 */
export function decodeServerMessage(frame: Uint8Array): ServerMessage {
  return decode(frame, SERVER_TAGS) as ServerMessage;
}

/** What a client says; as `decodeServerMessage`. */
export function decodeClientMessage(frame: Uint8Array): ClientMessage {
  return decode(frame, CLIENT_TAGS) as ClientMessage;
}

/** The bytes of a structure of `fields.ts`. */
export function encodeStruct(struct: string, content: object): Uint8Array {
  return encoder.encode(writtenStruct(content, struct));
}

/** A structure of `fields.ts`, checked. Throws FormatError("bad_frame"). */
export function decodeStruct(struct: string, bytes: Uint8Array): object {
  const { length } = fieldsOf(struct);
  return readStruct(
    readArray(bytes, () => length),
    struct,
  );
}

/** The body that an operation is asked with; null for one without. */
export function encodeRequest<Name extends OperationName>(operation: Name, body: RequestOf<Name>): Uint8Array | null {
  const struct = OPERATIONS[operation][2];
  return struct === null || body === null ? null : encodeStruct(struct, body);
}

/** What an operation was answered with. Throws FormatError("bad_frame"). */
export function decodeResponse<Name extends OperationName>(operation: Name, bytes: Uint8Array): ResponseOf<Name> {
  return decodeStruct(OPERATIONS[operation][3], bytes) as unknown as ResponseOf<Name>;
}
