/**
 * Several people with several devices, and everything that networks, processes, disks and servers can do to them.
 *
 * The machine drives the real engine over a server in memory. Whatever happened on the way: when the network is fair
 * again, every text that was accepted stands once, in one order, readable or visibly marked on every device that it was
 * for; and at no time is a nonce, a key or a ratchet position used twice, or a message shown twice or acknowledged
 * without being kept.
 */

import assert from "node:assert/strict";
import fc from "fast-check";
import { Crash, type CrashPoint } from "../../src/adapters/vault-memory.ts";
import { concat } from "../../src/protocol/bytes.ts";
import { type ClaimId, idOf } from "../../src/protocol/ids.ts";
import type { Deliver } from "../../src/protocol/messages.ts";
import { loadSodium, sodium } from "../../src/protocol/sodium.ts";
import { claimBundles } from "../../src/testing/server-prekeys.ts";
import { DAY_MS, Fleet, pick } from "./fleet.ts";
import { judge, part, settleFleet } from "./judging.ts";
import { type Node, quietNow } from "./node.ts";
import { Counter } from "./watching.ts";

/** How often each action was taken, over all runs. */
export const TAKEN = new Counter();
/** What the engines counted: failure classes entered, and what came of them. */
export const CLASSES = new Counter();
/** Messages that stayed closed and say so, by reason. */
export const MARKED = new Counter();
/** Security events shown, by kind. */
export const ALARMS = new Counter();

const ACCOUNTS_MOST = 3;
const DEVICES_MOST = 3;
const WHICH_MOST = 11;
const PAUSES_MS = [500, 3_000, 11_000, 700_000];
const SECRET_TABLES = ["session", "one_time", "signed_prekey", "last_resort", "me"];

/**
 * Loads libsodium so that a schedule repeats: ML-KEM, the only chance that engines do not get from outside, gives one
 * answer for one key.
 */
export async function loadRepeatable(): Promise<void> {
  await loadSodium();
  const library = sodium();
  const { crypto_kem_mlkem768_enc_deterministic: deterministic, crypto_generichash: hash } = library;
  Object.assign(library, { crypto_kem_mlkem768_enc: (key: Uint8Array) => deterministic(key, hash(32, key, null)) });
}

/** See the module. Every rule takes three numbers and makes its choices by them. */
export class SeveralDevices {
  readonly fleet = new Fleet();
  private longAgo = false;
  private restores = 0;

  constructor() {
    this.copies();
  }

  // --- choosing ----------------------------------------------------------------------------------------------------

  private node(which: number): Node {
    return pick(this.fleet.living, which);
  }

  private alive(which: number): Node {
    return this.fleet.alive(this.node(which));
  }

  /** Another device that this one has something to say to: the owner's first conversation is always there. */
  private peerOf(node: Node, which: number): Node {
    const together = new Set([node.me.account]);
    for (const { members } of this.fleet.state.conversations.values()) {
      if (members.has(node.me.account)) {
        for (const member of members) {
          together.add(member);
        }
      }
    }
    const others = this.fleet.living.filter((other) => other !== node && together.has(other.me.account));
    return pick(others, which);
  }

  // --- what people do ----------------------------------------------------------------------------------------------

  send(who: number, where: number): void {
    TAKEN.add("send");
    this.fleet.write(this.node(who), where);
  }

  /** The owner invites somebody, or somebody follows an invite; whoever joins writes at once. */
  membershipChanges(who: number): void {
    const { fleet } = this;
    if (fleet.accounts.length < ACCOUNTS_MOST && fleet.invites.length > 0) {
      const guest = fleet.join();
      if (guest !== null) {
        TAKEN.add("membership change");
        fleet.write(guest, 0);
      }
      return;
    }
    const owners = fleet.devicesOf(fleet.nodes[0]?.me.account);
    if (fleet.invites.length < 2 && owners.length > 0) {
      TAKEN.add("membership change");
      fleet.invite(fleet.alive(pick(owners, who)));
    }
  }

  addDevice(who: number): void {
    const node = this.node(who);
    if (this.fleet.devicesOf(node.me.account).length < DEVICES_MOST && this.fleet.link(this.fleet.alive(node))) {
      TAKEN.add("add device");
    }
  }

  revokeDevice(who: number, whom: number): void {
    const { fleet } = this;
    const several = fleet.accounts.map((account) => fleet.devicesOf(account)).filter((devices) => devices.length > 1);
    if (several.length > 0) {
      const devices = pick(several, who);
      const [chosen] = devices.splice(whom % devices.length, 1);
      assert.ok(chosen);
      if (fleet.revoke(fleet.alive(chosen), pick(devices, who))) {
        TAKEN.add("revoke device");
      }
    }
  }

  // --- what networks do --------------------------------------------------------------------------------------------

  deliverAny(who: number, at: number): void {
    TAKEN.add("deliver any");
    const node = this.alive(who);
    const [message] = node.inbox.splice(at % Math.max(node.inbox.length, 1), 1);
    if (message !== undefined) {
      node.take(message);
    }
  }

  deliverAll(who: number): void {
    TAKEN.add("deliver all");
    const node = this.alive(who);
    if (node.inbox.length > 0) {
      node.take(...node.inbox.splice(0));
    }
  }

  duplicate(who: number, at: number): void {
    TAKEN.add("duplicate");
    const node = this.alive(who);
    if (node.delivered.length > 0) {
      node.take(pick(node.delivered, at));
    }
  }

  drop(who: number, at: number): void {
    TAKEN.add("drop");
    const node = this.alive(who);
    node.isLossy ||= node.inbox.length > 0;
    node.inbox.splice(at % Math.max(node.inbox.length, 1), 1);
  }

  /** A message comes with other bytes than were sent: not a byte of what it claims to touch changes. */
  corrupt(who: number, _: number, how: number): void {
    TAKEN.add("corrupt");
    const part = pick(["key", "ct", "suite"] as const, how);
    const node = this.alive(who);
    this.fleet.write(this.fleet.alive(this.peerOf(node, who)), who);
    const at = node.inbox.findIndex((message) => message.tag === "deliver" && message.seq > 0);
    const message = node.inbox[at];
    if (message?.tag !== "deliver") {
      return;
    }
    const before = secretsOf(node);
    if (part === "suite") {
      node.take(ofALaterVersion(message, node.random(16)));
    } else {
      node.inbox.splice(at, 1);
      node.take({ ...message, [part]: turned(message[part]) });
    }
    if (part !== "ct") {
      assert.deepEqual(secretsOf(node), before, "a failed decrypt has changed something");
    }
  }

  cut(who: number): void {
    TAKEN.add("cut");
    this.node(who).dropConnection();
  }

  holdWhatGoesOut(who: number, _: number, held: number): void {
    TAKEN.add("hold");
    const node = this.node(who);
    node.holdOutgoing = held % 2 === 0;
    if (!node.holdOutgoing) {
      node.sendAll();
    }
  }

  makeCall(who: number): void {
    TAKEN.add("call");
    this.alive(who).makeCall();
  }

  timePasses(pause: number): void {
    TAKEN.add("time passes");
    this.passMs(pick(PAUSES_MS, pause));
  }

  private passMs(ms: number): void {
    this.fleet.relay.clock.ms += ms;
    this.fleet.server.sweep();
    for (const node of this.fleet.living.filter((each) => each.running)) {
      node.turn();
    }
  }

  // --- what machines do --------------------------------------------------------------------------------------------

  private crash(who: number, sending: boolean, point: CrashPoint): void {
    const node = this.alive(who);
    const messages = node.inbox.splice(0);
    node.crashAfterCommits(0, point);
    try {
      if (sending || messages.length === 0) {
        this.fleet.write(node, who);
      } else {
        node.take(...messages);
      }
    } catch (end) {
      if (!(end instanceof Crash)) {
        throw end;
      }
      node.dropConnection();
    }
    node.disarm();
  }

  crashBeforeCommit(who: number, sending: number): void {
    TAKEN.add("crash before commit");
    this.crash(who, sending % 2 === 0, "before_commit");
  }

  crashAfterCommit(who: number, sending: number): void {
    TAKEN.add("crash after commit");
    this.crash(who, sending % 2 === 0, "after_commit");
  }

  restart(who: number): void {
    TAKEN.add("restart");
    this.node(who).restart();
    this.alive(who);
  }

  rollBack(who: number, which: number): void {
    TAKEN.add("rollback");
    this.fleet.rollBack(this.node(who), which);
  }

  /** A peer claims every bundle there is, and has to start a session on the last-resort key. */
  oneTimeKeysRunOut(who: number, whom: number): void {
    TAKEN.add("prekey exhaustion");
    const node = this.node(who);
    const peer = this.fleet.alive(this.peerOf(node, whom));
    const principal = peer.link?.principal;
    assert.ok(principal);
    for (let times = 0; times < 200; times++) {
      const request = { claim: idOf<ClaimId>(peer.random(16)), devices: [node.me.device] };
      const [bundle] = claimBundles(this.fleet.server.store, principal, request, () => true);
      if (bundle === undefined || bundle.lastResort) {
        break;
      }
    }
    this.fleet.loseSessions(peer, node);
    this.fleet.write(peer, whom);
  }

  /** Neither has a session any more, and both write. */
  bothStart(who: number, whom: number): void {
    TAKEN.add("simultaneous start");
    const node = this.alive(who);
    const peer = this.fleet.alive(this.peerOf(node, whom));
    this.fleet.loseSessions(node, peer);
    this.fleet.loseSessions(peer, node);
    this.fleet.write(node, who);
    this.fleet.write(peer, whom);
  }

  /** What one device needs to open the next message is gone: the sender has to send it again. */
  somethingIsLost(who: number, whom: number, what: number): void {
    TAKEN.add("resend");
    const { fleet } = this;
    const loss = pick(["sessions", "state", "prekeys", "id"] as const, what);
    const node = this.alive(who);
    const peer = fleet.alive(this.peerOf(node, whom));
    if (loss === "id") {
      const message = fleet.forgetDelivered(node);
      if (message !== null) {
        node.take(message);
      }
      return;
    }
    if (loss === "sessions") {
      fleet.loseSessions(node, peer);
    } else if (loss === "state") {
      fleet.breakSessions(node, peer);
    } else {
      fleet.loseSessions(peer, node);
      fleet.loseOneTimeKey(node);
    }
    fleet.write(peer, whom);
  }

  // --- what servers do ---------------------------------------------------------------------------------------------

  /** Backups of everything, for later. */
  copies(): void {
    TAKEN.add("copies");
    for (const node of this.fleet.living) {
      node.keepCopy();
    }
    this.fleet.backUp();
  }

  /** Once in a run: two restores of one backup give the same numbers twice. */
  restored(which: number): void {
    if (this.restores === 0) {
      TAKEN.add("store restored");
      this.fleet.restore(which);
      this.restores += 1;
    }
  }

  /**
   * One device is away for 46 days; the others come back before it does, and write.
   *
   * Once in a run: after 90 days the server gives up on messages, and after 97 devices forget their keys.
   */
  dormantReturn(who: number): void {
    if (this.longAgo) {
      return;
    }
    TAKEN.add("dormant return");
    this.longAgo = true;
    const { fleet } = this;
    if (this.restores > 0) {
      quietNow(...fleet.living.map((node) => fleet.alive(node))); // what a restored server lacks comes within a week
    }
    const away = this.node(who);
    away.wasAway = true;
    for (const node of fleet.living.filter(({ isLossy }) => isLossy)) {
      node.dropConnection(); // no stream loses a message and lives on for weeks: what was lost comes on the next one
      quietNow(fleet.alive(node));
    }
    for (const node of fleet.living) {
      node.dropConnection();
    }
    this.passMs(46 * DAY_MS);
    for (const node of fleet.living.filter((each) => each !== away)) {
      fleet.alive(node);
    }
    fleet.server.sweep();
    fleet.write(this.peerOf(away, who), who);
    fleet.alive(away);
  }

  // --- and in the end ----------------------------------------------------------------------------------------------

  /** The verdict. Throws AssertionError for what is lost. */
  end(): void {
    try {
      const forgotten = settleFleet(this.fleet);
      if (forgotten === "") {
        MARKED.addAll(judge(this.fleet).counts);
        part(this.fleet);
      } else {
        MARKED.add(`no verdict: ${forgotten}`);
      }
    } finally {
      this.count();
    }
  }

  private count(): void {
    for (const node of this.fleet.nodes) {
      CLASSES.addAll(node.figures().counts);
    }
    ALARMS.addAll(this.fleet.watch.alarms.counts);
  }
}

/** A copy with its last bit turned. */
function turned(content: Uint8Array): Uint8Array {
  return concat(content.subarray(0, -1), Uint8Array.of((content.at(-1) ?? 0) ^ 1));
}

/** Another message, of a suite that nobody knows yet. */
function ofALaterVersion(message: Deliver, item: Uint8Array): Deliver {
  const outer = concat(message.outer.subarray(0, 59), item, message.outer.subarray(75));
  return { ...message, outer, key: concat(Uint8Array.of(7), message.key.subarray(1)) };
}

/** Sessions and private keys, as they are stored. */
function secretsOf(node: Node): [id: string, value: unknown][] {
  const held = [...node.storage.records.all()].filter(({ table }) => SECRET_TABLES.includes(table));
  return held
    .map(({ id, plain }): [string, unknown] => [id, plain?.value])
    .sort(([one], [other]) => (one < other ? -1 : 1));
}

// --- schedules -----------------------------------------------------------------------------------------------------

/** The rules by name. */
export const RULES = [
  "send",
  "membershipChanges",
  "addDevice",
  "revokeDevice",
  "deliverAny",
  "deliverAll",
  "duplicate",
  "drop",
  "corrupt",
  "cut",
  "holdWhatGoesOut",
  "makeCall",
  "timePasses",
  "crashBeforeCommit",
  "crashAfterCommit",
  "restart",
  "rollBack",
  "oneTimeKeysRunOut",
  "bothStart",
  "somethingIsLost",
  "copies",
  "restored",
  "dormantReturn",
] as const satisfies readonly (keyof SeveralDevices)[];

/** One step: a rule and what it chooses by; null for none. */
export type Step = readonly [rule: (typeof RULES)[number], who: number, whom: number, how: number] | null;

/** Plays a schedule to its end. Throws what the machine has found. */
export function play(schedule: readonly Step[]): void {
  const machine = new SeveralDevices();
  for (const step of schedule) {
    if (step !== null) {
      const [rule, ...choices] = step;
      machine[rule](...choices);
    }
  }
  machine.end();
}

/** Schedules of so many steps; shorter ones have gaps. */
export function schedules(steps: number): fc.Arbitrary<Step[]> {
  const which = fc.integer({ min: 0, max: WHICH_MOST });
  const step = fc.noBias(fc.option(fc.tuple(fc.constantFrom(...RULES), which, which, which), { freq: 100_000 }));
  return fc.array(step, { minLength: steps, maxLength: steps });
}
