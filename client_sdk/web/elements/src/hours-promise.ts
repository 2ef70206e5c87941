/** `rapport-hours-promise`: by when answers are promised, who is asked for urgent messages, what reaches a closed office. */

import { css, html, nothing, type PropertyDeclarations, type TemplateResult } from "lit";
import { switchLook } from "./choice-look.ts";
import { define, RapportElement, SHEETS } from "./element.ts";
import { fieldOf, minutesOf } from "./hours-draft.ts";
import { hoursLook } from "./hours-look.ts";
import { icon } from "./icons.ts";
import type { AnswerRow, Colleague, OfficeHours, PushClosed, ReplyPromise } from "./views.ts";

const DAY_MINUTES = 1_440;
const POLICIES = ["by", "open_time", "table", "none"] as const;
type Policy = (typeof POLICIES)[number];
/** Open hours that are offered; others that were set stay. */
const OPEN_HOURS = [1, 2, 4, 6, 8, 12, 16, 24, 40];
const DAYS_LATER = [0, 1, 2, 3, 4, 5];
const PUSHES: readonly PushClosed[] = ["all", "urgent", "none"];
const ROWS_MOST = 8;
const NEXT_DAY: AnswerRow = { before: DAY_MINUTES, at: 15 * 60, days: 1 };

/** Emits the whole draft with every change. */
export class RapportHoursPromise extends RapportElement {
  static override styles = [
    ...SHEETS,
    hoursLook,
    switchLook,
    css`
      .card {
        padding: var(--s4);
      }
      .card > * + * {
        margin-block-start: var(--s2);
      }
      .tablerow {
        align-items: flex-end;
        padding-block-end: var(--s2);
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    hours: { attribute: false },
    colleagues: { attribute: false },
    asTable: { state: true },
  };

  /** The draft; null shows nothing. */
  declare hours: OfficeHours | null;
  /** Who may be asked for urgent messages. */
  declare colleagues: readonly Colleague[];
  /** Whether a table of one row is shown as a table. */
  declare protected asTable: boolean;

  constructor() {
    super();
    this.hours = null;
    this.colleagues = [];
    this.asTable = false;
  }

  #draft(change: Partial<OfficeHours>): void {
    if (this.hours !== null) {
      this.emit("rapport-hours-draft", { hours: { ...this.hours, ...change } });
    }
  }

  get #policy(): Policy {
    const promise = this.hours?.promise ?? null;
    if (promise === null) {
      return "none";
    }
    if (promise.kind === "open_time") {
      return "open_time";
    }
    return promise.rows.length > 1 || this.asTable ? "table" : "by";
  }

  #choose(policy: Policy): void {
    this.asTable = policy === "table";
    const promise = this.hours?.promise ?? null;
    const rows = promise?.kind === "table" ? promise.rows : [NEXT_DAY];
    const chosen: Record<Policy, ReplyPromise | null> = {
      none: null,
      by: { kind: "table", rows: [{ ...(rows.at(-1) ?? NEXT_DAY), before: DAY_MINUTES }] },
      open_time: { kind: "open_time", minutes: 8 * 60 },
      table: { kind: "table", rows: rows.length > 1 ? rows : [{ before: 12 * 60, at: 18 * 60, days: 0 }, ...rows] },
    };
    this.#draft({ promise: chosen[policy] });
  }

  protected override render(): TemplateResult | typeof nothing {
    const hours = this.hours;
    if (hours === null) {
      return nothing;
    }
    const { hours: words } = this.texts;
    const policy = this.#policy;
    const choose = (value: string) => this.#choose(POLICIES.find((one) => one === value) ?? "none");
    const options = POLICIES.map((one) => [one, words.policies[one]] as const);
    return html`<section><div class="sect"><h2>${words.promise}</h2></div><div class="card">
      ${this.#select("policy", words.policy, options, policy, choose)}
      ${this.#renderPolicy(hours.promise, policy)}
      <hr class="rule">
      ${this.#renderCover(hours)}
      <label class="pair"><span class="grow">${words.ringClosed}</span><input type="checkbox" class="switch" role="switch" .checked=${hours.ringClosed} @change=${(event: Event) => this.#draft({ ringClosed: event.target instanceof HTMLInputElement && event.target.checked })}></label>
      ${this.#select(
        "push",
        words.pushClosed,
        PUSHES.map((push) => [push, words.push[push]] as const),
        hours.pushClosed,
        (value) => this.#draft({ pushClosed: PUSHES.find((push) => push === value) ?? "urgent" }),
      )}
      ${hours.pushClosed === "none" ? html`<p class="meta row" role="status">${icon("warning", "s")}<span>${words.pushNoneWarning}</span></p>` : nothing}
    </div></section>`;
  }

  #select(
    id: string,
    label: string,
    options: readonly (readonly [value: string, words: string])[],
    chosen: string,
    choose: (value: string) => void,
  ): TemplateResult {
    const change = (event: Event) => event.target instanceof HTMLSelectElement && choose(event.target.value);
    return html`<label class="pair"><span class="grow">${label}</span><select class="input compact" id=${id} @change=${change}>${options.map(
      ([value, words]) => html`<option value=${value} ?selected=${value === chosen}>${words}</option>`,
    )}</select></label>`;
  }

  #renderPolicy(promise: ReplyPromise | null, policy: Policy): TemplateResult | typeof nothing {
    const { hours: words, office } = this.texts;
    if (promise === null) {
      return nothing;
    }
    if (promise.kind === "open_time") {
      const offered = [...new Set([...OPEN_HOURS, promise.minutes / 60])].sort((one, other) => one - other);
      const options = offered.map(
        (hours) => [String(hours), hours === 1 ? office.oneHour : office.hours(String(hours))] as const,
      );
      const set = (value: string) => this.#draft({ promise: { kind: "open_time", minutes: Number(value) * 60 } });
      return this.#select("open-hours", words.openHours, options, String(promise.minutes / 60), set);
    }
    const [row = NEXT_DAY] = promise.rows;
    return policy === "by" ? this.#renderBy(row) : this.#renderTable(promise.rows);
  }

  #time(label: string, minutes: number, set: (minutes: number) => void, visible: boolean): TemplateResult {
    const change = (event: Event) => {
      const read = event.target instanceof HTMLInputElement ? minutesOf(event.target.value) : null;
      if (read !== null) {
        set(read);
      }
    };
    const field = html`<input class="input compact" type="time" .value=${fieldOf(minutes)} aria-label=${visible ? nothing : label} @change=${change}>`;
    return visible ? html`<label class="pair"><span class="grow">${label}</span>${field}</label>` : field;
  }

  #days(row: AnswerRow): (readonly [string, string])[] {
    const { hours: words } = this.texts;
    const offered = [...new Set([...DAYS_LATER, row.days])].sort((one, other) => one - other);
    return offered.map((days) => [
      String(days),
      days === 0 ? words.sameDay : days === 1 ? words.followingDay : words.laterDay(String(days)),
    ]);
  }

  #renderBy(row: AnswerRow): TemplateResult {
    const { hours: words } = this.texts;
    const set = (change: Partial<AnswerRow>) =>
      this.#draft({ promise: { kind: "table", rows: [{ ...row, ...change }] } });
    return html`${this.#time(words.answerBy, row.at, (at) => set({ at }), true)}
      ${this.#select("days", words.on, this.#days(row), String(row.days), (value) => set({ days: Number(value) }))}`;
  }

  #renderTable(rows: readonly AnswerRow[]): TemplateResult {
    const { hours: words } = this.texts;
    const put = (changed: readonly AnswerRow[]) =>
      this.#draft({ promise: { kind: "table", rows: [...changed].sort((one, other) => one.before - other.before) } });
    const add = () => {
      const last = rows.at(-2)?.before ?? 6 * 60;
      put([...rows, { before: Math.min(last + 4 * 60, DAY_MINUTES - 30), at: 18 * 60, days: 0 }]);
    };
    return html`${rows.map((row, index) => this.#renderRow(row, index, rows, put))}
      ${rows.length < ROWS_MOST ? html`<button class="btn plain compact" @click=${add}>${icon("plus", "s")}${words.addRow}</button>` : nothing}`;
  }

  #renderRow(
    row: AnswerRow,
    index: number,
    rows: readonly AnswerRow[],
    put: (rows: readonly AnswerRow[]) => void,
  ): TemplateResult {
    const { hours: words } = this.texts;
    const last = row.before === DAY_MINUTES;
    const set = (change: Partial<AnswerRow>) =>
      put(rows.map((one, at) => (at === index ? { ...one, ...change } : one)));
    const when = last ? words.rowUntilMidnight : words.writtenBefore;
    const name = last ? when : `${when} ${this.times.wall(row.before)}`;
    return html`<div class="row wrap tablerow" role="group" aria-label=${name}>
      <span class="small">${when}</span>${last ? nothing : this.#time(when, row.before, (before) => set({ before: Math.max(before, 1) }), false)}
      <span class="small">${words.answerBy}</span>${this.#time(words.answerBy, row.at, (at) => set({ at }), false)}
      <select class="input compact" aria-label=${words.on} @change=${(event: Event) => event.target instanceof HTMLSelectElement && set({ days: Number(event.target.value) })}>${this.#days(
        row,
      ).map(
        ([value, said]) => html`<option value=${value} ?selected=${value === String(row.days)}>${said}</option>`,
      )}</select>
      ${last || rows.length < 2 ? nothing : html`<button class="tool mini" aria-label=${words.removeRow(this.times.wall(row.before))} @click=${() => put(rows.filter((_, at) => at !== index))}>${icon("bin", "s")}</button>`}</div>`;
  }

  #renderCover(hours: OfficeHours): TemplateResult {
    const { hours: words } = this.texts;
    const options = [
      ["", words.nobody] as const,
      ...this.colleagues.map(({ account, name }) => [account, name] as const),
    ];
    const set = (value: string) =>
      this.#draft({ cover: this.colleagues.find(({ account }) => account === value)?.account ?? null });
    return html`${this.#select("urgent-cover", words.cover, options, hours.cover ?? "", set)}<p class="meta">${words.coverHint}</p>`;
  }
}

define("rapport-hours-promise", RapportHoursPromise);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-hours-promise": RapportHoursPromise;
  }
}
