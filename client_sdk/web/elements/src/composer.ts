/** `rapport-composer`: where one writes. */

import { css, html, nothing, type PropertyDeclarations, type PropertyValues, type TemplateResult } from "lit";
import { urgentPanel } from "./composer-urgent.ts";
import { bytesOf, define, hasKeyboard, RapportElement, SHEETS } from "./element.ts";
import { icon } from "./icons.ts";
import { officeLook, whenOf } from "./office-look.ts";
import { inSentence } from "./texts/texts.ts";
import type { Blocked, ComposerTask, ExpectedView, OfficeView, UrgentPlan } from "./views.ts";

/** Longest text of one message, bytes of UTF-8. */
export const TEXT_BYTES = 15_000;
const MOST_ROWS = 6;
const DRAFT_EVERY_MS = 1_000;

/**
 * A field that grows to six lines, and Send. With a keyboard Enter sends and Shift+Enter begins a line; where keys are
 * on the screen Enter begins a line. The field empties when `rapport-send` is emitted; `putBack` returns a text that
 * could not be kept.
 */
export class RapportComposer extends RapportElement {
  static override styles = [
    ...SHEETS,
    officeLook,
    css`
      :host {
        background: var(--bg);
        border-block-start: 1px solid var(--line);
        padding: var(--s2) var(--s2) calc(var(--s2) + env(safe-area-inset-bottom, 0px));
      }
      form,
      .blocked {
        max-inline-size: 44rem;
        margin-inline: auto;
      }
      .write {
        display: flex;
        align-items: flex-end;
        gap: var(--s1);
      }
      .box {
        flex: 1;
        min-inline-size: 0;
        display: flex;
        background: var(--surface);
        border: 1px solid var(--edge);
        border-radius: 1.375rem;
      }
      .box:focus-within {
        outline: 2px solid var(--focus);
        outline-offset: 1px;
      }
      .box textarea {
        flex: 1;
        min-inline-size: 0;
        border: 0;
        background: none;
        resize: none;
        padding: 0.5625rem 1rem;
        line-height: 1.5rem;
        outline: 0;
        overflow-y: auto;
      }
      .task {
        display: flex;
        align-items: flex-start;
        gap: var(--s2);
        padding: 0 var(--s2) var(--s2);
      }
      .task .quote {
        font: inherit;
        font-size: var(--t-small);
        line-height: var(--lh-small);
      }
      .task .quote span {
        display: block;
        white-space: nowrap;
        overflow: hidden;
        text-overflow: ellipsis;
      }
      .task .tool {
        inline-size: 2.25rem;
        block-size: 2.25rem;
      }
      .problem {
        padding: 0 var(--s4) var(--s2);
        font-size: var(--t-small);
        line-height: var(--lh-small);
      }
      .blocked {
        padding: var(--s2);
      }
      .before {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 0 var(--s2);
        padding: 0 var(--s2) var(--s2);
      }
      .before .when {
        flex: 1 1 14rem;
      }
      .before .btn {
        margin: -0.25rem -0.5rem -0.25rem auto;
      }
      .urgent {
        max-block-size: 60vh;
        overflow: auto;
      }
      .urgent .icon {
        flex: none;
      }
      .numbers a {
        display: inline-flex;
        align-items: center;
        gap: var(--s2);
        min-block-size: 1.75rem;
      }
    `,
  ];
  static override properties: PropertyDeclarations = {
    ...RapportElement.properties,
    name: { type: String },
    draft: { type: String },
    task: { attribute: false },
    blocked: { attribute: false },
    office: { attribute: false },
    expected: { attribute: false },
    urgentPlan: { attribute: false },
    text: { state: true },
    asking: { state: true },
  };

  /** Whom one writes to. */
  declare name: string;
  /** What stands in the field at first, and again whenever this changes. */
  declare draft: string;
  /** A reply or an edit, null for a new message. */
  declare task: ComposerTask | null;
  /** Why nothing can be written, null when it can. */
  declare blocked: Blocked | null;
  /** The office that one writes to, said above the field; null for none. */
  declare office: OfficeView | null;
  /** Who waits for an answer here, said above a therapist's field; null for nobody. */
  declare expected: ExpectedView | null;
  /** What marking as urgent would do; null where that cannot be. */
  declare urgentPlan: UrgentPlan | null;
  declare protected text: string;
  declare protected asking: boolean;

  #told = "";
  #due: ReturnType<typeof setTimeout> | null = null;

  constructor() {
    super();
    this.name = "";
    this.draft = "";
    this.task = null;
    this.blocked = null;
    this.office = null;
    this.expected = null;
    this.urgentPlan = null;
    this.text = "";
    this.asking = false;
  }

  /** Puts a text back that could not be kept, before what stands there now. */
  putBack(text: string): void {
    this.text = this.text ? `${text}\n${this.text}` : text;
  }

  override focus(): void {
    void this.focusOn("textarea");
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.#tell();
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has("draft") && this.draft !== this.#told) {
      this.text = this.draft;
      this.#told = this.draft;
    }
    if (changed.has("task")) {
      const before = changed.get("task");
      if (this.task?.kind === "edit") {
        this.text = this.task.text;
      } else if (before?.kind === "edit") {
        this.text = this.draft;
      }
    }
  }

  protected override updated(changed: PropertyValues<this>): void {
    this.#grow();
    if (changed.has("task") && this.task !== null) {
      this.focus();
    }
  }

  #grow(): void {
    const field = this.renderRoot.querySelector("textarea");
    if (field) {
      field.rows = 1;
      const lines = Math.round((field.scrollHeight - 18) / Number.parseFloat(getComputedStyle(field).lineHeight));
      field.rows = Math.min(Math.max(lines, 1), MOST_ROWS);
    }
  }

  #typed(field: HTMLTextAreaElement): void {
    this.text = field.value;
    this.emit("rapport-typing");
    if (this.task?.kind !== "edit") {
      this.#due ??= setTimeout(() => this.#tell(), DRAFT_EVERY_MS);
    }
  }

  #tell(): void {
    if (this.#due !== null) {
      clearTimeout(this.#due);
      this.#due = null;
    }
    if (this.task?.kind !== "edit" && this.text !== this.#told) {
      this.#told = this.text;
      this.emit("rapport-draft", { text: this.text });
    }
  }

  get #tooLong(): boolean {
    return this.text.length * 3 > TEXT_BYTES && bytesOf(this.text.trim()) > TEXT_BYTES;
  }

  #send(event: Event): void {
    event.preventDefault();
    this.#out(false);
  }

  #ask(asking: boolean): void {
    this.asking = asking;
    void this.focusOn(asking ? "#urgent-title" : "textarea");
  }

  #out(urgent: boolean): void {
    const text = this.text.trim();
    if (!text || this.#tooLong) {
      return;
    }
    const task = this.task;
    if (task?.kind === "edit") {
      this.text = this.draft;
      this.emit("rapport-edit", { id: task.id, text });
    } else {
      this.text = "";
      this.emit("rapport-send", { text, replyTo: task?.id ?? null, urgent });
      this.#tell();
    }
    this.asking = false;
    this.focus();
  }

  #key(event: KeyboardEvent): void {
    if (event.isComposing) {
      return;
    }
    const plain = hasKeyboard() && !event.shiftKey && !event.altKey;
    if (event.key === "Enter" && (plain || event.ctrlKey || event.metaKey)) {
      this.#send(event);
    } else if (event.key === "Escape" && this.task !== null) {
      event.stopPropagation();
      this.emit("rapport-task-left");
    }
  }

  protected override render(): TemplateResult {
    if (this.blocked !== null) {
      return this.#renderBlocked(this.blocked);
    }
    const { composer } = this.texts;
    const name = inSentence(this.name, this.texts);
    const tooLong = this.#tooLong;
    const described = [this.office || this.expected ? "when" : "", tooLong ? "problem" : ""].filter(Boolean).join(" ");
    if (this.asking && this.urgentPlan !== null && this.text.trim() && !tooLong) {
      const acts = { send: (urgent: boolean) => this.#out(urgent), back: () => this.#ask(false) };
      return html`<form aria-label=${composer.form(name)} @submit=${(event: Event) => event.preventDefault()}>${urgentPanel(this.urgentPlan, this.name, this.texts, acts)}</form>`;
    }
    return html`<form aria-label=${composer.form(name)} @submit=${(event: Event) => this.#send(event)}>
      ${this.#renderBefore()}
      ${this.#renderTask()}
      ${tooLong ? html`<p class="problem bad" id="problem" role="alert">${composer.tooLong}</p>` : nothing}
      <div class="write">
        <div class="box"><textarea rows="1" dir=${this.text ? "auto" : nothing} .value=${this.text} placeholder=${composer.placeholder(name)}
          aria-label=${composer.label(name)} aria-describedby=${described || nothing} aria-invalid=${tooLong}
          enterkeyhint=${hasKeyboard() ? "send" : "enter"}
          @input=${(event: Event) => event.target instanceof HTMLTextAreaElement && this.#typed(event.target)}
          @blur=${() => this.#tell()} @keydown=${(event: KeyboardEvent) => this.#key(event)}></textarea></div>
        ${this.text.trim() ? html`<button class="tool send" aria-label=${composer.send}>${icon("send")}</button>` : nothing}
      </div>
    </form>`;
  }

  /** When one will be answered, or who waits; and the way to mark what stands in the field as urgent. */
  #renderBefore(): TemplateResult | typeof nothing {
    const { texts, times } = this;
    const when =
      this.office !== null
        ? whenOf(this.office, { texts, times })
        : this.expected !== null
          ? this.#renderExpected(this.expected)
          : nothing;
    const mark =
      this.urgentPlan !== null && this.text.trim() && this.task?.kind !== "edit"
        ? html`<button type="button" class="btn plain compact mark" @click=${() => this.#ask(true)}>${icon("bell", "s")}${texts.urgent.mark}</button>`
        : nothing;
    return when === nothing && mark === nothing ? nothing : html`<div class="before">${when}${mark}</div>`;
  }

  #renderExpected({ name, dueMs, missed }: ExpectedView): TemplateResult {
    const { answers } = this.texts;
    const called = inSentence(name, this.texts);
    const by = this.times.by(dueMs);
    const words = missed
      ? html`${answers.waits(called)}. <b>${answers.wasDue(by)}</b>`
      : html`${answers.expects(called)} <b>${by}</b>`;
    return html`<p class=${missed ? "when late" : "when"} id="when">${icon("clock", "s")}<span>${words}</span></p>`;
  }

  #renderTask(): TemplateResult | typeof nothing {
    const task = this.task;
    if (task === null) {
      return nothing;
    }
    const { composer } = this.texts;
    const title = task.kind === "edit" ? composer.editing : composer.replying(inSentence(task.name, this.texts));
    const leave = task.kind === "edit" ? composer.leaveEdit : composer.leave;
    return html`<div class="task"><div class="quote grow"><span class="label">${title}</span><span dir="auto">${task.text}</span></div>
      <button type="button" class="tool" aria-label=${leave} @click=${() => this.emit("rapport-task-left")}>${icon("cross", "s")}</button></div>`;
  }

  #renderBlocked(why: Blocked): TemplateResult {
    const { composer, thread } = this.texts;
    switch (why) {
      case "identityChanged":
        return html`<div class="blocked"><div class="note stop">${icon("warning")}<div class="grow stack-s">
          <p><b>${composer.blockedKey(inSentence(this.name, this.texts))}</b></p>
          <button class="btn primary" @click=${() => this.emit("rapport-compare")}>${thread.compare}</button></div></div></div>`;
      case "signedOut":
        return html`<div class="blocked"><p class="note">${icon("laptop")}<span>${composer.signedOut}</span></p></div>`;
      case "alone":
        return html`<div class="blocked"><p class="note">${icon("clock")}<span>${composer.alone}</span></p></div>`;
    }
  }
}

define("rapport-composer", RapportComposer);

declare global {
  interface HTMLElementTagNameMap {
    "rapport-composer": RapportComposer;
  }
}
