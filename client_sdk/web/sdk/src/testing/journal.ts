/** Writes what happens to one client, line by line; the judge of journals is a part of the testing kit of the Python SDK. */

import { toHex, utf8 } from "../protocol/bytes.ts";
import { sodium } from "../protocol/sodium.ts";

/** One line of a journal, without its time. Ids are hexadecimal; what a kind does not have is left out. */
export interface Entry {
  readonly kind: "member" | "invoke" | "ack" | "recv" | "shown" | "left" | "alarm";
  readonly client: string;
  readonly conv?: string;
  readonly id?: string;
  readonly seq?: number;
  readonly digest?: string;
  readonly what?: string;
}

/** Where entries go, each with the time of its writing: monotonic seconds of this machine. */
export type Sink = (entry: Entry) => void;

/** 16 hexadecimal characters that stand for a text, so that journals hold none. */
export function textDigest(text: string): string {
  return toHex(sodium().crypto_generichash(8, utf8(text), null));
}
