/**
 * When a device connects, gives a connection up and tries again: one pure machine for every client.
 *
 * The caller owns one stream at a time and does three things for ever: wait for an event or for `deadline`, feed it to
 * `handle` or `tick` with its monotonic clock, carry out the effects in order. After "disconnect" it feeds nothing more
 * of the dropped stream.
 *
 *     idle ──start──> connecting ──signed in──> connected
 *                      ^      |                    |  lost, silent, draining
 *                retry |      v  failed            v
 *                     reconnecting <───────────────┘        suspended: no network, waits for `online`
 *                                                           closed: stopped, or refused by a terminal close code
 *
 * `NEXT` is the whole table: every pair of state and event is decided. docs/connection.md is drawn from its twin in
 * Python, and both are held to the same recorded conversations.
 *
 * Source: docs/protocol.md, "Connection".
 */

import { CLIENT_GIVES_UP_S } from "./limits.ts";
import { CLOSE_DRAINING } from "./messages.ts";

/** Seconds from opening a socket to `hello`: 10 s to connect and twice the 5 s that a server waits for the proof. */
export const ATTEMPT_S = 20;
/** Full jitter grows to this many seconds: soon enough for people, slow enough for ten thousand clients. */
export const RETRY_CEILING_S = 30;
/** Seconds over which retries spread when a draining node named no time of its own. */
export const DRAINED_RETRY_S = 8;
/** Most seconds that a server's `retryAfterMs` is obeyed: it may ask for patience, not switch a device off. */
export const RETRY_AFTER_MOST_S = 120;
/** A connection that held this many seconds was a good one: the next loss starts over with the shortest wait. */
export const LASTED_S = 10;

/**
 * Where the connection stands. "idle": not started. "connecting": one attempt is under way, from opening the socket to
 * `hello`. "connected": signed in. "reconnecting": between two attempts; `deadline` is the next one. "suspended": the
 * host says there is no network, nothing is tried until "online". "closed": over, `reason` says why; a new machine is
 * needed to start again.
 */
export type ConnectionState = "idle" | "connecting" | "connected" | "reconnecting" | "suspended" | "closed";

/**
 * Why the state changed last. "lost": the socket closed, broke or could not be opened. "silent": nothing was heard for
 * 40 s. "slow_attempt": an attempt took longer than 20 s. "draining": the node went down on purpose. "untrusted": what
 * answered is not the pinned server, or does not keep the contract. "refused": the server closed with a terminal code
 * (4500-4999).
 */
export type Reason =
  | "created"
  | "started"
  | "signed_in"
  | "lost"
  | "silent"
  | "slow_attempt"
  | "draining"
  | "untrusted"
  | "retry"
  | "online"
  | "offline"
  | "refused"
  | "stopped";

/**
 * What the machine is told. jitter: a fresh random number, 0 <= jitter < 1.
 *
 * "start": the host wants to be connected from now on. "signed_in": `hello` arrived and its signature verified. "heard":
 * any message arrived. "drain": `draining` arrived, with this client's own wait. "lost": the stream is gone or could not
 * be opened and may be tried again; code 1006 when there was none. "refused": the server closed with a terminal code.
 * "untrusted": the server's key or signature is not the pinned one, or its bytes are not messages; tried again, slowly,
 * as another network may lead to the right server. "expired": the deadline passed; made by `tick`. "online": the host
 * has a network again, or a person looks at the page. "offline": the host knows that there is none, or goes to sleep.
 */
export type Event =
  | { readonly tag: "start" | "signed_in" | "heard" | "online" | "offline" | "stop" }
  | { readonly tag: "drain"; readonly retryAfterS: number }
  | { readonly tag: "lost"; readonly code: number; readonly jitter: number }
  | { readonly tag: "refused"; readonly code: number }
  | { readonly tag: "untrusted" | "expired"; readonly jitter: number };

/**
 * What the caller carries out, in order. "connect": open one stream and sign in; answer with signed_in, lost, refused or
 * untrusted. "disconnect": close the stream, or cancel the attempt; what it still says is ignored. "changed": tell the
 * host; code is the close code behind it, 0 where there is none.
 */
export type Effect = { readonly tag: "connect" | "disconnect" } | Changed;

/** What the host is told of. */
export interface Changed {
  readonly tag: "changed";
  readonly state: ConnectionState;
  readonly reason: Reason;
  readonly code: number;
}

const STATES = ["idle", "connecting", "connected", "reconnecting", "suspended", "closed"] as const;

/** One row per event, one letter per state: the state afterwards (Idle, Connecting, Up, Reconnecting, Suspended, X). */
// The columns:   idle, connecting, connected, reconnecting, suspended, closed.
const NEXT: { readonly [tag in Event["tag"]]: string } = {
  start: "CCURSX",
  signed_in: "IUURSX",
  heard: "ICURSX",
  drain: "ICURSX",
  lost: "IRRRSX",
  refused: "IXXRSX",
  untrusted: "IRRRSX",
  expired: "IRRCSX",
  online: "ICUCCX",
  offline: "ISSSSX",
  stop: "XXXXXX",
};

/** The state after an event in a state; defined for all pairs. An equal one means: taken note of, or too late to matter. */
export function stateAfter(state: ConnectionState, event: Event["tag"]): ConnectionState {
  return STATES["ICURSX".indexOf(NEXT[event].charAt(STATES.indexOf(state)))] ?? state;
}

/**
 * The event for a stream that ended: the range of the close code is the rule, the number is for people.
 *
 * code: null when the socket broke or was never opened. jitter: a fresh random number, 0 <= jitter < 1.
 */
export function streamClosed(code: number | null, jitter: number): Event {
  return code !== null && code >= 4500 && code <= 4999
    ? { tag: "refused", code }
    : { tag: "lost", code: code ?? 1006, jitter };
}

function isStreaming(state: ConnectionState): boolean {
  return state === "connecting" || state === "connected";
}

/** The machine. Feed it events and monotonic seconds; it never waits, fails or forgets an effect. */
export class Connection {
  state: ConnectionState = "idle";
  reason: Reason = "created";
  /** The close code behind `reason`, 0 where there is none. */
  code = 0;
  /** Monotonic second at which the caller must call `tick`; null = nothing is due. */
  deadline: number | null = null;
  /** Unsuccessful attempts in a row: the exponent of the back-off. */
  #failures = 0;
  /** What a draining server asked for on the present stream. */
  #retryAfterS: number | null = null;
  #connectedAt = 0;

  /** The caller's clock reached `now`; early calls change nothing. jitter: a fresh number, 0 <= jitter < 1. */
  tick(now: number, jitter: number): Effect[] {
    return this.deadline === null || now < this.deadline ? [] : this.handle({ tag: "expired", jitter }, now);
  }

  /** Takes note of one event at monotonic second `now`; returns what the caller does next, in order. */
  handle(event: Event, now: number): Effect[] {
    const before = this.state;
    const after = stateAfter(before, event.tag);
    if (after === before) {
      this.#note(event, now);
      return [];
    }
    this.state = after;
    this.reason = this.#why(before, event);
    this.code = "code" in event ? event.code : 0;
    return [...this.#enter(before, event, now), { tag: "changed", state: after, reason: this.reason, code: this.code }];
  }

  #why(before: ConnectionState, event: Event): Reason {
    switch (event.tag) {
      case "lost":
        return event.code === CLOSE_DRAINING || this.#retryAfterS !== null ? "draining" : "lost";
      case "expired":
        return before === "connecting" ? "slow_attempt" : before === "connected" ? "silent" : "retry";
      case "start":
        return "started";
      case "stop":
        return "stopped";
      case "heard":
      case "drain":
        return this.reason; // they move nothing
      default:
        return event.tag;
    }
  }

  /** What moves nothing may still matter: silence counts from the last message, a wait is remembered. */
  #note(event: Event, now: number): void {
    if (event.tag === "heard" && this.state === "connected") {
      this.deadline = now + CLIENT_GIVES_UP_S;
    } else if (event.tag === "drain" && isStreaming(this.state)) {
      this.#retryAfterS = Math.min(Math.max(event.retryAfterS, 0), RETRY_AFTER_MOST_S);
    }
  }

  /** Sets up the new state; returns what must be done to the stream. */
  #enter(before: ConnectionState, event: Event, now: number): Effect[] {
    const gone = event.tag === "lost" || event.tag === "refused" || !isStreaming(before);
    switch (this.state) {
      case "connecting":
        this.deadline = now + ATTEMPT_S;
        this.#retryAfterS = null;
        return [{ tag: "connect" }];
      case "connected":
        this.deadline = now + CLIENT_GIVES_UP_S;
        this.#connectedAt = now;
        return [];
      default:
        this.deadline = this.state === "reconnecting" ? now + this.#wait(before, event, now) : null;
        return gone ? [] : [{ tag: "disconnect" }];
    }
  }

  /**
   * Seconds until the next attempt, and one failure more.
   *
   * A blip (cut without a close code) or a connection that lasted starts over at 0-1 s; one that the server ended soon
   * after sign-in counts on, so that nobody hammers a server that takes connections and drops them.
   */
  #wait(before: ConnectionState, event: Event, now: number): number {
    const code = event.tag === "lost" ? event.code : 0;
    if (before === "connected" && (code === 1006 || now - this.#connectedAt >= LASTED_S)) {
      this.#failures = 0;
    }
    if (this.#retryAfterS !== null) {
      return this.#retryAfterS;
    }
    const jitter = "jitter" in event ? event.jitter : 0;
    if (code === CLOSE_DRAINING) {
      return jitter * DRAINED_RETRY_S;
    }
    const ceiling = Math.min(RETRY_CEILING_S, 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 5);
    return jitter * ceiling;
  }
}
