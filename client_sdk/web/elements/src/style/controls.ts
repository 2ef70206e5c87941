/** Buttons, fields, cards, notes and lists. */

import { type CSSResult, css } from "lit";

/** For every element that has something to press or to fill in. */
export const controls: CSSResult = css`
  .btn {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: var(--s2);
    min-block-size: var(--target);
    padding: 0.5rem 1rem;
    border: 1px solid transparent;
    border-radius: var(--r2);
    background: none;
    font-weight: var(--w-strong);
    line-height: 1.25rem;
    text-decoration: none;
    cursor: pointer;
    transition: background-color var(--m-quick) var(--ease);
  }
  .btn.primary {
    background: var(--primary);
    color: var(--on-primary);
  }
  .btn.primary:hover {
    background: var(--primary-hover);
  }
  .btn.quiet {
    border-color: var(--edge);
    color: var(--ink);
  }
  .btn.quiet:hover {
    background: var(--sunken);
  }
  .btn.plain {
    color: var(--primary);
    padding-inline: 0.75rem;
  }
  .btn.plain:hover {
    background: var(--sunken);
  }
  .btn.stop {
    background: var(--stop);
    color: var(--on-stop);
  }
  .btn.stop:hover {
    background: var(--stop-hover);
  }
  .btn.wide {
    inline-size: 100%;
  }
  .btn.compact {
    min-block-size: 2.25rem;
    padding: 0.375rem 0.75rem;
    font-size: var(--t-small);
  }
  .btn[disabled] {
    color: var(--ink-3);
    background: var(--sunken);
    border-color: transparent;
    cursor: not-allowed;
  }
  .tool {
    display: inline-grid;
    place-items: center;
    inline-size: var(--target);
    block-size: var(--target);
    padding: 0;
    border: 0;
    border-radius: var(--r2);
    background: none;
    color: var(--ink-2);
    cursor: pointer;
    flex: none;
    text-decoration: none;
  }
  .tool:hover {
    background: var(--sunken);
    color: var(--ink);
  }
  .tool.labelled {
    inline-size: auto;
    min-inline-size: 3.25rem;
    padding-inline: 0.25rem;
    gap: 0.125rem;
    align-content: center;
    font-size: var(--t-meta);
    line-height: 1rem;
    font-weight: var(--w-medium);
  }
  .tool.send {
    background: var(--primary);
    color: var(--on-primary);
    border-radius: var(--r-full);
  }
  .tool.send:hover {
    background: var(--primary-hover);
    color: var(--on-primary);
  }
  .card {
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: var(--r3);
    padding: var(--s5);
  }
  .card > * + * {
    margin-block-start: var(--s4);
  }
  .sect {
    display: flex;
    align-items: center;
    min-block-size: 1.75rem;
    justify-content: space-between;
    gap: var(--s3);
    margin-block-end: var(--s2);
  }
  .sect h2 {
    font-size: var(--t-small);
    line-height: var(--lh-small);
    font-weight: var(--w-strong);
    color: var(--ink-2);
  }
  .note {
    display: flex;
    gap: var(--s3);
    padding: var(--s3) var(--s4);
    border-radius: var(--r2);
    background: var(--sunken);
    font-size: var(--t-small);
    line-height: var(--lh-small);
    color: var(--ink-2);
  }
  .note.stop {
    background: var(--stop-soft);
    color: var(--ink);
  }
  .note.stop > .icon {
    color: var(--stop);
  }
  .note.good {
    background: var(--good-soft);
    color: var(--ink);
  }
  .note.good > .icon {
    color: var(--good);
  }
  .quote {
    padding-inline-start: var(--s4);
    border-inline-start: 2px solid var(--line);
    color: var(--ink-2);
    font: var(--w-regular) var(--t-body) / var(--lh-body) var(--font-voice);
    white-space: pre-wrap;
  }
  .list {
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: var(--r3);
    overflow: clip;
  }
  .list > li + li {
    border-block-start: 1px solid var(--line);
  }
  .item {
    display: flex;
    align-items: center;
    flex-wrap: wrap;
    gap: var(--s3);
    inline-size: 100%;
    min-block-size: 3.5rem;
    padding: var(--s3) var(--s4);
  }
  .item > .grow {
    flex-basis: 9rem;
  }
  .item > .icon {
    color: var(--ink-2);
    margin-inline: 0.375rem;
  }
  .rows button {
    display: flex;
    gap: var(--s3);
    align-items: center;
    inline-size: 100%;
    min-block-size: var(--target);
    padding: var(--s2) 0;
    border: 0;
    border-block: 1px solid var(--line);
    background: none;
    text-align: start;
    cursor: pointer;
  }
  .rows .icon {
    color: var(--ink-2);
  }
  .pill {
    display: inline-flex;
    align-items: center;
    gap: 0.375rem;
    padding: 0.125rem 0.5rem;
    border-radius: var(--r-full);
    font-size: var(--t-meta);
    line-height: 1.25rem;
    font-weight: var(--w-medium);
    background: var(--sunken);
    color: var(--ink-2);
    white-space: nowrap;
  }
  .pill.good {
    background: var(--good-soft);
    color: var(--good);
  }
  .pill.stop {
    background: var(--stop-soft);
    color: var(--stop);
  }
  .field {
    display: block;
  }
  .field .label {
    display: block;
    margin-block-end: var(--s1);
  }
  .field + .meta {
    margin-block-start: 0.375rem;
  }
  .bad {
    color: var(--stop);
  }
  .input {
    display: block;
    inline-size: 100%;
    min-block-size: 3rem;
    padding: 0.625rem 0.875rem;
    background: var(--surface);
    border: 1px solid var(--edge);
    border-radius: var(--r2);
    line-height: 1.5rem;
  }
  select.input.compact {
    min-inline-size: 0;
    max-inline-size: 100%;
    font-size: 0.8125rem;
  }
  textarea.input {
    resize: vertical;
    min-block-size: 6rem;
  }
  .input[aria-invalid="true"] {
    border-color: var(--stop);
    box-shadow: inset 0 0 0 1px var(--stop);
  }
  ::placeholder {
    color: var(--ink-3);
    opacity: 1;
  }
  @media (max-width: 22.5rem) {
    .card {
      padding: var(--s4);
    }
    .tool.labelled {
      min-inline-size: 2.75rem;
    }
  }
  @media (forced-colors: active) {
    .btn,
    .card,
    .pill {
      border: 1px solid ButtonBorder;
    }
    .btn.primary,
    .btn.stop {
      background: ButtonFace;
      color: ButtonText;
      border: 2px solid ButtonText;
    }
    .tool.send {
      forced-color-adjust: none;
      background: CanvasText;
      color: Canvas;
    }
  }
`;
