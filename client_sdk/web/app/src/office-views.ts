/** What elements show of offices and promises, out of what the client knows. Pure but for the present time. */

import type { Aside, Colleague, ExpectedView, OfficeView, WaitingRow } from "@rapport/elements";
import type {
  AccountId,
  AutomaticAnswer,
  Conversation,
  Message,
  OfficeHours,
  OfficeShown,
  OfficeState,
  Promised,
  RapportClient,
} from "@rapport/sdk";
import { officeState, promisedBy } from "@rapport/sdk";

/** The present by the server's clock, Unix milliseconds. */
export function serverNow(client: RapportClient): number {
  return Date.now() + client.snapshot.aheadMs;
}

/** The other one of a pair, as they call themselves; "" where that is not known. */
export function otherName(client: RapportClient, conversation: Conversation): string {
  return conversation.members.find(({ account }) => account !== client.identity?.account)?.name ?? "";
}

/** As an account calls itself in any conversation of this one. */
export function nameOf(client: RapportClient, account: AccountId): string {
  for (const { members } of client.conversations()) {
    const found = members.find((member) => member.account === account)?.name;
    if (found) {
      return found;
    }
  }
  return "";
}

function viewOf(name: string, shown: OfficeShown, promise: OfficeView["promise"]): OfficeView {
  const { state, hours, version } = shown;
  return {
    name,
    status: state?.status ?? null,
    held: version > 0,
    untilMs: state?.untilMs ?? null,
    nextOpenMs: state?.nextOpenMs ?? null,
    promise: state === null ? null : promise,
    hours,
  };
}

/** The therapist's office as a client sees it in their conversation; null everywhere else. */
export function officeOf(client: RapportClient, conversation: Conversation): OfficeView | null {
  const shown = conversation.office;
  if (shown === null) {
    return null;
  }
  const name = otherName(client, conversation);
  return viewOf(name, shown, promiseView(client, name, shown.account, conversation.promise()));
}

function promiseView(
  client: RapportClient,
  name: string,
  therapist: AccountId,
  promise: Promised | null,
): OfficeView["promise"] {
  return (
    promise && {
      name: nameOf(client, promise.by) || name,
      dueMs: promise.dueMs,
      cover: promise.by !== therapist,
    }
  );
}

/** One's own office, as the hours of this device have it; null while there are none. */
export function ownOffice(client: RapportClient): OfficeView | null {
  const { hours } = client.office.mine;
  return hours === null ? null : previewOf(client.identity?.name ?? "", hours, serverNow(client), coverIn(client));
}

/** Name and hours of colleagues, for `previewOf`. */
export function coverIn(client: RapportClient) {
  return (account: AccountId) => ({ name: nameOf(client, account), hours: client.office.of(account).hours });
}

/**
 * What a client would see of these hours at a moment; null where they cannot be evaluated. cover: of a leave's colleague
 * their name and hours, for a client who writes with both.
 */
export function previewOf(
  name: string,
  hours: OfficeHours,
  atMs: number,
  cover: (account: AccountId) => { readonly name: string; readonly hours: OfficeHours | null },
): OfficeView | null {
  try {
    const state = officeState(hours, atMs);
    const other = state.cover === null ? null : cover(state.cover);
    const by = other?.hours ? { name: other.name, hours: other.hours, cover: true } : { name, hours, cover: false };
    const dueMs = promisedBy(by.hours, atMs);
    const promise = dueMs === null ? null : { name: by.name, dueMs, cover: by.cover };
    return {
      name,
      status: state.status,
      held: true,
      untilMs: state.untilMs,
      nextOpenMs: state.nextOpenMs,
      promise,
      hours,
    };
  } catch (error) {
    if (error instanceof RangeError) {
      return null; // a zone or date that this browser does not know: said among the problems
    }
    throw error;
  }
}

/** Therapists and owners with whom this account writes. */
export function colleaguesOf(client: RapportClient): Colleague[] {
  const me = client.identity?.account;
  const found = new Map<AccountId, string>();
  for (const { members } of client.conversations()) {
    for (const { account, name, role } of members) {
      if (account !== me && role !== "client" && name) {
        found.set(account, name);
      }
    }
  }
  return [...found].map(([account, name]) => ({ account, name }));
}

/** Who waits for an answer of ours, in the order of the client. */
export function waitingRows(client: RapportClient): WaitingRow[] {
  const named = new Map(client.conversations().map((one) => [one.id, otherName(client, one)]));
  return client.waiting().map(({ message: _, ...row }) => ({ ...row, name: named.get(row.conversation) ?? "" }));
}

/** Who waits here, for the composer of a therapist; null where nobody does or nothing was promised. */
export function expectedIn(client: RapportClient, conversation: Conversation): ExpectedView | null {
  const waiting = conversation.office === null ? conversation.waiting : null;
  return waiting === null || waiting.dueMs === null
    ? null
    : { name: otherName(client, conversation), dueMs: waiting.dueMs, missed: waiting.missed };
}

// --- what stands below messages --------------------------------------------------------------------------------------

/** Promises, automatic answers and what became of them, below the messages they belong to. */
export function officeAsides(client: RapportClient, conversation: Conversation, messages: readonly Message[]): Aside[] {
  return conversation.office === null
    ? therapistAsides(client, conversation)
    : [...answersOf(client, conversation, messages), ...clientAsides(client, conversation)];
}

function answersOf(client: RapportClient, conversation: Conversation, messages: readonly Message[]): Aside[] {
  const name = otherName(client, conversation);
  const limits = conversation.card?.limits ?? "";
  return conversation.automaticAnswers(messages).map((answer) => ({
    id: `${answer.after} automatic`,
    after: answer.after,
    kind: "automatic",
    atMs: answer.atMs,
    office: answered(name, answer),
    limits,
  }));
}

function answered(name: string, { state, nextOpenMs, dueMs }: AutomaticAnswer): OfficeView {
  const promise = dueMs === null ? null : { name, dueMs };
  const { status, untilMs }: OfficeState = state;
  return { name, status, held: true, untilMs, nextOpenMs, promise, hours: null };
}

function clientAsides(client: RapportClient, conversation: Conversation): Aside[] {
  const waiting = conversation.waiting;
  if (waiting === null) {
    return [];
  }
  const name = otherName(client, conversation);
  const { message: after, dueMs, missed, extended, slotWanted } = waiting;
  const lines: Aside[] = [];
  if (extended && dueMs !== null) {
    lines.push({ id: `${after} extended`, after, kind: "extended", name, untilMs: dueMs, mine: false });
  }
  if (missed && dueMs !== null) {
    lines.push({
      id: `${after} missed`,
      after,
      kind: "missed",
      promise: { name, dueMs },
      reminded: false, // nothing here tells whether the therapist's device has said so
      slotAsked: slotWanted,
      cover: coverOf(client, conversation),
    });
  } else if (slotWanted) {
    lines.push({ id: `${after} slot`, after, kind: "slot", name, mine: true });
  }
  return lines;
}

/** The colleague of the therapist's hours with whom this client has a conversation. */
export function coverOf(client: RapportClient, conversation: Conversation) {
  const shown = conversation.office;
  const account = shown?.state?.cover ?? shown?.hours?.cover ?? null;
  const theirs = client.conversations().find(({ members }) => members.some((member) => member.account === account));
  return account === null || theirs === undefined || theirs.id === conversation.id
    ? null
    : { name: nameOf(client, account), conversation: theirs.id };
}

function therapistAsides(client: RapportClient, conversation: Conversation): Aside[] {
  const waiting = conversation.waiting;
  if (waiting === null) {
    return [];
  }
  const reader = otherName(client, conversation);
  const { message: after, dueMs, extended, slotWanted } = waiting;
  const own = client.identity?.name ?? "";
  const lines: Aside[] = [];
  if (dueMs !== null) {
    const promise = { name: own, dueMs };
    lines.push({ id: `${after} shown`, after, kind: "shown", reader, promise, extendable: true });
  }
  if (extended && dueMs !== null) {
    lines.push({ id: `${after} extended`, after, kind: "extended", name: own, untilMs: dueMs, mine: true });
  }
  if (slotWanted) {
    lines.push({ id: `${after} slot`, after, kind: "slot", name: reader, mine: false });
  }
  return lines;
}
