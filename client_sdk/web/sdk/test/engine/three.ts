/** A therapist, a colleague and a client over a fake server, for tests of cover and of joining with an account. */

import assert from "node:assert/strict";

import type { CoverStage } from "../../src/agreements.ts";
import { type InviteLink, idOfInvite, parseLink } from "../../src/crypto/invites.ts";
import type { Content } from "../../src/engine/bodies/content.ts";
import { compose } from "../../src/engine/composing.ts";
import { coverOf } from "../../src/engine/cover/cover-ledger.ts";
import * as covering from "../../src/engine/cover/covering.ts";
import * as accepting from "../../src/engine/joining/accepting.ts";
import { inviteLink, newInvite } from "../../src/engine/joining/inviting.ts";
import { CONVERSATIONS } from "../../src/engine/vault/records.ts";
import { LocalError } from "../../src/protocol/errors.ts";
import type { ConversationId } from "../../src/protocol/ids.ts";
import type { Role } from "../../src/protocol/requests.ts";
import { type Device, later, quiet } from "./devices.ts";
import { type FakeRelay, startPair } from "./fake.ts";

/** Dana, therapist and owner; Ben, her colleague; Kim, Dana's client. `all` are connected and at rest. */
export class Three {
  readonly relay: FakeRelay;
  readonly dana: Device;
  readonly ben: Device;
  readonly kim: Device;
  readonly colleagues: ConversationId;
  readonly client: ConversationId;

  private constructor(relay: FakeRelay, dana: Device, ben: Device, kim: Device, pairs: ConversationId[]) {
    this.relay = relay;
    [this.dana, this.ben, this.kim] = [dana, ben, kim];
    [this.colleagues, this.client] = pairs as [ConversationId, ConversationId];
  }

  static async start(): Promise<Three> {
    const { relay, dana, kim, conv } = await startPair();
    const ben = dana.sibling(3);
    const colleagues = await bring(dana, ben, "therapist", "Ben");
    return new Three(relay, dana, ben, kim, [colleagues, conv]);
  }

  get all(): readonly [Device, Device, Device] {
    return [this.dana, this.ben, this.kim];
  }

  // --- a cover, step by step -----------------------------------------------------------------------------------------

  ask(): string {
    const asking = { note: "until May" };
    const message = this.dana.do((turn) => covering.requestCover(turn, this.colleagues, this.client, asking));
    assert.equal(message.kind, "cover_request");
    return message.request;
  }

  async offered(): Promise<string> {
    const request = this.ask();
    await quiet(...this.all);
    this.ben.do((turn) => covering.agree(turn, request));
    await quiet(...this.all);
    return request;
  }

  stages(request: string, devices: readonly Device[] = this.all): (CoverStage | null)[] {
    return devices.map((device) => stage(device, request));
  }
}

/** A link of a new invite, and its conversation. */
export async function made(by: Device, role: Role = "client"): Promise<[link: string, conv: ConversationId]> {
  const invite = by.do((turn) => newInvite(turn, role, "Welcome."));
  await quiet(by);
  return by.do((turn) => inviteLink(turn, invite));
}

/** Somebody new joins by an invite, is connected and at rest. */
export async function bring(by: Device, who: Device, role: Role, name: string): Promise<ConversationId> {
  const [link, conv] = await made(by, role);
  await who.join(link, name);
  await who.connect();
  await quiet(by, who);
  return conv;
}

/** How far a cover has come there. */
export function stage(device: Device, request: string): CoverStage | null {
  return device.do((turn) => coverOf(turn, request))?.stage ?? null;
}

/** What only a lying device would say: it goes out without a look at the rules. */
export function say(device: Device, conv: ConversationId, content: Content): void {
  device.do((turn) => compose(turn, conv, content));
}

/** What stands in a conversation beside texts and the welcome. */
export function kinds(device: Device, conv: ConversationId): string[] {
  return device
    .shown(conv)
    .map(({ kind }) => kind as string)
    .filter((kind) => kind !== "card" && kind !== "text");
}

/** Its conversations of two people. */
export function joined(device: Device): ConversationId[] {
  const found = device.look((tx) => CONVERSATIONS.list(tx).map(([, held]) => held));
  return found.filter(({ membership }) => membership?.members.length === 2).map(({ conv }) => conv);
}

function linkOf(text: string): InviteLink {
  const link = parseLink(text);
  assert.ok(link.tag === "invite");
  return link;
}

/** Asks the device to take an invite. */
export function take(device: Device, text: string): void {
  device.do((turn) => accepting.accept(turn, linkOf(text)));
}

/** What has come of it. */
export function outcome(device: Device, text: string): ConversationId | LocalError | null {
  return device.do((turn) => accepting.outcome(turn, idOfInvite(linkOf(text).secret)));
}

/** Why the invite is not taken. */
export async function refused(device: Device, text: string): Promise<LocalError> {
  let problem: unknown;
  try {
    take(device, text);
    await later(20_000, device);
    problem = outcome(device, text);
  } catch (thrown) {
    problem = thrown;
  }
  assert.ok(problem instanceof LocalError, "it was refused");
  return problem;
}
