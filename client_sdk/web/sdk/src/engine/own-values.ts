/**
 * What the account's devices have told each other: one value per type and subject, kept as it stands.
 *
 * The value of the post with the highest seq counts, whatever order posts arrive in; one of our own that waits in the
 * outbox counts above all until it has a seq. What a value does to the device is said elsewhere (`own-posts.ts`).
 *
 * Source: docs/protocol.md, section 4.10.
 */

import type { Transaction } from "../ports.ts";
import { FormatError } from "../protocol/errors.ts";
import type { MessageId } from "../protocol/ids.ts";
import { asMap, type OwnContent, parseContent, subjectOf } from "./bodies/content.ts";
import { NEW_OWN_VALUE, OWN, type OwnValue, standingOf } from "./vault/records.ts";
import type { Turn } from "./vault/turn.ts";

function keyOf(content: OwnContent): string {
  return `${content.type}:${subjectOf(content)}`;
}

function put(turn: Turn, content: OwnContent, value: OwnValue): void {
  OWN.put(turn.tx, keyOf(content), value, { group: value.type });
}

/** What is kept under the content's type and subject; an empty value if nothing is. */
export function ownValue(turn: Turn, content: OwnContent): OwnValue {
  return OWN.get(turn.tx, keyOf(content)) ?? { ...NEW_OWN_VALUE, type: content.type };
}

/** Our own post says this and has no seq yet. */
export function queueValue(turn: Turn, content: OwnContent, post: MessageId): void {
  put(turn, content, { ...ownValue(turn, content), queued: post, wanted: asMap(content) });
}

/** The post has its seq, or never gets one: from now on it counts by its seq like any other. */
export function unqueueValue(turn: Turn, content: OwnContent, post: MessageId): void {
  const held = ownValue(turn, content);
  if (held.queued === post) {
    put(turn, content, { ...held, queued: null, wanted: null });
  }
}

/** A post with this seq says this. True if it is the newest word so far. */
export function settleValue(turn: Turn, content: OwnContent, seq: number): boolean {
  const held = ownValue(turn, content);
  if (seq <= held.seq) {
    return false;
  }
  put(turn, content, { ...held, content: asMap(content), seq });
  return true;
}

/** What counts for the type and subject of `like`; null if nothing was ever said. */
export function standing<C extends OwnContent>(tx: Transaction, like: C): C | null {
  const held = OWN.get(tx, keyOf(like));
  return held === null ? null : (parsed(held) as C | null); // what is kept under the key has the type in it
}

/** All values of a type, as they count here. */
export function standingAll<T extends OwnContent["type"]>(
  tx: Transaction,
  type: T,
): Extract<OwnContent, { readonly type: T }>[] {
  const found: Extract<OwnContent, { readonly type: T }>[] = [];
  for (const [, held] of OWN.list(tx, type)) {
    const content = parsed(held);
    if (content !== null) {
      found.push(content as Extract<OwnContent, { readonly type: T }>); // the group is the type
    }
  }
  return found;
}

function parsed(held: OwnValue): OwnContent | null {
  const map = standingOf(held);
  if (map === null) {
    return null;
  }
  try {
    const content = parseContent(held.type, map);
    return content?.type === held.type ? (content as OwnContent) : null; // only such are put there
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null; // of a later version that wrote into this vault
    }
    throw problem;
  }
}
