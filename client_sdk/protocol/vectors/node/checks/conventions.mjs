// Chapter 1: labels, key derivation, hashes, signatures, weak keys, ML-KEM-768.

import { hex, unhex } from "../bytes.mjs";
import { commitment } from "../envelope.mjs";
import { invite } from "../invites.mjs";
import {
  checkSignature,
  decapsulate,
  encapsulate,
  first16,
  h256,
  hkdf,
  hmac,
  kemPublic,
  L,
  LABELS,
  sign,
  signingPublic,
  signPlain,
  X,
} from "../primitives.mjs";
import { checkVerdict, equal } from "./difference.mjs";

function labels(cases) {
  equal("all labels", cases.map(({ name }) => name).sort(), Object.keys(LABELS).sort());
  return {
    "": ({ name, use, bytes }) => {
      equal("bytes", L(name), bytes);
      equal("use", LABELS[name], use);
    },
  };
}

const kdf = () => ({
  hkdf: ({ salt, ikm, info, size, output }) =>
    equal("output", hkdf(unhex(salt), unhex(ikm), unhex(info), size), output),
  hmac: ({ key, message, output }) => equal("output", hmac(unhex(key), unhex(message)), output),
});

const ofInput =
  (made) =>
  ({ input, output }) =>
    equal("output", made(unhex(input)), output);

const hashes = () => ({
  h256: ({ label, content, output }) => equal("output", h256(label, unhex(content)), output),
  invite_id: ofInput((token) => invite(token).id),
  self_conversation: ofInput((account) => first16(h256("self", account))),
  session_id: ofInput((transcript) => first16(h256("sid", transcript))),
  owner_token: ofInput((token) => h256("owner-token", token)),
  http_token: ofInput((token) => h256("http-token", token)),
  commitment: ofInput(commitment),
});

function verify(vector) {
  const { public: key, label, content, signature } = vector;
  checkVerdict(vector, () => checkSignature(unhex(key), label, unhex(content), unhex(signature)));
}

const signatures = () => ({
  plain: ({ seed, public: key, message, signature }) => {
    equal("public", signingPublic(unhex(seed)), key);
    equal("signature", signPlain(unhex(seed), unhex(message)), signature);
  },
  labelled: (vector) => {
    verify(vector);
    if (!vector.seed) return;
    equal("public", signingPublic(unhex(vector.seed)), vector.public);
    equal("signature", sign(unhex(vector.seed), vector.label, unhex(vector.content)), vector.signature);
  },
});

const weakKeys = () => ({
  x25519: (vector) => {
    const agree = () => X(unhex(vector.secret), unhex(vector.public));
    if (checkVerdict(vector, agree) === "ok") equal("output", agree(), vector.output);
  },
  ed25519: verify,
  "ml-kem": (vector) => checkVerdict(vector, () => encapsulate(unhex(vector.public))),
});

const kem = () => ({
  "": ({ seed, public: key, ciphertext, secret, wrong_ciphertext, rejection_secret }) => {
    equal("public", kemPublic(unhex(seed)), key);
    equal("secret", decapsulate(unhex(seed), unhex(ciphertext)), secret);
    equal("rejection_secret", decapsulate(unhex(seed), unhex(wrong_ciphertext)), rejection_secret);
    const [fresh, shared] = encapsulate(unhex(key));
    equal("secret of an own ciphertext", decapsulate(unhex(seed), fresh), hex(shared));
  },
});

export const files = {
  "labels.json": [1, labels],
  "kdf.json": [1, kdf],
  "hashes.json": [1, hashes],
  "signatures.json": [1, signatures],
  "weak_keys.json": [1, weakKeys],
  "kem.json": [1, kem],
};
