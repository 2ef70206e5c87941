/**
 * What follows from the lists that a contact's record holds alone: the chain they make, and which count no more.
 *
 * Source: docs/protocol.md, chapter 2.
 */

import { equal } from "../protocol/bytes.ts";
import {
  type DeviceListChain,
  firstChain,
  parseSignedDeviceList,
  type SignedDeviceList,
  versionOf,
} from "../protocol/device-lists.ts";
import { FormatError } from "../protocol/errors.ts";
import type { AccountId } from "../protocol/ids.ts";
import type { Contact } from "./vault/records.ts";
import { must } from "./vault/tables.ts";

/** Hashes of contradictions that were decided, per account. */
const SETTLED_KEPT = 16;

const parsedLists: WeakMap<Uint8Array, SignedDeviceList> = new WeakMap();

/** Reads a list. They are asked about with every message, and a vault gives out the same bytes each time: read once. */
export function parseList(encoded: Uint8Array): SignedDeviceList {
  let signed = parsedLists.get(encoded);
  if (signed === undefined) {
    signed = parseSignedDeviceList(encoded);
    parsedLists.set(encoded, signed);
  }
  return signed;
}

/** The verified lists of a contact as the chain that newer ones follow. */
export function chainOf(contact: Contact): DeviceListChain {
  return { lists: contact.lists.map(parseList) };
}

/** A contact's newest verified list. */
export function newestOf(contact: Contact): SignedDeviceList {
  return parseList(must(contact.lists.at(-1)));
}

/** The chain that begins with these lists, under the identity key that they name themselves. As `firstChain`. */
export function ownChain(account: AccountId, encoded: readonly Uint8Array[]): DeviceListChain {
  const lists = encoded.map(parseList);
  const [first] = lists;
  if (first === undefined) {
    throw new FormatError("device list chain: length");
  }
  return firstChain(account, first.content.aik, lists);
}

/** The contact once safety numbers were compared: neither contradictions nor another identity block any more. */
export function confirmed(contact: Contact): Contact {
  const after = settled(contact, contact.rivals);
  const [other] = contact.changed;
  if (other === undefined) {
    return after;
  }
  const refused = [...contact.refused, parseList(other).content.aik].slice(-SETTLED_KEPT);
  return { ...after, changed: [], refused };
}

/** The contact once these of its contradictions are decided: they are remembered and block no more. */
export function settled(contact: Contact, rivals: readonly Uint8Array[]): Contact {
  if (rivals.length === 0) {
    return contact;
  }
  const hashes = rivals.map((rival) => parseList(rival).hash);
  return {
    ...contact,
    rivals: contact.rivals.filter((rival) => !rivals.includes(rival)),
    settled: [...contact.settled, ...hashes].slice(-SETTLED_KEPT),
  };
}

/** Whether it can be read, is of the contact's account, and under another identity key. */
export function isOtherIdentity(contact: Contact, encoded: Uint8Array): boolean {
  try {
    const { content } = parseList(encoded);
    return content.account === contact.account && !equal(content.aik, contact.aik);
  } catch (problem) {
    if (problem instanceof FormatError) {
      return false;
    }
    throw problem;
  }
}

/** Whether it can be read, is of the pinned identity and of a lower version; the others are reported elsewhere. */
export function isBelow(contact: Contact, encoded: Uint8Array, version: number): boolean {
  try {
    const held = parseList(encoded);
    return equal(held.content.aik, contact.aik) && versionOf(held) < version;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return false;
    }
    throw problem;
  }
}
