/**
 * How good a connection is, in words, from what media programs count; and the verdict of the test before a call. Pure.
 *
 * The score follows the E-model of telephony (ITU-T G.107) in its usual short form, with still pictures added:
 *
 *     latency = rtt / 2 + 2 * jitter + 10 ms
 *     R = 93.2 - latency / 40, above 160 ms - (latency - 120) / 10;  - 2.5 per cent lost;  - 1.5 per cent of time frozen
 *
 * The twin of `rapport_protocol/calls/quality.py`; both are held to scenarios/calls.json.
 *
 * Source: docs/protocol.md, section 20.4.
 */

/** From here on people are content: R 70 to 80 is where some are not. */
export const GOOD_SCORE = 75;
/** Below, nearly all are dissatisfied. */
export const FAIR_SCORE = 50;

/** A connection in a word; "none": nothing came, nothing can be said. */
export type Level = "good" | "fair" | "poor" | "none";

/** What costs most. */
export type QualityWhy = "" | "loss" | "delay" | "jitter" | "freezes";

/**
 * One look at the counters of a connection (W3C webrtc-stats), all since its beginning but for rtt and jitter. atMs: of
 * any clock. packets, lost: that came in, and that did not. frozenMs: how long pictures stood still.
 */
export interface Sample {
  readonly atMs: number;
  readonly packets: number;
  readonly lost: number;
  readonly frozenMs: number;
  readonly jitterMs: number;
  readonly rttMs: number;
}

/** score: 0 to 100. why: what costs most, "" if nothing does. */
export interface Quality {
  readonly level: Level;
  readonly score: number;
  readonly why: QualityWhy;
}

/** How good it was between two looks. Counters that ran backwards (a new connection) count from zero. */
export function qualityOf(before: Sample, now: Sample): Quality {
  const fresh = now.packets < before.packets || now.lost < before.lost || now.frozenMs < before.frozenMs;
  const packets = now.packets - (fresh ? 0 : before.packets);
  const lost = now.lost - (fresh ? 0 : before.lost);
  const frozenMs = now.frozenMs - (fresh ? 0 : before.frozenMs);
  const spanMs = now.atMs - before.atMs;
  if (spanMs <= 0 || packets + lost <= 0) {
    return { level: "none", score: 0, why: "" };
  }
  const [delayMs, jitterMs] = [now.rttMs / 2, 2 * now.jitterMs];
  const latencyMs = delayMs + jitterMs + 10;
  const slow = latencyMs < 160 ? latencyMs / 40 : (latencyMs - 120) / 10;
  const costs: readonly (readonly [QualityWhy, number])[] = [
    ["loss", (250 * lost) / (packets + lost)],
    ["delay", (slow * (delayMs + 10)) / latencyMs],
    ["jitter", (slow * jitterMs) / latencyMs],
    ["freezes", 150 * Math.min(frozenMs / spanMs, 1)],
  ];
  const cost = costs.reduce((total, [, each]) => total + each, 0);
  const score = Math.min(Math.max(Math.trunc(93.2 - cost + 0.5), 0), 100);
  const [why] = costs.reduce((worst, each) => (each[1] > worst[1] ? each : worst));
  return { level: levelOf(score), score, why: score < GOOD_SCORE ? why : "" };
}

function levelOf(score: number): Level {
  return score >= GOOD_SCORE ? "good" : score >= FAIR_SCORE ? "fair" : "poor";
}

// --- before the call -------------------------------------------------------------------------------------------------

const WHYS = [
  "offline",
  "denied",
  "no_microphone",
  "no_relay",
  "no_camera",
  "slow",
  "lossy",
  "far",
  "tcp_only",
] as const;

/**
 * What the test before a call has found, the worst first. "denied": the person or the system does not let us use
 * microphone or camera. "tcp_only": UDP does not get through, a lost packet holds up all that follow.
 */
export type PrecallWhy = (typeof WHYS)[number];

/** How a device answered. */
export type DeviceFound = "ok" | "none" | "denied" | "busy";
/** How a way to the relay did. */
export type RelayFound = "ok" | "failed" | "untested";

/** What was measured. kbps: through the relay, 0 = untested. lost: share, 0 to 1. rttMs: 0 = unknown. */
export interface Precall {
  readonly online: boolean;
  readonly video: boolean;
  readonly microphone: DeviceFound;
  readonly camera: DeviceFound;
  readonly udp: RelayFound;
  readonly tcp: RelayFound;
  readonly kbps: number;
  readonly lost: number;
  readonly rttMs: number;
}

/** why: every reason, the worst first. */
export interface Verdict {
  readonly level: "good" | "fair" | "poor";
  readonly why: readonly PrecallWhy[];
}

/** Opus at 32 to 40 kbit/s, twice for headers and repairs. */
const AUDIO_KBPS = 80;
/** A face that moves, 640 x 360, with sound. */
const VIDEO_KBPS = 600;
/** Repairs (FEC, NACK) hide two per cent; above eight speech breaks up. */
const LOST_FAIR = 0.02;
const LOST_POOR = 0.08;
/** To the other side and back: from 300 ms on people begin to talk at the same time (ITU-T G.114). */
const FAR_FAIR_MS = 300;
const FAR_POOR_MS = 600;

/** Whether a call would go well, and why not. With relays untested (none on this server) nothing is said of them. */
export function precallVerdict(found: Precall): Verdict {
  const { video, microphone, camera, udp, tcp, kbps, lost, rttMs } = found;
  const poor: { readonly [why in PrecallWhy]?: boolean } = {
    offline: !found.online,
    denied: microphone === "denied",
    no_microphone: microphone === "none" || microphone === "busy",
    no_relay: (udp === "failed" || tcp === "failed") && udp !== "ok" && tcp !== "ok",
    slow: kbps > 0 && kbps < AUDIO_KBPS,
    lossy: lost >= LOST_POOR,
    far: rttMs >= FAR_POOR_MS,
  };
  const fair: { readonly [why in PrecallWhy]?: boolean } = {
    denied: video && camera === "denied",
    no_camera: video && (camera === "none" || camera === "busy"),
    slow: video && kbps > 0 && kbps < VIDEO_KBPS,
    lossy: lost >= LOST_FAIR,
    far: rttMs >= FAR_FAIR_MS,
    tcp_only: udp === "failed" && tcp === "ok",
  };
  const worst = WHYS.filter((why) => poor[why]);
  const others = WHYS.filter((why) => fair[why] && !poor[why]);
  return { level: worst.length > 0 ? "poor" : others.length > 0 ? "fair" : "good", why: [...worst, ...others] };
}
