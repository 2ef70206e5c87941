/**
 * Clients that do what they are told and keep journals: the orders of `rapport.testing.player`, so that the same
 * harness drives programs of both SDKs.
 *
 * - join {client, link, name}: register with a link and connect
 * - invite {client, role} -> {link}: make a conversation and a link to it
 * - meet {client, count}: wait until so many conversations have another member; it talks in the newest of them
 * - say {client, texts}: queue texts, one after the other
 * - flow {client, text, rate} -> {sent}: queue numbered texts at a rate per second until told to halt
 * - halt {client}: end the flow
 * - answered {client, count}: wait until so many own sends were accepted
 * - settle {client, heard}: wait until every own send is accepted and `heard` messages of other devices were shown
 * - offer {client} -> {link}: show a code for a further device of the same account
 * - link {client, link, name} -> {text}: as that further device, take the code; the six digits to confirm
 * - confirm {client, text}: type the digits on the device that made the offer
 * - arrive {client, heard}: beside `confirm`: the further device is linked, and so much of its history is there
 * - revoke {client, name}: remove the own device that is called so; it is owed nothing more
 * - leave {client}: close it; its vault stays
 * - open {client}: go on with the vault of one that was closed
 * - those of `player-agreed.ts`: office hours, promises, cards; and of `player-covered.ts`: cover, hand-over
 */

import type { RapportClient } from "../client/client.ts";
import { RapportError } from "../protocol/errors.ts";
import type { LinkId } from "../protocol/ids.ts";
import type { Entry, Sink } from "./journal.ts";
import { JournaledClient } from "./journaled.ts";
import type { Order, Reply } from "./orders.ts";
import { agreed } from "./player-agreed.ts";
import { covered } from "./player-covered.ts";

/** What a player stands on: where its clients' vaults are, and where their journals go. */
export interface Stage {
  /** Opens the client of that name over its vault, which is empty at first. */
  open(name: string): Promise<RapportClient>;
  /** Where its entries go. */
  sink(name: string): Sink;
  /** What its journal holds already. */
  before(name: string): Promise<readonly Entry[]>;
}

type Answer = Omit<Reply, "number">;

/** All clients of one process. */
export class Player {
  private readonly stage: Stage;
  private readonly clients = new Map<string, JournaledClient>();
  private readonly offers = new Map<string, LinkId>();

  constructor(stage: Stage) {
    this.stage = stage;
  }

  /** Carries an order out, beside those that are under way, and says how that went. */
  async obey(order: Order): Promise<Reply> {
    try {
      return { number: order.number, ...(await this.done(order)) };
    } catch (error) {
      const said = error instanceof RapportError || error instanceof RangeError ? error.message : String(error);
      return { number: order.number, problem: said || "failed" };
    }
  }

  private async done(order: Order): Promise<Answer> {
    switch (order.order) {
      case "join":
      case "open":
        return this.open(order);
      case "offer":
      case "link":
      case "confirm":
      case "arrive":
      case "revoke":
        return this.device(order);
      default:
        return this.talk(order, this.client(order));
    }
  }

  private client({ client }: Order): JournaledClient {
    const held = this.clients.get(client);
    if (held === undefined) {
      throw new RangeError("no such client");
    }
    return held;
  }

  private async begin(name: string): Promise<JournaledClient> {
    const before = await this.stage.before(name);
    const client = new JournaledClient(await this.stage.open(name), name, this.stage.sink(name), before);
    this.clients.set(name, client);
    void client.follow();
    return client;
  }

  private async open(order: Order): Promise<Answer> {
    const client = await this.begin(order.client);
    if (order.order === "join") {
      await client.sdk.join(order.link ?? "", order.name || order.client);
    }
    await client.connected();
    return {};
  }

  private async talk(order: Order, client: JournaledClient): Promise<Answer> {
    switch (order.order) {
      case "invite":
        return { link: await client.sdk.invite(order.role ?? "client") };
      case "meet":
        await client.meet(order.count ?? 1);
        return {};
      case "say":
        for (const text of order.texts ?? []) {
          await client.say(text);
        }
        return { sent: order.texts?.length ?? 0 };
      case "flow":
        return { sent: await client.flow(order.text ?? "", order.rate ?? 1) };
      case "halt":
        client.halted = true;
        return {};
      case "answered":
        await client.wereAnswered(order.count ?? 1);
        return {};
      case "settle":
        await client.settle(order.heard ?? 0);
        return {};
      case "leave":
        this.clients.delete(order.client);
        await client.sdk.close();
        return {};
      default: {
        const done = agreed(client.sdk, order) ?? covered(client, order);
        if (done === null) {
          throw new RangeError("no such order");
        }
        await done;
        return {};
      }
    }
  }

  private async device(order: Order): Promise<Answer> {
    switch (order.order) {
      case "offer": {
        const { sdk } = this.client(order);
        const { offer, url } = await sdk.offerLink();
        this.offers.set(order.client, offer);
        sdk.linkJoined(offer).catch(() => undefined); // from then on the new device shows digits
        return { link: url };
      }
      case "link": {
        const client = await this.begin(order.client);
        return { text: await client.sdk.takeLink(order.link ?? "", order.name || order.client) };
      }
      case "confirm": {
        const offer = this.offers.get(order.client);
        if (offer === undefined) {
          throw new RangeError("no such offer");
        }
        await this.client(order).sdk.confirmLink(offer, order.text ?? "");
        return {};
      }
      case "arrive": {
        const client = this.client(order);
        await client.sdk.linkFinished();
        await client.readBack(order.heard ?? 0);
        return {};
      }
      default:
        return this.revoke(order);
    }
  }

  private async revoke(order: Order): Promise<Answer> {
    const client = this.client(order);
    const name = order.name ?? "";
    const device = client.sdk.devices().find(({ label }) => label === name);
    if (device === undefined) {
      throw new RangeError("no such device");
    }
    await client.sdk.revoke(device.id);
    const sink = this.stage.sink(`${name}-left`);
    for (const conv of client.conversations) {
      sink({ kind: "left", client: name, conv });
    }
    return {};
  }
}
