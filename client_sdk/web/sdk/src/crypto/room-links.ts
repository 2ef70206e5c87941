/**
 * Join links into a waiting room: capabilities, whose secret stands behind the `#` and never reaches the server in an
 * address.
 *
 *     <base>/room#<base64url(ver u8 = 1 ‖ appointment16 ‖ secret32)>
 *
 * Source: docs/protocol.md, section 23.2.
 */

import { concat } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AppointmentId, idBytes, idOf, type RoomLinkId } from "../protocol/ids.ts";
import { exact, h256 } from "../protocol/signed.ts";
import { fromBase64, toBase64 } from "./invites.ts";

const VERSION = 1;
/** Length of a join link's secret. */
export const SECRET_BYTES = 32;

/** A join link, taken apart. base: scheme, host, port, perhaps a path; no slash at its end. secret: 32 bytes. */
export interface RoomLinkParts {
  readonly base: string;
  readonly appointment: AppointmentId;
  readonly secret: Uint8Array;
}

/** What the server calls the link: the first 16 bytes of the secret's hash. */
export function idOfRoomLink(secret: Uint8Array): RoomLinkId {
  return idOf(h256("room-link-id", exact(secret, SECRET_BYTES)).subarray(0, 16));
}

/** What the server keeps of the secret, 32 bytes. */
export function hashOfRoomLink(secret: Uint8Array): Uint8Array {
  return h256("room-link", exact(secret, SECRET_BYTES));
}

/** The link as text; its fragment is a secret. */
export function encodeRoomLink({ base, appointment, secret }: RoomLinkParts): string {
  return `${base}/room#${toBase64(concat(Uint8Array.of(VERSION), idBytes(appointment), exact(secret, SECRET_BYTES)))}`;
}

/** Reads a join link. FormatError; "unsupported" for another version. */
export function parseRoomLink(link: string): RoomLinkParts {
  const [, base = "", fragment = ""] = /^(https?:\/\/[^#]*)\/room#(.*)$/s.exec(link.trim()) ?? [];
  if (base === "") {
    throw new FormatError("link: not into a waiting room");
  }
  const said = fromBase64(fragment);
  if (said[0] !== VERSION) {
    throw new FormatError("link: version", said.length ? "unsupported" : "bad_format");
  }
  if (said.length !== 1 + 16 + SECRET_BYTES) {
    throw new FormatError("link: length");
  }
  return { base, appointment: idOf(said.subarray(1, 17)), secret: said.slice(17) };
}
