/** The style sheet of both sides of linking. */

import { type CSSResult, css } from "lit";

/** The square, the code and the digits. */
export const linkLook: CSSResult = css`
  .linker {
    display: flex;
    align-items: center;
    gap: var(--s4);
  }
  .qr {
    inline-size: 10rem;
    block-size: 10rem;
    flex: none;
    background: #fff;
    fill: #241c20;
    border-radius: var(--r2);
    forced-color-adjust: none;
  }
  .code {
    display: grid;
    grid-template-columns: repeat(4, 1fr);
    gap: 0.5rem 0.75rem;
    justify-items: center;
    padding: var(--s4) var(--s3);
    border-radius: var(--r2);
    background: var(--sunken);
    font: var(--w-regular) var(--t-lead) / var(--lh-lead) var(--font-code);
    direction: ltr;
  }
  .digits {
    font: var(--w-regular) var(--t-display) / var(--lh-display) var(--font-code);
    letter-spacing: 0.12em;
    padding: var(--s4);
    border-radius: var(--r2);
    background: var(--sunken);
    text-align: center;
    direction: ltr;
    unicode-bidi: isolate;
  }
  .input.six {
    max-inline-size: 12rem;
    font-family: var(--font-code);
    letter-spacing: 0.12em;
    direction: ltr;
  }
  .input.typed {
    font-family: var(--font-code);
    direction: ltr;
  }
  @media (max-width: 22.5rem) {
    .linker {
      flex-direction: column;
      align-items: flex-start;
    }
    .code {
      font-size: var(--t-body);
      gap: 0.5rem;
      padding-inline: var(--s2);
    }
  }
`;
