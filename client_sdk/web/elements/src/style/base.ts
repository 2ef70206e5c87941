/** What every element starts from: resets, type roles, icons, people's initials and small layout helpers. */

import { type CSSResult, css } from "lit";

/** First sheet after the tokens in every shadow root. */
export const base: CSSResult = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  :host {
    display: block;
    min-inline-size: 0;
    color: var(--ink);
    font: var(--w-regular) var(--t-body) / var(--lh-body) var(--font-ui);
    overflow-wrap: break-word;
    text-align: start;
  }
  :host([hidden]) {
    display: none;
  }
  h1,
  h2,
  h3,
  p,
  ul,
  ol,
  dl,
  dd,
  blockquote,
  fieldset {
    margin: 0;
    padding: 0;
    border: 0;
  }
  h1,
  h2,
  h3 {
    font-size: inherit;
    font-weight: inherit;
  }
  ul,
  ol {
    list-style: none;
  }
  button,
  input,
  select,
  textarea {
    font: inherit;
    color: inherit;
  }
  a {
    color: var(--primary);
    text-underline-offset: 0.18em;
    text-decoration-thickness: 1px;
  }
  :focus-visible {
    outline: 2px solid var(--focus);
    outline-offset: 2px;
    border-radius: var(--r1);
  }
  .icon {
    inline-size: 1.25rem;
    block-size: 1.25rem;
    flex: none;
    fill: none;
    stroke: currentColor;
    stroke-width: var(--icon-stroke);
    stroke-linecap: round;
    stroke-linejoin: round;
  }
  .icon.s {
    inline-size: 1rem;
    block-size: 1rem;
    stroke-width: 2;
  }
  .icon.l {
    inline-size: 1.5rem;
    block-size: 1.5rem;
  }
  .icon .fill {
    fill: currentColor;
    stroke: none;
  }
  .flip:dir(rtl) {
    transform: scaleX(-1);
  }
  .vh {
    position: absolute;
    inline-size: 1px;
    block-size: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }
  .num {
    font-variant-numeric: tabular-nums;
  }
  .nb {
    white-space: nowrap;
  }
  .voice {
    font-family: var(--font-voice);
    letter-spacing: -0.005em;
  }
  .meta {
    font-size: var(--t-meta);
    line-height: var(--lh-meta);
    color: var(--ink-3);
  }
  .small {
    text-wrap: pretty;
    font-size: var(--t-small);
    line-height: var(--lh-small);
    color: var(--ink-2);
  }
  .title {
    font: var(--w-regular) var(--t-title) / var(--lh-title) var(--font-voice);
  }
  .display {
    font: var(--w-regular) var(--t-display) / var(--lh-display) var(--font-voice);
    letter-spacing: -0.01em;
    text-wrap: balance;
  }
  .label {
    font-size: var(--t-small);
    line-height: var(--lh-small);
    font-weight: var(--w-strong);
  }
  .row {
    display: flex;
    align-items: center;
    gap: var(--s2);
  }
  .wrap {
    flex-wrap: wrap;
  }
  .grow {
    flex: 1;
    min-inline-size: 0;
  }
  .stack > * + * {
    margin-block-start: var(--s4);
  }
  .stack-s > * + * {
    margin-block-start: var(--s2);
  }
  .page {
    max-inline-size: 40rem;
    margin-inline: auto;
    padding: var(--s5) var(--s4) var(--s10);
  }
  .page > * + * {
    margin-block-start: var(--s6);
  }
  .face {
    display: inline-grid;
    place-items: center;
    flex: none;
    inline-size: 2.5rem;
    block-size: 2.5rem;
    border-radius: var(--r-full);
    overflow: hidden;
    background: color-mix(in srgb, var(--tint, var(--primary)) 15%, var(--surface));
    color: color-mix(in srgb, var(--tint, var(--primary)) 82%, var(--ink));
    font: var(--w-medium) var(--t-small) / 1 var(--font-ui);
    letter-spacing: 0.02em;
  }
  .face.l {
    inline-size: 3.5rem;
    block-size: 3.5rem;
    font-size: var(--t-lead);
  }
  .face.s {
    inline-size: 2rem;
    block-size: 2rem;
    font-size: var(--t-meta);
  }
  .t1 {
    --tint: var(--tint-1);
  }
  .t2 {
    --tint: var(--tint-2);
  }
  .t3 {
    --tint: var(--tint-3);
  }
  .t4 {
    --tint: var(--tint-4);
  }
  .t5 {
    --tint: var(--tint-5);
  }
  .t6 {
    --tint: var(--tint-6);
  }
  .door {
    inline-size: 1.25rem;
    block-size: 1.25rem;
    flex: none;
    fill: none;
    stroke: var(--ink-2);
    stroke-width: 2;
    stroke-linejoin: round;
    stroke-linecap: round;
    overflow: visible;
  }
  .door .leaf {
    fill: var(--surface);
  }
  .door .knob {
    fill: var(--ink-2);
    stroke: none;
  }
  .door .light {
    fill: var(--lamp);
    stroke: none;
  }
  .door .slit {
    stroke: var(--lamp);
    stroke-width: 3.5;
  }
  .door .sign {
    fill: var(--surface);
  }
  .door.unknown {
    stroke: var(--ink-3);
    stroke-dasharray: 2.5 2.5;
  }
  .door.m {
    inline-size: 2.5rem;
    block-size: 2.5rem;
    stroke-width: 1.5;
  }
  .door.m .slit {
    stroke-width: 2.5;
  }
  .door.l {
    inline-size: 6.5rem;
    block-size: 6.5rem;
    stroke-width: 0.9;
    margin-inline-start: -0.75rem;
  }
  .brand {
    display: flex;
    align-items: center;
    gap: 0.5rem;
    font-family: var(--font-voice);
    color: var(--ink-2);
  }
  @media (max-width: 22.5rem) {
    .page {
      padding-inline: var(--s3);
    }
  }
  @media (forced-colors: active) {
    .face {
      border: 1px solid currentColor;
    }
    .door * {
      stroke: CanvasText;
    }
    .door .light {
      fill: Highlight;
      stroke: none;
      forced-color-adjust: none;
    }
  }
`;
