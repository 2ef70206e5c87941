// The MessagePack maps that Rapport reads: the card (docs/protocol.md 3.1), the body (4.6) and signals (8).

import { decode } from "@msgpack/msgpack";

import { hex, LARGEST_U64, Refused, demand } from "./bytes.mjs";

const isBytes = (length) => (value) => value instanceof Uint8Array && (length === undefined || value.length === length);
const isInteger = (value) => Number.isInteger(value) && value >= 0 && value <= LARGEST_U64;
const isText = (longest) => (value) =>
  typeof value === "string" && [...value].length >= 1 && [...value].length <= longest;
const isMap = (value) => value !== null && typeof value === "object" && !Array.isArray(value) && !isBytes()(value);
const isRosterEntry = (value) =>
  Array.isArray(value) && value.length === 3 && isBytes(16)(value[0]) && isInteger(value[1]) && isBytes(16)(value[2]);
const isRoster = (value) => Array.isArray(value) && value.length <= 20 && value.every(isRosterEntry);

const CARD = {
  required: {
    name: isText(200),
    account: isBytes(16),
    conv: isBytes(16),
    aik: isBytes(32),
    dlh: isBytes(32),
    server_id: isBytes(32),
    genesis: isBytes(32),
    version: isInteger,
    role: isInteger,
  },
  optional: { welcome: (value) => typeof value === "string", office: isBytes() },
};

const BODY = {
  required: { type: isText(64), content: isMap, chain: isInteger, sseq: isInteger, roster: isRoster },
  optional: {
    prev: isBytes(16),
    after: isBytes(16),
    reply_to: isBytes(16),
    office_version: isInteger,
    expire: isInteger,
    attachments: Array.isArray,
  },
};

const SIGNAL = { required: { type: (value) => typeof value === "string" }, optional: {} };

function read(bytes, shape) {
  let map;
  try {
    map = decode(bytes);
  } catch (error) {
    throw new Refused("bad_format", error.message);
  }
  demand(isMap(map), "bad_format", "no map");
  for (const [key, fits] of Object.entries(shape.required)) demand(fits(map[key]), "bad_format", key);
  for (const [key, fits] of Object.entries(shape.optional))
    demand(map[key] === undefined || fits(map[key]), "bad_format", key);
  return map;
}

export const readCard = (bytes) => read(bytes, CARD);
export const readBody = (bytes) => read(bytes, BODY);
export const readSignal = (bytes) => read(bytes, SIGNAL);

/** A decoded value with its byte strings as hexadecimal text, as the vectors write them. */
export function readable(value) {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(readable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, readable(inner)]));
}
