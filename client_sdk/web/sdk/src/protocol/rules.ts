/**
 * The error that says which rule of device lists or membership was broken.
 *
 * Source: docs/protocol.md, chapters 2 (keys and device lists) and 3 (invites and membership).
 */

import { RULE_CODES, type Rule } from "./codes.ts";
import { RemoteError } from "./errors.ts";

export type { Rule } from "./codes.ts";

/** Well-formed and perhaps well signed, but against the protocol; nothing has changed. `code` follows from `rule`. */
export class RuleBroken extends RemoteError {
  readonly rule: Rule;

  constructor(rule: Rule) {
    super(RULE_CODES[rule] ?? "rule_broken", rule);
    this.rule = rule;
  }
}
