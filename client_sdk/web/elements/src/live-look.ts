/** How the live hour is drawn: tickets, previews, checks, switches, and the stage of a call. */

import { type CSSResult, css } from "lit";

/** A card with the time of an appointment. */
export const ticketLook: CSSResult = css`
  .ticket {
    display: grid;
    gap: var(--s4);
  }
  .ticket > * + * {
    margin-block-start: 0;
  }
  .ticket .head {
    display: flex;
    justify-content: space-between;
    align-items: flex-start;
    gap: var(--s3);
  }
  .clock {
    font: var(--w-regular) var(--t-clock) / var(--lh-clock) var(--font-voice);
    letter-spacing: -0.02em;
    text-wrap: balance;
  }
`;

/** One's own picture, and what can be switched in it. */
export const previewLook: CSSResult = css`
  .preview {
    position: relative;
    aspect-ratio: 4 / 3;
    border-radius: var(--r3);
    overflow: hidden;
    background: var(--stage);
    color: var(--stage-ink);
  }
  .preview video {
    position: absolute;
    inset: 0;
    inline-size: 100%;
    block-size: 100%;
    object-fit: cover;
    transform: scaleX(-1);
  }
  .preview.empty {
    aspect-ratio: 16 / 9;
    display: grid;
    place-content: center;
    justify-items: center;
    gap: var(--s2);
    border: 1px solid var(--line);
    background: var(--sunken);
    color: var(--ink-2);
    font-size: var(--t-small);
  }
  .tag {
    position: absolute;
    inset-block-start: 0.625rem;
    inset-inline-start: 0.625rem;
    display: inline-flex;
    align-items: center;
    gap: 0.375rem;
    padding: 0.1875rem 0.5rem;
    border-radius: var(--r1);
    background: rgb(21 16 18 / 0.78);
    color: #f5eef0;
    font-size: var(--t-meta);
    line-height: 1.125rem;
  }
  .dock {
    position: absolute;
    inset-block-end: 0.75rem;
    inset-inline: 0;
    display: flex;
    justify-content: center;
    gap: 0.625rem;
  }
  .dock .ctl > .disc {
    background: rgb(21 16 18 / 0.8);
  }
`;

/** Round controls with a word below. */
export const ctlLook: CSSResult = css`
  .ctl {
    display: flex;
    flex-direction: column;
    align-items: center;
    gap: 0.375rem;
    padding: 0;
    border: 0;
    border-radius: var(--r2);
    background: none;
    color: var(--stage-ink-2);
    font-size: var(--t-meta);
    line-height: 1rem;
    cursor: pointer;
  }
  .ctl > .disc {
    display: grid;
    place-items: center;
    inline-size: 3.25rem;
    block-size: 3.25rem;
    border-radius: var(--r-full);
    background: var(--stage-3);
    color: var(--stage-ink);
    transition: background-color var(--m-quick) var(--ease);
  }
  .ctl.off > .disc,
  .dock .ctl.off > .disc {
    background: var(--stage-ink);
    color: var(--stage);
  }
  .ctl.end > .disc {
    background: var(--stage-stop);
    color: #fff;
  }
  .stage :focus-visible {
    outline-color: var(--stage-focus);
  }
  @media (max-width: 22.5rem) {
    .ctl > .disc {
      inline-size: 2.875rem;
      block-size: 2.875rem;
    }
  }
  @media (forced-colors: active) {
    .ctl > .disc {
      border: 1px solid ButtonBorder;
    }
    .ctl.end > .disc,
    .ctl.off > .disc {
      forced-color-adjust: none;
      background: CanvasText;
      color: Canvas;
    }
    .ctl[aria-pressed="true"] > .disc {
      outline: 2px solid Highlight;
      outline-offset: -2px;
    }
  }
`;
