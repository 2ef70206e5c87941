/** Calls and appointments as they stand in a thread, in the place of their messages. Pure templates. */

import { html, nothing, type TemplateResult } from "lit";
import { icon } from "./icons.ts";
import type { AppointmentLine, CallLine } from "./live-views.ts";
import { callWords, elsewhereWords, isMissed, kindWords } from "./live-words.ts";
import type { Speech } from "./office-words.ts";
import { inSentence } from "./texts/texts.ts";
import type { Aside } from "./views.ts";

/** Kinds of asides that stand in the place of a message instead of below it. */
const IN_PLACE: readonly Aside["kind"][] = ["cover", "call", "appointment"];

/** Whether this aside takes the place of its message. */
export function standsInPlace({ kind }: Aside): boolean {
  return IN_PLACE.includes(kind);
}

/** The message read aloud, where its own text says nothing; null where it does. */
export function spokenAside(aside: Aside | undefined, speech: Speech): string | null {
  switch (aside?.kind) {
    case "call":
      return callWords(aside.call, speech);
    case "appointment": {
      const { appointment, news } = aside.appointment;
      return `${speech.texts.planned[news]}: ${speech.times.by(appointment.startMs)}. ${kindWords(appointment, speech)}`;
    }
    default:
      return null;
  }
}

/** A call: a missed one with the way to return it, any other one in a line. */
export function callAside(line: CallLine, speech: Speech, again: (() => void) | null): TemplateResult {
  const { calls } = speech.texts;
  const said = callWords(line, speech);
  const unreached = line.mine && ["missed", "busy", "declined", "failed"].includes(line.outcome);
  if (!isMissed(line) && !unreached) {
    return html`<p class="meta kind">${icon("call", "s")}${said}</p>`;
  }
  const name = inSentence(line.name, speech.texts);
  const known = isMissed(line) && line.told ? ` ${calls.missedKnown(name)}` : "";
  const press =
    again === null
      ? nothing
      : html` <button class="inline" @click=${again}>${line.mine ? calls.call(name) : calls.callBack}</button>`;
  return html`<div class="note">${icon("call")}<p class="grow"><b>${said}</b>${known}${press}</p></div>`;
}

/** An appointment that was planned, moved or cancelled: its time in the person's voice. */
export function appointmentAside(line: AppointmentLine, speech: Speech, open: (() => void) | null): TemplateResult {
  const { texts, times } = speech;
  const { planned } = texts;
  const { appointment, news, count } = line;
  const there = elsewhereWords(appointment, speech);
  const before = news === "moved" && appointment.movedFromMs ? planned.was(times.by(appointment.movedFromMs)) : "";
  const series = count > 1 ? planned.weekly(String(count)) : "";
  const lines = [kindWords(appointment, speech), before, series, there].filter(Boolean);
  return html`<section class="card" aria-label=${planned[news]}><p class="meta kind">${icon("calendar", "s")}${planned[news]}</p>
    <p class="lead num">${news === "cancelled" ? html`<s>${times.by(appointment.startMs)}</s>` : times.by(appointment.startMs)}</p>
    ${appointment.title ? html`<p class="voice" dir="auto">${appointment.title}</p>` : nothing}
    ${lines.map((words) => html`<p class="small">${words}</p>`)}
    ${appointment.note ? html`<p class="small" dir="auto">${appointment.note}</p>` : nothing}
    ${news !== "cancelled" && open !== null ? html`<div class="acts"><button class="btn quiet compact" @click=${open}>${planned.open}</button></div>` : nothing}</section>`;
}
