/** Chapter 1: labels, key derivation, hashes, signatures, weak keys, ML-KEM-768. */

import { hkdf, hmacSha256, kemDecapsulate, kemEncapsulate, kemPublic, x25519 } from "../../src/crypto/primitives.ts";
import { toHex } from "../../src/protocol/bytes.ts";
import { type AccountId, idOf } from "../../src/protocol/ids.ts";
import type { Label } from "../../src/protocol/labels.ts";
import {
  h256,
  inviteId,
  keyCommitment,
  label,
  selfConversation,
  sessionId,
  sign,
  signingKey,
  verify,
} from "../../src/protocol/signed.ts";
import { sodium } from "../../src/protocol/sodium.ts";
import { bytes, type Check, checkVerdict, equal, type Files, number, text, type Vector } from "./reading.ts";

const labelOf = (vector: Vector, name: string) => text(vector, name) as Label;

const labels = () => ({
  "": (vector: Vector) => {
    equal("bytes", label(labelOf(vector, "name")), text(vector, "bytes"));
    if (text(vector, "use") === "") throw new Error("a label without a use");
  },
});

const kdf = () => ({
  hkdf: (vector: Vector) => {
    const made = hkdf(bytes(vector, "salt"), bytes(vector, "ikm"), bytes(vector, "info"), number(vector, "size"));
    equal("output", made, text(vector, "output"));
  },
  hmac: (vector: Vector) =>
    equal("output", hmacSha256(bytes(vector, "key"), bytes(vector, "message")), text(vector, "output")),
});

const ofInput =
  (made: (input: Uint8Array) => unknown): Check =>
  (vector) =>
    equal("output", made(bytes(vector, "input")), text(vector, "output"));

const hashes = () => ({
  h256: (vector: Vector) =>
    equal("output", h256(labelOf(vector, "label"), bytes(vector, "content")), text(vector, "output")),
  invite_id: ofInput(inviteId),
  self_conversation: ofInput((account) => selfConversation(idOf<AccountId>(account))),
  session_id: ofInput(sessionId),
  owner_token: ofInput((token) => h256("owner-token", token)),
  http_token: ofInput((token) => h256("http-token", token)),
  commitment: ofInput(keyCommitment),
});

function verified(vector: Vector): void {
  const [key, content, signature] = [bytes(vector, "public"), bytes(vector, "content"), bytes(vector, "signature")];
  checkVerdict(vector, () => verify(key, labelOf(vector, "label"), content, signature));
}

const signatures = () => ({
  plain: (vector: Vector) => {
    const key = signingKey(bytes(vector, "seed"));
    equal("public", key.publicKey, text(vector, "public"));
    const signature = sodium().crypto_sign_detached(bytes(vector, "message"), key.secretKey);
    equal("signature", signature, text(vector, "signature"));
  },
  labelled: (vector: Vector) => {
    verified(vector);
    if (!("seed" in vector)) return;
    const key = signingKey(bytes(vector, "seed"));
    equal("public", key.publicKey, text(vector, "public"));
    equal("signature", sign(key, labelOf(vector, "label"), bytes(vector, "content")), text(vector, "signature"));
  },
});

const weakKeys = () => ({
  x25519: (vector: Vector) => {
    const agree = () => x25519(bytes(vector, "secret"), bytes(vector, "public"));
    if (checkVerdict(vector, agree)) equal("output", agree(), text(vector, "output"));
  },
  ed25519: verified,
  "ml-kem": (vector: Vector) => void checkVerdict(vector, () => kemEncapsulate(bytes(vector, "public"))),
});

const kem = () => ({
  "": (vector: Vector) => {
    const [seed, key] = [bytes(vector, "seed"), bytes(vector, "public")];
    equal("public", kemPublic(seed), toHex(key));
    equal("secret", kemDecapsulate(seed, bytes(vector, "ciphertext")), text(vector, "secret"));
    const rejected = kemDecapsulate(seed, bytes(vector, "wrong_ciphertext"));
    equal("rejection_secret", rejected, text(vector, "rejection_secret"));
    const [fresh, shared] = kemEncapsulate(key);
    equal("secret of an own ciphertext", kemDecapsulate(seed, fresh), toHex(shared));
  },
});

export const files: Files = {
  "labels.json": [1, labels],
  "kdf.json": [1, kdf],
  "hashes.json": [1, hashes],
  "signatures.json": [1, signatures],
  "weak_keys.json": [1, weakKeys],
  "kem.json": [1, kem],
};
