/** A client that keeps a journal of everything that happens to it: what players are made of. */

import { SYSTEM_CLOCK, systemRandom } from "../adapters/clock.ts";
import type { RapportClient } from "../client/client.ts";
import type { Event, Message } from "../events.ts";
import { isHint } from "../events.ts";
import { type ConversationId, idOf, type MessageId } from "../protocol/ids.ts";
import { type Entry, type Sink, textDigest } from "./journal.ts";

const HISTORY_MOST = 1_000;
/** History comes back without a word to the host; it is looked at this often, ms. */
const LOOK_AGAIN_MS = 100;
/** Until a client is connected for the first time, also through a server's restart, ms. */
const CONNECTED_WITHIN_MS = 60_000;
const NEVER = new AbortController().signal;

/** One device, its journal, and what has happened to it. before: what its journal holds, when it is opened again. */
export class JournaledClient {
  readonly sdk: RapportClient;
  readonly name: string;
  /** Ends the flow. */
  halted = false;
  readonly conversations: ConversationId[];
  private readonly sink: Sink;
  private readonly sent: Set<string>;
  private readonly answered: Set<string>;
  private readonly heard: Set<string>;
  private readonly waiting = new Set<() => void>();

  constructor(sdk: RapportClient, name: string, sink: Sink, before: readonly Entry[]) {
    this.sdk = sdk;
    this.name = name;
    this.sink = sink;
    const ids = (kind: Entry["kind"]) =>
      new Set(before.filter((entry) => entry.kind === kind).map(({ id = "" }) => id));
    this.sent = ids("invoke");
    this.answered = ids("ack");
    this.heard = ids("shown");
    const places = before.filter((entry) => entry.kind === "member");
    this.conversations = places.map(({ conv = "" }) => conv as ConversationId);
    sdk.on("changed", () => this.look());
  }

  /** Writes down what the SDK says, until the client is closed. */
  async follow(): Promise<void> {
    for await (const event of this.sdk.events()) {
      this.note(event);
      this.look();
    }
  }

  /** Waits until it is connected and everything that waited is here. */
  async connected(): Promise<void> {
    await this.until(() => this.sdk.state === "connected", CONNECTED_WITHIN_MS);
    await this.sdk.caughtUp();
    this.belongEverywhere();
  }

  private note(event: Event): void {
    switch (event.type) {
      case "messageReceived":
        this.arrived(event.message);
        break;
      case "placeholder":
        this.write({ kind: "recv", conv: event.conversation, id: event.id });
        break;
      case "messageStatus":
        if (["sent", "delivered", "read"].includes(event.status) && this.sent.has(event.id)) {
          this.accepted(event.conversation, event.id, event.seq);
        }
        break;
      case "memberJoined":
        this.belong(event.conversation);
        break;
      case "securityEvent":
        if (!isHint(event.kind)) {
          this.write({ kind: "alarm", what: event.kind });
        }
        break;
      default:
        break;
    }
  }

  private write(entry: Omit<Entry, "client">): void {
    this.sink({ ...entry, client: this.name });
  }

  private accepted(conv: ConversationId, id: MessageId, seq: number): void {
    if (!this.answered.has(id)) {
      this.write({ kind: "ack", conv, id, seq });
      this.answered.add(id);
    }
  }

  private arrived({ conversation: conv, id, seq, text, placeholder }: Message): void {
    this.write({ kind: "recv", conv, id, seq });
    if (placeholder === null && !this.heard.has(id)) {
      this.write({ kind: "shown", conv, id, seq, digest: textDigest(text) });
      this.heard.add(id);
    }
  }

  /** This is where it talks from now on; everything accepted there must be shown here. */
  belong(conv: ConversationId): void {
    if (!this.conversations.includes(conv)) {
      this.conversations.push(conv);
      this.write({ kind: "member", conv });
    }
  }

  private belongEverywhere(): void {
    for (const conversation of this.sdk.conversations()) {
      if (conversation.members.length > 1) {
        this.belong(conversation.id);
      }
    }
  }

  /** Queues one text in the newest conversation. Its id is in the journal before anybody could answer it. */
  async say(text: string): Promise<void> {
    const conv = this.conversations.at(-1);
    if (conv === undefined) {
      throw new RangeError("nobody to talk to");
    }
    const id = idOf<MessageId>(systemRandom(16));
    this.sent.add(id);
    this.write({ kind: "invoke", conv, id, digest: textDigest(text) });
    await this.sdk.conversation(conv).sendText(text, { id });
  }

  /** Waits until so many conversations have another member. */
  async meet(count: number): Promise<void> {
    await this.until(() => this.conversations.length >= count);
  }

  /** Waits until so many sends were accepted. */
  async wereAnswered(count: number): Promise<void> {
    await this.until(() => this.answered.size >= count);
  }

  /** Waits until nothing is unanswered and so many messages of other devices were shown. */
  async settle(heard: number): Promise<void> {
    await this.until(() => [...this.sent].every((id) => this.answered.has(id)) && this.heard.size >= heard);
  }

  /** Of a device that was just linked: waits until so much history is there, and writes down what it shows. */
  async readBack(heard: number): Promise<void> {
    for (;;) {
      this.belongEverywhere();
      const pages = await Promise.all(this.conversations.map((conv) => this.history(conv)));
      const found = pages.flat();
      if (this.conversations.length > 0 && found.length >= heard) {
        found.forEach((message) => void this.arrived(message));
        return;
      }
      await SYSTEM_CLOCK.sleep(LOOK_AGAIN_MS, NEVER);
    }
  }

  private async history(conv: ConversationId): Promise<Message[]> {
    const messages = await this.sdk.conversation(conv).history({ limit: HISTORY_MOST });
    return messages.filter(({ seq, placeholder }) => seq > 0 && placeholder === null);
  }

  /** Queues numbered texts at a rate per second until `halted`; how many. What was late is caught up with. */
  async flow(text: string, rate: number): Promise<number> {
    const begin = SYSTEM_CLOCK.monotonic();
    let number = 0;
    while (!this.halted) {
      await this.say(`${text} ${number}`);
      number += 1;
      const wait = begin + number / rate - SYSTEM_CLOCK.monotonic();
      await SYSTEM_CLOCK.sleep(Math.max(0, wait * 1000), NEVER);
    }
    return number;
  }

  private until(condition: () => boolean, withinMs?: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = () => {
        if (condition()) {
          this.waiting.delete(look);
          resolve();
        }
      };
      this.waiting.add(look);
      look();
      if (withinMs !== undefined) {
        setTimeout(() => reject(new RangeError("timed out")), withinMs);
      }
    });
  }

  private look(): void {
    for (const look of [...this.waiting]) {
      look();
    }
  }
}
