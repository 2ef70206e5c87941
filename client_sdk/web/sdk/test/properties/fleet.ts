/** Several accounts with several devices each, on the real engine and a server in memory, and what happens to them. */

import assert from "node:assert/strict";
import type { Session } from "../../src/crypto/ratchet.ts";
import { revoke } from "../../src/engine/devices/own-devices.ts";
import { inviteLink, newInvite } from "../../src/engine/joining/inviting.ts";
import { putSession, sessionsOf } from "../../src/engine/keys/kept-sessions.ts";
import { messageId } from "../../src/engine/opening.ts";
import { CONVERSATIONS, INVITES } from "../../src/engine/vault/records.ts";
import type { CallOptions, Transaction } from "../../src/ports.ts";
import { LocalError, Rejected } from "../../src/protocol/errors.ts";
import type { AccountId, ConversationId, DeviceId, InviteId, ItemId, MessageId } from "../../src/protocol/ids.ts";
import { memberOf } from "../../src/protocol/membership.ts";
import { parseSignedEntry, type SignedEntry } from "../../src/protocol/membership-entries.ts";
import type { ClientMessage, Deliver } from "../../src/protocol/messages.ts";
import type { OperationName, RequestOf, ResponseOf } from "../../src/protocol/requests.ts";
import { parseOuter } from "../../src/protocol/signed.ts";
import { FakeServer } from "../../src/testing/fake-server.ts";
import type { Link } from "../../src/testing/server-delivery.ts";
import { ascending, type ServerState } from "../../src/testing/server-state.ts";
import { HandClock, seededRandom, settle } from "../engine/devices.ts";
import { linkNow } from "./linked.ts";
import { copyOf, type NearRelay, Node, quietNow } from "./node.ts";
import { Watch } from "./watching.ts";

export const DAY_MS = 86_400_000;
/** A backup that is older than a week loses messages that nobody posts again. */
const RESTORED_WITHIN_MS = 6 * DAY_MS;
const BACKUPS_KEPT = 3;

/** A text that a device has committed. */
export interface Written {
  readonly conv: ConversationId;
  readonly account: AccountId;
  readonly device: DeviceId;
  readonly text: string;
}

/** A post that the server took, and the devices it was to be given to. */
export interface Accepted {
  readonly id: MessageId;
  readonly conv: ConversationId;
  readonly devices: ReadonlySet<DeviceId>;
}

/** What adds to a chain of membership. */
const APPENDING: ReadonlySet<OperationName> = new Set(["membership.append", "invite.create", "account.register"]);

/** Writes down what it accepts, whatever backup is put in its place later. */
class RecordingServer extends FakeServer {
  readonly accepted: Accepted[] = [];
  /** Of membership, by hash. */
  readonly entries = new Map<string, SignedEntry>();

  override call<Name extends OperationName>(
    operation: Name,
    body: RequestOf<Name>,
    rest: CallOptions = {},
  ): ResponseOf<Name> {
    const answer = super.call(operation, body, rest);
    if (APPENDING.has(operation)) {
      for (const { raw } of [...this.store.state.conversations.values()].flatMap(({ chain }) => chain)) {
        const entry = parseSignedEntry(raw);
        this.entries.set(entry.hash, entry);
      }
    }
    return answer;
  }

  override say(link: Link, message: ClientMessage): void {
    const { position } = this.store.state;
    super.say(link, message);
    if (message.tag === "post") {
      const { id, conv } = parseOuter(message.outer);
      const item = this.store.state.items.get(id);
      if (item !== undefined && item.position > position) {
        this.accepted.push({ id, conv, devices: new Set(item.owed.keys()) });
      }
    }
  }
}

/** The element that a number chooses. */
export function pick<T>(from: readonly T[], which: number): T {
  const chosen = from[which % from.length];
  assert.ok(chosen !== undefined);
  return chosen;
}

/** Everybody. `nodes` holds every device there ever was; `living` those that still belong to their account. */
export class Fleet {
  readonly server: RecordingServer;
  readonly relay: NearRelay;
  readonly watch = new Watch();
  readonly nodes: Node[] = [];
  readonly written = new Map<MessageId, Written>();
  readonly invites: InviteId[] = [];
  readonly lost = new Set<MessageId>();
  private backups: (readonly [atMs: number, state: ServerState])[] = [];
  private count = 0;
  private seeds = 0;

  /** libsodium must be loaded. The owner, a client and a further device of the owner, at rest. */
  constructor() {
    const clock = new HandClock();
    this.server = new RecordingServer({ clock, random: seededRandom(7) });
    const { server } = this;
    this.relay = {
      clock,
      server,
      connector: server.connector(),
      api: server.api(),
      ownerLink: server.ownerLink(),
      settle,
      close: async () => {},
    };
    const owner = this.adopt(new Node(this.relay, this.seed()));
    owner.joinNow(this.relay.ownerLink, "Dana");
    owner.connectNow();
    this.invite(owner);
    this.join();
    this.link(owner);
    quietNow(...this.nodes);
  }

  get state(): ServerState {
    return this.server.store.state;
  }

  private seed(): number {
    this.seeds += 1;
    return this.seeds;
  }

  private adopt(node: Node): Node {
    node.watch = this.watch;
    this.nodes.push(node);
    return node;
  }

  get living(): Node[] {
    return this.nodes.filter((node) => !this.state.devices.get(node.me.device)?.revoked && !node.lockedOut);
  }

  get accounts(): AccountId[] {
    return ascending(new Set(this.nodes.map((node) => node.me.account)));
  }

  devicesOf(account: AccountId | undefined): Node[] {
    return this.living.filter((node) => node.me.account === account);
  }

  /** The device; started and connected again if it had crashed or was cut off. */
  alive(node: Node): Node {
    if (!node.running) {
      node.restart();
    }
    if (node.link === null) {
      node.connectNow();
    }
    return node;
  }

  // --- people ------------------------------------------------------------------------------------------------------

  /** The owner opens a conversation that nobody has joined yet. */
  invite(node: Node): void {
    this.invites.push(node.do((turn) => newInvite(turn, "client", null)));
    quietNow(node);
  }

  /** Somebody follows the oldest open invite and connects. Null when the server does not know it (any more). */
  join(): Node | null {
    const invite = this.invites.shift();
    const link = invite === undefined ? null : this.linkOf(invite);
    const held = invite === undefined ? undefined : this.state.invites.get(invite);
    if (link === null || !held?.open || held.expiresMs <= this.relay.clock.ms) {
      return null;
    }
    const guest = new Node(this.relay, this.seed());
    try {
      guest.joinNow(link, `Guest ${this.nodes.length}`);
    } catch (problem) {
      if (problem instanceof Rejected) {
        return null; // made by a device that was removed since
      }
      throw problem;
    }
    this.adopt(guest).connectNow();
    return guest;
  }

  private linkOf(invite: InviteId): string | null {
    for (const node of this.nodes.filter((each) => each.running)) {
      try {
        return node.do((turn) => inviteLink(turn, invite))[0];
      } catch {
        // not its own
      }
    }
    return null;
  }

  /** A further device of the account. False when another change of the device list came in between. */
  link(node: Node): boolean {
    const fresh = linkNow(node, this.seed(), "Another");
    if (fresh !== null) {
      this.adopt(fresh).connectNow();
    }
    return fresh !== null;
  }

  /** One device removes another of its account. False when it does not know of that one (any more). */
  revoke(node: Node, other: Node): boolean {
    try {
      node.do((turn) => revoke(turn, other.me.device));
    } catch (problem) {
      if (problem instanceof LocalError) {
        return false;
      }
      throw problem;
    }
    while (node.calls.length > 0) {
      node.makeCall();
    }
    return true;
  }

  // --- texts -------------------------------------------------------------------------------------------------------

  /** A text into one of its conversations, whether there is a connection or not. */
  write(node: Node, which: number): void {
    if (!node.running) {
      node.restart();
    }
    const convs = node.conversations();
    if (convs.length === 0) {
      return;
    }
    const conv = pick(convs, which);
    this.count += 1;
    const [text, before] = [`text ${this.count}`, node.storage.rev];
    let made: MessageId | null = null;
    try {
      made = node.say(conv, text).id;
    } finally {
      if (node.storage.rev > before) {
        const id = made ?? newest(node, conv, text); // the process ended with the commit
        this.written.set(id, { conv, account: node.me.account, device: node.me.device, text });
      }
    }
  }

  // --- losses ------------------------------------------------------------------------------------------------------

  private changeSessions(node: Node, peer: Node, change: (tx: Transaction, session: Session) => void): void {
    if (node.running) {
      node.look((tx) => {
        for (const session of sessionsOf(tx, peer.me.device)) {
          change(tx, session);
        }
      });
    }
  }

  /** As if the vault had lost them (F2 for what comes on them). */
  loseSessions(node: Node, peer: Node): void {
    this.changeSessions(node, peer, (tx, session) => tx.delete("session", peer.me.device + session.sid));
  }

  /** As if the states of both ends had drifted apart (F3). */
  breakSessions(node: Node, peer: Node): void {
    const [receiveKey, root] = [new Uint8Array(32).fill(120), new Uint8Array(32).fill(121)];
    this.changeSessions(node, peer, (tx, session) => {
      putSession(tx, peer.me.device, { ...session, receiveKey, root });
    });
  }

  /** As if the private half of the bundle that the server hands out next were gone (F4). */
  loseOneTimeKey(node: Node): void {
    const left = [...(this.state.devices.get(node.me.device)?.oneTime.keys() ?? [])];
    if (node.running && left.length > 0) {
      node.look((tx) => tx.delete("one_time", String(Math.min(...left))));
    }
  }

  /**
   * The id of a message is forgotten, as after 200 days; returns it, to be delivered once more (F1). Not of one whose
   * acknowledgement still waits to leave: none waits for so long.
   */
  forgetDelivered(node: Node): Deliver | null {
    const waiting = node.outgoing.flatMap((message) => (message.tag === "ack" ? message.ok.map(({ id }) => id) : []));
    const leaving = new Set<string>(waiting);
    for (const message of node.delivered) {
      if (message.tag === "deliver" && message.seq > 0 && node.running) {
        const id = messageId(message.outer);
        if (!leaving.has(id) && node.stored("seen", id) !== null) {
          node.look((tx) => tx.delete("seen", id));
          return message;
        }
      }
    }
    return null;
  }

  /**
   * The vault is what it was earlier. What it had written since and nobody has is lost with it.
   *
   * The device has signed in after the copy was made: it is by its own later signature that it notices.
   */
  rollBack(node: Node, which: number): void {
    const copy = node.copies.length > 0 ? pick(node.copies, which) : copyOf(node.storage);
    while (node.signedRev <= copy.rev) {
      node.dropConnection();
      this.alive(node);
    }
    node.putBack(copy);
    for (const [id, written] of this.written) {
      if (written.device === node.me.device && node.stored("message", id) === null) {
        this.lost.add(id);
      }
    }
    node.copies = [copyOf(copy)];
    for (let times = 0; times < which % 4; times++) {
      this.write(node, which); // its revision may reach the one that was signed, before it signs in
    }
    this.alive(node);
    node.delivered = [];
  }

  // --- the server --------------------------------------------------------------------------------------------------

  backUp(): void {
    this.dropOldBackups();
    const copy = [this.relay.clock.ms, this.server.backup()] as const;
    this.backups = [...this.backups, copy].slice(-BACKUPS_KEPT);
  }

  private dropOldBackups(): void {
    this.backups = this.backups.filter(([atMs]) => this.relay.clock.ms - atMs < RESTORED_WITHIN_MS);
  }

  /** The server comes back with an older store, or one copied just now: every connection ends. */
  restore(which: number): void {
    this.dropOldBackups();
    if (this.backups.length === 0) {
      this.backUp();
    }
    const at = which % this.backups.length;
    this.backups = this.backups.slice(0, at + 1);
    for (const node of this.nodes) {
      node.dropConnection();
    }
    const [, copy] = pick(this.backups, at);
    this.server.restore(copy);
    for (let round = 0; round < 3; round++) {
      quietNow(...this.living.filter((node) => this.knows(node))); // the owner's devices bring back the invites
    }
    const back = this.living.filter((node) => node.link !== null);
    for (const node of this.living.filter((each) => each.link === null)) {
      const nobodyKnows = !back.some((other) => couldBringBack(other, node));
      assert.ok(nobodyKnows || this.nodes.some((other) => other.rolledBack), "locked out");
      node.lockedOut = true; // nobody is left to bring it back
    }
  }

  private knows(node: Node): boolean {
    try {
      this.alive(node);
      return true;
    } catch (problem) {
      if (problem instanceof Rejected) {
        return false;
      }
      throw problem;
    }
  }

  /** The item of a message, while the server has it. */
  itemOf(id: MessageId) {
    return this.state.items.get(id as ItemId) ?? null;
  }
}

/**
 * Whether a device that is connected knows how this one's account came to be: by a chain that it has joined, or as the
 * device that made its invite. That one may have been removed before any sibling of it heard of the invite; a server
 * restored from a time before both then takes the removal from the siblings, and the invite from nobody.
 */
function couldBringBack(other: Node, node: Node): boolean {
  const convs = new Set(node.conversations());
  return other.look((tx) => {
    const chains = CONVERSATIONS.list(tx).map(([, { membership }]) => membership);
    const invites = INVITES.list(tx).map(([, { conv }]) => conv);
    return (
      chains.some((chain) => chain !== null && memberOf(chain, node.me.account) !== null) ||
      invites.some((conv) => convs.has(conv))
    );
  });
}

function newest(node: Node, conv: ConversationId, text: string): MessageId {
  node.restart();
  const found = node.shown(conv).findLast((message) => message.text === text);
  assert.ok(found);
  return found.id;
}
