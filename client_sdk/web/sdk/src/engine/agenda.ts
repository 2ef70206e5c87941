/**
 * Which step an errand becomes, and which step takes the answer of its call. The engine's table of contents for timers.
 *
 * `runDue` is called at the end of every turn: local errands that are due are done at once, network errands become
 * calls while there is a connection. A call's answer, refusal or silence comes back to `answered`, `refused` or
 * `unanswered`.
 */

import { VaultProblem } from "../ports.ts";
import type { Rejected } from "../protocol/errors.ts";
import { retryOf } from "../protocol/errors.ts";
import type { AccountId, AppointmentId, ConversationId, DeviceId, InviteId, MessageId } from "../protocol/ids.ts";
import type {
  Appended,
  Claimed,
  DeviceLists,
  InviteView,
  OperationName,
  RequestOf,
  ResponseOf,
} from "../protocol/requests.ts";
import * as appointments from "./appointments/appointments.ts";
import * as appointmentsAgain from "./appointments/appointments-again.ts";
import * as planning from "./appointments/appointments-planning.ts";
import * as reminders from "./appointments/reminders.ts";
import { callDue } from "./calls/calls.ts";
import * as checkpoints from "./checkpoints.ts";
import * as contacts from "./contacts.ts";
import * as conversations from "./conversations.ts";
import * as covering from "./cover/covering.ts";
import * as delivery from "./delivery.ts";
import * as deviceChanges from "./devices/device-changes.ts";
import * as ownDevices from "./devices/own-devices.ts";
import * as asking from "./healing/asking.ts";
import * as healing from "./healing/healing.ts";
import * as renewing from "./healing/renewing.ts";
import * as accepting from "./joining/accepting.ts";
import * as inviting from "./joining/inviting.ts";
import * as keySharing from "./key-sharing.ts";
import * as prekeys from "./keys/prekeys.ts";
import * as membershipSteps from "./membership-steps.ts";
import * as office from "./office/office.ts";
import * as officePublishing from "./office/office-publishing.ts";
import * as overdue from "./office/overdue.ts";
import * as promises from "./office/promises.ts";
import * as outbox from "./outbox.ts";
import * as ownState from "./own-state.ts";
import * as pending from "./pending.ts";
import * as catchingUp from "./recovery/catching-up.ts";
import * as reissuing from "./recovery/reissuing.ts";
import * as sealing from "./sealing.ts";
import * as showing from "./shown/showing.ts";
import * as urgent from "./urgent.ts";
import * as urgentSeen from "./urgent-seen.ts";
import type { Errand, ErrandKind, LocalKind, NetworkKind } from "./vault/errands.ts";
import * as errands from "./vault/errands.ts";
import { fault } from "./vault/faults.ts";
import { SENT } from "./vault/outgoing.ts";
import { SEEN } from "./vault/records.ts";
import type { Call, Turn } from "./vault/turn.ts";
import * as rooms from "./waiting-room/rooms.ts";
import { watchDue } from "./waiting-room/rooms-watching.ts";

/** Most HTTP calls under way at a time: what browsers open to one host. */
export const CALLS_MOST = 6;
/** Most local errands in one turn; the rest follows in the next. */
const LOCAL_MOST = 64;
/** A call that was refused for good is repeated after an hour at the earliest: the reason may be gone by then. */
const NEVER_WAIT_MS = 3_600_000;
const CLAIM_AGAIN_MS = 30_000;
/** Heartbeats and overdue posts are looked after once a day. */
export const TEND_EVERY_MS = 86_400_000;
/** Sent posts are kept for resend requests as long as anybody may ask. */
export const SENT_KEPT_MS = 97 * 86_400_000;
/** Message ids are remembered for twice the life of a mailbox, and more: nothing older can be delivered. */
export const SEEN_KEPT_MS = 200 * 86_400_000;

// --- errands at their time -----------------------------------------------------------------------------------------

function rotate(turn: Turn): void {
  prekeys.rotateDue(turn);
  for (const [table, keptMs] of [
    [SENT.name, SENT_KEPT_MS],
    [SEEN.name, SEEN_KEPT_MS],
  ] as const) {
    for (const [message] of turn.tx.list(table, "", { below: Math.max(turn.nowMs - keptMs, 0) })) {
      turn.tx.delete(table, message);
    }
  }
  pending.forgetOld(turn);
}

function tend(turn: Turn): void {
  errands.drop(turn, "tend");
  errands.plan(turn, "tend", "", { dueMs: turn.nowMs + TEND_EVERY_MS });
  renewing.heartbeats(turn);
  overdue.planOverdue(turn);
  officePublishing.tend(turn);
}

const LOCAL: { readonly [kind in LocalKind]: (turn: Turn, subject: string) => void } = {
  show: (turn, subject) => showing.showDue(turn, subject as ConversationId),
  placeholder: (turn, subject) => showing.placeholderDue(turn, subject as MessageId),
  ask: (turn, subject) => asking.askDue(turn, subject as DeviceId),
  read: (turn, subject) => ownState.tellRead(turn, subject as ConversationId),
  draft: (turn, subject) => ownState.draftDue(turn, subject as ConversationId),
  resume: (turn, subject) => outbox.resume(turn, subject as ConversationId),
  rotate,
  sibling_keys: keySharing.askSiblings,
  reread: catchingUp.restoreAgain,
  tend,
  cover: covering.offerDue,
  office_edge: (turn, subject) => office.edgeDue(turn, subject as AccountId),
  office_withheld: (turn, subject) => office.withheldDue(turn, subject as AccountId),
  promise: (turn, subject) => promises.promiseDue(turn, subject as ConversationId),
  call: (turn, subject) => callDue(turn, subject as MessageId),
  appointment_odd: (turn, subject) => appointments.oddDue(turn, subject as AppointmentId),
  room_watch: watchDue,
  urgent_silent: (turn, subject) => urgent.silentDue(turn, subject as MessageId),
  withheld: (turn, subject) => contacts.withheldDue(turn, subject as AccountId),
};

// --- errands that become calls -------------------------------------------------------------------------------------

/**
 * call: what is asked; null: nothing, the errand has seen to itself. refused: for good; unless given, again later.
 * unanswered: nobody has answered, or not now; unless given, again later, each time more so.
 */
interface Row {
  readonly call: (turn: Turn, errand: Errand) => Call | null;
  readonly answered: (turn: Turn, errand: Errand, call: Call, answer: ResponseOf<OperationName>) => void;
  readonly refused?: (turn: Turn, errand: Errand, refusal: Rejected, call: Call) => void;
  readonly unanswered?: (turn: Turn, errand: Errand) => void;
}

/** A row whose calls are all of one operation: body and answer are of its types. */
function row<Name extends OperationName>(
  call: Row["call"],
  answered: (turn: Turn, errand: Errand, answer: ResponseOf<Name>, body: RequestOf<Name>, query: Call["query"]) => void,
  refused?: Row["refused"],
): Row {
  return {
    call,
    answered: (turn, errand, { body, query }, answer) =>
      answered(turn, errand, answer as ResponseOf<Name>, body as RequestOf<Name>, query), // `call` has said which
    ...(refused === undefined ? {} : { refused }),
  };
}

/** Claims what is missing. If the peers have started sessions meanwhile, the posts that waited can leave. */
function claims(turn: Turn, errand: Errand): Call | null {
  const call = sealing.claimsCall(turn, errand);
  if (call === null) {
    outbox.resumeFor(turn, errand.subject as ConversationId, ["keys"]);
  }
  return call;
}

function claimed(turn: Turn, errand: Errand, answer: Claimed): void {
  const conv = errand.subject as ConversationId;
  errands.drop(turn, "claim", conv);
  if (sealing.claimAnswered(turn, conv, answer)) {
    outbox.resumeFor(turn, conv, ["keys"]);
  } else {
    outbox.hold(turn, conv, "keys", { waitMs: CLAIM_AGAIN_MS });
  }
}

/** We are in by an invite. */
function joined(turn: Turn, taken: accepting.Acceptance | null): void {
  if (taken !== null) {
    covering.joined(turn, taken);
  }
}

/** An invite was looked at, or refused: if that is its end, whoever offered it hears of it. */
function notJoined(turn: Turn, taken: accepting.Acceptance | null): void {
  if (taken !== null && taken.code !== null) {
    covering.notJoined(turn, taken);
  }
}

function listsAnswered(turn: Turn, errand: Errand, answer: DeviceLists, askedFrom: number): void {
  const account = errand.subject as AccountId;
  const before = deviceChanges.heldVersion(turn, account);
  const blocked = contacts.isBlocked(turn, account);
  contacts.listsAnswered(turn, errand, askedFrom, answer);
  if (blocked && !contacts.isBlocked(turn, account)) {
    outbox.releaseAlarms(turn);
  }
  deviceChanges.listsTaken(turn, account, before);
  afterLists(turn, account);
}

function afterLists(turn: Turn, account: AccountId): void {
  membershipSteps.advanceAll(turn);
  healing.listsCame(turn, account);
  officePublishing.listsCame(turn, account);
  outbox.resumeAll(turn, ["devices", "alarm"]);
}

const later = (turn: Turn, errand: Errand): void => errands.postpone(turn, errand, { waitMs: NEVER_WAIT_MS });
/** What a restored server refuses now it may take once others have brought theirs. */
const reissuedLater = (turn: Turn, errand: Errand): void => reissuing.refused(turn, errand);

const NETWORK: { readonly [kind in NetworkKind]: Row } = {
  lists: row<"devices.lists">(contacts.listsCall, (turn, errand, answer, _body, query) =>
    listsAnswered(turn, errand, answer, query["from"] ?? 0),
  ),
  chain: row<"membership.chain">(
    conversations.chainCall,
    (turn, errand, answer) => {
      const conv = errand.subject as ConversationId;
      conversations.chainAnswered(turn, errand, answer);
      membershipSteps.advance(turn, conv);
      healing.retry(turn, ["chain"], { conv });
    },
    (turn, errand) => membershipSteps.chainRefused(turn, errand),
  ),
  claim: row<"prekeys.claim">(claims, claimed),
  help_claim: row<"prekeys.claim">(asking.helpCall, asking.helpAnswered),
  renew: row<"prekeys.claim">(renewing.renewCall, renewing.renewAnswered),
  fetch: row<"messages.fetch">(
    healing.fetchCall,
    (turn, errand, answer, body) => healing.fetchAnswered(turn, errand, body, answer),
    (turn, errand, refusal, call) =>
      refusal.code === "not_found"
        ? healing.fetchAnswered(turn, errand, call.body as RequestOf<"messages.fetch">, { items: [] })
        : later(turn, errand),
  ),
  prekeys: row<"prekeys.upload">(
    prekeys.prekeysCall,
    (turn, _errand, answer, body) => prekeys.prekeysUploaded(turn, body, answer.oneTime, answer.highest),
    (turn, errand, refusal) => (refusal.code === "conflict" ? prekeys.prekeysConflict(turn) : later(turn, errand)),
  ),
  invite: row<"invite.create">(
    inviting.inviteCall,
    (turn, errand, answer) => {
      inviting.inviteMade(turn, errand, answer);
      covering.inviteEnded(turn, errand.subject as InviteId);
    },
    (turn, errand, refusal) => {
      inviting.inviteRefused(turn, errand);
      covering.inviteEnded(turn, errand.subject as InviteId);
      turn.finished.set(errands.keyOf(errand), refusal);
    },
  ),
  accept: {
    call: accepting.acceptCall,
    answered: (turn, errand, { operation }, answer) =>
      operation === "invite.view"
        ? notJoined(turn, accepting.viewed(turn, errand, answer as InviteView))
        : joined(turn, accepting.appended(turn, errand, answer as Appended)), // `acceptCall` makes these two
    refused: (turn, errand, refusal) => notJoined(turn, accepting.acceptRefused(turn, errand, refusal)),
  },
  receipts: row<"messages.receipts">(delivery.receiptsCall, (turn, errand, answer, body) =>
    delivery.receiptsAnswered(turn, errand, body, answer),
  ),
  overdue: row<"messages.receipts">(overdue.overdueCall, overdue.overdueAnswered),
  list_update: row<"devices.update">(
    ownDevices.listCall,
    (turn, errand) => {
      ownDevices.listTaken(turn, errand);
      afterLists(turn, turn.me.account);
    },
    ownDevices.listRefused,
  ),
  link_done: row<"linking.step">(ownDevices.doneCall, ownDevices.doneOver, ownDevices.doneOver),
  checkpoint: row<"membership.append">(
    checkpoints.checkpointCall,
    (turn, errand, answer, body) => checkpoints.checkpointAppended(turn, errand, body, answer),
    checkpoints.checkpointRefused,
  ),
  catalog: row<"conversation.list">(catchingUp.catalogCall, catchingUp.catalogAnswered),
  history: row<"archive.page">(catchingUp.historyCall, catchingUp.historyAnswered, catchingUp.historyRefused),
  own_lists: row<"devices.lists">(reissuing.listsCall, reissuing.listsCompared, reissuedLater),
  list_again: row<"devices.update">(
    reissuing.updateCall,
    (turn, _errand, _answer, body) => reissuing.updateTaken(turn, body),
    reissuedLater,
  ),
  heads: row<"conversation.list">(reissuing.headsCall, reissuing.compared, reissuedLater),
  entries_again: row<"invite.create" | "membership.append">(
    reissuing.entriesCall,
    (turn, errand, _answer, body) => reissuing.entryTaken(turn, errand, body),
    reissuedLater,
  ),
  office: row<"office.document">(office.documentCall, officePublishing.documentAnswered, (turn, { kind, subject }) =>
    errands.drop(turn, kind, subject),
  ),
  urgent_seen: row<"urgent.seen">(urgentSeen.seenCall, urgentSeen.seenTold, urgentSeen.seenTold),
  appointment_put: row<"appointment.put">(planning.putCall, planning.putTaken, planning.putRefused),
  appointment_again: row<"appointment.put">(
    appointmentsAgain.againCall,
    appointmentsAgain.againTaken,
    appointmentsAgain.againRefused,
  ),
  appointments: row<"appointment.list">(
    planning.listCall,
    (turn, errand, answer, _body, query) => planning.listed(turn, errand, answer, query),
    planning.listRefused,
  ),
  appointment_reached: row<"appointment.reached">(
    reminders.reachedCall,
    reminders.reachedTold,
    reminders.reachedRefused,
  ),
  room_present: {
    ...row<"room.knock" | "room.act">(rooms.presentCall, rooms.presentHeard, rooms.presentRefused),
    unanswered: rooms.presentUnanswered,
  },
  room_leave: row<"room.knock" | "room.act">(rooms.leaveCall, rooms.leftTold, rooms.leftTold),
  office_publish: row<"office.publish">(
    officePublishing.publishCall,
    (turn, _errand, answer, body) => officePublishing.published(turn, body, answer),
    officePublishing.publishRefused,
  ),
};

function rowOf(kind: ErrandKind): Row | null {
  return Object.hasOwn(NETWORK, kind) ? NETWORK[kind as NetworkKind] : null;
}

// --- becoming due --------------------------------------------------------------------------------------------------

/** Does one errand's work; what our own code stumbles over is undone alone and tried again in an hour. */
export function carefully<T>(turn: Turn, errand: Errand, work: (turn: Turn) => T): T | null {
  try {
    return turn.part(() => work(turn));
  } catch (problem) {
    if (problem instanceof VaultProblem) {
      throw problem;
    }
    fault(`an errand failed (${errand.kind})`, problem);
    later(turn, errand);
    return null;
  }
}

/** While there is a connection network errands count too, but for those whose calls have not come back. */
interface Connected {
  readonly connected: boolean;
  readonly underWay: ReadonlySet<string>;
}

/** Does what is due. */
export function runDue(turn: Turn, { connected, underWay }: Connected): void {
  for (const errand of errands.dueErrands(turn, { network: false, limit: LOCAL_MOST })) {
    carefully(turn, errand, () => LOCAL[errand.kind as LocalKind](turn, errand.subject));
  }
  let room = connected ? CALLS_MOST - underWay.size : 0;
  for (const errand of connected
    ? errands.dueErrands(turn, { network: true, limit: CALLS_MOST + underWay.size })
    : []) {
    if (room > 0 && !underWay.has(errands.keyOf(errand))) {
      const call = carefully(turn, errand, () => rowOf(errand.kind)?.call(turn, errand) ?? null);
      if (call !== null) {
        turn.calls.push(call);
        room -= 1;
      }
    }
  }
}

/** Whether `runDue` would find something to do now. */
export function anythingDue(turn: Turn, { connected, underWay }: Connected): boolean {
  if (errands.dueErrands(turn, { network: false, limit: 1 }).length > 0) {
    return true;
  }
  if (!connected || underWay.size >= CALLS_MOST) {
    return false;
  }
  const due = errands.dueErrands(turn, { network: true, limit: CALLS_MOST + 1 });
  return due.some((errand) => !underWay.has(errands.keyOf(errand)));
}

// --- coming back ---------------------------------------------------------------------------------------------------

/** The server did what the call asked for. An errand that was dropped meanwhile needs no answer. */
export function answered(turn: Turn, call: Call, answer: ResponseOf<OperationName>): void {
  const errand = errands.get(turn, call.errand);
  if (errand === null) {
    return;
  }
  const { kind, subject } = errand;
  rowOf(kind)?.answered(turn, errand, call, answer);
  if ((kind === "lists" || kind === "chain" || kind === "help_claim") && errands.planned(turn, kind, subject)) {
    // What came did not help whoever asked: the same question is not put again at once.
    errands.postpone(turn, errand);
  }
}

/** The server will not do it, now or ever. */
export function refused(turn: Turn, call: Call, refusal: Rejected): void {
  const errand = errands.get(turn, call.errand);
  if (errand === null) {
    return;
  }
  const { unanswered: again } = rowOf(errand.kind) ?? {};
  if (retryOf(refusal.code) === "later" || refusal.code === "unauthenticated") {
    if (again !== undefined) {
      again(turn, errand);
      return;
    }
    errands.postpone(turn, errand, { waitMs: refusal.retryAfterMs }); // or the token is being renewed
  } else {
    (rowOf(errand.kind)?.refused ?? later)(turn, errand, refusal, call);
  }
}

/** Nobody answered: the same call again, later. */
export function unanswered(turn: Turn, call: Call): void {
  const errand = errands.get(turn, call.errand);
  if (errand !== null) {
    (rowOf(errand.kind)?.unanswered ?? errands.postpone)(turn, errand);
  }
}
