// Chapter 3: membership entries and the rules of their chain.

import { hex, same, unhex } from "../bytes.mjs";
import { append } from "../chain.mjs";
import { checkFirst, checkSuccessor, readList } from "../devices.mjs";
import { encodeArgs, encodeFields, OP, readEntry } from "../membership.mjs";
import { checkVerdict, equal, verdictOf } from "./difference.mjs";

/** Names of args in the vectors, where they differ from those here. */
const VECTOR_NAMES = { expires: "expires_ms", listHash: "list_hash" };
const OWN_NAMES = Object.fromEntries(Object.entries(VECTOR_NAMES).map(([own, vector]) => [vector, own]));

const readArg = (value) => (typeof value === "string" ? unhex(value) : value);
const writeArg = (value) => (value instanceof Uint8Array ? hex(value) : value);
const renamed = (args, names, value) =>
  Object.fromEntries(Object.entries(args).map(([name, inner]) => [names[name] ?? name, value(inner)]));

function entryOf(op, fields) {
  return {
    conv: unhex(fields.conv),
    epoch: fields.epoch,
    prevHash: unhex(fields.prev_hash),
    account: unhex(fields.account),
    device: unhex(fields.device),
    listVersion: fields.list_version,
    op,
    args: renamed(fields.action, OWN_NAMES, readArg),
    ts: fields.ts_ms,
  };
}

function fieldsOf(entry) {
  return {
    conv: hex(entry.conv),
    epoch: entry.epoch,
    prev_hash: hex(entry.prevHash),
    account: hex(entry.account),
    device: hex(entry.device),
    list_version: entry.listVersion,
    action: renamed(entry.args, VECTOR_NAMES, writeArg),
    ts_ms: entry.ts,
  };
}

function stateOf(state) {
  return {
    epoch: state.epoch,
    head: hex(state.head),
    members: state.members.map(({ account, role, aik, joined }) => ({
      account: hex(account),
      role,
      aik: hex(aik),
      joined_epoch: joined,
    })),
    invites: state.invites.map(({ invite, ipk, role, expires }) => ({
      invite: hex(invite),
      ipk: hex(ipk),
      role,
      expires_ms: expires,
    })),
    floors: [...state.floors].sort(),
  };
}

function verifiedLists(encoded) {
  const lists = [];
  for (const bytes of encoded) {
    const list = readList(unhex(bytes));
    const head = lists.findLast(({ account }) => same(account, list.account));
    equal(
      "device list",
      verdictOf(() => (head ? checkSuccessor(head, list) : checkFirst(list))),
      "ok",
    );
    lists.push(list);
  }
  return lists;
}

function membership() {
  let lists = [];
  let state = null;
  return {
    lists: (vector) => {
      lists = verifiedLists(vector.lists);
    },
    entry: (vector) => {
      const made = entryOf(vector.op, vector.fields);
      equal("args", encodeArgs(made.op, made.args), vector.args);
      equal("signed_bytes", encodeFields(made), vector.signed_bytes);
      const entry = readEntry(unhex(vector.encoded));
      equal("encoded", entry.fields, vector.signed_bytes);
      equal("op", entry.op, vector.op);
      equal("fields", fieldsOf(entry), vector.fields);
      equal("hash", entry.hash, vector.hash);
      state = append(entry.op === OP.genesis ? null : state, lists, entry);
      equal("state", stateOf(state), vector.state);
    },
    refused: (vector) => {
      const before = vector.chain.reduce((chain, entry) => append(chain, lists, readEntry(unhex(entry))), null);
      checkVerdict(vector, () => append(before, lists, readEntry(unhex(vector.entry))));
    },
  };
}

export const files = { "membership.json": [3, membership] };
