/** Sentences about offices, promises and urgent messages. Pure: texts and times are handed over. */

import { inSentence, isolated, type Texts } from "./texts/texts.ts";
import type { Times } from "./times.ts";
import type { OfficeHours, OfficeView, PromiseView, ReplyPromise, UrgencyView, WaitingRow, Window } from "./views.ts";

/** A catalogue, and how moments are written. */
export interface Speech {
  readonly texts: Texts;
  readonly times: Times;
}

/** "Closed — opens Mon 09:00". */
export function stateLine(office: OfficeView, { texts, times }: Speech): string {
  const { office: words } = texts;
  const until = office.untilMs;
  switch (office.status) {
    case "open":
      return until === null ? words.open : words.openUntil(times.by(until));
    case "in_session":
      return until === null ? words.inSessionOpenEnd : words.inSession(times.by(until));
    case "away":
      return until === null ? words.away : words.awayUntil(times.by(until));
    case "closed":
      return office.nextOpenMs === null ? words.closed : words.closedOpens(times.by(office.nextOpenMs));
    case "on_leave":
      return until === null ? words.leave : words.leaveUntil(times.date(until));
    case null:
      return office.held ? words.notConfirmed : words.notLoaded;
  }
}

/** "Dana will answer by Tue 15:00"; "today by 17:00" while the door is open. */
export function promiseLine(promise: PromiseView, isOpen: boolean, { texts, times }: Speech): string {
  const name = inSentence(promise.name, texts);
  const by = times.by(promise.dueMs);
  if (promise.cover) {
    return texts.office.coverAnswers(name, by);
  }
  return isOpen && times.isToday(promise.dueMs)
    ? texts.office.answersToday(name, by)
    : texts.office.answersBy(name, by);
}

/** The same before its time, which stands apart: "Dana will answer by" and "Tue 15:00". */
export function promiseParts(promise: PromiseView, isOpen: boolean, { texts, times }: Speech): [string, string] {
  const name = inSentence(promise.name, texts);
  if (promise.cover) {
    return [texts.office.coverAnswersLead(name), times.by(promise.dueMs)];
  }
  const today = isOpen && times.isToday(promise.dueMs);
  const lead = today ? texts.office.answersTodayLead(name) : texts.office.answersByLead(name);
  return [lead, times.by(promise.dueMs)];
}

/** What is said in place of a promise: why there is none. */
export function withoutPromise(office: OfficeView, { texts }: Speech): string {
  const name = inSentence(office.name, texts);
  if (office.status !== null) {
    return texts.office.noPromise(name);
  }
  return office.held ? texts.office.notConfirmedText(name) : texts.office.notLoadedText(name);
}

/** "Closed now. Dana will answer by Tue 15:00": what one reads before one writes. */
export function composerWords(office: OfficeView, speech: Speech): { now: string; lead: string; by: string } {
  const now = office.status === null ? `${stateLine(office, speech)}.` : speech.texts.office.now[office.status];
  if (office.promise === null) {
    return { now, lead: office.status === null ? "" : `${withoutPromise(office, speech)}.`, by: "" };
  }
  const [lead, by] = promiseParts(office.promise, office.status === "open", speech);
  return { now, lead, by };
}

/** "Europe/London" -> "London". */
export function placeOf(zone: string): string {
  return (zone.split("/").at(-1) ?? zone).replaceAll("_", " ");
}

/** The therapist's own times, where their clock differs from the reader's at these moments; "" where it does not. */
export function theirTimes(office: OfficeView, { texts, times }: Speech): string {
  const { hours, status, untilMs, nextOpenMs, promise } = office;
  if (hours === null || status === null) {
    return "";
  }
  const changes = status === "closed" ? nextOpenMs : status === "on_leave" ? null : untilMs;
  const moments = [changes, promise?.dueMs ?? null].filter((ms) => ms !== null);
  const there = times.elsewhere(hours.zone, moments);
  if (there === null) {
    return "";
  }
  const { office: words } = texts;
  const parts = [
    changes === null ? "" : (status === "closed" ? words.opensThere : words.untilThere)(there.by(changes)),
    promise === null ? "" : words.answerThere(there.by(promise.dueMs)),
  ];
  return words.inPlace(placeOf(hours.zone), parts.filter(Boolean).join(", "));
}

// --- a week ----------------------------------------------------------------------------------------------------------

/** The windows of every day of a week, Monday first, in order. */
export function daysOf(hours: OfficeHours): Window[][] {
  return Array.from({ length: 7 }, (_, day) =>
    hours.weekly.filter((window) => window.day === day).sort((one, other) => one.start - other.start),
  );
}

/** "09:00–12:00, 13:00–17:00"; "" for none. */
export function windowsWords(windows: readonly Window[], times: Times): string {
  return windows.map(({ start, end }) => `${times.wall(start)}–${times.wall(end)}`).join(", ");
}

/** "Mon to Thu, 09:00–17:00", or "Mon, Tue, Thu 09:00–12:00, 13:00–17:00. Wed 12:00–19:00". */
export function weekWords(hours: OfficeHours, { texts, times }: Speech): string {
  const groups = new Map<string, number[]>();
  for (const [day, windows] of daysOf(hours).entries()) {
    const words = windowsWords(windows, times);
    if (words) {
      groups.set(words, [...(groups.get(words) ?? []), day]);
    }
  }
  if (groups.size === 0) {
    return texts.office.noHours;
  }
  const name = (day: number) => times.weekday(day, "short");
  return [...groups]
    .map(([words, days]) => {
      const [first = 0, last = 0] = [days[0], days.at(-1)];
      const isRange = days.length > 2 && last - first === days.length - 1;
      return isRange
        ? `${texts.office.dayRange(name(first), name(last))}, ${words}`
        : `${days.map(name).join(", ")} ${words}`;
    })
    .join(". ");
}

/** "Mon to Thu, 09:00–17:00, London time". */
export function hoursWords(hours: OfficeHours, speech: Speech): string {
  const { office } = speech.texts;
  const place = office.zone(placeOf(hours.zone));
  return hours.weekly.length ? `${weekWords(hours, speech)}, ${place}` : `${office.noHours}, ${place}`;
}

/** What is promised in general: "Dana answers by 15:00 on the next open day."; "" for nothing. */
export function policyWords(promise: ReplyPromise | null, called: string, { texts, times }: Speech): string {
  const { office } = texts;
  const name = inSentence(called, texts);
  if (promise === null) {
    return "";
  }
  if (promise.kind === "open_time") {
    const hours = promise.minutes / 60;
    return office.withinHours(
      name,
      hours === 1 ? office.oneHour : office.hours(hours.toLocaleString(texts.languageTag)),
    );
  }
  const [row, ...more] = promise.rows;
  if (row === undefined || more.length > 0) {
    return office.byTable(name);
  }
  const day = row.days === 0 ? office.sameDay : row.days === 1 ? office.nextDay : office.laterDay(String(row.days));
  return office.byTime(name, times.wall(row.at), day);
}

// --- who waits -------------------------------------------------------------------------------------------------------

/** "By 15:00 today", "By Wed 15:00", "Was due Mon 17:00". */
export function dueWords(row: Pick<WaitingRow, "dueMs" | "missed">, { texts, times }: Speech): string {
  const { waiting } = texts;
  if (row.dueMs === null) {
    return waiting.noTime;
  }
  if (row.missed) {
    return waiting.wasDue(times.by(row.dueMs));
  }
  return times.isToday(row.dueMs) ? waiting.byToday(times.by(row.dueMs)) : waiting.by(times.by(row.dueMs));
}

/** What is left until then: "4 h", "1 d", "20 min"; "Late"; "" without a promise. */
export function leftWords(row: Pick<WaitingRow, "dueMs" | "missed">, nowMs: number, { texts }: Speech): string {
  const { waiting } = texts;
  if (row.missed) {
    return waiting.late;
  }
  if (row.dueMs === null) {
    return "";
  }
  const minutes = Math.max(1, Math.ceil((row.dueMs - nowMs) / 60_000));
  if (minutes < 60) {
    return waiting.minutes(String(minutes));
  }
  return minutes < 24 * 60
    ? waiting.hours(String(Math.floor(minutes / 60)))
    : waiting.days(String(Math.floor(minutes / 1_440)));
}

// --- urgent ----------------------------------------------------------------------------------------------------------

/** What was tried, what is tried next, and that nobody has seen it, or who has. First sentence apart. */
export function urgentWords(urgency: UrgencyView, { texts, times }: Speech): { marked: string; rest: string } {
  const { urgent } = texts;
  const marked = urgent.marked(times.by(urgency.markedMs));
  if (urgency.seen !== null) {
    return { marked, rest: urgent.seen(isolated(urgency.seen.name || texts.somebody), times.by(urgency.seen.atMs)) };
  }
  const parts = [
    triedWords(urgency, { texts, times }),
    urgency.silent ? urgent.silent : nextWords(urgency, { texts, times }),
  ];
  return { marked, rest: [...parts.filter(Boolean), urgent.nobodyYet].join(" ") };
}

function triedWords(urgency: UrgencyView, { texts, times }: Speech): string {
  const { urgent } = texts;
  const name = inSentence(urgency.name, texts);
  const at = times.by(urgency.atMs);
  switch (urgency.rung) {
    case "queued":
      return urgent.queued;
    case "stored":
      return urgent.stored(name);
    case "told":
      return urgent.toldAt(name, at);
    case "asked_again":
      return urgent.againAt(name, at);
    case "cover_asked":
      return urgent.coverAt(isolated(urgency.cover || texts.somebody), at);
    case "no_cover":
      return urgent.noCoverAt;
    case "ended":
      return urgent.ended(at);
    case "confirmed":
      return urgent.claimed;
  }
}

function nextWords(urgency: UrgencyView, { texts, times }: Speech): string {
  const { urgent } = texts;
  if (urgency.nextMs === 0) {
    return "";
  }
  const at = times.by(urgency.nextMs);
  switch (urgency.rung) {
    case "stored":
    case "told":
      return urgent.nextAgain(inSentence(urgency.name, texts), at);
    case "asked_again":
      return urgency.cover ? urgent.nextCover(isolated(urgency.cover), at) : urgent.nextCoverNone;
    case "cover_asked":
    case "no_cover":
      return urgent.nextEnd(at);
    default:
      return "";
  }
}
