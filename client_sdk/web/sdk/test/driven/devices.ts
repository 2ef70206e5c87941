// Devices of the SDK that another program drives, over real sockets: reads a JSON order from each line of stdin, answers
// with a JSON line on stdout, and writes a line for whatever a device is told. Byte strings and ids are base64. It ends
// with its stdin.
//
//     {"number", "who", "do", "with": […]}   ->   {"number", "result"} or {"number", "problem", "code", "detail"}
//     {"who", "news", "snapshot"}                 the events of one turn, and everything that a host sees after it
//
// `do` is a method of `DeviceCalls`, or one of these:
//
//     open, close       a device over the vault of that name, which stays when it is closed
//     clock [ms]        from now on time is so far ahead
//     turn              a turn in which nothing is done: everything before it has been worked through
//     me                the device's public keys; head: the newest device list of its account
//     keys              message keys that it holds; forget [conv]: a conversation's messages, as on a new device
//     membership [conv] where a conversation's chain stands
//     officeOf [account], promiseIn [conv]   what a page shows of an office now, and of a text that is written now
//     urgencyOf [conv, message]              what it shows of something urgent
//     agreed            the appointments that it shows, by start; roomState [appointment]: ours at its door, "" = none
//     letIn [appointment]   the call that lets this device in where it waits, null = none does
//     callOffer [conv]      calls, with a description of its own; callAccept [call] answers with another one
//     callEvent [call, what]   "hang_up", "decline", "media_connected"; callView [call]: how it stands, and its bubble
//     move [base]       while it is closed: it takes this for the server's address

import { createInterface } from "node:readline";

import { systemRandom } from "../../src/adapters/clock.ts";
import { HttpApi } from "../../src/adapters/http.ts";
import { MemoryStorage, MemoryVault } from "../../src/adapters/vault-memory.ts";
import { WebSocketConnector } from "../../src/adapters/websocket.ts";
import { appointmentsIn } from "../../src/client/appointments.ts";
import { Answering } from "../../src/client/office.ts";
import { urgencyIn } from "../../src/client/urgent.ts";
import { newestList } from "../../src/engine/contacts.ts";
import type { Step } from "../../src/engine/core.ts";
import { loadMe } from "../../src/engine/joining/registration.ts";
import { officeShown } from "../../src/engine/office-shown.ts";
import { onFault } from "../../src/engine/vault/faults.ts";
import { OUTBOX, SENT } from "../../src/engine/vault/outgoing.ts";
import { CHAINS, CONVERSATIONS, ME, MESSAGES, SEEN } from "../../src/engine/vault/records.ts";
import type { Turn } from "../../src/engine/vault/turn.ts";
import { LocalDevice } from "../../src/local-device/local-device.ts";
import { applyDelta, EMPTY_SNAPSHOT } from "../../src/local-device/mirror.ts";
import type { News, Snapshot } from "../../src/local-device/types.ts";
import { fromHex } from "../../src/protocol/bytes.ts";
import { RapportError } from "../../src/protocol/errors.ts";
import {
  type AccountId,
  type AppointmentId,
  type ConversationId,
  idOf,
  type MessageId,
} from "../../src/protocol/ids.ts";
import { loadSodium, sodium } from "../../src/protocol/sodium.ts";
import { callStep } from "./calls.ts";
import { ShiftedClock } from "./shifted-clock.ts";

const clock = new ShiftedClock();
const storages = new Map<string, MemoryStorage>();
const devices = new Map<string, LocalDevice>();
const snapshots = new Map<string, Snapshot>();

// --- lines -----------------------------------------------------------------------------------------------------------

function base64(bytes: Uint8Array): string {
  return sodium().to_base64(bytes, sodium().base64_variants.ORIGINAL);
}

/** A value for a line: byte strings, ids and hashes as base64. */
function written(value: unknown): unknown {
  if (value instanceof Uint8Array) return base64(value);
  if (typeof value === "string") return /^([0-9a-f]{32}|[0-9a-f]{64})$/.test(value) ? base64(fromHex(value)) : value;
  if (Array.isArray(value)) return value.map(written);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, held]) => [name, written(held)]));
}

function say(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

interface Order {
  readonly number: number;
  readonly who: string;
  readonly do: string;
  readonly with: readonly unknown[];
}

// --- what is done ----------------------------------------------------------------------------------------------------

function storageOf(who: string): MemoryStorage {
  const held = storages.get(who) ?? new MemoryStorage();
  storages.set(who, held);
  return held;
}

async function open(who: string): Promise<void> {
  const storage = storageOf(who);
  const device = await LocalDevice.open({
    openVault: async () => new MemoryVault(storage),
    wipeVault: async () => storage.wipe(),
    network: (origin) => ({ api: new HttpApi(origin), connector: new WebSocketConnector(origin) }),
    clock,
    random: systemRandom,
  });
  let snapshot: Snapshot = EMPTY_SNAPSHOT;
  const tell = (news: News) => {
    snapshot = news.type === "snapshot" ? news.snapshot : applyDelta(snapshot, news.changed);
    snapshots.set(who, snapshot);
    say({ who, news: written(news.type === "snapshot" ? [] : news.events), snapshot: written(snapshot) });
  };
  device.onNews(tell);
  devices.set(who, device);
  tell({ type: "snapshot", snapshot: await device.snapshot() });
}

async function close(who: string): Promise<void> {
  await devices.get(who)?.close();
  devices.delete(who);
}

async function move(who: string, base: string): Promise<void> {
  const vault = new MemoryVault(storageOf(who));
  await vault.run((tx) => {
    const me = loadMe(tx);
    if (me !== null) ME.put(tx, "", { ...me, base });
  });
  await vault.close();
}

function keysOf(turn: Turn): Uint8Array[] {
  const kept = [...SENT.list(turn.tx), ...CHAINS.list(turn.tx)].map(([, { key }]) => key);
  const waiting = OUTBOX.list(turn.tx).map(([, { sealed }]) => sealed?.key ?? new Uint8Array(0));
  return [...kept, ...waiting].filter((key) => key.length > 0);
}

function forget(turn: Turn, conv: string): void {
  for (const [key] of MESSAGES.list(turn.tx, conv)) {
    MESSAGES.delete(turn.tx, key);
    SEEN.delete(turn.tx, key);
  }
}

/** What only a program that drives devices does inside one; undefined for everything that a host may ask. */
function inside(what: string, [first]: readonly unknown[]): Step<unknown> | undefined {
  const steps: Readonly<Record<string, Step<unknown>>> = {
    turn: () => null,
    me: ({ me }) => ({ account: me.account, device: me.device, aik: me.secrets.aik }),
    head: (turn) => newestList(turn, turn.me.account).encoded,
    keys: keysOf,
    forget: (turn) => forget(turn, String(first)),
    membership: (turn) => {
      const { membership } = CONVERSATIONS.need(turn.tx, String(first));
      return membership && { epoch: membership.epoch, head: membership.head };
    },
  };
  return Object.hasOwn(steps, what) ? steps[what] : undefined;
}

function agreed(snapshot: Snapshot): object[] {
  return appointmentsIn(snapshot).map(({ startMs, minutes, cancelled, members, differs }) => {
    return { startMs, minutes, cancelled, members, differs };
  });
}

function ownState({ rooms, identity }: Snapshot, appointment: string): string {
  const people = rooms[appointment as AppointmentId]?.people ?? [];
  return people.find(({ account }) => account === identity?.account)?.state ?? "";
}

function letIn({ calls }: Snapshot, appointment: string): MessageId | null {
  const views = Object.values(calls).map(({ view }) => view);
  return views.find((call) => call.appointment === appointment && call.admits)?.id ?? null;
}

/** What a page computes from the snapshot; undefined for everything else. */
function shown(who: string, what: string, [first, second]: readonly unknown[]): unknown {
  const snapshot = snapshots.get(who) ?? EMPTY_SNAPSHOT;
  const nowMs = clock.nowMs() + snapshot.aheadMs;
  if (what === "officeOf") {
    const account = idOf<AccountId>(fromHex(String(first)));
    return officeShown(account, snapshot.offices[account] ?? null, snapshot.officeSaid[account] ?? null, nowMs);
  }
  if (what === "urgencyOf") {
    const [conv, message] = [first, second].map((id) => fromHex(String(id)));
    return urgencyIn(snapshot, idOf<ConversationId>(conv as Uint8Array), idOf<MessageId>(message as Uint8Array), nowMs);
  }
  if (what === "agreed") return agreed(snapshot);
  if (what === "roomState") return ownState(snapshot, String(first));
  if (what === "letIn") return letIn(snapshot, String(first));
  if (what !== "promiseIn") return undefined;
  const view = snapshot.views.find(({ id }) => id === first);
  return view === undefined ? null : new Answering(() => ({ view, snapshot })).promise(nowMs);
}

async function done({ who, do: what, with: given }: Order): Promise<unknown> {
  if (what === "open") return await open(who);
  if (what === "close") return await close(who);
  if (what === "move") return await move(who, String(given[0]));
  if (what === "clock") return clock.follow(Number(given[0]));
  const device = devices.get(who);
  if (device === undefined) throw new RangeError("no such device");
  const page = shown(who, what, given);
  if (page !== undefined) return page;
  const step = inside(what, given) ?? callStep(what, given);
  if (step !== undefined) return await device["do"](step);
  const method: unknown = Reflect.get(device, what);
  if (typeof method !== "function") throw new RangeError("no such call");
  return await Reflect.apply(method, device, given);
}

await loadSodium();
onFault((sentence, problem) => {
  process.stderr.write(`${sentence}\n${problem instanceof Error ? problem.stack : ""}\n`);
});
for await (const line of createInterface({ input: process.stdin })) {
  const order: Order = JSON.parse(line);
  done(order).then(
    (result) => say({ number: order.number, result: written(result ?? null) }),
    (error: unknown) => {
      const { code, detail } = error instanceof RapportError ? error : { code: "", detail: String(error) };
      say({ number: order.number, problem: error instanceof Error ? error.constructor.name : "", code, detail });
    },
  );
}
for (const who of devices.keys()) await close(who);
process.exit(0);
