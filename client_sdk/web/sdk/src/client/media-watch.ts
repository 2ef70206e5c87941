/**
 * Looks at the media of one call twice a second: whether they flow, how well, and what is sent after that.
 *
 *     stats ─> flow ─> news ("connected", "lost", "failed")        stats ─> quality ─> ladder ─> decision
 *
 * Source: docs/protocol.md, section 20.4.
 */

import type { CallMode } from "../call-views.ts";
import { choose, type Decision, type Ladder, newLadder, paused, type Rung, step } from "../calls/ladder.ts";
import { type Quality, qualityOf } from "../calls/quality.ts";
import { type Counts, countsIn, Flow } from "./flow.ts";
import type { Peer } from "./peer.ts";

/** How often media are looked at, ms. */
const LOOK_EVERY_MS = 500;
/** How often they are judged, ms: what the ladder counts in. */
const JUDGE_EVERY_MS = 950;
/** Media that stand still for so long are said to. */
const STILL_MS = 1_000;
/** Then they have failed, and only a restart helps. */
const FAILED_MS = 3_000;

/** What has become of the media; "" before they have flowed. */
export type MediaStand = "" | "connected" | "lost" | "failed";

/** What it looks at, and whom it tells. */
export interface Watched {
  peer(): Peer | null;
  /** What the other side sends, as it has said. */
  modeThere(): CallMode | null;
  /** Media stand otherwise now; began: they flow for the first time. */
  news(news: Exclude<MediaStand, "">, began: boolean): void;
  /** More or less is to be sent. */
  decided(decision: Decision): void;
  /** Something is to be drawn anew. */
  looked(): void;
}

/** From `start` to `end`; `reset` when another connection takes the place of the one before. */
export class MediaWatch {
  /** How well it goes, for the last seconds; null before media flow. */
  quality: Quality | null = null;
  /** What was counted last; null before there is a connection. */
  counts: Counts | null = null;
  private readonly watched: Watched;
  private ladder: Ladder = newLadder("video", Date.now());
  private flow = new Flow();
  private judged: Counts | null = null;
  private stand: MediaStand = "";
  private timer: ReturnType<typeof setInterval> | null = null;

  constructor(watched: Watched) {
    this.watched = watched;
  }

  /** How media stand, as was said last. */
  get said(): MediaStand {
    return this.stand;
  }

  /** Media have flowed, and stand still. */
  get isStill(): boolean {
    return this.stand === "lost" || this.stand === "failed";
  }

  /** What is sent at most. */
  get rung(): Rung {
    return this.ladder.rung;
  }

  /** Looks from now on; the ladder begins with what the person has chosen. */
  start(mode: CallMode): void {
    this.ladder = newLadder(mode, Date.now());
    this.timer ??= setInterval(() => void this.look(), LOOK_EVERY_MS);
  }

  /** The person wants to send no more than that. */
  choose(mode: CallMode): void {
    this.ladder = choose(this.ladder, mode, Date.now())[0];
  }

  /** Another connection will be looked at. */
  reset(): void {
    this.flow = new Flow();
    this.stand = "";
  }

  /** Looks no more. */
  end(): void {
    if (this.timer !== null) {
      clearInterval(this.timer);
      this.timer = null;
    }
    this.quality = null;
    this.stand = "";
  }

  /** Looks at the media now; null without a connection. */
  async look(): Promise<Counts | null> {
    const peer = this.watched.peer();
    const report = await peer?.stats();
    if (report == null || peer !== this.watched.peer() || this.timer === null) {
      return null;
    }
    const counts = countsIn(report, performance.now());
    const isQuiet = this.watched.modeThere() === "text"; // then nothing comes, and nothing is missing
    const stillMs = isQuiet ? 0 : this.flow.stillMs(counts);
    const isUp = peer?.connectionState === "connected" && (isQuiet || this.flow.hasBegun);
    const isGone = peer?.connectionState === "failed";
    const hasFailed = isGone || (this.stand !== "" && stillMs > FAILED_MS);
    this.tell(hasFailed ? "failed" : isUp && stillMs < STILL_MS ? "connected" : "lost");
    this.counts = counts;
    this.judge(counts);
    this.watched.looked();
    return counts;
  }

  private tell(news: Exclude<MediaStand, "">): void {
    const { stand } = this;
    if (news !== stand && !(stand === "" && news === "lost")) {
      this.stand = news;
      this.watched.news(news, stand === "");
    }
  }

  private judge(counts: Counts): void {
    const before = this.judged;
    if (this.stand === "" || (before !== null && counts.atMs - before.atMs < JUDGE_EVERY_MS)) {
      return;
    }
    this.judged = counts;
    if (before === null) {
      return;
    }
    this.quality = qualityOf(before, counts);
    if (this.isStill) {
      this.ladder = paused(this.ladder);
      return;
    }
    const sent = qualityOf(before.sent, counts.sent);
    const [ladder, decision] = step(this.ladder, sent.level === "none" ? this.quality : sent, Date.now());
    this.ladder = ladder;
    if (decision !== null) {
      this.watched.decided(decision);
    }
  }
}
