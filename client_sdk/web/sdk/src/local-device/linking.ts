/**
 * Linking another device to an account: the offer on a device that belongs to it, and the new device's side.
 *
 * Nothing runs by itself: whoever waits for the other side polls the server while waiting, until the three minutes are
 * over. Source: docs/protocol.md, chapter 13.
 */

import {
  commitmentOf,
  digitsOf,
  idOfCode,
  type LinkCode,
  type LinkContent,
  type LinkEnd,
  linkKey,
  makeLinkCode,
  makeLinkEnd,
  openStep,
  publicOf,
  sealStep,
  textOf,
  urlOf,
} from "../crypto/linking.ts";
import { same } from "../crypto/primitives.ts";
import * as linkingSteps from "../engine/devices/linking-steps.ts";
import type { Engine } from "../engine/link/loop.ts";
import { type Me, Turn } from "../engine/vault/turn.ts";
import type { Device } from "../events.ts";
import { type Api, type Clock, type Random, Unreachable, type Vault } from "../ports.ts";
import { utf8 } from "../protocol/bytes.ts";
import { LocalError, RapportError, Rejected, RemoteError, retryOf } from "../protocol/errors.ts";
import type { DeviceId, LinkId } from "../protocol/ids.ts";
import type { LinkOpen, LinkState, LinkStep } from "../protocol/requests.ts";
import { LinkProblem } from "./problems.ts";
import { errandWithin } from "./running.ts";
import type { LinkOffer } from "./types.ts";

/** How often digits may be typed: one in 333,333 for somebody who guesses. */
const DIGITS_TRIES = 3;
/** The server is asked for the other side's step this often at most, milliseconds; sooner at first. */
const POLL_FIRST_MS = 100;
const POLL_MOST_MS = 1_000;
/** In place of the package: opens to nothing, so that the other side stops waiting. */
const ENDED = Uint8Array.of(0);

type Operation = "linking.open" | "linking.step" | "linking.answer" | "linking.state";
type Request = (operation: Operation, body: LinkOpen | LinkStep | null, signal: AbortSignal) => Promise<LinkState>;

/** The server's list of steps of one link, as one of the two sides sees it. */
class Meeting {
  private readonly abort = new AbortController();
  private readonly request: Request;
  private readonly clock: Clock;

  constructor(request: Request, clock: Clock) {
    this.request = request;
    this.clock = clock;
  }

  /** Ends all waiting with LinkProblem("ended"). */
  end(): void {
    this.abort.abort(new LinkProblem("ended"));
  }

  /** One operation. LinkProblem when the link is gone, or a step is taken; Rejected, Unreachable. */
  async ask(operation: Operation, body: LinkOpen | LinkStep | null = null): Promise<LinkState> {
    try {
      return await this.request(operation, body, this.abort.signal);
    } catch (problem) {
      if (problem instanceof Rejected && problem.code === "not_found") {
        throw new LinkProblem("expired");
      }
      if (problem instanceof Rejected && problem.code === "conflict") {
        throw new LinkProblem("taken");
      }
      throw problem;
    }
  }

  /**
   * Polls until this step is there; resolves to all steps so far. A try without an answer is repeated until the link
   * has expired.
   *
   * LinkProblem; Rejected when the server refuses for good.
   */
  async until(step: number): Promise<[state: LinkState, content: Uint8Array]> {
    for (let waitMs = POLL_FIRST_MS; ; waitMs = Math.min(waitMs * 1.5, POLL_MOST_MS)) {
      this.abort.signal.throwIfAborted();
      try {
        const state = await this.ask("linking.state");
        const content = state.steps[step];
        if (content !== undefined) {
          return [state, content];
        }
      } catch (problem) {
        const passing = problem instanceof Rejected && retryOf(problem.code) === "later";
        if (!passing && !(problem instanceof Unreachable)) {
          throw problem;
        }
      }
      await this.clock.sleep(waitMs, this.abort.signal);
    }
  }
}

/** What an honest other side would not have sent: LinkProblem in place of whatever it leads to. */
function honest<T>(look: () => T, otherwise: "forged" | "ended" = "forged"): T {
  try {
    return look();
  } catch (problem) {
    throw problem instanceof RemoteError ? new LinkProblem(otherwise) : problem;
  }
}

// --- on a device of the account ------------------------------------------------------------------------------------

/** An offer to one new device, for three minutes; a newer offer ends it. */
export class LinkOffering {
  readonly id: LinkId;
  private readonly engine: Engine;
  private readonly clock: Clock;
  private readonly random: Random;
  private readonly secret: LinkCode;
  private readonly own: LinkEnd;
  private readonly meeting: Meeting;
  private key: Uint8Array | null = null;
  private sealed: readonly [content: Uint8Array, known: number] | null = null;
  private listed: readonly [device: DeviceId, errand: string] | null = null;
  private tries = DIGITS_TRIES;
  private over = false;

  constructor(engine: Engine, clock: Clock, random: Random) {
    this.engine = engine;
    this.clock = clock;
    this.random = random;
    this.secret = makeLinkCode(random);
    this.own = makeLinkEnd(random);
    this.id = idOfCode(this.secret);
    this.meeting = new Meeting((operation, body) => {
      const path: Readonly<Record<string, string>> = operation === "linking.open" ? {} : { link: this.id };
      return engine.request(operation, path, {}, body);
    }, clock);
  }

  /** Makes the offer known to the server. Rejected, Unreachable. */
  async open(): Promise<LinkOffer> {
    const commitment = commitmentOf(this.id, publicOf(this.own));
    const { expiresMs } = await this.meeting.ask("linking.open", { link: this.id, commitment });
    const url = urlOf(this.secret, this.engine.core.me.base);
    return { offer: this.id, code: textOf(this.secret), url, expiresMs };
  }

  /** See `DeviceCalls.linkJoined`; resolves to the key of the link. */
  async joined(): Promise<Uint8Array> {
    if (this.over) {
      throw new LinkProblem("ended");
    }
    if (this.key === null) {
      const ePub = publicOf(this.own);
      const [, nPub] = await this.meeting.until(1);
      const key = honest(() => linkKey(this.secret, this.own, ePub, nPub));
      await this.meeting.ask("linking.step", { step: 2, content: ePub });
      this.key = key;
    }
    return this.key;
  }

  /**
   * See `DeviceCalls.confirmLink`. However it is interrupted it leaves nothing half done: the device list changes in
   * one step.
   */
  async confirm(digits: string): Promise<Device> {
    const key = await this.joined();
    if (this.sealed === null) {
      await this.compare(key, digits);
      const [content, known] = await this.engine.do(linkingSteps.makePackage);
      this.sealed = [sealStep(key, this.id, content, this.random), known];
    }
    const [content, known] = this.sealed;
    await this.meeting.ask("linking.step", { step: 3, content });
    this.listed ??= await this.takeAnswer(key, known);
    const [device, errand] = this.listed;
    await errandWithin(this.engine, this.clock, errand);
    this.over = true;
    const found = this.engine.devices[this.engine.core.me.account]?.find((held) => held.id === device);
    return found ?? { id: device, label: "", createdMs: 0, this: false };
  }

  private async compare(key: Uint8Array, digits: string): Promise<void> {
    if (same(utf8(digits.replace(/\D/g, "")), utf8(digitsOf(key)))) {
      return;
    }
    this.tries -= 1;
    if (this.tries === 0) {
      await this.cancel();
      throw new LinkProblem("ended");
    }
    throw new LinkProblem("wrong_digits", this.tries);
  }

  private async takeAnswer(key: Uint8Array, known: number): Promise<[device: DeviceId, errand: string]> {
    const [, sealed] = await this.meeting.until(4);
    const answer = honest(() => openStep(key, this.id, "answer", sealed));
    return await this.engine.do((turn) => honest(() => linkingSteps.acceptAnswer(turn, this.id, key, known, answer)));
  }

  /** Ends all waiting with LinkProblem. */
  end(): void {
    this.over = true;
    this.meeting.end();
  }

  /** Takes the offer back. The other side, if it waits, is told when it can be; else the code expires. */
  async cancel(): Promise<void> {
    const { key } = this;
    this.end();
    this.key = null;
    if (key !== null && this.sealed === null) {
      try {
        await this.meeting.ask("linking.step", { step: 3, content: ENDED });
      } catch (problem) {
        if (!(problem instanceof RapportError)) {
          throw problem;
        }
      } // it expires by itself
    }
  }
}

// --- on the new device ---------------------------------------------------------------------------------------------

/** What the new device stands on. base: the server's address as this device reaches it. */
export interface NewDevice {
  readonly vault: Vault;
  readonly api: Api;
  readonly clock: Clock;
  readonly random: Random;
  readonly base: string;
}

/** One attempt to become a device of an account. Until `finished` has resolved the vault is worth nothing. */
export class TakenLink {
  private readonly around: NewDevice;
  private readonly secret: LinkCode;
  private readonly link: LinkId;
  private readonly label: string;
  private readonly own: LinkEnd;
  private readonly meeting: Meeting;
  private key: Uint8Array | null = null;

  constructor(around: NewDevice, code: LinkCode, label: string) {
    this.around = around;
    this.secret = code;
    this.link = idOfCode(code);
    this.label = label;
    this.own = makeLinkEnd(around.random);
    this.meeting = new Meeting(
      (operation, body, signal) => around.api.call(operation, body, { path: { link: this.link }, signal }),
      around.clock,
    );
  }

  /** Opens the code; resolves to the digits once the other device has answered. See `DeviceCalls.takeLink`. */
  async meet(): Promise<string> {
    const nPub = publicOf(this.own);
    await this.meeting.ask("linking.answer", { step: 1, content: nPub });
    const [state, ePub] = await this.meeting.until(2);
    const key = honest(() => linkKey(this.secret, this.own, ePub, nPub));
    const [commitment, answered] = state.steps;
    const fits =
      commitment !== undefined &&
      answered !== undefined &&
      same(commitment, commitmentOf(this.link, ePub)) &&
      same(answered, nPub);
    if (!fits) {
      throw new LinkProblem("forged");
    }
    this.key = key;
    return digitsOf(key);
  }

  /** Resolves once this device is in its list and everything is kept. See `DeviceCalls.linkFinished`. */
  async finished(): Promise<Me> {
    const { key, around, link, label } = this;
    if (key === null) {
      throw new LocalError("not_found", "no device is being linked");
    }
    const [state, sealed] = await this.meeting.until(3);
    const content = this.opened(key, "package", sealed, "ended");
    const nowMs = state.serverTimeMs;
    const me = linkingSteps.newDevice(content, around.base, around.random, nowMs);
    const answer = await this.step(me, nowMs, (turn) => linkingSteps.prepareDevice(turn, content, label));
    await this.meeting.ask("linking.answer", { step: 4, content: sealStep(key, link, answer, around.random) });
    const [, end] = await this.meeting.until(5);
    const done = this.opened(key, "done", end, "forged");
    return await this.step(me, nowMs, (turn) => linkingSteps.finishLinked(turn, done));
  }

  /** Ends `finished` with LinkProblem. */
  end(): void {
    this.meeting.end();
  }

  private opened<Tag extends LinkContent["tag"]>(
    key: Uint8Array,
    wanted: Tag,
    sealed: Uint8Array,
    otherwise: "forged" | "ended",
  ): Extract<LinkContent, { tag: Tag }> {
    return honest(() => openStep(key, this.link, wanted, sealed), otherwise);
  }

  private async step<T>(me: Me, nowMs: number, work: (turn: Turn) => T): Promise<T> {
    return await this.around.vault.run((tx) => honest(() => work(new Turn(tx, me, nowMs, this.around.random))));
  }
}
