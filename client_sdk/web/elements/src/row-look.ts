/** Rows of lists in the console: a face, a name, a line below, something at the end; the current one has its spine. */

import { type CSSResult, css } from "lit";

/** For lists of conversations. */
export const rowLook: CSSResult = css`
  .cl {
    position: relative;
    display: flex;
    align-items: center;
    gap: 0.625rem;
    inline-size: calc(100% + 1.25rem);
    min-block-size: 3.5rem;
    padding: 0.3125rem 0.625rem;
    margin-inline: -0.625rem;
    border: 0;
    border-radius: var(--r2);
    background: none;
    text-align: start;
    cursor: pointer;
  }
  .cl:hover {
    background: var(--sunken);
  }
  .cl[aria-current] {
    background: var(--surface);
    box-shadow: inset 0 0 0 1px var(--line);
  }
  .cl[aria-current]::before {
    content: "";
    position: absolute;
    inset-block: 0.5rem;
    inset-inline-start: 0;
    inline-size: 4px;
    border-radius: 2px;
    background: var(--tint);
  }
  .nm,
  .sub {
    display: block;
    white-space: nowrap;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  .nm {
    font-weight: var(--w-medium);
    font-size: 0.9375rem;
    line-height: 1.25rem;
  }
  .fresh .nm {
    font-weight: var(--w-strong);
  }
  .sub {
    font-size: var(--t-meta);
    line-height: 1.125rem;
    color: var(--ink-3);
  }
  .fresh .sub {
    color: var(--ink);
  }
  .sub.bad {
    color: var(--stop);
  }
  .at {
    display: grid;
    justify-items: end;
    font-size: var(--t-meta);
    line-height: 1.125rem;
    color: var(--ink-2);
    white-space: nowrap;
  }
  .new {
    font-weight: var(--w-strong);
    color: var(--ink);
  }
  @media (forced-colors: active) {
    .cl[aria-current] {
      outline: 2px solid Highlight;
      outline-offset: -2px;
    }
  }
`;
