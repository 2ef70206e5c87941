/**
 * Linking: what turns one code, shown on a device and read by another, into a key that only those two share.
 *
 * The code carries 16 secret bytes past the server. Both devices add a key of their own; the existing one is bound to
 * its key before it has seen the other's, so that nobody who saw the code, not even together with the server, can look
 * for keys that lead to the same six digits. The digits are shown by the new device and typed on the existing one.
 *
 * Source: docs/protocol.md, chapter 13.
 */

import { concat, equal, fromHex, toHex } from "../protocol/bytes.ts";
import { checkDeviceEntry, type DeviceEntry, parseDeviceEntry } from "../protocol/device-lists.ts";
import { FormatError, LocalError } from "../protocol/errors.ts";
import { type AccountId, type DeviceId, idBytes, idOf, type LinkId } from "../protocol/ids.ts";
import { DEVICES_PER_ACCOUNT, LINK_CONTENT_BYTES } from "../protocol/limits.ts";
import type { Prekeys, Role } from "../protocol/requests.ts";
import { exact, h256, id16, label, Reader } from "../protocol/signed.ts";
import {
  asArray,
  asBoolean,
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
import { hkdf, NONCE_BYTES, openSealed, type Random, same, seal, x25519, x25519Public } from "./primitives.ts";

/** How many digits people carry from the new device to the existing one. */
const DIGITS = 6;

const VERSION = 1;
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const READ_AS: Readonly<Record<string, string>> = { O: "0", I: "1", L: "1" };
const CODE_CHARACTERS = 32;
const CHARACTER_BITS = 5;

const ROLES: readonly Role[] = ["owner", "therapist", "client"];
const LIST_BYTES = 8192;
const ONE_TIME_MOST = 100;
const WHAT = "link step";

// --- the code --------------------------------------------------------------------------------------------------------

/** The 16 secret bytes of one link. */
export interface LinkCode {
  readonly secret: Uint8Array;
}

/** A fresh one. */
export function makeLinkCode(random: Random): LinkCode {
  return { secret: exact(random(16), 16) };
}

/** What the server knows the link by. */
export function idOfCode(code: LinkCode): LinkId {
  return idOf<LinkId>(h256("link-id", code.secret).subarray(0, 16));
}

/** As people read it: 8 groups of 4 characters. */
export function textOf(code: LinkCode): string {
  return charactersOf(code).replace(/.{4}(?=.)/g, "$&-");
}

/** As a QR code carries it: `<base>/link#<code>`. base: the server's address, no slash at its end. */
export function urlOf(code: LinkCode, base: string): string {
  return `${base}/link#${charactersOf(code)}`;
}

function charactersOf(code: LinkCode): string {
  const content = concat(Uint8Array.of(VERSION), code.secret);
  let text = "";
  let [held, bits] = [0, 0];
  for (const byte of concat(content, checkOf(content))) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= CHARACTER_BITS; held &= (1 << bits) - 1) {
      bits -= CHARACTER_BITS;
      text += ALPHABET.charAt(held >> bits);
    }
  }
  return text;
}

/** content: version and secret. */
function checkOf(content: Uint8Array): Uint8Array {
  return h256("link-code", content).subarray(0, 3);
}

/**
 * Reads a code as typed, or the address that a QR code carries: [base, code]; base is "" for a bare code.
 *
 * Upper and lower case, spaces and dashes do not matter; O is read as 0, I and L as 1. FormatError says what is wrong;
 * "unsupported" for a code of a later version.
 */
export function parseCode(text: string): [base: string, code: LinkCode] {
  const [, address, typed = ""] = /^(?:(.*)#)?([^#]*)$/s.exec(text.trim()) ?? [];
  if (address !== undefined && !/^https?:\/\/.*\/link$/s.test(address)) {
    throw new FormatError("not an address of a linking code");
  }
  const raw = bytesOf([...typed.toUpperCase().replace(/[- \t\n]/g, "")].map((one) => READ_AS[one] ?? one));
  const content = raw.subarray(0, 17);
  if (!equal(raw.subarray(17), checkOf(content))) {
    throw new FormatError("the code is mistyped: compare it once more");
  }
  if (raw[0] !== VERSION) {
    throw new FormatError("the code is of a later version", "unsupported");
  }
  return [address?.slice(0, -"/link".length) ?? "", { secret: content.slice(1) }];
}

/** The 20 bytes that 32 characters stand for. */
function bytesOf(characters: readonly string[]): Uint8Array {
  const values = characters.map((character) => ALPHABET.indexOf(character));
  const wrong = values.indexOf(-1);
  if (wrong >= 0) {
    throw new FormatError(`character ${wrong + 1} of the code is none that codes are made of`);
  }
  if (values.length !== CODE_CHARACTERS) {
    throw new FormatError(`the code has ${CODE_CHARACTERS} characters, this has ${values.length}`);
  }
  const bytes: number[] = [];
  let [held, bits] = [0, 0];
  for (const value of values) {
    held = (held << CHARACTER_BITS) | value;
    bits += CHARACTER_BITS;
    if (bits >= 8) {
      bits -= 8;
      bytes.push(held >> bits);
      held &= (1 << bits) - 1;
    }
  }
  return Uint8Array.from(bytes);
}

// --- the key ---------------------------------------------------------------------------------------------------------

/** One device's own key of a link: an X25519 secret that lives as long as the link. */
export interface LinkEnd {
  readonly secret: Uint8Array;
}

/** A fresh one. */
export function makeLinkEnd(random: Random): LinkEnd {
  return { secret: exact(random(32), 32) };
}

/** The public half, 32 bytes. */
export function publicOf(end: LinkEnd): Uint8Array {
  return x25519Public(end.secret);
}

/** What binds the existing device to its key before it sees the other's; 32 bytes. ePub: the public half. */
export function commitmentOf(link: LinkId, ePub: Uint8Array): Uint8Array {
  return h256("link-commit", concat(id16(link), exact(ePub, 32)));
}

/**
 * k, 32 bytes. ePub, nPub: of the existing and the new device; one of them is `own`.
 *
 * RuleBroken("weak_key") for a key of small order.
 */
export function linkKey(code: LinkCode, own: LinkEnd, ePub: Uint8Array, nPub: Uint8Array): Uint8Array {
  const peer = same(publicOf(own), ePub) ? nPub : ePub;
  return hkdf(code.secret, x25519(own.secret, exact(peer, 32)), concat(label("link"), ePub, nPub), 32);
}

/** The six digits of k. */
export function digitsOf(key: Uint8Array): string {
  const drawn = h256("link-digits", exact(key, 32)).subarray(0, 4);
  const number = drawn.reduce((value, byte) => value * 256 + byte, 0);
  return String(number % 10 ** DIGITS).padStart(DIGITS, "0");
}

// --- sealed steps ----------------------------------------------------------------------------------------------------

/**
 * A contact as the account holds it: identity key, version and hash (64 hexadecimal digits) of the newest device list,
 * verified in person.
 *
 * name: as the contact calls itself, perhaps "".
 */
export interface LinkPin {
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly version: number;
  readonly listHash: string;
  readonly verified: boolean;
  readonly name: string;
}

/**
 * Step 3, from the existing device: everything that makes the new one a device of the account.
 *
 * Never the AIK secret, never device keys, sessions or one-time keys. lists: the account's device lists from an
 * AIK-signed one on. keys: archive keys by epoch. labels: names of the account's devices. settings: what the account's
 * devices share.
 */
export interface LinkPackage {
  readonly tag: "package";
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly lists: readonly Uint8Array[];
  readonly keys: readonly (readonly [epoch: number, key: Uint8Array])[];
  readonly serverId: Uint8Array;
  readonly base: string;
  readonly role: Role;
  readonly name: string;
  readonly pins: readonly LinkPin[];
  readonly labels: readonly (readonly [DeviceId, string])[];
  readonly settings: Readonly<Record<string, string>>;
}

/** Step 4, from the new device: its entry for the list (154 bytes), its first prekeys, what its person calls it. */
export interface LinkAnswer {
  readonly tag: "answer";
  readonly entry: Uint8Array;
  readonly prekeys: Prekeys;
  readonly label: string;
}

/** Step 5, from the existing device: the account's lists after those of the package; the last holds the new device. */
export interface LinkDone {
  readonly tag: "done";
  readonly lists: readonly Uint8Array[];
}

/** What a sealed step holds: key material and names. */
export type LinkContent = LinkPackage | LinkAnswer | LinkDone;

/** The verified entry of an answer. FormatError, RemoteError("invalid_signature"), RuleBroken("weak_key"). */
export function parsedEntryOf(answer: LinkAnswer, account: AccountId, aik: Uint8Array): DeviceEntry {
  const read = new Reader(answer.entry, "device entry");
  const entry = parseDeviceEntry(read);
  read.end();
  checkDeviceEntry(entry, account, aik);
  return entry;
}

const STEPS = { package: 3, answer: 4, done: 5 } as const;

function aadOf(link: LinkId, tag: LinkContent["tag"]): Uint8Array {
  return concat(label("link-step"), id16(link), Uint8Array.of(STEPS[tag]));
}

/** nonce24 and the sealed MessagePack map. LocalError("too_large") above what a step may hold. */
export function sealStep(key: Uint8Array, link: LinkId, content: LinkContent, random: Random): Uint8Array {
  const nonce = random(NONCE_BYTES);
  const sealed = concat(nonce, seal(key, nonce, encodeMap(mapOf(content)), aadOf(link, content.tag)));
  if (sealed.length > LINK_CONTENT_BYTES) {
    throw new LocalError("too_large", "this account has too many contacts to link a device in one step");
  }
  return sealed;
}

/** Opens a step. AuthenticationFailed: not sealed by the other end of this link for this step; FormatError. */
export function openStep<Tag extends LinkContent["tag"]>(
  key: Uint8Array,
  link: LinkId,
  wanted: Tag,
  sealed: Uint8Array,
): Extract<LinkContent, { tag: Tag }> {
  const [nonce, box] = [sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES)];
  const map = decodeMap(openSealed(key, nonce, box, aadOf(link, wanted)), WHAT);
  return READERS[wanted](map);
}

// --- maps ------------------------------------------------------------------------------------------------------------

function mapOf(content: LinkContent): Fields {
  switch (content.tag) {
    case "package":
      return {
        account: idBytes(content.account),
        aik: content.aik,
        lists: content.lists,
        keys: content.keys,
        server_id: content.serverId,
        base: content.base,
        role: content.role,
        name: content.name,
        pins: content.pins.map((pin) => [
          idBytes(pin.account),
          pin.aik,
          pin.version,
          fromHex(pin.listHash),
          pin.verified,
          pin.name,
        ]),
        labels: content.labels.map(([device, name]) => [idBytes(device), name]),
        settings: content.settings,
      };
    case "answer": {
      const { signed, lastResort, oneTime } = content.prekeys;
      return { entry: content.entry, prekeys: [signed, lastResort, oneTime], label: content.label };
    }
    default:
      return { lists: content.lists };
  }
}

const READERS: { readonly [Tag in LinkContent["tag"]]: (map: Fields) => Extract<LinkContent, { tag: Tag }> } = {
  package: readPackage,
  answer: readAnswer,
  done: ({ lists }) => ({ tag: "done", lists: asLists(lists, WHAT) }),
};

const asKey = asBytes(32);
const asId = asBytes(16);
const asDevice: Check<DeviceId> = (value, what) => idOf<DeviceId>(asId(value, what));
const asAnyText = asText();
const asLists = asArray(asBytes(0, LIST_BYTES), 1);

const asRole: Check<Role> = (value, what) => {
  const role = ROLES.find((known) => known === value);
  if (role === undefined) {
    throw new FormatError(what);
  }
  return role;
};

const asPin: Check<LinkPin> = (value, what) => {
  const [account, aik, version, listHash, verified, name] = asStructure(5)(value, what);
  return {
    account: idOf<AccountId>(asId(account, what)),
    aik: asKey(aik, what),
    version: asCount()(version, what),
    listHash: toHex(asKey(listHash, what)),
    verified: asBoolean(verified, what),
    name: optional(asAnyText)(name, what) ?? "",
  };
};

/** An array of exactly two. */
function asPair<Left, Right>(left: Check<Left>, right: Check<Right>): Check<readonly [Left, Right]> {
  return (value, what) => {
    const [one, two] = asArray((item) => item, 2, 2)(value, what);
    return [left(one, what), right(two, what)];
  };
}

function readPackage(map: Fields): LinkPackage {
  const { account, aik, lists, keys, server_id, base, role, name, pins, labels, settings } = map;
  const shared = Object.entries(optional(asMap)(settings, WHAT) ?? {});
  return {
    tag: "package",
    account: idOf<AccountId>(asId(account, WHAT)),
    aik: asKey(aik, WHAT),
    lists: asLists(lists, WHAT),
    keys: asArray(asPair(asCount(), asKey), 1)(keys, WHAT),
    serverId: asKey(server_id, WHAT),
    base: asAnyText(base, WHAT),
    role: asRole(role, WHAT),
    name: asAnyText(name, WHAT),
    pins: optional(asArray(asPin))(pins, WHAT) ?? [],
    labels: optional(asArray(asPair(asDevice, asAnyText), 0, DEVICES_PER_ACCOUNT))(labels, WHAT) ?? [],
    settings: Object.fromEntries(shared.map(([key, value]) => [key, asAnyText(value, WHAT)])),
  };
}

function readAnswer({ entry, prekeys, label: name }: Fields): LinkAnswer {
  const [signed, lastResort, oneTime] = asStructure(3)(prekeys, WHAT);
  return {
    tag: "answer",
    entry: asBytes(154)(entry, WHAT),
    prekeys: {
      signed: asBytes(108)(signed, WHAT),
      lastResort: asBytes(1260)(lastResort, WHAT),
      oneTime: asArray(asBytes(1292), 0, ONE_TIME_MOST)(oneTime, WHAT),
    },
    label: optional(asAnyText)(name, WHAT) ?? "",
  };
}
