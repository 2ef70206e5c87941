/** The thread's own style sheet. */

import { type CSSResult, css } from "lit";

/** Bubbles, states, day marks and what floats above them. */
export const threadLook: CSSResult = css`
  :host {
    position: relative;
    display: flex;
    flex-direction: column;
    min-block-size: 0;
    background: var(--bg);
  }
  .log {
    flex: 1;
    min-block-size: 0;
    overflow: auto;
    overscroll-behavior: contain;
    overflow-anchor: none;
  }
  .log:focus-visible {
    outline-offset: -3px;
  }
  .thread {
    max-inline-size: 44rem;
    min-block-size: 100%;
    margin-inline: auto;
    padding: var(--s4);
    display: flex;
    flex-direction: column;
    justify-content: flex-end;
    gap: var(--s1);
  }
  .earlier {
    align-self: center;
    margin-block-end: auto;
  }
  .day {
    align-self: center;
    margin-block: var(--s5) var(--s2);
    font-size: var(--t-meta);
    line-height: var(--lh-meta);
    color: var(--ink-3);
  }
  .empty {
    margin-block: auto;
    align-self: center;
    max-inline-size: 24rem;
    text-align: center;
  }
  .msg {
    position: relative;
    max-inline-size: min(84%, 30rem);
    align-self: flex-start;
    display: flex;
    flex-direction: column;
    align-items: flex-start;
  }
  .msg.mine {
    align-self: flex-end;
    align-items: flex-end;
  }
  .msg.gap {
    margin-block-start: var(--s3);
  }
  .msg:focus-visible {
    outline-offset: 3px;
    border-radius: var(--r-bubble);
  }
  .bubble {
    max-inline-size: 100%;
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: var(--r-bubble);
    padding: 0.5625rem 0.875rem;
    text-wrap: pretty;
  }
  .words {
    white-space: pre-wrap;
    overflow-wrap: anywhere;
  }
  .msg.last:not(.mine) > .bubble {
    border-end-start-radius: var(--r1);
  }
  .mine > .bubble {
    background: var(--mine);
    border-color: transparent;
    color: var(--on-mine);
  }
  .mine.last > .bubble {
    border-end-end-radius: var(--r1);
  }
  .mine > .bubble a {
    color: inherit;
  }
  .bubble.ghost {
    background: none;
    border: 1px dashed var(--edge);
    color: var(--ink-2);
    display: flex;
    gap: 0.625rem;
    align-items: flex-start;
  }
  .bubble.ghost .icon {
    margin-block-start: 0.125rem;
  }
  .reply {
    display: block;
    border-inline-start: 2px solid currentColor;
    padding-inline-start: 0.625rem;
    margin-block-end: 0.375rem;
    font-size: var(--t-small);
    line-height: var(--lh-small);
    color: var(--ink-2);
  }
  .mine .reply,
  .mine .changed {
    color: var(--on-mine-2);
  }
  .clip {
    display: -webkit-box;
    -webkit-box-orient: vertical;
    -webkit-line-clamp: 2;
    overflow: hidden;
  }
  .changed {
    display: block;
  }
  .urgent {
    display: flex;
    align-items: center;
    gap: var(--s1);
    color: inherit;
    font-weight: var(--w-strong);
  }
  .reactions {
    display: flex;
    flex-wrap: wrap;
    gap: var(--s1);
    margin: -0.25rem 0.5rem 0;
  }
  .reactions .pill {
    border: 1px solid var(--line);
    background: var(--surface);
    max-inline-size: 12rem;
    overflow: hidden;
  }
  .state {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: 0.3125rem;
    margin: 0.25rem 0.375rem 0;
    font-size: var(--t-meta);
    line-height: var(--lh-meta);
    color: var(--ink-3);
  }
  .mine > .state {
    justify-content: flex-end;
  }
  .state.bad {
    color: var(--stop);
    font-weight: var(--w-medium);
  }
  .again {
    border: 0;
    background: none;
    padding: 0.1875rem 0.25rem;
    min-block-size: 1.5rem;
    color: var(--stop);
    font-weight: var(--w-strong);
    text-decoration: underline;
    text-underline-offset: 0.18em;
    cursor: pointer;
  }
  .more {
    position: absolute;
    inset-block-start: 0.1875rem;
    inset-inline-start: calc(100% + 0.125rem);
    inline-size: 2.25rem;
    block-size: 2.25rem;
    opacity: 0;
  }
  .mine > .more {
    inset-inline: auto calc(100% + 0.125rem);
  }
  .msg:hover > .more,
  .msg:focus-within > .more,
  .more[aria-expanded="true"] {
    opacity: 1;
  }
  .acts {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--s2);
    margin-block: var(--s2);
  }
  .acts .btn {
    background: var(--surface);
  }
  .acts .btn.stop {
    background: var(--stop);
  }
  .mine > .acts {
    justify-content: flex-end;
  }
  .system {
    align-self: flex-start;
    display: flex;
    gap: 0.5rem;
    align-items: flex-start;
    max-inline-size: 30rem;
    margin-block: var(--s3);
    font-size: var(--t-meta);
    line-height: var(--lh-meta);
    color: var(--ink-2);
  }
  .inline {
    display: inline;
    border: 0;
    background: none;
    padding: 0;
    color: var(--primary);
    text-align: start;
    text-decoration: underline;
    text-underline-offset: 0.18em;
    text-decoration-thickness: 1px;
    cursor: pointer;
  }
  .msg.welcome {
    max-inline-size: none;
    inline-size: 100%;
    align-items: stretch;
    margin-block-end: var(--s2);
  }
  .welcome .row {
    gap: var(--s4);
  }
  .welcome .about {
    white-space: pre-line;
  }
  .welcome .own {
    color: var(--ink-2);
    margin-block-end: var(--s1);
  }
  .welcome .lock {
    align-items: flex-start;
    gap: var(--s2);
  }
  .lock .icon {
    margin-block-start: 0.125rem;
  }
  rapport-aside {
    margin-block: var(--s2) var(--s1);
    max-inline-size: 100%;
  }
  .msg > rapport-aside {
    margin-block: 0;
  }
  .msg.welcome:focus-visible {
    border-radius: var(--r3);
  }
  .typing {
    margin: var(--s2) 0.375rem 0;
  }
  .below {
    position: absolute;
    inset-block-end: var(--s3);
    inset-inline: 0;
    margin-inline: auto;
    inline-size: fit-content;
    background: var(--surface);
    border-color: var(--edge);
    border-radius: var(--r-full);
    box-shadow: 0 1px 2px rgb(0 0 0 / 0.08), 0 8px 24px -8px rgb(0 0 0 / 0.3);
  }
  @media (max-width: 22.5rem) {
    .thread {
      padding-inline: var(--s3);
    }
  }
  @media (forced-colors: active) {
    .bubble {
      border: 1px solid ButtonBorder;
    }
    .mine > .bubble {
      border-color: ButtonBorder;
    }
    .bubble.ghost {
      border-style: dashed;
    }
  }
`;
