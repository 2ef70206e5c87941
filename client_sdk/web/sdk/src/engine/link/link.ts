/**
 * One connection, from opening the socket to its end: sign-in, reading, writing, calls, token renewal.
 *
 * Everything that is started here ends with it. What was on its way is in the vault's outbox or among its errands.
 */

import { makeSecurityEvent } from "../../events.ts";
import type { Api, Connector, Random, Stream } from "../../ports.ts";
import { StreamClosed, Unreachable } from "../../ports.ts";
import { EMPTY } from "../../protocol/bytes.ts";
import { FormatError, Rejected } from "../../protocol/errors.ts";
import { TOKEN_LIFE_MS } from "../../protocol/limits.ts";
import type { ClientMessage, Hello, ServerMessage } from "../../protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../protocol/requests.ts";
import * as agenda from "../agenda.ts";
import type { Core, Done, Step } from "../core.ts";
import type { Flight } from "../flight.ts";
import type { ServerClock } from "../server-clock.ts";
import * as signIn from "../sign-in.ts";
import { fault } from "../vault/faults.ts";
import type { Call } from "../vault/turn.ts";
import { Queue, unlessAborted } from "../waiting.ts";
import type { Turns } from "./turns.ts";

/** The HTTP token is renewed after three quarters of its hour. */
const RENEW_MS = (TOKEN_LIFE_MS * 3) / 4;

/** What answered is not the pinned server, or does not keep the contract. */
export class Untrustworthy extends Error {}

/** What the owner of the connection wants to know. */
export interface LinkEvents {
  /** `hello` was verified: what is sent and done from now on is of this connection. */
  signedIn(link: Link): void;
  /** Any message has come. */
  heard(link: Link): void;
  /** The node goes down on purpose. */
  draining(retryAfterS: number): void;
}

/** One connection. `run` opens it, lives with it, and ends with it. */
export class Link {
  private readonly core: Core;
  private readonly turns: Turns;
  private readonly clock: ServerClock;
  private readonly api: Api;
  private readonly events: LinkEvents;
  private flight: Flight | null = null;
  private token: Uint8Array = EMPTY;
  private readonly outgoing: Queue<ClientMessage> = new Queue();
  private readonly calls: Set<Promise<void>> = new Set();
  private over: AbortSignal | null = null;

  constructor(core: Core, turns: Turns, clock: ServerClock, api: Api, events: LinkEvents) {
    this.core = core;
    this.turns = turns;
    this.clock = clock;
    this.api = api;
    this.events = events;
  }

  /**
   * Connects, signs in and works until the stream ends, or is aborted: then it closes the stream and rejects.
   *
   * Resolves to the stream's close code, null when it broke or never opened. Throws Untrustworthy.
   */
  async run(connector: Connector, random: Random, signal: AbortSignal): Promise<number | null> {
    let stream: Stream | null = null;
    try {
      stream = await connector.connect(signal);
      const signed = await this.signIn(stream, random, signal);
      if (signed !== null) {
        const { hello, state } = signed;
        this.token = hello.httpToken;
        this.turns.forgetArrived(); // of a connection whose place this one takes: it is delivered again
        this.flight = this.core.connected();
        this.events.signedIn(this);
        this.core.presence.connected((message) => this.send(message));
        this.core.offices.connected((message) => this.send(message));
        this.turns.tell((turn) => signIn.signedIn(turn, hello, state));
        await this.work(stream, signal);
      }
      return stream.closeCode;
    } catch (problem) {
      if (problem instanceof StreamClosed) {
        return problem.closeCode;
      }
      if (problem instanceof signIn.WrongServer) {
        this.turns.tell((turn) => turn.show(makeSecurityEvent("wrong_server")));
      }
      throw problem instanceof signIn.WrongServer || problem instanceof FormatError ? new Untrustworthy() : problem;
    } finally {
      if (this.core.flight === this.flight) {
        this.core.disconnected();
        this.core.presence.disconnected();
        this.core.offices.disconnected();
        this.turns.forgetArrived();
      }
      await stream?.close();
    }
  }

  // --- signing in --------------------------------------------------------------------------------------------------

  /** null when the server closed instead of answering. */
  private async signIn(
    stream: Stream,
    random: Random,
    signal: AbortSignal,
  ): Promise<{ hello: Hello; state: signIn.VaultState } | null> {
    const challenge = await unlessAborted(stream.receive(), signal);
    if (challenge?.tag !== "challenge") {
      return this.refuse(challenge);
    }
    const heard = this.clock.moment();
    const state = await unlessAborted(this.turns.do(signIn.prepare), signal);
    const proof = signIn.prove(this.core.me, challenge, stream.origin, state.rev, random);
    await unlessAborted(stream.send(proof.auth), signal);
    const hello = await unlessAborted(stream.receive(), signal);
    if (hello?.tag !== "hello") {
      return this.refuse(hello);
    }
    signIn.checkHello(this.core.me, proof, hello);
    // Not before: by the clock secrets are deleted and messages given up, and anybody can send a challenge.
    this.clock.set(challenge.serverTimeMs, heard);
    return { hello, state };
  }

  /** Nothing, or a farewell, is a closed door; anything else before `hello` is against the contract. */
  private refuse(message: ServerMessage | null): null {
    if (message?.tag === "draining") {
      this.events.draining(message.retryAfterMs / 1000);
    } else if (message !== null) {
      throw outOfTurn();
    }
    return null;
  }

  // --- working -----------------------------------------------------------------------------------------------------

  /** Reads until the stream ends; the other tasks end with it, and if one of them fails it ends with that. */
  private async work(stream: Stream, signal: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const over = AbortSignal.any([signal, ended.signal]);
    this.over = over;
    const tasks = [this.read(stream, over), this.write(stream, over), this.renew(over)];
    try {
      await Promise.race(tasks);
    } finally {
      ended.abort();
      await Promise.allSettled([...tasks, ...this.calls]);
    }
  }

  private async read(stream: Stream, over: AbortSignal): Promise<void> {
    for (;;) {
      const message = await unlessAborted(stream.receive(), over);
      if (message === null || !this.isSignedIn) {
        return; // or another connection has taken its place
      }
      this.events.heard(this);
      switch (message.tag) {
        case "ping":
          this.send({ tag: "pong" });
          break;
        case "pong":
          break;
        case "token":
          this.token = message.httpToken;
          break;
        case "draining":
          this.events.draining(message.retryAfterMs / 1000);
          break;
        case "presence":
          this.core.presence.take(message);
          break;
        case "office":
          if (this.core.offices.take(message)) {
            await this.turns.arrived(message, over); // for its document
          }
          break;
        case "challenge":
        case "hello":
          throw outOfTurn();
        default:
          await this.turns.arrived(message, over);
      }
    }
  }

  /** Whether `hello` has come, and no other connection has taken its place. */
  get isSignedIn(): boolean {
    return this.flight !== null && this.core.flight === this.flight;
  }

  /** Queues a message; at most the unanswered sends and one acknowledgement per turn are waiting. */
  send(message: ClientMessage): void {
    this.outgoing.put(message);
  }

  private async write(stream: Stream, over: AbortSignal): Promise<void> {
    for (;;) {
      await this.outgoing.wait(over);
      for (let message = this.outgoing.take(); message !== undefined; message = this.outgoing.take()) {
        await unlessAborted(stream.send(message), over);
      }
    }
  }

  private async renew(over: AbortSignal): Promise<void> {
    for (;;) {
      await this.clock.clock.sleep(RENEW_MS, over);
      this.send({ tag: "renew" });
    }
  }

  // --- effects of turns --------------------------------------------------------------------------------------------

  /** Sends and calls of a turn, if it was made for this connection. */
  carryOut(done: Done, flight: Flight | null): void {
    const { over } = this;
    if (flight === null || flight !== this.flight || over === null || over.aborted) {
      return;
    }
    for (const message of [...done.turn.sends, ...done.turn.ackFrames()]) {
      this.send(message);
    }
    for (const call of done.turn.calls) {
      const made = this.make(call, over).finally(() => this.calls.delete(made)); // at most CALLS_MOST, by `agenda`
      this.calls.add(made);
    }
  }

  /** One request of the host's own, answered to the host. Rejected, Unreachable, FormatError. */
  async request<Name extends OperationName>(
    operation: Name,
    path: Readonly<Record<string, string>>,
    query: Readonly<Record<string, number | string>>,
    body: RequestOf<Name>,
    signal?: AbortSignal,
  ): Promise<ResponseOf<Name>> {
    const options = { path, query, token: this.token };
    return await this.api.call(operation, body, signal === undefined ? options : { ...options, signal });
  }

  /** Makes a call and brings its answer in, unless the connection ends first: then the errand is as it was. */
  private async make(call: Call, over: AbortSignal): Promise<void> {
    try {
      this.turns.tell(this.core.finished(call, await unlessAborted(this.outcome(call, over), over)));
    } catch (problem) {
      if (!over.aborted) {
        throw problem;
      }
    }
  }

  private async outcome(call: Call, over: AbortSignal): Promise<Step> {
    const { operation, body, path, query } = call;
    try {
      const answer = await this.api.call(operation, body, { path, query, token: this.token, signal: over });
      return (turn) => agenda.answered(turn, call, answer);
    } catch (problem) {
      if (problem instanceof Rejected) {
        if (problem.code === "unauthenticated") {
          this.send({ tag: "renew" });
        }
        return (turn) => agenda.refused(turn, call, problem);
      }
      if (!(problem instanceof Unreachable || problem instanceof FormatError)) {
        fault("a call failed", problem);
      }
      return (turn) => agenda.unanswered(turn, call);
    }
  }
}

function outOfTurn(): FormatError {
  return new FormatError("out of turn", "bad_frame");
}
