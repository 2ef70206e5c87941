/** Two sides of a call in one page, with real media between them: `peer.test.ts` calls what stands at the end. */

import { type Candidate, makeCertificate, Peer, type Route } from "../../src/client/peer.ts";
import type { Description } from "../../src/engine/bodies/meetings.ts";
import { fingerprintsOf } from "../../src/engine/calls/descriptions.ts";

const DIRECT: Route = { credentials: null, relayOnly: false };

/** One side, with what it says handed to the other as it comes. */
class Side {
  readonly peer: Peer;
  readonly said: Description[] = [];
  other: Side | null = null;
  /** What is said is lost. */
  deaf = false;
  private queue: Promise<unknown> = Promise.resolve();

  constructor(polite: boolean, certificate: RTCCertificate) {
    this.peer = new Peer(
      {
        polite,
        certificate,
        words: {
          describe: (description) => this.say(description),
          candidates: (_userName, found) => this.other?.hear(found),
          changed: () => undefined,
        },
      },
      DIRECT,
    );
  }

  say(description: Description): void {
    this.said.push(description);
    this.other?.take(description);
  }

  take(description: Description): void {
    this.run(() => this.peer.take(description));
  }

  hear(found: readonly Candidate[]): void {
    this.run(async () => this.peer.add(found));
  }

  run(work: () => Promise<unknown>): Promise<unknown> {
    this.queue = this.queue.then(work);
    return this.queue;
  }
}

async function frames({ peer }: Side): Promise<number> {
  let count = 0;
  (await peer.stats())?.forEach((row: { type: string; framesDecoded?: number }) => {
    count += row.type === "inbound-rtp" ? (row.framesDecoded ?? 0) : 0;
  });
  return count;
}

/** Resolves once a side has decoded more frames than it had. */
async function moves(side: Side): Promise<void> {
  const before = await frames(side);
  while ((await frames(side)) <= before) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function pair(): Promise<[calling: Side, called: Side]> {
  const [calling, called] = [new Side(false, await makeCertificate()), new Side(true, await makeCertificate())];
  [calling.other, called.other] = [called, calling];
  for (const side of [calling, called]) {
    const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    await side.peer.send({ audio: media.getAudioTracks()[0] ?? null, video: media.getVideoTracks()[0] ?? null });
  }
  return [calling, called];
}

async function flowing(...sides: readonly Side[]): Promise<number[]> {
  await Promise.all(sides.map(moves));
  return Promise.all(sides.map(frames));
}

/** What a test may ask for. */
export interface Peers {
  /** The offer carries the description of the caller. */
  described(): Promise<number[]>;
  /** The callee describes first. */
  undescribed(): Promise<number[]>;
  /** The calling side restarts; user names before and after. */
  restarted(): Promise<string[]>;
  /** The calling side makes its connection anew; fingerprints of both sides before and after. */
  rebuilt(): Promise<string[][]>;
  /** The called side's connection is lost, and made anew when it is restarted. */
  reborn(): Promise<number[]>;
  /** Both describe at once. */
  collided(): Promise<number[]>;
}

declare global {
  var peers: Peers;
}

async function begun(): Promise<[calling: Side, called: Side]> {
  const [calling, called] = await pair();
  const offer = await calling.peer.prepare();
  calling.said.push(offer);
  await calling.peer.begin(DIRECT);
  await called.run(() => called.peer.take(offer));
  await flowing(calling, called);
  return [calling, called];
}

const closing = (...sides: readonly Side[]): void => sides.forEach(({ peer }) => void peer.close());

globalThis.peers = {
  async described() {
    const sides = await begun();
    const counts = await flowing(...sides);
    closing(...sides);
    return counts;
  },
  async undescribed() {
    const [calling, called] = await pair();
    called.say(await called.peer.offer());
    const counts = await flowing(calling, called);
    closing(calling, called);
    return counts;
  },
  async restarted() {
    const [calling, called] = await begun();
    await calling.run(() => calling.peer.restart(DIRECT));
    await flowing(calling, called);
    closing(calling, called);
    return calling.said.map(({ sdp }) => /a=ice-ufrag:(\S+)/.exec(sdp)?.[1] ?? "");
  },
  async rebuilt() {
    const [calling, called] = await begun();
    await calling.run(() => calling.peer.rebuild());
    await flowing(calling, called);
    closing(calling, called);
    return [calling, called].map(({ said }) => said.flatMap((each) => [...fingerprintsOf(each)]));
  },
  async reborn() {
    const [calling, called] = await begun();
    called.peer.close();
    await calling.run(() => calling.peer.restart(DIRECT));
    const counts = await flowing(calling, called);
    closing(calling, called);
    return counts;
  },
  async collided() {
    const [calling, called] = await begun();
    await Promise.all([calling.run(() => calling.peer.restart(DIRECT)), called.run(() => called.peer.restart(DIRECT))]);
    const counts = await flowing(calling, called);
    closing(calling, called);
    return counts;
  },
};
