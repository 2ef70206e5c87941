// Membership entries: their bytes and what each op's args hold (docs/protocol.md 3.4).

import { concat, lp, Reader, Refused, demand, u8, u64, zeros } from "./bytes.mjs";
import { first16, h256, sign } from "./primitives.mjs";

export const OP = { genesis: 1, invite: 2, join: 3, remove: 4, leave: 5, role: 6, checkpoint: 7 };
export const PAIR = 1;
export const GROUP = 2;
export const OWNER = 1;
export const THERAPIST = 2;
export const CLIENT = 3;

const ROLES = [OWNER, THERAPIST, CLIENT];
const NAMES = Object.fromEntries(Object.entries(OP).map(([name, op]) => [op, name]));

const among = (value, allowed, what) => (demand(allowed.includes(value), "unsupported", what), value);

/** How one field of args is written and read. */
const bytes = (size) => ({ write: (value) => value, read: (reader) => reader.take(size) });
const role = { write: u8, read: (reader) => among(reader.u8(), ROLES, "role") };
const kind = { write: u8, read: (reader) => among(reader.u8(), [PAIR, GROUP], "kind") };
const integer = { write: u64, read: (reader) => reader.u64() };

/** Per op: the fields of args in their order. */
const ARGS = {
  genesis: { kind, role, nonce: bytes(16), aik: bytes(32) },
  invite: { invite: bytes(16), ipk: bytes(32), role, expires: integer },
  join: { invite: bytes(16), aik: bytes(32), listHash: bytes(32) },
  remove: { account: bytes(16) },
  leave: {},
  role: { account: bytes(16), role },
  checkpoint: { account: bytes(16), version: integer, listHash: bytes(32) },
};

export const encodeArgs = (op, args) =>
  concat(...Object.entries(ARGS[NAMES[op]]).map(([name, field]) => field.write(args[name])));

/** The bytes that the signatures of an entry cover. */
export function encodeFields(entry) {
  return concat(
    entry.conv,
    u64(entry.epoch),
    entry.prevHash,
    entry.account,
    entry.device,
    u64(entry.listVersion),
    u8(entry.op),
    lp(encodeArgs(entry.op, entry.args)),
    u64(entry.ts),
  );
}

/** A signed entry; a join also with the invite's signing key. */
export function encodeEntry(entry, dsigSeed, iskSeed = null) {
  const fields = encodeFields(entry);
  const join = entry.op === OP.join ? sign(iskSeed, "join", fields) : zeros(0);
  return concat(fields, sign(dsigSeed, "membership", fields), join);
}

/** Read an entry; `fields` of the result are the signed bytes. */
export function readEntry(encoded) {
  const reader = new Reader(encoded);
  const entry = {
    conv: reader.take(16),
    epoch: reader.u64(),
    prevHash: reader.take(32),
    account: reader.take(16),
    device: reader.take(16),
    listVersion: reader.u64(),
    op: reader.u8(),
  };
  const args = new Reader(reader.lp(1024));
  if (!(entry.op in NAMES)) throw new Refused("unsupported", "op");
  entry.args = Object.fromEntries(
    Object.entries(ARGS[NAMES[entry.op]]).map(([name, field]) => [name, field.read(args)]),
  );
  args.end();
  entry.ts = reader.u64();
  const fields = reader.before();
  entry.sig = reader.take(64);
  if (entry.op === OP.join) entry.isig = reader.take(64);
  reader.end();
  return { ...entry, fields, hash: h256("membership-hash", encoded) };
}

/** The conversation that a genesis entry names. */
export const conversationOf = (genesis) => first16(h256("conv", encodeFields({ ...genesis, conv: zeros(16) })));
