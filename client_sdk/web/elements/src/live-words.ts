/** Sentences about appointments and calls, and which moment an appointment has come to. Pure. */

import type { AppointmentView, CallLine, DoorNews, TicketStage } from "./live-views.ts";
import { placeOf, type Speech } from "./office-words.ts";
import { inSentence, isolated, type Texts } from "./texts/texts.ts";

const MINUTE_MS = 60_000;
/** The waiting room opens so long before the start (docs/protocol.md, 23.1). */
const OPENS_BEFORE_MS = 10 * MINUTE_MS;
/** And stays open so long after the end. */
const GRACE_MS = 15 * MINUTE_MS;

/** When one may come, Unix milliseconds. */
export function opensMs({ startMs }: Pick<AppointmentView, "startMs">): number {
  return startMs - OPENS_BEFORE_MS;
}

/** Whether anything can still come of it. */
export function isAhead({ startMs, minutes, lateMinutes }: AppointmentView, nowMs: number): boolean {
  return nowMs < startMs + (minutes + lateMinutes) * MINUTE_MS + GRACE_MS;
}

/** What one does about an appointment at a moment. inCall: its call is on, on this account. */
export function stageOf(appointment: AppointmentView, nowMs: number, inCall: boolean): TicketStage {
  const { modality, cancelled } = appointment;
  if (cancelled || modality === "phone" || modality === "in_person") {
    return "none";
  }
  if (inCall) {
    return "return";
  }
  if (!isAhead(appointment, nowMs)) {
    return "none";
  }
  return nowMs >= opensMs(appointment) ? "enter" : modality === "chat" ? "none" : "test";
}

/** "18 November, 50 minutes by video with Dana." */
export function kindWords(appointment: AppointmentView, { texts, times }: Speech): string {
  const { startMs, minutes, modality, name } = appointment;
  return texts.ticket.kinds[modality](times.date(startMs), String(minutes), inSentence(name, texts));
}

/** "Wed 14:00, 50 minutes by video" */
export function shortWords(appointment: AppointmentView, { texts, times }: Speech): string {
  const { startMs, minutes, modality } = appointment;
  return texts.ticket.short[modality](times.by(startMs), String(minutes));
}

/** "In London it is Wed 14:00."; "" where the clocks say the same. */
export function elsewhereWords({ startMs, zone }: AppointmentView, { texts, times }: Speech): string {
  const there = times.elsewhere(zone, [startMs]);
  return there === null ? "" : texts.ticket.there(placeOf(zone), there.by(startMs));
}

/** Where one meets: when the room opens, that it is open, or how else. */
export function placeWords(appointment: AppointmentView, nowMs: number, { texts, times }: Speech): string {
  const { ticket } = texts;
  const name = inSentence(appointment.name, texts);
  switch (appointment.modality) {
    case "phone":
      return ticket.phone(name);
    case "in_person":
      return ticket.inPerson(name);
    default:
      return nowMs < opensMs(appointment) ? ticket.opens(times.time(opensMs(appointment))) : ticket.isOpen;
  }
}

/** Whole minutes, rounded up; 0 once it is over. */
export function minutesUntil(ms: number, nowMs: number): number {
  return Math.max(0, Math.ceil((ms - nowMs) / MINUTE_MS));
}

/** What the door says: a heading, a sentence below it. words: the host's own, "" for none. */
export function doorWords(
  news: DoorNews,
  appointment: AppointmentView,
  words: string,
  { texts, times }: Speech,
): { readonly title: string; readonly detail: string } {
  const { room } = texts;
  const name = inSentence(appointment.name, texts);
  const said = words.trim() ? `“${isolated(words.trim())}” ` : "";
  const detail = room.details[news](name, times.time(opensMs(appointment)));
  return { title: room.news[news](name), detail: `${said}${detail}` };
}

/** "Good evening, Sam": by the reader's clock. */
export function greetingWords(name: string, hour: number, texts: Texts): string {
  const { greeting } = texts.home;
  const called = inSentence(name, texts);
  return (hour < 12 ? greeting.morning : hour < 18 ? greeting.day : greeting.evening)(called);
}

/** One sentence about a call in a thread. */
export function callWords(line: CallLine, { texts, times }: Speech): string {
  const { calls, call } = texts;
  const name = inSentence(line.name, texts);
  const at = times.time(line.atMs);
  switch (line.outcome) {
    case "missed":
      return line.mine ? calls.unanswered(name, at) : calls.missed(name, at);
    case "cancelled":
      return line.mine ? calls.cancelled(at) : calls.missed(name, at);
    case "busy":
      return line.mine ? calls.busy(name, at) : calls.missed(name, at);
    case "declined":
      return line.mine ? calls.declined(name, at) : calls.declinedByYou(name, at);
    case "failed":
      return calls.failed(at);
    case "elsewhere":
      return line.device ? calls.elsewhere(isolated(line.device)) : calls.elsewhereUnknown;
    case "calling":
      return calls.calling(name);
    case "ringing":
      return line.mine ? calls.calling(name) : calls.ringing(name);
    case "on":
      return calls.on;
    case "answered":
      return calls.answered[line.media](line.minutes === 0 ? call.lessThanOne : call.minutes(String(line.minutes)));
  }
}

/** Whether this is a call that one did not take and may want to return. */
export function isMissed({ mine, outcome }: CallLine): boolean {
  return !mine && (outcome === "missed" || outcome === "cancelled" || outcome === "busy");
}
