/**
 * One person's page that calls, without its face: tests of media, in Node.js or not, drive `person`, which stands at the
 * end. Everything that goes in and out is plain JSON; ids are 32 hexadecimal digits.
 */

import type { CallMode, CallView } from "../../src/call-views.ts";
import { RapportClient } from "../../src/client/client.ts";
import type { LiveCall } from "../../src/client/live-call.ts";
import type { AppointmentId, ConversationId, MessageId } from "../../src/protocol/ids.ts";
import type { Role } from "../../src/protocol/requests.ts";
import { startWorker } from "../../src/testing/page-worker.ts";

/** What media of a call look like now, beside what was counted (`client/flow.ts`). */
export interface MediaSeen {
  readonly connectionState: string;
  readonly iceState: string;
  /** Kinds of the candidates in use: host, srflx, prflx, relay; "" = none. */
  readonly local: string;
  readonly remote: string;
  readonly framesDecoded: number;
  readonly packetsReceived: number;
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly videoWidth: number;
  /** Streams of the other side that this page shows. */
  readonly tracks: number;
  /** Restarts that were begun, connections that were made. */
  readonly restarts: number;
  readonly connections: number;
  readonly reconnecting: boolean;
  readonly quality: string;
  readonly mode: CallMode;
  readonly problem: string;
}

/** What a page offers a test. */
export interface Person {
  /** Joins by a link, unless this browser has joined before; resolves to the account. */
  join(link: string, name: string): Promise<string>;
  invite(role?: Role): Promise<string>;
  conversations(): Promise<readonly { readonly id: string; readonly name: string }[]>;
  /** Media only through the relay, whatever the practice says; false: any way; null: as the practice wants. */
  hideAddress(on: boolean | null): Promise<void>;
  /** Calls; resolves to the call's id. conversation "": the first one. */
  call(conversation?: string, options?: { media?: "audio" | "video"; appointment?: string | null }): Promise<string>;
  /** The id of the call that rings here, once one does. Rejects after so long. */
  waitRinging(timeoutMs?: number): Promise<string>;
  accept(call: string): Promise<void>;
  decline(call: string): Promise<void>;
  /** Goes on with a call whose page was this one before it was loaded anew. */
  rejoin(call: string): Promise<void>;
  /** Goes on here with a call that is on another device of the account. */
  takeOver(call: string): Promise<void>;
  hangUp(call: string): Promise<void>;
  setMode(call: string, mode: CallMode): Promise<void>;
  view(call: string): Promise<CallView | null>;
  /** Resolves once the call is in this phase. Rejects after so long. */
  until(call: string, phase: CallView["phase"], timeoutMs?: number): Promise<void>;
  media(call: string): Promise<MediaSeen | null>;
  /** Resolves once so many more pictures were decoded, to how many there are and how long it took, ms. */
  frames(call: string, more: number, timeoutMs?: number): Promise<{ readonly frames: number; readonly tookMs: number }>;
  /** The connection's state. */
  state(): Promise<string>;
  /** The client itself, for tests in the same process. */
  readonly client: RapportClient;
  /** What was told about calls and the connection, in order. */
  readonly told: string[];
}

declare global {
  var person: Person;
}

const PATIENCE_MS = 60_000;
const client = new RapportClient({ worker: startWorker });
const told: string[] = [];
for (const type of ["callRinging", "callMissed", "callRefused", "connectionChanged"] as const) {
  client.on(type, (event) => void told.push(event.type === "connectionChanged" ? event.state : event.type));
}

/** Pictures are decoded only where somebody looks: every stream has an element. */
const screens: HTMLVideoElement[] = [];
function show(live: LiveCall): void {
  const { remote } = live;
  if (remote === null || screens.some(({ srcObject }) => srcObject === remote)) {
    return;
  }
  const screen = document.createElement("video");
  screen.muted = true;
  screen.autoplay = true;
  screen.srcObject = remote;
  document.body?.append(screen);
  screens.push(screen);
}

/** What `look` gives, once it gives something; it is asked whenever the client's snapshot has changed. */
function once<T>(look: () => T | null, timeoutMs = PATIENCE_MS): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => ended(() => reject(new Error("it did not happen in time"))), timeoutMs);
    const ended = (act: () => void): void => {
      clearTimeout(late);
      client.off("changed", tried);
      act();
    };
    const tried = (): void => {
      const found = look();
      if (found !== null) {
        ended(() => resolve(found));
      }
    };
    client.on("changed", tried);
    tried();
  });
}

function opened(call: string): LiveCall {
  const live = client.calls.open(call as MessageId);
  live.onChange(() => show(live));
  return live;
}

function first(): ConversationId | null {
  return client.conversations().find(({ members }) => members.length === 2)?.id ?? null;
}

async function seen(call: string): Promise<MediaSeen | null> {
  const live = client.calls.open(call as MessageId);
  const counts = await live.look();
  if (counts === null) {
    return null;
  }
  const shown = screens.filter(({ srcObject }) => srcObject === live.remote);
  return {
    ...live.connection,
    local: counts.localType,
    remote: counts.remoteType,
    framesDecoded: counts.framesDecoded,
    packetsReceived: counts.packets,
    bytesReceived: counts.bytesReceived,
    bytesSent: counts.bytesSent,
    videoWidth: shown[0]?.videoWidth ?? 0,
    tracks: shown.length,
    reconnecting: live.reconnecting,
    quality: live.quality?.level ?? "",
    mode: live.mode,
    problem: live.problem,
  };
}

globalThis.person = {
  client,
  told,
  async join(link, name) {
    await client.ready;
    const account = client.identity?.account ?? (await client.join(link, name));
    await client.caughtUp();
    return account;
  },
  invite: (role = "client") => client.invite(role),
  async conversations() {
    const me = client.identity?.account;
    return client.conversations().map(({ id, members }) => {
      return { id, name: members.find(({ account }) => account !== me)?.name ?? "" };
    });
  },
  async hideAddress(on) {
    client.calls.hideAddress = on;
  },
  async call(conversation = "", { media = "video", appointment = null } = {}) {
    const conv = conversation === "" ? await once(first) : (conversation as ConversationId);
    const live = await client.calls.offer(conv, { media, appointment: appointment as AppointmentId | null });
    live.onChange(() => show(live));
    return live.id;
  },
  waitRinging: (timeoutMs) =>
    once(() => client.calls.live().find(({ phase }) => phase === "ringing_here")?.id ?? null, timeoutMs),
  accept: (call) => opened(call).accept(),
  decline: (call) => opened(call).decline(),
  rejoin: (call) => opened(call).rejoin(),
  takeOver: (call) => opened(call).takeOver(),
  hangUp: (call) => opened(call).hangUp(),
  setMode: (call, mode) => opened(call).setMode(mode),
  view: async (call) => client.calls.of(call as MessageId),
  async until(call, phase, timeoutMs) {
    await once(() => (client.calls.of(call as MessageId)?.phase === phase ? true : null), timeoutMs);
  },
  media: seen,
  async frames(call, more, timeoutMs = PATIENCE_MS) {
    const began = performance.now();
    const wanted = ((await seen(call))?.framesDecoded ?? 0) + more;
    for (;;) {
      const frames = (await seen(call))?.framesDecoded ?? 0;
      const tookMs = performance.now() - began;
      if (frames >= wanted) {
        return { frames, tookMs };
      }
      if (tookMs > timeoutMs) {
        throw new Error("no new pictures");
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  },
  state: async () => client.state,
};
