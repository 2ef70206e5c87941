/**
 * A Rapport server in memory, for tests: no sockets, no disk, no rates, one practice, and the time in the test's hand.
 *
 * It takes the decisions of the real one: registration, sign-in, posts and directs, mailboxes, acknowledgements,
 * archive, prekeys, device lists, membership, invites, linking, receipts, expiry, backup and restore. Engines and
 * clients reach it through `connector()` and `api()`, tests of single devices through `open`, `say` and `call`.
 * Everything that passes goes through the codec, as on a real connection.
 */

import { SYSTEM_CLOCK, systemRandom } from "../adapters/clock.ts";
import { encodeLink } from "../crypto/invites.ts";
import {
  type Api,
  type CallOptions,
  type Clock,
  type Connector,
  type Random,
  type Stream,
  StreamClosed,
  Unreachable,
} from "../ports.ts";
import { concat, toHex } from "../protocol/bytes.ts";
import {
  decodeClientMessage,
  decodeServerMessage,
  decodeStruct,
  encodeMessage,
  encodeStruct,
} from "../protocol/codec.ts";
import { Rejected } from "../protocol/errors.ts";
import { type DeviceId, idOf, type StoreEpoch } from "../protocol/ids.ts";
import { AUTH_WITHIN_S, TOKEN_LIFE_MS } from "../protocol/limits.ts";
import {
  type Auth,
  type Challenge,
  CLOSE_AUTH_FAILED,
  CLOSE_DRAINING,
  type ClientMessage,
  type Hello,
  PROTOCOL_VERSION,
  type ServerMessage,
} from "../protocol/messages.ts";
import { OPERATIONS, type OperationName, type RequestOf, type ResponseOf } from "../protocol/requests.ts";
import { encodeAuthTranscript, h256, type SigningKey, signAuthOk, signingKey, verifyAuth } from "../protocol/signed.ts";
import { conversationsOf } from "./server-accounts.ts";
import { type Connection, Delivery, type Link } from "./server-delivery.ts";
import { sweep } from "./server-mailbox.ts";
import { asRejected } from "./server-membership.ts";
import { HANDLERS, isForAnybody, mayAsk } from "./server-operations.ts";
import { ClaimLimits } from "./server-prekeys.ts";
import { newState, ownDevice, type Principal, restored, type ServerState, type Store } from "./server-state.ts";

/** What a fake server is made of. random: keys, ids and tokens come from it; give a seeded one for repeatable runs. */
export interface FakeServerOptions {
  /** What it takes for the time; the platform's unless given. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** Scheme, host and port that devices believe they talk to. */
  readonly origin?: string;
}

function unauthenticated(): Rejected {
  return new Rejected("unauthenticated", "the device could not be recognised");
}

/** One server with one practice. libsodium must be loaded (`loadSodium`). */
export class FakeServer {
  /** What devices sign at sign-in, and what stands in links. */
  readonly origin: string;
  /** The server's Ed25519 public key, 32 bytes. */
  readonly serverId: Uint8Array;
  /** Who is connected, and what is pushed to them. */
  readonly delivery: Delivery;
  /** What it knows; `restore` puts another in its place. */
  readonly store: Store;
  /** Names of the operations that were asked for, in order. */
  readonly calls: OperationName[] = [];
  /** What it takes for the time. */
  readonly clock: Clock;
  readonly #random: Random;
  readonly #key: SigningKey;
  readonly #limits: ClaimLimits;
  readonly #ownerToken: Uint8Array;
  readonly #streams = new Set<FakeStream>();
  #isDown = false;

  constructor({
    clock = SYSTEM_CLOCK,
    random = systemRandom,
    origin = "https://rapport.test",
  }: FakeServerOptions = {}) {
    this.clock = clock;
    this.#random = random;
    this.origin = origin;
    this.#key = signingKey(random(32));
    this.serverId = this.#key.publicKey;
    this.#ownerToken = random(32);
    this.#limits = new ClaimLimits(() => clock.nowMs());
    const ownerTokenHash = toHex(h256("owner-token", this.#ownerToken));
    this.store = {
      state: newState(this.#key.secretKey, idOf<StoreEpoch>(random(16)), ownerTokenHash),
      now: () => clock.nowMs(),
      random,
      wake: (devices) => this.delivery.wake(devices),
      drop: (devices) => this.delivery.drop(devices),
      offices: () => this.delivery.offices(),
      rooms: () => this.delivery.rooms(),
    };
    this.delivery = new Delivery(this.store, clock);
  }

  /** The link that the practice's owner joins with, once. */
  ownerLink(): string {
    return encodeLink({ tag: "owner", base: this.origin, token: this.#ownerToken, serverId: this.serverId });
  }

  // --- signing in --------------------------------------------------------------------------------------------------

  /** A fresh challenge; answered by `open`. */
  challenge(): Challenge {
    const { serverId } = this;
    const [conn, nonce] = [this.#random(16), this.#random(32)];
    return { tag: "challenge", conn, nonce, serverTimeMs: this.clock.nowMs(), serverId };
  }

  /** Checks a device's proof and opens its link. Rejected("unauthenticated") for anything wrong; nothing is kept then. */
  answer(challenge: Challenge, auth: Auth): { readonly principal: Principal; readonly hello: Hello } {
    const { state, now } = this.store;
    const record = state.devices.get(auth.device);
    const account = state.accounts.get(auth.account);
    const late = now() - challenge.serverTimeMs > AUTH_WITHIN_S * 2000;
    if (late || !record?.listed || record.account !== auth.account || !account || auth.origin !== this.origin) {
      throw unauthenticated();
    }
    const transcript = {
      origin: auth.origin,
      serverId: challenge.serverId,
      conn: challenge.conn,
      serverNonce: challenge.nonce,
      clientNonce: auth.nonce,
      account: auth.account,
      device: auth.device,
      stateRev: auth.stateRev,
      serverTimeMs: challenge.serverTimeMs,
    };
    try {
      verifyAuth(transcript, record.dsig, auth.sig);
    } catch {
      throw unauthenticated();
    }
    const principal = { account: auth.account, device: auth.device, role: account.role };
    const { lastAuth } = record;
    record.lastAuth = concat(encodeAuthTranscript(transcript), auth.sig);
    record.seenAt = Math.max(now(), record.seenAt);
    record.dormant = false;
    const hello: Hello = {
      tag: "hello",
      version: PROTOCOL_VERSION,
      features: [],
      storeEpoch: state.storeEpoch,
      lastAuth,
      httpToken: this.renew(principal),
      sig: signAuthOk(this.#key, transcript, auth.sig, state.storeEpoch),
      bases: conversationsOf(this.store, auth.account).flatMap((conv) => {
        const base = state.conversations.get(conv)?.base ?? 0;
        return base > 0 ? [{ conv, base }] : [];
      }),
      oneTimeKeys: record.oneTime.size,
    };
    return { principal, hello };
  }

  /** A fresh HTTP token, 32 bytes. Rejected("unauthenticated") when the device was removed. */
  renew(principal: Principal): Uint8Array {
    ownDevice(this.store, principal);
    const token = this.#random(32);
    const expiresMs = this.clock.nowMs() + TOKEN_LIFE_MS;
    this.store.state.tokens.set(toHex(h256("http-token", token)), { principal, expiresMs });
    return token;
  }

  // --- the stream and HTTP -----------------------------------------------------------------------------------------

  /** Opens the link of a device that has signed in: its mailbox streams at once. */
  open(principal: Principal, connection: Connection): Link {
    return this.delivery.open(principal, {
      send: (message) => connection.send(decodeServerMessage(encodeMessage(message))),
      close: (code) => connection.close(code),
    });
  }

  /** Takes what a device says on its link. */
  say(link: Link, message: ClientMessage): void {
    const said = decodeClientMessage(encodeMessage(message));
    if (said.tag === "renew") {
      link.connection.send({ tag: "token", httpToken: this.renew(link.principal) });
    } else {
      this.delivery.say(link, said);
    }
  }

  /** One HTTP operation. Throws Rejected. */
  call<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    { path = {}, query = {}, token = null }: CallOptions = {},
  ): ResponseOf<Name> {
    const [, , request, response] = OPERATIONS[operation];
    this.calls.push(operation);
    const who = this.#principalOf(token);
    if (!isForAnybody(operation) && (who === null || !mayAsk(operation, who.role))) {
      throw who === null ? unauthenticated() : new Rejected("forbidden", "this role may not ask for that");
    }
    try {
      const asked = request === null || body === null ? null : decodeStruct(request, encodeStruct(request, body));
      const limits = this.#limits;
      const given = HANDLERS[operation]({ store: this.store, who, limits, path, query, body: asked });
      return decodeStruct(response, encodeStruct(response, given)) as unknown as ResponseOf<Name>;
    } catch (problem) {
      throw asRejected(problem);
    }
  }

  #principalOf(token: Uint8Array | null): Principal | null {
    const held = token === null ? undefined : this.store.state.tokens.get(toHex(h256("http-token", token)));
    if (held === undefined || held.expiresMs <= this.clock.nowMs()) {
      return null;
    }
    return this.store.state.devices.get(held.principal.device)?.listed ? held.principal : null;
  }

  /** Opens in-memory streams to this server. */
  connector(): Connector {
    return {
      connect: async () => {
        if (this.#isDown) {
          throw new StreamClosed();
        }
        const stream = new FakeStream(this, () => this.#streams.delete(stream));
        this.#streams.add(stream);
        return stream;
      },
    };
  }

  /** The HTTP operations of this server. */
  api(): Api {
    return {
      call: async (operation: OperationName, body: RequestOf<OperationName>, options?: CallOptions) => {
        if (this.#isDown) {
          throw new Unreachable();
        }
        return this.call(operation, body, options);
      },
      close: async () => {},
    } as Api;
  }

  // --- what happens to servers -------------------------------------------------------------------------------------

  /** The server goes away: every connection ends (4000) and nobody gets an answer until `up`. */
  down(): void {
    this.#isDown = true;
    this.cut(CLOSE_DRAINING);
  }

  /** It is back, with all that it knew. */
  up(): void {
    this.#isDown = false;
  }

  /** Every connection breaks. code: null = as when a cable is pulled. device: only this one's. */
  cut(code: number | null = null, device: DeviceId | null = null): void {
    for (const stream of [...this.#streams]) {
      if (device === null || stream.device === device) {
        stream.end(code);
      }
    }
  }

  /** What it does every minute: expiry, tombstones, warnings, dormant devices. */
  sweep(): void {
    sweep(this.store);
  }

  /** A copy of everything that it knows. */
  backup(): ServerState {
    return structuredClone(this.store.state);
  }

  /** It comes back with an older store, as after `rapport restore`: every connection ends. */
  restore(backup: ServerState): void {
    this.cut(CLOSE_DRAINING);
    this.store.state = restored(backup, idOf<StoreEpoch>(this.#random(16)), this.clock.nowMs());
  }
}

/** One connection in memory. */
class FakeStream implements Stream {
  readonly origin: string;
  closeCode: number | null = null;
  /** Who signed in on it. */
  device: DeviceId | null = null;
  readonly #server: FakeServer;
  readonly #gone: () => void;
  readonly #challenge: Challenge;
  readonly #inbox: ServerMessage[] = [];
  #waiting: (() => void) | null = null;
  #link: Link | null = null;
  #state: "open" | "closed" | "broken" = "open";

  constructor(server: FakeServer, gone: () => void) {
    this.#server = server;
    this.#gone = gone;
    this.origin = server.origin;
    this.#challenge = server.challenge();
    this.#take(this.#challenge);
  }

  async send(message: ClientMessage): Promise<void> {
    if (this.#state !== "open") {
      throw new StreamClosed(this.closeCode);
    }
    if (this.#link !== null) {
      this.#server.say(this.#link, message);
    } else if (message.tag === "auth") {
      this.#signIn(message);
    }
  }

  #signIn(auth: Auth): void {
    try {
      const { principal, hello } = this.#server.answer(this.#challenge, auth);
      this.#take(hello);
      this.device = principal.device;
      this.#link = this.#server.open(principal, {
        send: (message) => this.#take(message),
        close: (code) => this.end(code),
      });
    } catch (problem) {
      if (!(problem instanceof Rejected)) {
        throw problem;
      }
      this.end(CLOSE_AUTH_FAILED);
    }
  }

  async receive(): Promise<ServerMessage | null> {
    while (this.#inbox.length === 0 && this.#state === "open") {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting = resolve;
      await promise;
    }
    const message = this.#inbox.shift();
    if (message === undefined && this.#state === "broken") {
      throw new StreamClosed();
    }
    return message ?? null;
  }

  async close(): Promise<void> {
    this.end(1000);
  }

  /** The connection ends. code: null = it breaks, and what was on its way is lost. */
  end(code: number | null): void {
    if (this.#state !== "open") {
      return;
    }
    this.#state = code === null ? "broken" : "closed";
    this.closeCode = code;
    if (code === null) {
      this.#inbox.length = 0;
    }
    if (this.#link !== null) {
      this.#server.delivery.close(this.#link);
    }
    this.#gone();
    this.#wake();
  }

  #take(message: ServerMessage): void {
    if (this.#state === "open") {
      this.#inbox.push(message);
      this.#wake();
    }
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }
}
