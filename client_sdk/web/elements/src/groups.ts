/** The order of a thread: day marks, notices and messages, and where a group of messages ends. */

import type { Aside, Message, Notice } from "./views.ts";

/** One line of a thread. last: the state stands below it. gap: room above it. */
export type Line =
  | { readonly kind: "day"; readonly key: string; readonly atMs: number }
  | { readonly kind: "notice"; readonly key: string; readonly notice: Notice }
  | { readonly kind: "aside"; readonly key: string; readonly aside: Aside }
  | {
      readonly kind: "message";
      readonly key: string;
      readonly message: Message;
      readonly last: boolean;
      readonly gap: boolean;
    };

const GROUP_MS = 5 * 60_000;

/** Whether a message keeps its own state below it, whatever follows: it waits, or has failed. */
function standsAlone(message: Message): boolean {
  return message.status === "queued" || message.status === "failed";
}

function continues(before: Message, after: Message, dayNumber: (ms: number) => number): boolean {
  return (
    before.account === after.account &&
    before.status === after.status &&
    !standsAlone(before) &&
    before.kind !== "card" &&
    after.kind !== "card" &&
    after.atMs - before.atMs < GROUP_MS &&
    dayNumber(before.atMs) === dayNumber(after.atMs)
  );
}

/** The lines of a thread. messages: in their order; notices: between them by their time; asides: below theirs. */
export function linesOf(
  messages: readonly Message[],
  notices: readonly Notice[],
  dayNumber: (ms: number) => number,
  asides: readonly Aside[] = [],
): Line[] {
  const lines: Line[] = [];
  const below = Map.groupBy(asides, ({ after }) => after);
  const waiting = [...notices].sort((one, other) => one.atMs - other.atMs);
  let day: number | null = null;
  const mark = (atMs: number) => {
    const number = dayNumber(atMs);
    if (day === null || number > day) {
      lines.push({ kind: "day", key: `day ${number}`, atMs });
      day = number;
    }
  };
  for (const [index, message] of messages.entries()) {
    const before = messages[index - 1];
    const after = messages[index + 1];
    let interrupted = false;
    while (waiting[0] && waiting[0].atMs <= message.atMs) {
      addNotice(lines, waiting, mark);
      interrupted = true;
    }
    if (message.kind !== "card") {
      mark(message.atMs);
    }
    const noticed = waiting[0] !== undefined && after !== undefined && waiting[0].atMs <= after.atMs;
    const own = below.get(message.id) ?? [];
    const last = after === undefined || noticed || own.length > 0 || !continues(message, after, dayNumber);
    const gap = before !== undefined && !interrupted && !continues(before, message, dayNumber);
    lines.push({ kind: "message", key: message.id, message, last, gap });
    lines.push(...own.map((aside): Line => ({ kind: "aside", key: `aside ${aside.id}`, aside })));
  }
  while (waiting[0]) {
    addNotice(lines, waiting, mark);
  }
  return lines;
}

function addNotice(lines: Line[], waiting: Notice[], mark: (atMs: number) => void): void {
  const notice = waiting.shift();
  if (notice) {
    mark(notice.atMs);
    lines.push({ kind: "notice", key: `notice ${notice.id}`, notice });
  }
}
