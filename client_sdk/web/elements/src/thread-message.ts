/** One message as it is drawn, and the sentences about it. Pure: what it needs is handed over. */

import { html, nothing, type TemplateResult } from "lit";
import { icon } from "./icons.ts";
import { partsOf } from "./links.ts";
import type { Texts } from "./texts/texts.ts";
import { inSentence, isolated } from "./texts/texts.ts";
import type { Times } from "./times.ts";
import type { Message, Notice } from "./views.ts";

/** What a message is drawn with. */
export interface Setting {
  readonly texts: Texts;
  readonly times: Times;
  /** Whether the message is this account's own. */
  readonly mine: boolean;
  /** As its writer calls themselves, "" where that is not known. */
  readonly name: string;
  /** Whether it is the message that Tab reaches: only its links are stops then. */
  readonly active: boolean;
  /** Whether what is queued is on its way now. */
  readonly online: boolean;
  /** Where queued messages are kept, in words. */
  readonly kept: string;
  /** A message of this conversation, undefined when it is not shown. */
  readonly find: (id: string) => Message | undefined;
  /** Somebody's name, "" where it is not known. */
  readonly nameOf: (account: string) => string;
}

/** What stands in place of words that cannot be shown, null where they can. */
export function ghostOf(message: Message, { texts, mine, name }: Setting): string | null {
  if (message.deleted) {
    return mine ? texts.thread.deletedByYou : texts.thread.deletedBy(inSentence(name, texts));
  }
  if (message.placeholder !== null) {
    return texts.thread.placeholders[message.placeholder](inSentence(name, texts));
  }
  return message.kind === "unsupported" ? texts.thread.unsupported : null;
}

/** "21:40, delivered": when, and how far it has come. */
export function stateOf(message: Message, { texts, times, online, kept }: Setting): string {
  const time = times.time(message.atMs);
  const words = {
    received: time,
    queued: online ? texts.thread.sending : texts.thread.kept(time, kept),
    sent: texts.thread.sent(time),
    delivered: texts.thread.delivered(time),
    read: texts.thread.read(time),
    failed: texts.thread.failed,
  } as const;
  const more = [
    message.fromRemovedDevice ? texts.thread.removedDevice : "",
    message.expiresMs ? texts.thread.goesOn(times.moment(message.expiresMs)) : "",
  ];
  return [words[message.status], ...more.filter(Boolean)].join(", ");
}

/** The message read aloud in one go: who, when, what, and how far it has come. said: in place of its text; null for none. */
export function spoken(message: Message, setting: Setting, said: string | null = null): string {
  const { texts, times, mine, name } = setting;
  const who = mine ? texts.you : isolated(name || texts.somebody);
  const text = said ?? ghostOf(message, setting) ?? isolated(message.text);
  const state = stateOf(message, setting);
  const time = times.time(message.atMs);
  const shown = message.status === "received" && !state.startsWith(`${time},`) ? "" : `. ${state}`;
  const edited = message.edited ? `. ${texts.thread.edited}` : "";
  const urgent = message.urgent ? `${texts.urgent.badge}, ` : "";
  return `${who}, ${time}, ${urgent}${text}${edited}${shown}`;
}

/** A person's words, with its addresses as links. active: whether Tab stops at them. */
export function wordsOf(text: string, active: boolean): TemplateResult {
  const parts = partsOf(text).map((part) =>
    part.href === null
      ? part.text
      : html`<a href=${part.href} tabindex=${active ? nothing : -1} target="_blank" rel="noopener noreferrer">${part.text}</a>`,
  );
  return html`<span class="words" dir="auto">${parts}</span>`;
}

/** The bubble: words, what they answer, or what stands in their place. */
export function bubbleOf(message: Message, setting: Setting): TemplateResult {
  const ghost = ghostOf(message, setting);
  if (ghost !== null) {
    const drawing = message.deleted ? "cross" : message.placeholder === "waiting" ? "key" : "warning";
    return html`<p class="bubble ghost">${icon(drawing)}<span>${ghost}</span></p>`;
  }
  const { texts } = setting;
  const badge = message.urgent
    ? html`<span class="meta urgent">${icon("bell", "s")}${texts.urgent.badge}</span>`
    : nothing;
  return html`<p class="bubble">${badge}${replyOf(message, setting)}${wordsOf(message.text, setting.active)}${
    message.edited ? html`<span class="meta changed">${texts.thread.edited}</span>` : nothing
  }</p>`;
}

function replyOf(message: Message, { texts, find, nameOf }: Setting): TemplateResult | typeof nothing {
  if (message.replyTo === null) {
    return nothing;
  }
  const answered = find(message.replyTo);
  const said =
    answered && !answered.deleted && answered.placeholder === null ? answered.text : texts.thread.earlierMessage;
  const who = answered
    ? html`<span class="vh">${texts.thread.replyTo(inSentence(nameOf(answered.account), texts))} </span>`
    : nothing;
  return html`<span class="reply">${who}<span class="clip" dir="auto">${said}</span></span>`;
}

/** Reactions, one per account; the picture is the person's own character. */
export function reactionsOf(message: Message, { texts, nameOf }: Setting): TemplateResult | typeof nothing {
  if (message.deleted || message.reactions.length === 0) {
    return nothing;
  }
  return html`<ul class="reactions">${message.reactions.map(
    ([account, emoji]) =>
      html`<li class="pill"><span aria-hidden="true">${emoji}</span><span class="vh">${texts.thread.reacted(inSentence(nameOf(account), texts), isolated(emoji))}</span></li>`,
  )}</ul>`;
}

/** A line that the system says between messages. */
export function noticeOf(notice: Notice, texts: Texts, times: Times, compare: () => void): TemplateResult {
  const name = inSentence(notice.name, texts);
  const drawing = notice.kind === "joined" ? "people" : "shield";
  if (notice.kind === "keyChanged") {
    return html`<div class="system">${icon("warning", "s")}<span>${texts.thread.keyChanged(name)}
      <button class="inline" @click=${compare}>${texts.thread.compare}</button>${texts.thread.compareAfter}</span></div>`;
  }
  const words = {
    newDevice: () => texts.thread.newDeviceOn(name, times.date(notice.atMs)),
    deviceRemoved: () => texts.thread.deviceRemoved(name),
    joined: () => texts.thread.joined(name),
    verified: () => texts.thread.verified(name),
  } as const;
  return html`<div class="system">${icon(drawing, "s")}<span>${words[notice.kind]()}</span></div>`;
}
