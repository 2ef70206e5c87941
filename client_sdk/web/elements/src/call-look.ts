/** The stage of a call, dark in both themes: faces need it, and a bright frame lights the room of the person on camera. */

import { type CSSResult, css } from "lit";

/** Top line, picture, sheets and dock; beside or below them what is written. */
export const callLook: CSSResult = css`
  :host {
    block-size: 100%;
    background: var(--stage);
  }
  .view {
    display: grid;
    grid-template-columns: minmax(0, 1fr);
    grid-template-rows: minmax(0, 1fr);
    block-size: 100%;
  }
  .stage {
    display: flex;
    flex-direction: column;
    min-block-size: 0;
    background: var(--stage);
    color: var(--stage-ink);
  }
  .topline {
    display: flex;
    align-items: center;
    gap: var(--s3);
    min-block-size: 3.75rem;
    padding: var(--s3) var(--s4);
  }
  .cn {
    font: var(--w-regular) var(--t-lead) / 1.5rem var(--font-voice);
  }
  .topline .meta {
    color: var(--stage-ink-2);
  }
  .quality {
    display: flex;
    align-items: center;
    gap: var(--s2);
    font-size: var(--t-meta);
    line-height: var(--lh-meta);
  }
  .quality[hidden] {
    display: none;
  }
  .bars {
    display: inline-flex;
    align-items: flex-end;
    gap: 2px;
    block-size: 0.875rem;
  }
  .bars i {
    inline-size: 4px;
    border-radius: 1px;
    background: var(--stage-line);
  }
  .bars i:nth-child(1) {
    block-size: 35%;
  }
  .bars i:nth-child(2) {
    block-size: 60%;
  }
  .bars i:nth-child(3) {
    block-size: 100%;
  }
  .bars i.on {
    background: var(--stage-ink);
  }
  .mid {
    position: relative;
    flex: 1;
    min-block-size: 0;
    background: var(--stage);
    overflow: hidden;
  }
  .remote {
    position: absolute;
    inset: 0;
    inline-size: 100%;
    block-size: 100%;
    object-fit: cover;
  }
  .remote.out {
    opacity: 0;
  }
  .voiceless {
    position: absolute;
    inset: 0;
    display: grid;
    place-content: center;
    justify-items: center;
    gap: var(--s3);
    padding: var(--s4);
    text-align: center;
    overflow: auto;
  }
  .voiceless .face {
    inline-size: 8.5rem;
    block-size: 8.5rem;
    font: 400 2.25rem/1 var(--font-voice);
    background: var(--stage-3);
    color: var(--stage-ink);
    overflow: visible;
  }
  .voiceless .face.speaks {
    outline: 2px solid var(--stage-lamp);
    outline-offset: 0.5rem;
  }
  .voiceless .voice {
    font-size: var(--t-title);
    line-height: var(--lh-title);
    margin-block-start: var(--s3);
  }
  .stage .small {
    color: var(--stage-ink-2);
  }
  .veil {
    position: absolute;
    inset: 0;
    background: rgb(21 16 18 / 0.74);
  }
  .sheet {
    position: absolute;
    z-index: 1;
    inset-inline: var(--s4);
    inset-block-end: var(--s4);
    max-block-size: calc(100% - 2 * var(--s4));
    overflow: auto;
    padding: var(--s5);
    border: 1px solid var(--stage-line);
    border-radius: var(--r3);
    background: var(--stage-2);
    color: var(--stage-ink);
  }
  .sheet .small {
    margin-block: 0.375rem var(--s4);
  }
  .sheet .row {
    margin-block-start: var(--s5);
  }
  .toast {
    inset-block: var(--s3) auto;
    display: flex;
    align-items: flex-start;
    gap: var(--s3);
    padding: var(--s3) var(--s3) var(--s3) var(--s4);
    font-size: var(--t-small);
    line-height: var(--lh-small);
  }
  .toast .tool {
    color: inherit;
    margin: -0.375rem -0.25rem -0.375rem auto;
    inline-size: 2rem;
    block-size: 2rem;
  }
  .toast .tool:hover {
    background: var(--stage-3);
  }
  .toast .inline {
    display: inline;
    padding: 0.125rem 0;
    border: 0;
    background: none;
    color: inherit;
    font-weight: var(--w-strong);
    text-decoration: underline;
    text-underline-offset: 0.2em;
    cursor: pointer;
  }
  .stage .btn.quiet {
    border-color: var(--stage-ink-2);
    color: var(--stage-ink);
  }
  .stage .btn.quiet:hover {
    background: var(--stage-3);
  }
  .stage .btn.primary {
    background: var(--stage-ink);
    color: var(--stage);
  }
  .steady {
    position: relative;
    block-size: 3px;
    border-radius: 2px;
    background: var(--stage-3);
    overflow: hidden;
  }
  .steady i {
    position: absolute;
    inset-block: 0;
    inline-size: 40%;
    border-radius: inherit;
    background: var(--stage-ink-2);
    animation: drift 2.4s ease-in-out infinite alternate;
  }
  @keyframes drift {
    from {
      inset-inline-start: 0;
    }
    to {
      inset-inline-start: 60%;
    }
  }
  .own {
    position: absolute;
    inset-block-end: var(--s4);
    inset-inline-end: var(--s4);
    display: grid;
    justify-items: end;
    gap: var(--s2);
  }
  .own video {
    inline-size: min(8.5rem, 34vw);
    aspect-ratio: 4 / 3;
    border: 1px solid var(--stage-line);
    border-radius: var(--r2);
    object-fit: cover;
    background: var(--stage-3);
    transform: scaleX(-1);
  }
  .selfmini {
    display: inline-flex;
    align-items: center;
    gap: var(--s2);
    min-block-size: var(--target);
    padding: 0.25rem 0.75rem 0.25rem 0.25rem;
    border: 1px solid var(--stage-line);
    border-radius: var(--r-full);
    background: rgb(21 16 18 / 0.82);
    color: #f5eef0;
    font-size: var(--t-small);
    line-height: 1.25rem;
    cursor: pointer;
  }
  .selfmini .face {
    background: var(--stage-3);
    color: var(--stage-ink);
  }
  .dockbar {
    display: flex;
    justify-content: space-between;
    align-items: flex-start;
    padding: var(--s3) var(--s4) calc(var(--s4) + env(safe-area-inset-bottom, 0px));
  }
  .ctl {
    min-inline-size: 3.75rem;
  }
  .sep {
    inline-size: 1px;
    block-size: 2.5rem;
    margin: 0.375rem var(--s3) 0;
    background: var(--stage-line);
  }
  .more-panel {
    inset-block: auto var(--s3);
    padding: var(--s2);
  }
  .more-panel.pad {
    padding: var(--s4) var(--s5) var(--s5);
  }
  .more-panel.pad .row {
    margin-block: 0 var(--s3);
  }
  .more-panel.pad p + .row {
    margin-block: var(--s4) 0;
  }
  .more-panel .tool {
    color: inherit;
  }
  .more-panel rapport-media-devices {
    color-scheme: dark;
  }
  .more-panel li button {
    display: flex;
    align-items: center;
    gap: var(--s3);
    inline-size: 100%;
    min-block-size: var(--target);
    padding: var(--s2) var(--s3);
    border: 0;
    border-radius: var(--r2);
    background: none;
    text-align: start;
    cursor: pointer;
  }
  .more-panel li button:hover {
    background: var(--stage-3);
  }
  .side {
    display: flex;
    flex-direction: column;
    min-inline-size: 0;
    min-block-size: 0;
    background: var(--bg);
    color: var(--ink);
  }
  .side header {
    display: flex;
    align-items: center;
    gap: var(--s2);
    min-block-size: 3rem;
    padding: 0 var(--s2) 0 var(--s4);
    border-block-end: 1px solid var(--line);
  }
  .side h2 {
    font-size: var(--t-lead);
  }
  ::slotted([slot="chat"]) {
    flex: 1;
    min-block-size: 0;
  }
  .desk {
    display: none;
  }
  .with-chat {
    grid-template-rows: minmax(0, 2fr) minmax(0, 3fr);
  }
  .with-chat .side {
    border-block-start: 4px solid var(--tint, var(--primary));
  }
  .with-chat .voiceless .face {
    display: none;
  }
  @media (max-width: 22.5rem) {
    .ctl {
      min-inline-size: 3.25rem;
    }
  }
  @media (min-width: 48rem) {
    .desk {
      display: flex;
    }
    .sep.desk {
      display: block;
    }
    .phone {
      display: none;
    }
    .topline {
      min-block-size: 4.5rem;
    }
    .dockbar {
      justify-content: center;
      gap: var(--s3);
    }
    .sheet {
      inset-inline: 0;
      margin-inline: auto;
      inline-size: min(25rem, calc(100% - 2 * var(--s4)));
    }
    .sheet.back {
      inset-block: 0;
      margin-block: auto;
      block-size: fit-content;
    }
    .toast {
      inset-block: var(--s4) auto;
    }
    .own video {
      inline-size: 12rem;
    }
  }
  @media (min-width: 56.25rem) {
    .with-chat {
      grid-template-columns: minmax(0, 1fr) 23rem;
      grid-template-rows: minmax(0, 1fr);
    }
    .with-chat .side {
      border-block-start: 0;
      border-inline-start: 4px solid var(--tint, var(--primary));
    }
    .side header {
      min-block-size: 4.5rem;
    }
    .with-chat .voiceless .face {
      display: inline-grid;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .steady i {
      animation: none;
      inline-size: 100%;
    }
  }
  @media (forced-colors: active) {
    .selfmini,
    .sheet {
      border: 1px solid ButtonBorder;
      background: Canvas;
      color: CanvasText;
    }
    .bars i {
      border: 1px solid CanvasText;
    }
    .bars i.on {
      forced-color-adjust: none;
      background: CanvasText;
    }
    .stage .btn.primary {
      background: ButtonFace;
      color: ButtonText;
    }
  }
`;
