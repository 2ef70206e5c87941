/**
 * The stream as the server sees it: what signed-in devices say, and what is pushed and streamed to them.
 *
 * A fresh post is pushed to every device whose link is live. What cannot be pushed at once stays in the mailbox, and the
 * link is pumped from there: oldest first, at most a window unacknowledged, until nothing waits and it is live again.
 *
 * Source: docs/protocol.md, sections 12.3 and 12.4.
 */

import type { Clock } from "../ports.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import { retryOf } from "../protocol/errors.ts";
import type { ConversationId, DeviceId, ItemId, MessageId } from "../protocol/ids.ts";
import { CLOCK_TOLERANCE_MS, RESUME_WINDOW } from "../protocol/limits.ts";
import {
  type Ack,
  type Call,
  CLOSE_AUTH_FAILED,
  CLOSE_REPLACED,
  type ClientMessage,
  type Direct,
  type Failure,
  type Post,
  type ServerMessage,
  type Signal,
} from "../protocol/messages.ts";
import { parseSignalFields } from "../protocol/signed.ts";
import { FakeCalls, mayRing } from "./server-calls.ts";
import { delivery, outerOf, takeAck, takeDirect, takePost, waitingFor } from "./server-mailbox.ts";
import { FakeOffices } from "./server-office.ts";
import { FakePresence } from "./server-presence.ts";
import { FakeRooms } from "./server-rooms.ts";
import { type Principal, requiredDevices, type Store } from "./server-state.ts";
import { acknowledgedUrgent, FakeLadders, postedUrgent } from "./server-urgent.ts";

/** A device's socket as the server sees it. Sending never waits. */
export interface Connection {
  send(message: ServerMessage): void;
  close(code: number): void;
}

/** One signed-in connection. Made by `Delivery.open`. */
export interface Link {
  readonly principal: Principal;
  readonly connection: Connection;
  /** Delivered on this connection, not yet acknowledged; at most a window. */
  readonly inFlight: Set<ItemId>;
  /** Nothing waits in the mailbox: new posts are pushed as they come. */
  live: boolean;
  /** The first pass is through and `caught_up` was sent. */
  caughtUp: boolean;
  /** Per conversation the post that stands refused. */
  readonly blocks: Map<ConversationId, MessageId>;
}

function failure(code: ErrorCode, re: MessageId | null): Failure {
  return { tag: "error", code, re, retryable: retryOf(code) === "later", retryAfterMs: 0 };
}

/** All links, and what goes over them. */
export class Delivery {
  readonly #store: Store;
  readonly #links = new Map<DeviceId, Link>();
  readonly #presence: FakePresence;
  readonly #offices: FakeOffices;
  readonly #ladders: FakeLadders;
  readonly #rooms: FakeRooms;
  readonly #calls: FakeCalls;

  constructor(store: Store, clock: Clock) {
    this.#store = store;
    this.#presence = new FakePresence(store);
    this.#offices = new FakeOffices(store, clock);
    this.#ladders = new FakeLadders(store, clock);
    this.#rooms = new FakeRooms(store, clock);
    this.#calls = new FakeCalls(store, clock);
  }

  /** A device has signed in: its mailbox starts to stream. An older connection of the same device is closed (4004). */
  open(principal: Principal, connection: Connection): Link {
    const older = this.#links.get(principal.device);
    const link = {
      principal,
      connection,
      inFlight: new Set<ItemId>(),
      live: false,
      caughtUp: false,
      blocks: new Map(),
    };
    this.#links.set(principal.device, link);
    this.#presence.open(principal, (message) => connection.send(message));
    this.#offices.open(principal, (message) => connection.send(message));
    this.#rooms.open(principal, (message) => connection.send(message));
    this.#calls.open(principal, (message) => connection.send(message));
    older?.connection.close(CLOSE_REPLACED);
    this.#pump(link);
    return link;
  }

  /** The connection is gone; what was in flight is waiting again. Safe to call twice. */
  close(link: Link): void {
    if (this.#isOpen(link)) {
      this.#links.delete(link.principal.device);
      this.#presence.close(link.principal);
      this.#offices.close(link.principal);
      this.#rooms.close(link.principal);
      this.#calls.close(link.principal);
    }
  }

  /** Which devices are connected. */
  get devices(): DeviceId[] {
    return [...this.#links.keys()];
  }

  /** Office hours, or who may see them, are different now; or the server's clock was moved. */
  offices(): void {
    this.#offices.tell();
    this.#ladders.look();
  }

  /** Appointments or waiting rooms are different now; or the server's clock was moved. */
  rooms(): void {
    this.#rooms.look();
  }

  /** The server's clock was moved: rings end, legs leave. */
  calls(): void {
    this.#calls.look();
  }

  /** Something new may wait for these devices. */
  wake(devices: Iterable<DeviceId>): void {
    for (const device of devices) {
      const link = this.#links.get(device);
      if (link !== undefined) {
        this.#pump(link);
      }
    }
  }

  /** These devices were removed: their connections close (4501). */
  drop(devices: Iterable<DeviceId>): void {
    for (const device of devices) {
      const link = this.#links.get(device);
      if (link !== undefined) {
        this.close(link);
        link.connection.close(CLOSE_AUTH_FAILED);
      }
    }
  }

  /** What a signed-in device says; `renew` and `auth` are the caller's. */
  say(link: Link, message: ClientMessage): void {
    switch (message.tag) {
      case "post":
        this.#answer(link, this.#post(link, message));
        break;
      case "direct":
        this.#answer(link, this.#direct(link, message));
        break;
      case "ack":
        this.#ack(link, message);
        break;
      case "present":
        this.#presence.say(link.principal, message);
        break;
      case "watch":
        this.#presence.watch(link.principal, message);
        break;
      case "watch_office":
        this.#offices.watch(link.principal, message);
        break;
      case "watch_room":
        this.#rooms.watch(link.principal, message);
        break;
      case "signal":
        this.#signal(link, message);
        break;
      case "call":
        this.#call(link, message);
        break;
      case "ping":
        link.connection.send({ tag: "pong" });
        break;
      case "void":
        if (link.blocks.get(message.conv) === message.id) {
          link.blocks.delete(message.conv);
        }
        break;
      default:
    }
  }

  /** First the sender hears that it is kept, then those it is for. */
  #answer(link: Link, answer: ServerMessage): void {
    link.connection.send(answer);
    if (answer.tag === "accepted") {
      this.#push(answer.id);
    }
  }

  /** Behind a refused post of its conversation, a post is not looked at. */
  #post({ principal, blocks }: Link, post: Post): ServerMessage {
    const outer = outerOf(principal, post.outer);
    if ("refusal" in outer) {
      return failure(outer.refusal, outer.re);
    }
    const { id, conv } = outer;
    const by = blocks.get(conv) ?? id;
    if (by !== id) {
      return { tag: "blocked", id, by };
    }
    const outcome = mayRing(this.#store, outer)
      ? takePost(this.#store, principal, outer, post)
      : { refusal: "rule_broken" as const };
    if ("refusal" in outcome) {
      blocks.set(conv, id);
      return ("answer" in outcome ? outcome.answer : null) ?? failure(outcome.refusal, id);
    }
    blocks.delete(conv);
    if (!outcome.repeat) {
      postedUrgent(this.#store, principal, outer);
      this.#ladders.look();
      this.#calls.posted(principal, outer);
    }
    return { tag: "accepted", id, seq: outcome.seq, at: outcome.at };
  }

  #direct({ principal }: Link, direct: Direct): ServerMessage {
    const outer = outerOf(principal, direct.outer);
    if ("refusal" in outer) {
      return failure(outer.refusal, outer.re);
    }
    const outcome = takeDirect(this.#store, principal, outer, direct);
    return "refusal" in outcome
      ? failure(outcome.refusal, outer.id)
      : { tag: "accepted", id: outer.id, seq: 0, at: outcome.at };
  }

  /** What comes with a step is relayed if the step counts; a wrong one is refused and the step does not. */
  #call(link: Link, said: Call): void {
    const { principal } = link;
    if (said.direct !== null) {
      const outer = outerOf(principal, said.direct.outer);
      if ("refusal" in outer || outer.kind !== "direct") {
        link.connection.send(failure("refusal" in outer ? outer.refusal : "bad_format", said.call));
        return;
      }
    }
    const relayed: MessageId[] = [];
    const state = this.#calls.say(principal, said, (direct) => {
      const outer = direct === null ? null : outerOf(principal, direct.outer);
      if (direct !== null && outer !== null && !("refusal" in outer)) {
        takeDirect(this.#store, principal, outer, direct);
        relayed.push(outer.id);
      }
    });
    link.connection.send(state ?? failure("not_found", said.call));
    for (const id of relayed) {
      this.#push(id);
    }
  }

  #ack(link: Link, ack: Ack): void {
    for (const [sender, id, parked] of takeAck(this.#store, link.principal, ack)) {
      if (!parked) {
        acknowledgedUrgent(this.#store, link.principal, id);
      }
      const items = [{ id, device: link.principal.device, parked }];
      this.#links.get(sender)?.connection.send({ tag: "delivered", items });
    }
    for (const id of [...ack.ok.map((item) => item.id), ...ack.parked]) {
      link.inFlight.delete(id);
    }
    if (!link.live && link.inFlight.size <= RESUME_WINDOW / 2) {
      this.#pump(link);
    }
  }

  /** Whatever is wrong with a signal, it is dropped without a word. */
  #signal({ principal }: Link, signal: Signal): void {
    let fields: ReturnType<typeof parseSignalFields>;
    try {
      fields = parseSignalFields(signal.frame);
    } catch {
      return;
    }
    const conversation = this.#store.state.conversations.get(fields.conv);
    const ours = fields.account === principal.account && fields.device === principal.device;
    const fresh = Math.abs(fields.tsMs - this.#store.now()) <= CLOCK_TOLERANCE_MS;
    if (ours && fresh && conversation?.epoch === fields.epoch && conversation.members.has(principal.account)) {
      for (const device of requiredDevices(this.#store, conversation.members)) {
        if (device !== principal.device) {
          this.#links.get(device)?.connection.send(signal);
        }
      }
    }
  }

  #isOpen(link: Link): boolean {
    return this.#links.get(link.principal.device) === link;
  }

  /** Offers a fresh item to its devices; a repeat finds it in flight or gone. */
  #push(id: ItemId): void {
    const item = this.#store.state.items.get(id);
    for (const device of item?.owed.keys() ?? []) {
      const link = this.#links.get(device);
      if (item === undefined || link === undefined || item.parked.has(device) || link.inFlight.has(id)) {
        continue;
      }
      if (link.live && link.inFlight.size < RESUME_WINDOW) {
        link.inFlight.add(id);
        link.connection.send(delivery(item, device));
      } else {
        link.live = false;
      }
    }
  }

  /** Sends what waits, oldest first; the link is live once nothing waits. Ends early when the window is full. */
  #pump(link: Link): void {
    link.live = false;
    const { principal, inFlight, connection } = link;
    for (const item of waitingFor(this.#store, principal.device, inFlight)) {
      if (inFlight.size >= RESUME_WINDOW || !this.#isOpen(link)) {
        return;
      }
      inFlight.add(item.id);
      connection.send(delivery(item, principal.device));
    }
    link.live = true;
    if (!link.caughtUp) {
      link.caughtUp = true;
      connection.send({ tag: "caught_up" });
    }
  }
}
