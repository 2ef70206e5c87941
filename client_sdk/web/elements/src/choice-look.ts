/** How a choice of few, and a switch, are drawn. */

import { type CSSResult, css } from "lit";

/** Buttons side by side of which one is pressed. */
export const segLook: CSSResult = css`
  .seg {
    display: flex;
    flex-wrap: wrap;
    background: var(--sunken);
    border-radius: var(--r2);
    padding: 0.1875rem;
  }
  .seg button {
    flex: 1;
    min-block-size: 2.5rem;
    padding-inline: var(--s2);
    border: 0;
    border-radius: 0.4375rem;
    background: none;
    color: var(--ink-2);
    font-size: var(--t-small);
    font-weight: var(--w-medium);
    cursor: pointer;
  }
  .seg [aria-pressed="true"] {
    background: var(--surface);
    color: var(--ink);
    box-shadow: 0 0 0 1px var(--line);
  }
  @media (forced-colors: active) {
    .seg [aria-pressed="true"] {
      outline: 2px solid Highlight;
      outline-offset: -2px;
    }
  }
`;

/** A checkbox that is drawn as a switch. */
export const switchLook: CSSResult = css`
  .switch {
    appearance: none;
    inline-size: 2.75rem;
    block-size: 1.625rem;
    border-radius: var(--r-full);
    border: 1px solid var(--edge);
    background: var(--sunken);
    position: relative;
    flex: none;
    cursor: pointer;
    margin: 0;
  }
  .switch::after {
    content: "";
    position: absolute;
    inset-block: 0.1875rem;
    inset-inline-start: 0.1875rem;
    aspect-ratio: 1;
    border-radius: 50%;
    background: var(--edge);
    transition: translate var(--m-quick) var(--ease);
  }
  .switch:checked {
    background: var(--primary);
    border-color: var(--primary);
  }
  .switch:checked::after {
    background: var(--on-primary);
    translate: 1.125rem;
  }
  .switch:dir(rtl):checked::after {
    translate: -1.125rem;
  }
  @media (forced-colors: active) {
    .switch {
      forced-color-adjust: none;
      background: Canvas;
      border-color: CanvasText;
    }
    .switch::after {
      background: CanvasText;
    }
    .switch:checked {
      background: Highlight;
    }
    .switch:checked::after {
      background: HighlightText;
    }
  }
`;
