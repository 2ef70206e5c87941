// Invite tokens, cards and links (docs/protocol.md 3.1).

import { concat, demand, same, zeros } from "./bytes.mjs";
import { readCard } from "./maps.mjs";
import { pad, unpad } from "./padding.mjs";
import { first16, fromBase64, h256, hkdf, L, seal, signingPublic, toBase64, unseal } from "./primitives.mjs";

const LINK_VERSION = 1;

/** Everything that follows from a token. */
export function invite(token) {
  const iskSeed = hkdf(zeros(32), token, L("invite-sign"), 32);
  return {
    id: first16(h256("invite-id", token)),
    iskSeed,
    ipk: signingPublic(iskSeed),
    cardKey: hkdf(zeros(32), token, L("invite-card"), 32),
  };
}

const cardAad = (id) => concat(L("card"), id);

/** A sealed card with the MessagePack map `map`. */
export function sealCard(token, nonce, map) {
  const { id, cardKey } = invite(token);
  return concat(nonce, seal(cardKey, nonce, pad(map), cardAad(id)));
}

/** Open a card: [its MessagePack bytes, the decoded map]. */
export function openCard(token, sealed) {
  const { id, cardKey } = invite(token);
  const map = unpad(unseal(cardKey, sealed.slice(0, 24), sealed.slice(24), cardAad(id)));
  return [map, readCard(map)];
}

const fragment = (...parts) => toBase64(concat(Uint8Array.of(LINK_VERSION), ...parts));

export const inviteLink = (base, token) => `${base}/i/${toBase64(invite(token).id)}#${fragment(token)}`;
export const ownerLink = (base, token, serverId) => `${base}/o#${fragment(token, serverId)}`;

/** Read a link: `{base, token}` of an invite, `{base, token, serverId}` of an owner link. */
export function readLink(link) {
  const [address, text = ""] = link.split(/#(.*)/s);
  demand(/^https?:\/\//.test(address), "bad_format", "scheme");
  const secret = fromBase64(text);
  demand(secret.length > 0, "bad_format", "no fragment");
  demand(secret[0] === LINK_VERSION, "unsupported", "version of the link");
  const [, base, id] = /^(.*)\/(?:o|i\/([^/]*))$/s.exec(address) ?? [];
  demand(base, "bad_format", "path");
  demand(secret.length === (id === undefined ? 65 : 33), "bad_format", "length of the fragment");
  const token = secret.slice(1, 33);
  if (id === undefined) return { base, token, serverId: secret.slice(33) };
  demand(same(fromBase64(id), invite(token).id), "bad_format", "id of another token");
  return { base, token };
}
