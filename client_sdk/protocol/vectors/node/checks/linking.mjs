// Chapter 13: linking codes, the key of a link, sealed steps.

import { hex, unhex } from "../bytes.mjs";
import { codeText, codeUrl, commitment, digits, endPublic, linkId, linkKey, openStep, readCode, sealStep } from "../linking.mjs";
import { readable } from "../maps.mjs";
import { checkVerdict, equal } from "./difference.mjs";

const BASE = "https://rapport.example";

function key(vector) {
  const secret = unhex(vector.secret);
  const [existing, fresh] = [vector.existing_secret, vector.new_secret].map(unhex);
  const [existingPublic, newPublic] = [existing, fresh].map(endPublic);
  equal("existing_public", existingPublic, vector.existing_public);
  equal("new_public", newPublic, vector.new_public);
  equal("commitment", commitment(linkId(secret), existingPublic), vector.commitment);
  const made = linkKey(secret, existing, newPublic, existingPublic, newPublic);
  equal("key", made, vector.key);
  equal("key of the other end", linkKey(secret, fresh, existingPublic, existingPublic, newPublic), vector.key);
  equal("digits", digits(made), vector.digits);
}

function weak(vector) {
  const [secret, existing, newPublic] = [vector.secret, vector.existing_secret, vector.new_public].map(unhex);
  checkVerdict(vector, () => linkKey(secret, existing, newPublic, endPublic(existing), newPublic));
}

function read(vector) {
  if (checkVerdict(vector, () => readCode(vector.text)) !== "ok") return;
  const { base, secret } = readCode(vector.text);
  equal("base", base, vector.base);
  equal("secret", hex(secret), vector.secret);
}

function step(vector) {
  const [linkSecret, link, nonce, messagepack, sealed] = [
    vector.key,
    vector.link,
    vector.nonce,
    vector.messagepack,
    vector.sealed,
  ].map(unhex);
  equal("sealed", sealStep(linkSecret, link, vector.step, nonce, messagepack), vector.sealed);
  const [map, fields] = openStep(linkSecret, link, vector.step, sealed);
  equal("messagepack", map, vector.messagepack);
  equal("fields", readable(fields), vector.fields);
}

const linking = () => ({
  code: (vector) => {
    const secret = unhex(vector.secret);
    equal("text", codeText(secret), vector.text);
    equal("url", codeUrl(BASE, secret), vector.url);
    equal("link", linkId(secret), vector.link);
  },
  read,
  key,
  weak,
  step,
  open: (vector) => {
    const [linkSecret, link, sealed] = [vector.key, vector.link, vector.sealed].map(unhex);
    checkVerdict(vector, () => openStep(linkSecret, link, vector.step, sealed));
  },
});

export const files = { "linking.json": [13, linking] };
