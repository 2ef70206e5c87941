/** What hosts are shown of calls: pure looks at a row. */

import type { CallNote, CallOutcome, CallPhaseShown, CallReason, CallView } from "../../call-views.ts";
import type { DevicePhase } from "../../calls/moves.ts";
import type { AccountId, DeviceId, MessageId } from "../../protocol/ids.ts";
import type { Description } from "../bodies/meetings.ts";
import type { CallRow, CallWords, Candidate, MediaOrders } from "../vault/call-records.ts";

/**
 * A call as hosts see it, and what the page in it is to do. theirs: the description that counts; candidates: its own.
 * polite: this device is the callee's. isOwnCall: it is the calling one, and no other has been.
 */
export interface CallShown {
  readonly view: CallView;
  readonly page: string;
  readonly orders: MediaOrders;
  readonly theirs: { readonly description: Description; readonly restart: boolean } | null;
  readonly candidates: readonly Candidate[];
  readonly polite: boolean;
  readonly isOwnCall: boolean;
}

const PHASES: { readonly [phase in DevicePhase]: CallPhaseShown } = {
  offering: "offering",
  calling: "calling",
  ringing_there: "ringing_there",
  waking: "waking",
  ringing_here: "ringing_here",
  answering: "connecting",
  connecting: "connecting",
  connected: "connected",
  reconnecting: "reconnecting",
  elsewhere: "elsewhere",
  settling: "waking",
  ended: "ended",
};

const HERE: ReadonlySet<DevicePhase> = new Set<DevicePhase>([
  "offering",
  "calling",
  "ringing_there",
  "answering",
  "connecting",
  "connected",
  "reconnecting",
]);

/** Whether this device calls, answers, or is in it. */
export function isHere({ machine }: Pick<CallRow, "machine">): boolean {
  return HERE.has(machine.phase);
}

/** Whether it rings here, or would. */
export function canAnswer({ machine }: CallRow): boolean {
  return machine.phase === "waking" || machine.phase === "ringing_here";
}

/** Whether it has not ended on this device. */
export function isLive({ machine }: CallRow): boolean {
  return machine.phase !== "ended";
}

function reasonOf({ machine, endedMs }: CallRow): CallReason {
  return endedMs === 0 ? "" : machine.forged ? "fingerprint" : (machine.reason ?? "");
}

/** The row as hosts see it. device: this one. */
export function shownCall(id: MessageId, row: CallRow, device: DeviceId): CallShown {
  const { machine, conv, other, media, appointment, endedMs, modeThere, modeThereWhy, page, orders } = row;
  const { entry, phase } = machine;
  const isOwnDevice = machine.answeredOn !== null && entry.incoming;
  const view: CallView = {
    id,
    conversation: conv,
    incoming: entry.incoming,
    media,
    phase: PHASES[phase],
    withAccount: other,
    appointment,
    atMs: row.seq > 0 || entry.incoming ? entry.atMs : 0,
    untilMs: machine.untilMs,
    connectedMs: machine.connectedMs,
    endedMs,
    reason: reasonOf(row),
    rings: machine.rings,
    awayThere: machine.awayThere,
    answeredOn: isOwnDevice && machine.accepted ? machine.answeredOn : null,
    answeredElsewhere: isOwnDevice && machine.answeredOn !== device,
    onDevice: machine.serverPhase === "accepted" || machine.serverPhase === "connected" ? machine.ours : null,
    modeThere,
    modeThereWhy,
    canAnswer: canAnswer(row),
    here: isHere(row),
    admits: row.admits,
  };
  const theirs = row.theirs && { description: row.theirs.description, restart: row.theirs.restart };
  const isMoved = machine.asks === "migrate"; // then our offer was for media that have ended
  const isOwnCall = !entry.incoming && entry.callerDevice === device && !isMoved;
  return { view, page, orders, theirs, candidates: row.candidates, polite: entry.incoming, isOwnCall };
}

/** How a call stands in its conversation. row: null for one of history, or long over. */
export function noteOf(
  { media, incoming }: { readonly media: CallNote["media"]; readonly incoming: boolean },
  me: AccountId,
  words: CallWords,
  row: CallRow | null,
): CallNote {
  const { accepted, declined, summary } = words;
  const ours = incoming ? accepted?.account === me : accepted !== null && accepted.account !== me;
  // That the other side says so does not prove that anybody here has answered: else it could hide a missed call.
  const isProven = summary !== null && (!incoming || ours || summary.account === me);
  const isLong = isProven && summary.began > 0;
  const minutes = isLong ? Math.max(1, Math.ceil((summary.ended - summary.began) / 60_000)) : 0;
  const answeredOn = incoming && ours && accepted !== null ? accepted.device : null;
  const said = (outcome: CallOutcome): CallNote => ({ media, incoming, outcome, minutes, answeredOn });
  if (row !== null && isLive(row)) {
    const rings = ["offering", "calling", "ringing_there", "waking", "ringing_here", "settling"];
    return said(rings.includes(row.machine.phase) ? "ringing" : "live");
  }
  if (isProven) {
    return said(isLong ? "answered" : "failed");
  }
  if (ours) {
    return said(row?.machine.reason === "failed" ? "failed" : "answered");
  }
  if (row?.machine.outcome === "superseded") {
    return said("superseded");
  }
  if (declined !== null && (declined.account === me) === incoming) {
    return said(declined.busy ? (incoming ? "missed" : "busy") : "declined");
  }
  return said(incoming ? "missed" : row?.machine.reason === "busy" ? "busy" : "no_answer");
}
