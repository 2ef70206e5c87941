/** How the test before an appointment is drawn. */

import { type CSSResult, css } from "lit";

/** Rows, the level of the microphone, steps. */
export const precallLook: CSSResult = css`
  .checks {
    margin-block-start: var(--s2);
  }
  .check {
    display: flex;
    flex-wrap: wrap;
    gap: var(--s1) var(--s3);
    align-items: flex-start;
    padding-block: var(--s3);
  }
  .check > .grow {
    flex-basis: 10rem;
  }
  .check + .check {
    border-block-start: 1px solid var(--line);
  }
  .check > .icon {
    margin-block-start: 0.125rem;
  }
  .check.works > .icon {
    color: var(--good);
  }
  .check.needs > .icon {
    color: var(--stop);
  }
  .check .btn.plain {
    margin-inline-end: -0.25rem;
  }
  .check .grow .btn.plain {
    margin-inline-start: -0.75rem;
  }
  .level {
    display: flex;
    gap: 3px;
    align-items: center;
    block-size: 0.75rem;
    margin-block-start: 0.375rem;
  }
  .level i {
    flex: 1;
    max-inline-size: 0.75rem;
    block-size: 0.375rem;
    border-radius: 2px;
    background: var(--sunken);
  }
  .level i.on {
    background: var(--good);
  }
  .input.compact {
    min-block-size: 2.5rem;
    padding: 0.3125rem 0.5rem;
    margin-block-start: var(--s1);
  }
  .seg {
    margin-block-start: var(--s1);
  }
  .after {
    margin-block-start: var(--s2);
  }
  .steps {
    counter-reset: step;
  }
  .steps li {
    counter-increment: step;
    display: flex;
    gap: var(--s3);
    padding-block: var(--s2);
    align-items: baseline;
  }
  .steps li::before {
    content: counter(step);
    font-family: var(--font-voice);
    color: var(--ink-3);
    min-inline-size: 1rem;
  }
  .steps .icon {
    vertical-align: -0.15em;
  }
  @media (forced-colors: active) {
    .level i {
      border: 1px solid CanvasText;
    }
    .level i.on {
      forced-color-adjust: none;
      background: CanvasText;
    }
  }
`;
