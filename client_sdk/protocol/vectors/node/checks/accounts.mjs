// Chapter 2 and the invites of chapter 3: device lists, prekeys, tokens, cards and links.

import { hex, unhex } from "../bytes.mjs";
import { checkFirst, checkSuccessor, encodeList, readEntry, readList, standing } from "../devices.mjs";
import { invite, inviteLink, openCard, ownerLink, readLink, sealCard } from "../invites.mjs";
import { readable } from "../maps.mjs";
import { checkBundle, checkPrekey, encodePrekey, readBundle, readPrekey } from "../prekeys.mjs";
import { agreementPublic, encapsulate, kemPublic, signingPublic } from "../primitives.mjs";
import { fingerprint, inGroups, safetyNumber } from "../safety_number.mjs";
import { checkVerdict, equal, verdictOf } from "./difference.mjs";

const BASE = "https://rapport.example";

function listOf(fields) {
  const devices = fields.devices.map((entry) => ({
    device: unhex(entry.device),
    dsig: unhex(entry.dsig),
    dik: unhex(entry.dik),
    created: entry.created_ms,
    caps: entry.caps,
    selfsig: unhex(entry.selfsig),
  }));
  return {
    account: unhex(fields.account),
    aik: unhex(fields.aik),
    version: fields.version,
    prevHash: unhex(fields.prev_hash),
    issued: fields.issued_ms,
    devices,
    revoked: fields.revoked.map(unhex),
    signer: unhex(fields.signer),
  };
}

function fieldsOf(list) {
  const devices = list.devices.map((entry) => ({
    device: hex(entry.device),
    dsig: hex(entry.dsig),
    dik: hex(entry.dik),
    created_ms: entry.created,
    caps: entry.caps,
    selfsig: hex(entry.selfsig),
  }));
  return {
    account: hex(list.account),
    aik: hex(list.aik),
    version: list.version,
    prev_hash: hex(list.prevHash),
    issued_ms: list.issued,
    devices,
    revoked: list.revoked.map(hex),
    signer: hex(list.signer),
  };
}

function deviceLists() {
  let head = null;
  return {
    list: ({ fields, signer_seed: seed, encoded, hash }) => {
      equal("encoded", encodeList(listOf(fields), unhex(seed)), encoded);
      const list = readList(unhex(encoded));
      equal("fields", fieldsOf(list), fields);
      equal("hash", list.hash, hash);
      equal(
        "chain",
        verdictOf(() => (head ? checkSuccessor(head, list) : checkFirst(list))),
        "ok",
      );
      head = list;
    },
    successor: (vector) =>
      checkVerdict(vector, () => checkSuccessor(readList(unhex(vector.head)), readList(unhex(vector.candidate)))),
    first: (vector) => checkVerdict(vector, () => checkFirst(readList(unhex(vector.candidate)))),
    judge: ({ chain, candidate, verdict }) => {
      const held = chain.map((list) => readList(unhex(list)));
      let found;
      const judged = verdictOf(() => {
        found = standing(held, readList(unhex(candidate)));
      });
      equal("standing", found ?? judged, verdict);
    },
  };
}

/** Check a prekey whose public keys are called `names` in the vector. */
const prekey = (label, names) => (vector) => {
  const { fields } = vector;
  const [account, device, dsig] = [vector.account, vector.device, vector.dsig].map(unhex);
  const made = { public: agreementPublic, x25519: agreementPublic, kem: kemPublic };
  for (const name of names) equal(name, made[name](unhex(name === "kem" ? vector.seed : vector.secret)), fields[name]);
  const unsigned = { id: fields.id, keys: names.map((name) => unhex(fields[name])), created: fields.created_ms };
  equal("dsig", signingPublic(unhex(vector.dsig_seed)), vector.dsig);
  equal("encoded", encodePrekey(label, account, device, unhex(vector.dsig_seed), unsigned), vector.encoded);
  const read = readPrekey(label, unhex(vector.encoded));
  const keys = Object.fromEntries(names.map((name, at) => [name, hex(read.keys[at])]));
  equal("fields", { id: read.id, ...keys, created_ms: read.created, signature: hex(read.signature) }, fields);
  checkVerdict(vector, () => checkPrekey(account, device, dsig, read));
};

const prekeys = () => ({
  spk: prekey("spk", ["public"]),
  otk: prekey("otk", ["x25519", "kem"]),
  pqlr: prekey("pqlr", ["kem"]),
  bundle: (vector) =>
    checkVerdict(vector, () => {
      const bundle = readBundle(unhex(vector.encoded));
      checkBundle(unhex(vector.account), readEntry(unhex(vector.device_entry)), bundle);
      encapsulate(bundle.kem);
    }),
});

const safetyNumbers = () => ({
  fingerprint: ({ version, key, identifier, digits }) =>
    equal("digits", fingerprint(version, unhex(key), unhex(identifier)), digits),
  number: ({ one, one_aik: oneAik, other, other_aik: otherAik, digits, shown }) => {
    const number = safetyNumber([unhex(one), unhex(oneAik)], [unhex(other), unhex(otherAik)]);
    equal("digits", number, digits);
    equal("shown", inGroups(number), shown);
  },
});

function card(vector) {
  const [token, sealed] = [vector.token, vector.sealed].map(unhex);
  if (checkVerdict(vector, () => openCard(token, sealed)) !== "ok") return;
  const [messagepack, map] = openCard(token, sealed);
  equal("messagepack", messagepack, vector.messagepack);
  equal("fields", readable(map), vector.fields);
  equal("sealed", sealCard(token, unhex(vector.nonce), messagepack), vector.sealed);
}

const invites = () => ({
  invite: (vector) => {
    const made = invite(unhex(vector.token));
    equal("invite", made.id, vector.invite);
    equal("isk_seed", made.iskSeed, vector.isk_seed);
    equal("ipk", made.ipk, vector.ipk);
    equal("card_key", made.cardKey, vector.card_key);
    equal("link", inviteLink(BASE, unhex(vector.token)), vector.link);
    equal("link read back", readable(readLink(vector.link)), { base: BASE, token: vector.token });
  },
  card,
  owner_link: ({ token, server_id: serverId, link }) => {
    equal("link", ownerLink(BASE, unhex(token), unhex(serverId)), link);
    equal("link read back", readable(readLink(link)), { base: BASE, token, serverId });
  },
  link: (vector) => checkVerdict(vector, () => readLink(vector.link)),
});

export const files = {
  "device_lists.json": [2, deviceLists],
  "prekeys.json": [2, prekeys],
  "safety_number.json": [2, safetyNumbers],
  "invites.json": [3, invites],
};
