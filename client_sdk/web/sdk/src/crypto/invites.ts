/**
 * Invites: one secret token in a link's fragment, and everything that follows from it.
 *
 * The token gives the invite's id (which the server knows), the key that signs the join, and the key that opens the
 * card. The card tells the invitee whom the link comes from; whoever opens it has the inviter's identity key from the
 * inviter.
 *
 * Source: docs/protocol.md, chapter 3.
 */

import { concat, equal, fromHex, toHex } from "../protocol/bytes.ts";
import { FormatError } from "../protocol/errors.ts";
import { type AccountId, type ConversationId, type InviteId, idBytes, idOf } from "../protocol/ids.ts";
import type { MemberRole } from "../protocol/membership-entries.ts";
import { cardAad, exact, inviteId, label, type SigningKey, signingKey } from "../protocol/signed.ts";
import { sodium } from "../protocol/sodium.ts";
import { asArray, asBytes, asCount, asText, decodeMap, encodeMap, type Fields, optional } from "./maps.ts";
import { pad, unpad } from "./padding.ts";
import { hkdf, NONCE_BYTES, openSealed, type Random, seal } from "./primitives.ts";

/** Largest sealed card. */
const CARD_BYTES = 24 + 16_384 + 16;

const VERSION = 1;
const NO_SALT = new Uint8Array(32);
/** In the order of their numbers on the wire, which count from 1. */
const ROLES: readonly MemberRole[] = ["owner", "therapist", "client"];

/**
 * What the invitee sees first, sealed under the invite's card key.
 *
 * aik, version, dlh: the inviter's identity key and device list when the invite was made. serverId: the server's Ed25519
 * key to pin. genesis: hash of the conversation's first entry. role: what the invitee becomes. about to lines: the
 * inviter's card, as in a `card` post (4.8), each line a name, a number and a note; office: their signed office-hours
 * document. dlh and genesis: 64 hexadecimal digits.
 */
export interface Card {
  readonly name: string;
  readonly account: AccountId;
  readonly aik: Uint8Array;
  readonly version: number;
  readonly dlh: string;
  readonly serverId: Uint8Array;
  readonly conv: ConversationId;
  readonly genesis: string;
  readonly role: MemberRole;
  readonly welcome: string | null;
  readonly about: string;
  readonly how: string;
  readonly limits: string;
  readonly country: string;
  readonly lines: readonly (readonly [name: string, number: string, note: string])[];
  readonly office: Uint8Array | null;
}

/** What a card has unless it is said. */
export const NEW_CARD = {
  welcome: null,
  about: "",
  how: "",
  limits: "",
  country: "",
  lines: [],
  office: null,
} as const satisfies Partial<Card>;

/** A single-use bearer secret of 32 bytes. */
export interface InviteSecret {
  readonly token: Uint8Array;
}

/** A fresh token. */
export function makeInviteSecret(random: Random): InviteSecret {
  return { token: exact(random(32), 32) };
}

/** What the server knows the invite by. */
export function idOfInvite(secret: InviteSecret): InviteId {
  return inviteId(secret.token);
}

/** ISK: signs the join entry; its public half IPK stands in the invite entry. */
export function inviteKeyOf(secret: InviteSecret): SigningKey {
  return signingKey(hkdf(NO_SALT, secret.token, label("invite-sign"), 32));
}

/** The key that seals the card; 32 bytes. */
export function cardKeyOf(secret: InviteSecret): Uint8Array {
  return hkdf(NO_SALT, secret.token, label("invite-card"), 32);
}

/** Nonce (24 bytes) and the padded, encrypted card. LocalError("too_large") above 16,383 bytes of MessagePack. */
export function sealCard(secret: InviteSecret, card: Card, random: Random): Uint8Array {
  const map = encodeMap({
    name: card.name,
    account: idBytes(card.account),
    aik: card.aik,
    version: card.version,
    dlh: fromHex(card.dlh),
    server_id: card.serverId,
    conv: idBytes(card.conv),
    genesis: fromHex(card.genesis),
    role: ROLES.indexOf(card.role) + 1,
    welcome: card.welcome ?? undefined,
    about: card.about || undefined,
    how: card.how || undefined,
    limits: card.limits || undefined,
    country: card.country || undefined,
    lines: card.lines.length > 0 ? card.lines : undefined,
    office: card.office ?? undefined,
  });
  const nonce = random(NONCE_BYTES);
  return concat(nonce, seal(cardKeyOf(secret), nonce, pad(map), cardAad(idOfInvite(secret))));
}

/** Open a card. AuthenticationFailed if it was not sealed under this link; FormatError if it is no card. */
export function openCard(secret: InviteSecret, sealed: Uint8Array): Card {
  const [nonce, box] = [sealed.subarray(0, NONCE_BYTES), sealed.subarray(NONCE_BYTES)];
  const plain = unpad(openSealed(cardKeyOf(secret), nonce, box, cardAad(idOfInvite(secret))));
  const fields = decodeMap(plain, "card");
  const { name, account, aik, version, dlh, server_id, conv, genesis, role, welcome, office } = fields;
  const id = asBytes(16);
  const key = asBytes(32);
  const becomes = ROLES[asCount(1)(role, "card") - 1];
  if (becomes === undefined) {
    throw new FormatError("card");
  }
  return {
    name: asText(1, 200)(name, "card"),
    account: idOf<AccountId>(id(account, "card")),
    aik: key(aik, "card"),
    version: asCount(1)(version, "card"),
    dlh: toHex(key(dlh, "card")),
    serverId: key(server_id, "card"),
    conv: idOf<ConversationId>(id(conv, "card")),
    genesis: toHex(key(genesis, "card")),
    role: becomes,
    welcome: optional(asText())(welcome ?? undefined, "card"),
    ...cardTextsIn(fields),
    office: optional(asBytes(0, CARD_BYTES))(office ?? undefined, "card"),
  };
}

function cardTextsIn({ about = "", how = "", limits = "", country = "", lines = [] }: Fields) {
  const said = asText();
  return {
    about: said(about, "card"),
    how: said(how, "card"),
    limits: said(limits, "card"),
    country: said(country, "card"),
    lines: asArray((line, what): [string, string, string] => {
      const [name, number, note] = asArray(said, 3, 3)(line, what);
      return [name ?? "", number ?? "", note ?? ""];
    })(lines, "card"),
  };
}

// --- links -----------------------------------------------------------------------------------------------------------

/** `<base>/i/<invite16>#<ver1, token32>`. base: scheme, host, port, perhaps a path; no slash at its end. */
export interface InviteLink {
  readonly tag: "invite";
  readonly base: string;
  readonly secret: InviteSecret;
}

/** `<base>/o#<ver1, owner_token32, server_id_pub32>`: the first registration of a practice. */
export interface OwnerLink {
  readonly tag: "owner";
  readonly base: string;
  readonly token: Uint8Array;
  readonly serverId: Uint8Array;
}

/** The link as text; its fragment is the secret. */
export function encodeLink(link: InviteLink | OwnerLink): string {
  const [path, secret] =
    link.tag === "invite"
      ? [`/i/${toBase64(idBytes(idOfInvite(link.secret)))}`, link.secret.token]
      : ["/o", concat(exact(link.token, 32), exact(link.serverId, 32))];
  return `${link.base}${path}#${toBase64(concat(Uint8Array.of(VERSION), secret))}`;
}

/** Read an invite or owner link. FormatError; "unsupported" for another version. */
export function parseLink(link: string): InviteLink | OwnerLink {
  const [, address = "", fragment = ""] = /^([^#]*)#?(.*)$/s.exec(link.trim()) ?? [];
  if (!/^https?:\/\//.test(address)) {
    throw new FormatError("link: not an http address");
  }
  const secret = fromBase64(fragment);
  if (secret[0] !== VERSION) {
    throw new FormatError("link: version", secret.length ? "unsupported" : "bad_format");
  }
  if (address.endsWith("/o") && secret.length === 65) {
    return { tag: "owner", base: address.slice(0, -2), token: secret.slice(1, 33), serverId: secret.slice(33) };
  }
  const [, base, name] = /^(.*)\/i\/(.*)$/s.exec(address) ?? [];
  if (base === undefined || name === undefined || secret.length !== 33) {
    throw new FormatError("link: neither an invite nor an owner link");
  }
  const invite = { token: secret.slice(1) };
  if (!equal(fromBase64(name), idBytes(idOfInvite(invite)))) {
    throw new FormatError("link: the two halves do not belong together");
  }
  return { tag: "invite", base, secret: invite };
}

/** base64url without padding. */
export function toBase64(value: Uint8Array): string {
  const library = sodium();
  return library.to_base64(value, library.base64_variants.URLSAFE_NO_PADDING);
}

/** Read base64url without padding; one text per value, so that a link has one form. */
export function fromBase64(text: string): Uint8Array {
  const library = sodium();
  try {
    return library.from_base64(text, library.base64_variants.URLSAFE_NO_PADDING);
  } catch {
    throw new FormatError("link: base64url");
  }
}
