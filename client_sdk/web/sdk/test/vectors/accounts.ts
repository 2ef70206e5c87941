/** Chapter 2 and the invites of chapter 3: device lists, prekeys, safety numbers, tokens, cards and links. */

import {
  cardKeyOf,
  encodeLink,
  type InviteSecret,
  idOfInvite,
  inviteKeyOf,
  openCard,
  parseLink,
  sealCard,
} from "../../src/crypto/invites.ts";
import { kemEncapsulate, kemPublic, x25519Public } from "../../src/crypto/primitives.ts";
import { numericFingerprint, safetyNumber, shownInGroups } from "../../src/crypto/safety-number.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import {
  checkFirst,
  checkSuccessor,
  judge,
  parseDeviceEntry,
  parseSignedDeviceList,
  type SignedDeviceList,
  signDeviceList,
} from "../../src/protocol/device-lists.ts";
import type { AccountId, DeviceId } from "../../src/protocol/ids.ts";
import {
  checkLastResortKey,
  checkOneTimeBundle,
  checkPrekeyBundle,
  checkSignedPrekey,
  encodeLastResortKey,
  encodeOneTimeBundle,
  encodePrekeyBundle,
  encodeSignedPrekey,
  makeLastResortKey,
  makeOneTimeBundle,
  makeSignedPrekey,
  parseLastResortKey,
  parseOneTimeBundle,
  parsePrekeyBundle,
  parseSignedPrekey,
} from "../../src/protocol/prekeys.ts";
import { Reader, type SigningKey, seedOf, signingKey } from "../../src/protocol/signed.ts";
import {
  bytes,
  type Check,
  checkVerdict,
  drawing,
  equal,
  type Files,
  inner,
  number,
  text,
  texts,
  type Vector,
  verdictOf,
} from "./reading.ts";

const BASE = "https://rapport.example";

const ROLES = ["owner", "therapist", "client"];

const listOf = (vector: Vector, name: string) => parseSignedDeviceList(bytes(vector, name));

function deviceLists(): Record<string, Check> {
  let head: SignedDeviceList | null = null;
  return {
    list: (vector) => {
      const list = listOf(vector, "encoded");
      equal("fields", list.content, inner(vector, "fields"));
      equal(
        "encoded",
        signDeviceList(list.content, signingKey(bytes(vector, "signer_seed"))).encoded,
        text(vector, "encoded"),
      );
      equal("hash", list.hash, text(vector, "hash"));
      const before = head;
      equal(
        "chain",
        verdictOf(() => (before ? checkSuccessor(before, list) : checkFirst(list))),
        "ok",
      );
      head = list;
    },
    successor: (vector) => {
      checkVerdict(vector, () => checkSuccessor(listOf(vector, "head"), listOf(vector, "candidate")));
    },
    first: (vector) => {
      checkVerdict(vector, () => checkFirst(listOf(vector, "candidate")));
    },
    judge: (vector) => {
      const lists = texts(vector, "chain").map((list) => parseSignedDeviceList(fromHex(list)));
      let found = "";
      const refused = verdictOf(() => {
        found = judge({ lists }, listOf(vector, "candidate"));
      });
      equal("standing", found || refused, text(vector, "verdict"));
    },
  };
}

/** One of the three prekeys: make it from the vector's fields and secrets, read it back, verify it. */
interface Prekey {
  readonly make: (account: AccountId, device: DeviceId, key: SigningKey, fields: Vector) => Uint8Array;
  readonly read: (encoded: Uint8Array) => object;
  readonly check: (encoded: Uint8Array, account: AccountId, device: DeviceId, dsig: Uint8Array) => void;
}

const prekey =
  ({ make, read, check }: Prekey): Check =>
  (vector) => {
    const [account, device] = [text(vector, "account") as AccountId, text(vector, "device") as DeviceId];
    const fields = inner(vector, "fields");
    if ("secret" in vector) {
      const made = x25519Public(bytes(vector, "secret"));
      equal("public key", made, text(fields, "x25519" in fields ? "x25519" : "public"));
    }
    if ("seed" in vector) equal("kem", kemPublic(bytes(vector, "seed")), text(fields, "kem"));
    const key = signingKey(bytes(vector, "dsig_seed"));
    equal("dsig", key.publicKey, text(vector, "dsig"));
    equal("encoded", make(account, device, key, fields), text(vector, "encoded"));
    equal("fields", read(bytes(vector, "encoded")), fields);
    checkVerdict(vector, () => check(bytes(vector, "encoded"), account, device, bytes(vector, "dsig")));
  };

const times = (fields: Vector) => [number(fields, "id"), number(fields, "created_ms")] as const;

const prekeys = () => ({
  spk: prekey({
    make: (account, device, key, fields) => {
      const [id, created] = times(fields);
      return encodeSignedPrekey(makeSignedPrekey(account, device, key, id, bytes(fields, "public"), created));
    },
    read: (encoded) => {
      const { publicKey, ...rest } = parseSignedPrekey(encoded);
      return { public: publicKey, ...rest };
    },
    check: (encoded, account, device, dsig) => checkSignedPrekey(parseSignedPrekey(encoded), account, device, dsig),
  }),
  otk: prekey({
    make: (account, device, key, fields) => {
      const [id, created] = times(fields);
      const publics = [bytes(fields, "x25519"), bytes(fields, "kem")] as const;
      return encodeOneTimeBundle(makeOneTimeBundle(account, device, key, id, publics, created));
    },
    read: parseOneTimeBundle,
    check: (encoded, account, device, dsig) => checkOneTimeBundle(parseOneTimeBundle(encoded), account, device, dsig),
  }),
  pqlr: prekey({
    make: (account, device, key, fields) => {
      const [id, created] = times(fields);
      return encodeLastResortKey(makeLastResortKey(account, device, key, id, bytes(fields, "kem"), created));
    },
    read: parseLastResortKey,
    check: (encoded, account, device, dsig) => checkLastResortKey(parseLastResortKey(encoded), account, device, dsig),
  }),
  bundle: (vector: Vector) => {
    const entry = () => parseDeviceEntry(new Reader(bytes(vector, "device_entry"), "device entry"));
    const agreed = checkVerdict(vector, () => {
      const bundle = parsePrekeyBundle(bytes(vector, "encoded"));
      checkPrekeyBundle(bundle, text(vector, "account") as AccountId, entry());
      kemEncapsulate(bundle.key.kem);
    });
    if (agreed)
      equal("encoded", encodePrekeyBundle(parsePrekeyBundle(bytes(vector, "encoded"))), text(vector, "encoded"));
  },
});

const safetyNumbers = () => ({
  fingerprint: (vector: Vector) => {
    const digits = numericFingerprint(number(vector, "version"), bytes(vector, "key"), bytes(vector, "identifier"));
    equal("digits", digits, text(vector, "digits"));
  },
  number: (vector: Vector) => {
    const one = [text(vector, "one") as AccountId, bytes(vector, "one_aik")] as const;
    const other = [text(vector, "other") as AccountId, bytes(vector, "other_aik")] as const;
    equal("digits", safetyNumber(one, other), text(vector, "digits"));
    equal("digits the other way round", safetyNumber(other, one), text(vector, "digits"));
    equal("shown", shownInGroups(safetyNumber(one, other)), text(vector, "shown"));
  },
});

function card(vector: Vector): void {
  const secret: InviteSecret = { token: bytes(vector, "token") };
  const open = () => openCard(secret, bytes(vector, "sealed"));
  if (!checkVerdict(vector, open)) return;
  const opened = open();
  const given = Object.fromEntries(Object.entries(opened).filter(([, value]) => value !== null));
  equal("fields", { ...given, role: ROLES.indexOf(opened.role) + 1 }, inner(vector, "fields"));
  if ("nonce" in vector)
    equal("sealed", sealCard(secret, opened, drawing(bytes(vector, "nonce"))), text(vector, "sealed"));
}

const invites = () => ({
  invite: (vector: Vector) => {
    const secret = { token: bytes(vector, "token") };
    const key = inviteKeyOf(secret);
    equal("invite", idOfInvite(secret), text(vector, "invite"));
    equal("isk_seed", seedOf(key), text(vector, "isk_seed"));
    equal("ipk", key.publicKey, text(vector, "ipk"));
    equal("card_key", cardKeyOf(secret), text(vector, "card_key"));
    equal("link", encodeLink({ tag: "invite", base: BASE, secret }), text(vector, "link"));
    const read = { tag: "invite", base: BASE, secret: { token: text(vector, "token") } };
    equal("link read back", parseLink(text(vector, "link")), read);
  },
  card,
  owner_link: (vector: Vector) => {
    const link = {
      tag: "owner",
      base: BASE,
      token: bytes(vector, "token"),
      serverId: bytes(vector, "server_id"),
    } as const;
    equal("link", encodeLink(link), text(vector, "link"));
    const read = { tag: "owner", base: BASE, token: text(vector, "token"), server_id: text(vector, "server_id") };
    equal("link read back", parseLink(text(vector, "link")), read);
  },
  link: (vector: Vector) => {
    checkVerdict(vector, () => parseLink(text(vector, "link")));
  },
});

export const files: Files = {
  "device_lists.json": [2, deviceLists],
  "prekeys.json": [2, prekeys],
  "safety_number.json": [2, safetyNumbers],
  "invites.json": [3, invites],
};
