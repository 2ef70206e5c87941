/** How a line above the screen looks that leads to something that goes on elsewhere. */

import { css } from "lit";

export const lineLook = css`
  .line {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--s2) var(--s3);
    padding: var(--s2) var(--s4);
    background: var(--sunken);
    border-block-end: 1px solid var(--line);
    font-size: var(--t-small);
    line-height: var(--lh-small);
  }
  .line .words {
    flex: 1 1 14rem;
    display: flex;
    gap: 0.625rem;
  }
`;
