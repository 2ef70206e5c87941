/**
 * Why somebody did not come in: by an invitation, or as another device of an account. One sentence per trouble, for
 * people; hosts that speak another language go by `trouble`.
 *
 * Source: docs/protocol.md, chapters 3 and 13.
 */

import { type ErrorCode, RapportError, Rejected, retryOf } from "../protocol/errors.ts";

/**
 * What is wrong with a link.
 *
 * unreadable: no Rapport link, or a part of it is missing. later_version: made by a newer version. device: a code that
 * links a device, no invitation. foreign: of another server than this host talks to. ended: used, withdrawn or
 * expired; the server does not say which. forged: what the server shows is not what the link vouches for. yours: this
 * device has joined with this very link. occupied: this device belongs to an account that another link made.
 */
export type InviteTrouble =
  | "unreadable"
  | "later_version"
  | "device"
  | "foreign"
  | "ended"
  | "forged"
  | "yours"
  | "occupied";

const INVITES: Readonly<Record<InviteTrouble, readonly [ErrorCode, string]>> = {
  unreadable: ["bad_format", "this is not a complete invitation: copy the whole link"],
  later_version: ["unsupported", "this invitation was made by a newer version: reload the page"],
  device: ["bad_format", "this links another device of yours, it is no invitation"],
  foreign: ["forbidden", "this invitation belongs to another server: open it there"],
  ended: ["not_found", "this invitation was used already or has expired: ask for a new one"],
  forged: ["invalid_signature", "the server and this invitation contradict each other: do not join, tell who sent it"],
  yours: ["conflict", "you have joined with this link already"],
  occupied: ["conflict", "this device belongs to an account already"],
};

/** Nobody has joined, nothing was kept. `detail` is one sentence for the person. */
export class InviteProblem extends RapportError {
  readonly trouble: InviteTrouble;

  constructor(trouble: InviteTrouble) {
    super(...INVITES[trouble]);
    this.trouble = trouble;
  }
}

/**
 * Why two devices did not come together.
 *
 * wrong_digits: other digits than the new device shows; they may be typed again while tries are left. ended: the other
 * side has given up, the offer was cancelled, or the digits were wrong three times. expired: three minutes are over, or
 * another offer of the account has replaced this one. taken: another device has opened this code first. forged: what
 * came is not what an honest other side sends.
 */
export type LinkTrouble = "wrong_digits" | "ended" | "expired" | "taken" | "forged";

const LINKS: Readonly<Record<LinkTrouble, readonly [ErrorCode, string]>> = {
  wrong_digits: ["forbidden", "these are not the digits that the new device shows"],
  ended: ["expired", "the link was ended: start again with a new code"],
  expired: ["expired", "the code is no longer valid: start again with a new one"],
  taken: ["conflict", "another device has used this code: if that was not you, do not confirm; start again"],
  forged: ["invalid_signature", "the other side's answer does not fit this code: start again"],
};

/** The devices were not linked. `detail` is one sentence for the person. triesLeft: of typing the digits. */
export class LinkProblem extends RapportError {
  readonly trouble: LinkTrouble;
  readonly triesLeft: number;

  constructor(trouble: LinkTrouble, triesLeft = 0) {
    super(...LINKS[trouble]);
    this.trouble = trouble;
    this.triesLeft = triesLeft;
  }
}

/** Whether the server will never take the registration that it has answered so. */
export function isFinal(problem: unknown): boolean {
  if (problem instanceof InviteProblem) {
    return problem.trouble === "ended";
  }
  return problem instanceof Rejected && retryOf(problem.code) === "never";
}
