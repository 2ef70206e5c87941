/**
 * Whether media come in, and how well: what the browser counts, as figures. Pure.
 *
 * Source: W3C Identifiers for WebRTC's Statistics API.
 */

import type { Sample } from "../calls/quality.ts";

/** What one look at the statistics says; all since the connection was made but for jitterMs and rttMs. */
export interface Counts extends Sample {
  /** The same of what we send, as far as the other side has said. */
  readonly sent: Sample;
  readonly framesDecoded: number;
  readonly framesSent: number;
  /** What the connection could carry, bits per second; 0 = not known. */
  readonly availableBps: number;
  readonly bytesSent: number;
  readonly bytesReceived: number;
  /** Kinds of the candidates in use, "" = none. */
  readonly localType: string;
  readonly remoteType: string;
}

interface Row {
  readonly id: string;
  readonly type: string;
  readonly [name: string]: unknown;
}

function numberIn(row: Row | undefined, name: string): number {
  const value = row?.[name];
  return typeof value === "number" ? value : 0;
}

function textIn(row: Row | undefined, name: string): string {
  const value = row?.[name];
  return typeof value === "string" ? value : "";
}

/** A stream of which nothing has come for so long says nothing about now: pictures that were given up, ms. */
const STALE_MS = 5_000;

/** The figures in a report. atMs: of the page's clock. */
export function countsIn(report: RTCStatsReport, atMs: number): Counts {
  const rows = new Map<string, Row>();
  report.forEach((row: Row) => {
    rows.set(row.id, row);
  });
  const all = [...rows.values()];
  const inbound = all.filter(({ type }) => type === "inbound-rtp");
  const outbound = all.filter(({ type }) => type === "outbound-rtp");
  const reported = all.filter(({ type }) => type === "remote-inbound-rtp");
  const sum = (of: readonly Row[], name: string): number => of.reduce((total, row) => total + numberIn(row, name), 0);
  const transport = all.find(({ type }) => type === "transport");
  const pair = rows.get(textIn(transport, "selectedCandidatePairId"));
  const most = (of: readonly Row[], name: string): number => Math.max(0, ...of.map((row) => numberIn(row, name)));
  const nowMs = most(all, "timestamp");
  const fresh = (of: readonly Row[], name: string): Row[] =>
    of.filter((row) => nowMs - (numberIn(row, name) || nowMs) < STALE_MS);
  const heard = fresh(inbound, "lastPacketReceivedTimestamp");
  const told = fresh(reported, "timestamp"); // when the other side's report came
  const sent: Sample = {
    atMs,
    packets: Math.max(0, sum(outbound, "packetsSent") - sum(reported, "packetsLost")),
    lost: sum(reported, "packetsLost"),
    frozenMs: 0,
    jitterMs: most(told, "jitter") * 1000,
    rttMs: most(told, "roundTripTime") * 1000,
  };
  return {
    atMs,
    sent,
    packets: sum(inbound, "packetsReceived"),
    lost: sum(inbound, "packetsLost"),
    framesDecoded: sum(inbound, "framesDecoded"),
    framesSent: sum(outbound, "framesSent"),
    frozenMs: sum(inbound, "totalFreezesDuration") * 1000,
    jitterMs: most(heard, "jitter") * 1000,
    rttMs: numberIn(pair, "currentRoundTripTime") * 1000,
    availableBps: numberIn(pair, "availableOutgoingBitrate"),
    bytesSent: numberIn(transport, "bytesSent"),
    bytesReceived: numberIn(transport, "bytesReceived"),
    localType: textIn(rows.get(textIn(pair, "localCandidateId")), "candidateType"),
    remoteType: textIn(rows.get(textIn(pair, "remoteCandidateId")), "candidateType"),
  };
}

/** Since when nothing has come. Fed with every look; a connection made anew counts from zero again. */
export class Flow {
  private packets = 0;
  private packetsMs = 0;
  private began = false;

  /** Something has come in at all. */
  get hasBegun(): boolean {
    return this.began;
  }

  /** Takes a look; for how long no packet has come, milliseconds. Sound alone sends fifty a second, silence too. */
  stillMs({ atMs, packets }: Counts): number {
    if (packets > this.packets || this.packetsMs === 0) {
      this.began ||= packets > 0;
      this.packetsMs = atMs;
    }
    this.packets = packets;
    return atMs - this.packetsMs;
  }
}
