/** Chapter 3: membership entries and the rules of their chain. */

import { equal as equalBytes, fromHex } from "../../src/protocol/bytes.ts";
import {
  checkFirst,
  checkSuccessor,
  parseSignedDeviceList,
  type SignedDeviceList,
} from "../../src/protocol/device-lists.ts";
import { advance, begin, type ListLookup, type MembershipState } from "../../src/protocol/membership.ts";
import { encodeEntryFields, parseSignedEntry, type SignedEntry } from "../../src/protocol/membership-entries.ts";
import {
  bytes,
  type Check,
  checkVerdict,
  Difference,
  equal,
  type Files,
  inner,
  number,
  text,
  texts,
  type Vector,
  verdictOf,
} from "./reading.ts";

const OPS = ["genesis", "invite", "join", "remove", "leave", "role", "checkpoint"];
const ROLES = ["owner", "therapist", "client"];
const KINDS = ["pair", "group"];

/** Roles and kinds have numbers in the vectors. */
function numbered(fields: object): Record<string, unknown> {
  const number = (value: unknown, names: readonly string[]) => names.indexOf(String(value)) + 1;
  return Object.fromEntries(
    Object.entries(fields).map(([name, value]) => {
      if (name === "role") return [name, number(value, ROLES)];
      return name === "kind" ? [name, number(value, KINDS)] : [name, value];
    }),
  );
}

function fieldsOf({ fields }: SignedEntry): object {
  const { tag, ...action } = fields.action;
  return { ...fields, action: numbered(action) };
}

function stateOf(state: MembershipState): object {
  return {
    epoch: state.epoch,
    head: state.head,
    members: state.members.map(numbered),
    invites: state.invites.map(({ account, device, ...invite }) => numbered(invite)),
    floors: state.floors
      .map(({ account, version }) => [account, version])
      .sort(([one], [two]) => (String(one) < String(two) ? -1 : 1)),
  };
}

function verifiedLists(encoded: readonly string[]): SignedDeviceList[] {
  const lists: SignedDeviceList[] = [];
  for (const one of encoded) {
    const list = parseSignedDeviceList(fromHex(one));
    const head = lists.findLast(({ content }) => content.account === list.content.account);
    equal(
      "device list",
      verdictOf(() => (head ? checkSuccessor(head, list) : checkFirst(list))),
      "ok",
    );
    lists.push(list);
  }
  return lists;
}

function membership(): Record<string, Check> {
  let lists: SignedDeviceList[] = [];
  let state: MembershipState | null = null;
  const lookup: ListLookup = (account, version) =>
    lists.find(({ content }) => content.account === account && content.version === version) ?? null;
  const after = (before: MembershipState | null, entry: SignedEntry) =>
    before === null ? begin(entry, lookup) : advance(before, entry, lookup);
  return {
    lists: (vector) => {
      lists = verifiedLists(texts(vector, "lists"));
    },
    entry: (vector) => {
      const entry = parseSignedEntry(bytes(vector, "encoded"));
      const signed = encodeEntryFields(entry.fields);
      equal("signed_bytes", signed, text(vector, "signed_bytes"));
      if (!equalBytes(signed, entry.encoded.subarray(0, signed.length))) throw new Difference("encoded");
      if (!text(vector, "signed_bytes").includes(text(vector, "args"))) throw new Difference("args");
      equal("op", OPS.indexOf(entry.fields.action.tag) + 1, number(vector, "op"));
      equal("fields", fieldsOf(entry), inner(vector, "fields"));
      equal("hash", entry.hash, text(vector, "hash"));
      state = after(entry.fields.action.tag === "genesis" ? null : state, entry);
      equal("state", stateOf(state), inner(vector, "state"));
    },
    refused: (vector: Vector) => {
      const chain = texts(vector, "chain").map((entry) => parseSignedEntry(fromHex(entry)));
      const before = chain.reduce<MembershipState | null>(after, null);
      checkVerdict(vector, () => after(before, parseSignedEntry(bytes(vector, "entry"))));
    },
  };
}

export const files: Files = { "membership.json": [3, membership] };
