/**
 * How vault records are hidden: what stands in the storage instead of table names, keys, groups and values.
 *
 *     id    = HMAC-SHA256(K_look, LP(table) and 0x00 and key), first 16 bytes
 *     group = HMAC-SHA256(K_look, LP(table) and 0x01 and group), first 16 bytes
 *     value = nonce24 and XChaCha20-Poly1305(K_seal, key length u16 and key and value, aad = LP(table) and id)
 *
 * K_seal and K_look come from VK by HKDF. Binding a value to its table and id means that a storage's values cannot be
 * swapped. A value is the record in MessagePack.
 */

import { Decoder, Encoder } from "@msgpack/msgpack";
import { AuthenticationFailed } from "../crypto/failures.ts";
import { hkdf, hmacSha256, NONCE_BYTES, openSealed, seal } from "../crypto/primitives.ts";
import { VaultProblem } from "../ports.ts";
import { concat, EMPTY, fromUtf8, toHex, utf8 } from "../protocol/bytes.ts";
import { idBytes } from "../protocol/ids.ts";
import { exact, lp, u16 } from "../protocol/signed.ts";
import { systemRandom } from "./clock.ts";
import type { Held, Naming, Plain } from "./vault-records.ts";

/** Length of VK. */
export const VAULT_KEY_BYTES = 32;
const ID_BYTES = 16;
/** Names kept at hand; a vault's records are looked for again and again. */
const NAMES_MOST = 50_000;

/** Seals, names and opens records under one VK. Never shows it. */
export class RecordSeal implements Naming {
  private readonly sealKey: Uint8Array;
  private readonly lookKey: Uint8Array;
  private readonly prefixes = new Map<string, Uint8Array>();
  private readonly names = new Map<string, string>();
  private readonly encoder = new Encoder();
  private readonly decoder = new Decoder();

  constructor(key: Uint8Array) {
    const noSalt = new Uint8Array(32);
    this.sealKey = hkdf(noSalt, exact(key, VAULT_KEY_BYTES), utf8("Rapport vault 1: seal"), 32);
    this.lookKey = hkdf(noSalt, key, utf8("Rapport vault 1: look up"), 32);
  }

  /** What a record is found by; 16 bytes in hexadecimal. */
  id(table: string, key: string): string {
    return this.name(table, 0, key);
  }

  /** What the records of a group are listed by; 16 bytes in hexadecimal. */
  group(table: string, group: string): string {
    return this.name(table, 1, group);
  }

  /** The bytes that stand in the storage. key: at most 65,535 bytes. */
  seal(table: string, id: string, plain: Plain): Uint8Array {
    const nonce = systemRandom(NONCE_BYTES);
    const key = utf8(plain.key);
    const content = concat(u16(key.length), key, this.encoder.encode(plain.value));
    return concat(nonce, seal(this.sealKey, nonce, content, concat(this.prefix(table), idBytes(id))));
  }

  /** The record in the clear, kept with it. Throws VaultProblem when the bytes are not what this vault wrote. */
  open(table: string, held: Held): Plain {
    if (held.plain === null) {
      held.plain = this.unseal(table, held.id, held.sealed ?? EMPTY);
      held.sealed = null;
    }
    return held.plain;
  }

  /** Throws VaultProblem unless the bytes were sealed under this VK at this place. */
  check(table: string, id: string, sealed: Uint8Array): void {
    this.unseal(table, id, sealed);
  }

  private unseal(table: string, id: string, sealed: Uint8Array): Plain {
    const associated = concat(this.prefix(table), idBytes(id));
    const nonce = sealed.subarray(0, NONCE_BYTES);
    try {
      const content = openSealed(this.sealKey, nonce, sealed.subarray(NONCE_BYTES), associated);
      const start = 2 + new DataView(content.buffer, content.byteOffset).getUint16(0);
      const value: unknown = this.decoder.decode(content.subarray(start));
      if (typeof value === "object" && value !== null) {
        return { key: fromUtf8(content.subarray(2, start)), value };
      }
    } catch (error) {
      if (!(error instanceof AuthenticationFailed || error instanceof RangeError || error instanceof TypeError)) {
        throw error;
      }
    }
    throw new VaultProblem("the vault is damaged: a record does not verify");
  }

  private name(table: string, kind: 0 | 1, text: string): string {
    const asked = `${kind}${table}\n${text}`;
    let held = this.names.get(asked);
    if (held === undefined) {
      const digest = hmacSha256(this.lookKey, concat(this.prefix(table), Uint8Array.of(kind), utf8(text)));
      held = toHex(digest.subarray(0, ID_BYTES));
      if (this.names.size >= NAMES_MOST) {
        this.names.clear();
      }
      this.names.set(asked, held);
    }
    return held;
  }

  private prefix(table: string): Uint8Array {
    let held = this.prefixes.get(table);
    if (held === undefined) {
      held = lp(utf8(table));
      this.prefixes.set(table, held);
    }
    return held;
  }
}
