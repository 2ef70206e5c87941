/** Joining a practice: by the owner link that `rapport init` prints, or by an invite. */

import { originOf } from "../adapters/addresses.ts";
import type { Card } from "../agreements.ts";
import { OpenFailure } from "../crypto/failures.ts";
import {
  encodeLink,
  type InviteLink,
  idOfInvite,
  type OwnerLink,
  openCard,
  parseLink,
  type Card as SealedCard,
} from "../crypto/invites.ts";
import { parseCode } from "../crypto/linking.ts";
import { NAME_BYTES } from "../engine/bodies/content.ts";
import * as registration from "../engine/joining/registration.ts";
import { type Me, Turn } from "../engine/vault/turn.ts";
import { hoursOf, parseDocument } from "../office/document.ts";
import type { OfficeHours } from "../office/hours.ts";
import { problems } from "../office/rules.ts";
import type { Api, Clock, Random, Vault } from "../ports.ts";
import { equal, utf8 } from "../protocol/bytes.ts";
import { FormatError, LocalError, Rejected, RemoteError, retryOf } from "../protocol/errors.ts";
import type { InviteView, Register, Registered } from "../protocol/requests.ts";
import { InviteProblem } from "./problems.ts";
import type { InviteCard } from "./types.ts";

/** Tries while the server asks for patience or the conversation moves on. */
const TRIES = 8;
const LONGEST_WAIT_MS = 10_000;

/** What a registration is made with. signal: gives it up; what was kept is gone on with later. */
export interface Entrance {
  readonly vault: Vault;
  readonly api: Api;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/** Reads a link as a person has it. server: the only one that may be talked to, null = any. InviteProblem. */
export function readLink(text: string, server: string | null): InviteLink | OwnerLink {
  let link: InviteLink | OwnerLink;
  try {
    link = parseLink(text);
  } catch (problem) {
    if (!(problem instanceof FormatError)) {
      throw problem;
    }
    throw new InviteProblem(isCode(text) ? "device" : problem.code === "unsupported" ? "later_version" : "unreadable");
  }
  if (server !== null && originOf(server) !== originOf(link.base)) {
    throw new InviteProblem("foreign");
  }
  return link;
}

function isCode(text: string): boolean {
  try {
    parseCode(text);
    return true;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return problem.code === "unsupported";
    }
    throw problem;
  }
}

/** LocalError for a name that is not 1 to 200 bytes of UTF-8. */
export function requireName(name: string): void {
  const size = utf8(name).length;
  if (size === 0 || size > NAME_BYTES) {
    throw new LocalError(size === 0 ? "bad_format" : "too_large", `name: 1 to ${NAME_BYTES} bytes`);
  }
}

/**
 * The server's address for a code that names it, or does not (""). server: the only one that may be talked to.
 *
 * LocalError: "forbidden" for a code of another server, "bad_format" when nothing says where the server is.
 */
export function serverFor(named: string, server: string | null): string {
  if (server !== null && named !== "" && originOf(server) !== originOf(named)) {
    throw new LocalError("forbidden", "this code belongs to another server: open it there");
  }
  const base = (server ?? named).replace(/\/+$/, "");
  if (base === "") {
    throw new LocalError("bad_format", "a code alone does not say where the server is: give its address too");
  }
  return base;
}

/** Whether the vault was made with this link, or is being made with it. */
export async function isOwnLink(vault: Vault, link: InviteLink | OwnerLink): Promise<boolean> {
  return equal(await vault.run(registration.joinedWith), registration.linkHash(encodeLink(link)));
}

/** What the link says to somebody who has not joined. InviteProblem, Unreachable, Rejected. */
export async function inspect(entrance: Entrance, link: InviteLink | OwnerLink): Promise<InviteCard> {
  const { base } = link;
  if (link.tag === "owner") {
    return { kind: "owner", base, name: "", role: "owner", welcome: null, expiresMs: 0, card: null, hours: null };
  }
  const text = encodeLink(link);
  // The answer to an earlier attempt may have been lost: the invite is used then, and it is ours.
  const waiting = await entrance.vault.run((tx) => registration.waitingInvite(tx, text));
  const [card, expiresMs] = waiting ?? (await viewed(entrance, link));
  const { name, role, welcome } = card;
  return { kind: "invite", base, name, role, welcome, expiresMs, card: saidIn(card), hours: hoursIn(card, expiresMs) };
}

/** What the inviter says about themselves in the sealed card; null for nothing. */
function saidIn({ about, how, limits, country, lines }: SealedCard): Card | null {
  const own = lines.map(([name, number, note]) => ({ name, number, note }));
  return about || how || limits || country || own.length ? { about, how, limits, country, lines: own } : null;
}

/**
 * The hours that the invitation carries: the link's maker has sealed them. Their signature is verified with the device
 * list once somebody has joined; shown before are those of the inviter's own account that count until the invite ends.
 */
function hoursIn({ office, account }: SealedCard, expiresMs: number): OfficeHours | null {
  if (office === null) {
    return null;
  }
  try {
    const document = parseDocument(office);
    const hours = hoursOf(document);
    const counts = document.account === account && expiresMs <= document.validUntilMs && problems(hours).length === 0;
    return counts ? hours : null;
  } catch (problem) {
    if (problem instanceof FormatError) {
      return null;
    }
    throw problem;
  }
}

async function viewed(entrance: Entrance, link: InviteLink): Promise<ReturnType<typeof registration.inspectInvite>> {
  const view = await viewOf(entrance, link);
  const found = genuine(() => registration.inspectInvite(link, view));
  if (found[1] <= view.serverTimeMs) {
    throw new InviteProblem("ended");
  }
  return found;
}

async function viewOf({ api, signal }: Entrance, link: InviteLink): Promise<InviteView> {
  try {
    return await api.call("invite.view", null, { path: { invite: idOfInvite(link.secret) }, signal });
  } catch (problem) {
    throw worded(problem);
  }
}

/** The refusal as a person should read it, when all it says is that the link leads nowhere (any more). */
function worded(problem: unknown): unknown {
  const ended = problem instanceof Rejected && ["not_found", "expired", "conflict"].includes(problem.code);
  return ended ? new InviteProblem("ended") : problem;
}

/** What the server has shown must fit the link: InviteProblem("forged") for all that does not. */
function genuine<T>(look: () => T): T {
  try {
    return look();
  } catch (problem) {
    const shown = problem instanceof RemoteError || problem instanceof OpenFailure;
    throw shown ? new InviteProblem("forged") : problem;
  }
}

/**
 * One registration, from an empty vault or from where it was interrupted; resolves once the server has it.
 *
 * The vault holds nothing, or what was prepared with this very link. InviteProblem("ended"): the server will never take
 * it, and the vault is of no use any more. Unreachable, and Rejected that may pass: ask again.
 */
export async function join(entrance: Entrance, link: InviteLink | OwnerLink, name: string): Promise<Me> {
  const { vault } = entrance;
  let me = await vault.run(registration.loadMe);
  let register = await vault.run(registration.waitingRegistration);
  if (me === null || register === null) {
    [me, register] = await prepare(entrance, link, name, null);
  }
  const answer = await sent(entrance, link, name, me, register);
  return await step(entrance, me, entrance.clock.nowMs(), (turn) => registration.registered(turn, answer));
}

async function step<T>({ vault, random }: Entrance, me: Me, nowMs: number, work: (turn: Turn) => T): Promise<T> {
  return await vault.run((tx) => work(new Turn(tx, me, nowMs, random)));
}

/** Makes the account (or only its join anew) and commits it. me: the account, if it was made before. */
async function prepare(
  entrance: Entrance,
  link: InviteLink | OwnerLink,
  name: string,
  me: Me | null,
): Promise<[me: Me, register: Register]> {
  const { clock, random } = entrance;
  if (link.tag === "owner") {
    const nowMs = clock.nowMs();
    const made = registration.newMe(link.base, link.serverId, random, nowMs);
    return [made, await step(entrance, made, nowMs, (turn) => registration.prepareOwner(turn, link, name))];
  }
  const view = await viewOf(entrance, link);
  const { serverId } = genuine(() => openCard(link.secret, view.card));
  const nowMs = view.serverTimeMs;
  const made = me ?? registration.newMe(link.base, serverId, random, nowMs);
  const register = await step(entrance, made, nowMs, (turn) =>
    genuine(() => registration.prepareInvitee(turn, link, view, name)),
  );
  return [made, register];
}

/** Sends it until it is answered: anew when the conversation has moved on, later when the server asks for patience. */
async function sent(
  entrance: Entrance,
  link: InviteLink | OwnerLink,
  name: string,
  me: Me,
  first: Register,
): Promise<Registered> {
  let register = first;
  for (let attempt = 1; ; attempt++) {
    try {
      return await entrance.api.call("account.register", register, { signal: entrance.signal });
    } catch (problem) {
      if (!(problem instanceof Rejected) || attempt === TRIES) {
        throw problem;
      }
      if (problem.code === "epoch_stale" && link.tag === "invite") {
        [, register] = await prepare(entrance, link, name, me);
      } else if (retryOf(problem.code) === "later") {
        const waitMs = Math.min(problem.retryAfterMs || 125 * 2 ** attempt, LONGEST_WAIT_MS);
        await entrance.clock.sleep(waitMs, entrance.signal);
      } else {
        throw worded(problem);
      }
    }
  }
}
