// The MessagePack maps that Rapport reads: the card (docs/protocol.md 3.1), the body (4.6), signals
// (8) and the steps of a link (13).

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

const isArrayOf =
  (fits, least = 0, most = Infinity) =>
  (value) =>
    Array.isArray(value) && value.length >= least && value.length <= most && value.every(fits);
const isTuple =
  (...fits) =>
  (value) =>
    Array.isArray(value) && value.length >= fits.length && fits.every((fit, at) => fit(value[at]));
const isAnyText = (value) => typeof value === "string";
const isDeviceList = (value) => isBytes()(value) && value.length <= 8192;

const LINK_PACKAGE = {
  required: {
    account: isBytes(16),
    aik: isBytes(32),
    lists: isArrayOf(isDeviceList, 1),
    keys: isArrayOf(isTuple(isInteger, isBytes(32)), 1),
    server_id: isBytes(32),
    base: isAnyText,
    role: (value) => ["owner", "therapist", "client"].includes(value),
    name: isAnyText,
  },
  optional: {
    pins: isArrayOf(
      isTuple(isBytes(16), isBytes(32), isInteger, isBytes(32), (value) => typeof value === "boolean", isAnyText),
    ),
    labels: isArrayOf(isTuple(isBytes(16), isAnyText), 0, 8),
    settings: (value) => isMap(value) && Object.values(value).every(isAnyText),
  },
};

const LINK_ANSWER = {
  required: { entry: isBytes(154), prekeys: isTuple(isBytes(108), isBytes(1260), isArrayOf(isBytes(1292), 0, 100)) },
  optional: { label: isAnyText },
};

const LINK_DONE = { required: { lists: isArrayOf(isDeviceList, 1) }, optional: {} };

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
export const readLinkPackage = (bytes) => read(bytes, LINK_PACKAGE);
export const readLinkAnswer = (bytes) => read(bytes, LINK_ANSWER);
export const readLinkDone = (bytes) => read(bytes, LINK_DONE);
export const readSignal = (bytes) => read(bytes, SIGNAL);

/** A decoded value with its byte strings as hexadecimal text, as the vectors write them. */
export function readable(value) {
  if (value instanceof Uint8Array) return hex(value);
  if (Array.isArray(value)) return value.map(readable);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, readable(inner)]));
}
