/** The style sheet of the editor of office hours and its parts. */

import { type CSSResult, css } from "lit";

/** Rows of a week, forms that open below a row. */
export const hoursLook: CSSResult = css`
  .drow {
    display: grid;
    grid-template-columns: 6.5rem minmax(0, 1fr) 17rem;
    gap: var(--s4);
    align-items: center;
    min-block-size: 3rem;
    border-block-start: 1px solid var(--line);
  }
  .axis {
    min-block-size: 1.5rem;
    border: 0;
  }
  .axis svg,
  .trk {
    display: block;
    inline-size: 100%;
    overflow: visible;
  }
  .axis svg {
    block-size: 1.25rem;
  }
  .axis text {
    font: var(--w-regular) var(--t-meta) / 1 var(--font-ui);
    fill: var(--ink-3);
    text-anchor: middle;
  }
  .trk {
    block-size: 1.5rem;
    border-radius: var(--r1);
    background: var(--sunken);
    overflow: hidden;
  }
  .trk rect {
    fill: var(--primary);
  }
  .times {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.375rem;
    padding-block: 0.375rem;
  }
  .times .mini {
    margin-inline-start: auto;
  }
  .time {
    min-block-size: 2rem;
    padding: 0.125rem 0.5rem;
    border: 1px solid var(--edge);
    border-radius: var(--r1);
    background: var(--surface);
    font-size: var(--t-small);
    cursor: pointer;
    white-space: nowrap;
  }
  .time:hover {
    background: var(--sunken);
  }
  .tool.mini {
    inline-size: 2rem;
    block-size: 2rem;
  }
  .editing {
    display: flex;
    flex-wrap: wrap;
    align-items: flex-end;
    gap: var(--s3);
    padding-block: 0 var(--s3);
  }
  .editing .field {
    flex: none;
  }
  .editing .meta {
    flex-basis: 100%;
  }
  .input.compact {
    min-block-size: 2.25rem;
    padding: 0.3125rem 0.5rem;
    inline-size: auto;
    max-inline-size: 100%;
  }
  .dense .item {
    min-block-size: 0;
    padding-block: 0.5rem;
  }
  .dense .tool {
    margin-inline-end: -0.5rem;
  }
  .small.sub {
    display: block;
  }
  .pair {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--s1) var(--s3);
    min-block-size: var(--target);
  }
  .pair .grow {
    flex-basis: 8rem;
  }
  .pair + .pair {
    margin-block-start: var(--s1);
  }
  .rule {
    block-size: 1px;
    border: 0;
    background: var(--line);
    margin-block: var(--s3);
  }
  .tick {
    display: flex;
    align-items: center;
    gap: var(--s2);
    min-block-size: 2rem;
  }
  .tick input {
    flex: none;
    inline-size: 1.5rem;
    block-size: 1.5rem;
    margin: 0;
    accent-color: var(--primary);
  }
  @media (max-width: 45rem) {
    .axis {
      display: none;
    }
    .drow {
      grid-template-columns: 6.25rem 1fr;
      align-items: start;
      padding-block: 0.625rem;
      gap: 0.5rem var(--s2);
    }
    .drow .label {
      padding-block: 0.375rem;
    }
    .trk {
      grid-row: 2;
      grid-column: 1 / -1;
      block-size: 0.5rem;
    }
    .times {
      grid-column: 2;
      grid-row: 1;
      display: grid;
      grid-template-columns: 1fr 2rem;
      justify-items: start;
      padding-block: 0;
    }
    .times .mini {
      grid-column: 2;
      grid-row: 1;
    }
    .times .time,
    .times .meta {
      grid-column: 1;
    }
    .times .meta {
      padding-block: 0.375rem;
    }
  }
  @media (forced-colors: active) {
    .trk {
      forced-color-adjust: none;
      border: 1px solid CanvasText;
      background: Canvas;
    }
    .trk rect {
      fill: CanvasText;
    }
    .axis text {
      fill: CanvasText;
    }
  }
`;
