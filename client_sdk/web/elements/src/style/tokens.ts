/**
 * The roles that every style sheet of the elements is written in: colour, type, space, shape and motion.
 *
 * A role holds for light and dark at once (`light-dark()`), so an element follows the `color-scheme` of the page it
 * stands in. A host program changes a colour for all elements with `--rapport-<role>`, for example `--rapport-primary`.
 */

import { type CSSResult, css } from "lit";

/** Declared on every element's host, and on `:root` where a page adopts the sheet too. */
export const tokens: CSSResult = css`
  :root,
  :host {
    --font-ui: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans Arabic", sans-serif;
    --font-voice: "Iowan Old Style", Charter, "Bitstream Charter", "Sitka Text", "Noto Serif", "Noto Naskh Arabic",
      Cambria, Georgia, serif;
    --font-code: ui-monospace, "SF Mono", "Cascadia Mono", "Roboto Mono", "DejaVu Sans Mono", monospace;
    --t-meta: 0.8125rem;
    --lh-meta: 1.125rem;
    --t-small: 0.875rem;
    --lh-small: 1.25rem;
    --t-body: 1rem;
    --lh-body: 1.5rem;
    --t-lead: 1.125rem;
    --lh-lead: 1.625rem;
    --t-title: 1.375rem;
    --lh-title: 1.75rem;
    --t-display: 1.75rem;
    --lh-display: 2.125rem;
    --t-clock: 2.25rem;
    --lh-clock: 2.5rem;
    --w-regular: 400;
    --w-medium: 500;
    --w-strong: 600;
    --s1: 0.25rem;
    --s2: 0.5rem;
    --s3: 0.75rem;
    --s4: 1rem;
    --s5: 1.25rem;
    --s6: 1.5rem;
    --s8: 2rem;
    --s10: 2.5rem;
    --target: 2.75rem;
    --measure: 34rem;
    --r1: 0.375rem;
    --r2: 0.625rem;
    --r3: 0.875rem;
    --r-bubble: 1.125rem;
    --r-full: 999px;
    --icon-stroke: 1.75;
    --m-quick: 120ms;
    --m-base: 200ms;
    --m-slow: 360ms;
    --ease: cubic-bezier(0.2, 0.7, 0.2, 1);

    --bg: var(--rapport-bg, light-dark(#f3f0ee, #181315));
    --surface: var(--rapport-surface, light-dark(#ffffff, #221c1f));
    --sunken: var(--rapport-sunken, light-dark(#e9e4e1, #2e272a));
    --line: var(--rapport-line, light-dark(#ddd5d1, #3b3236));
    --edge: var(--rapport-edge, light-dark(#857a76, #8f8188));
    --ink: var(--rapport-ink, light-dark(#241c20, #f2ebed));
    --ink-2: var(--rapport-ink-2, light-dark(#574b51, #c8bcc1));
    --ink-3: var(--rapport-ink-3, light-dark(#695d63, #aa9da3));
    --primary: var(--rapport-primary, light-dark(#6b2f4e, #e2a9c3));
    --primary-hover: var(--rapport-primary-hover, light-dark(#57243e, #eec3d6));
    --on-primary: var(--rapport-on-primary, light-dark(#ffffff, #3a1526));
    --mine: var(--rapport-mine, light-dark(#eedfe6, #4a2a3a));
    --on-mine: var(--rapport-on-mine, light-dark(#351a28, #fbecf2));
    --on-mine-2: var(--rapport-on-mine-2, light-dark(#69495a, #dcbccb));
    --lamp: light-dark(#d8952a, #e9ae4d);
    --lamp-soft: light-dark(#f9edd6, #3a2d17);
    --on-lamp: light-dark(#6b4504, #f3cf90);
    --good: light-dark(#35613f, #a1cba6);
    --good-soft: light-dark(#e2ece0, #21322a);
    --stop: light-dark(#9f3220, #f0a18e);
    --stop-hover: light-dark(#85281a, #f6bcae);
    --on-stop: light-dark(#ffffff, #43140b);
    --stop-soft: light-dark(#f8e5df, #43241d);
    --focus: light-dark(#1a5fb4, #8fbcff);
    --tint-1: light-dark(#8a5d12, #d9b06a);
    --tint-2: light-dark(#2f6672, #86bfcb);
    --tint-3: light-dark(#5f5294, #b5a9e6);
    --tint-4: light-dark(#4d6b35, #a5c58b);
    --tint-5: light-dark(#8d4a36, #e0a48f);
    --tint-6: light-dark(#43618f, #9db8e4);
    --stage: #151012;
    --stage-2: #241d20;
    --stage-3: #372e32;
    --stage-line: #51464b;
    --stage-ink: #f5eef0;
    --stage-ink-2: #cabec3;
    --stage-lamp: #efb95c;
    --stage-stop: #c8452e;
    --stage-focus: #a9ccff;
  }
  @media (forced-colors: active) {
    :root,
    :host {
      --bg: Canvas;
      --surface: Canvas;
      --sunken: Canvas;
      --line: CanvasText;
      --edge: ButtonBorder;
      --ink: CanvasText;
      --ink-2: CanvasText;
      --ink-3: CanvasText;
      --primary: ButtonText;
      --primary-hover: ButtonText;
      --on-primary: ButtonFace;
      --mine: Canvas;
      --on-mine: CanvasText;
      --on-mine-2: CanvasText;
      --lamp: Highlight;
      --lamp-soft: Canvas;
      --on-lamp: CanvasText;
      --good: CanvasText;
      --good-soft: Canvas;
      --stop: CanvasText;
      --stop-hover: CanvasText;
      --on-stop: Canvas;
      --stop-soft: Canvas;
      --focus: Highlight;
      --tint-1: CanvasText;
      --tint-2: CanvasText;
      --tint-3: CanvasText;
      --tint-4: CanvasText;
      --tint-5: CanvasText;
      --tint-6: CanvasText;
      --stage: Canvas;
      --stage-2: Canvas;
      --stage-3: Canvas;
      --stage-line: CanvasText;
      --stage-ink: CanvasText;
      --stage-ink-2: CanvasText;
      --stage-lamp: Highlight;
      --stage-stop: CanvasText;
      --stage-focus: Highlight;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    :root,
    :host {
      --m-quick: 0ms;
      --m-base: 0ms;
      --m-slow: 0ms;
    }
  }
  @media (prefers-contrast: more) {
    :root,
    :host {
      --line: var(--edge);
      --ink-3: var(--ink-2);
    }
  }
`;
