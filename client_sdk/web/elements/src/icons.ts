/** Drawings on a 24 grid, stroke only; hidden from assistive technology, words stand beside or label them. */

import { html, type SVGTemplateResult, svg, type TemplateResult } from "lit";
import type { OfficeStatus } from "./views.ts";

const DRAWINGS = {
  again: svg`<path d="M19.500 12a7.500 7.500 0 1 1-2.200-5.300L19.500 9M19.500 4v5h-5"/>`,
  audio: svg`<path d="M4 10v4h3.500l4.500 4V6L7.500 10zM15.500 9a4.200 4.200 0 0 1 0 6M18 6.500a7.700 7.700 0 0 1 0 11"/>`,
  back: svg`<path d="M15 5l-7 7 7 7"/>`,
  bell: svg`<path d="M6 16.500V11a6 6 0 0 1 12 0v5.500l1.500 1.500h-15zM10 20.500a2.200 2.200 0 0 0 4 0"/>`,
  bellOff: svg`<path d="M8 7.500A6 6 0 0 1 18 11v4M6 11v5.500L4.500 18H16M10 20.500a2.200 2.200 0 0 0 4 0M4 4l16 16"/>`,
  bin: svg`<path d="M5 7h14M9.500 7V4.500h5V7M7 7l.8 12.500h8.400L17 7"/>`,
  calendar: svg`<rect x="3.500" y="5" width="17" height="15.500" rx="2"/><path d="M3.500 10h17M8 3v4M16 3v4"/>`,
  call: svg`<path d="M6 3.500h2.700l1.600 4.200-2 1.600a12 12 0 0 0 6.400 6.400l1.600-2 4.200 1.600V18a2.500 2.500 0 0 1-2.700 2.500A15.500 15.500 0 0 1 3.500 6.200 2.500 2.500 0 0 1 6 3.500z"/>`,
  camera: svg`<rect x="3" y="6.500" width="12.500" height="11" rx="2"/><path d="M15.500 10.500l5-3v9l-5-3"/>`,
  cameraOff: svg`<path d="M10 6.500h3.500a2 2 0 0 1 2 2v2l5-3v9l-1.500-.9M15.500 15.500a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2v-7a2 2 0 0 1 1.500-1.900M4 3l16 18"/>`,
  check: svg`<path d="M5 12.500l4.500 4.500L19 7.500"/>`,
  clock: svg`<circle cx="12" cy="12" r="8.500"/><path d="M12 7.500V12l3 2"/>`,
  copy: svg`<rect x="8.500" y="8.500" width="11.500" height="11.500" rx="2"/><path d="M15.500 8.500V6a2 2 0 0 0-2-2H6a2 2 0 0 0-2 2v7.500a2 2 0 0 0 2 2h2.500"/>`,
  cross: svg`<path d="M6 6l12 12M18 6L6 18"/>`,
  down: svg`<path d="M12 5v14M6 13l6 6 6-6"/>`,
  exit: svg`<path d="M10 4H6a2 2 0 0 0-2 2v12a2 2 0 0 0 2 2h4"/><path d="M10 12h10M16 8l4 4-4 4"/>`,
  eye: svg`<path d="M2.500 12C4.800 8 8.100 6 12 6s7.200 2 9.500 6c-2.300 4-5.600 6-9.500 6s-7.200-2-9.500-6z"/><circle cx="12" cy="12" r="2.750"/>`,
  go: svg`<path d="M9 5l7 7-7 7"/>`,
  hangUp: svg`<path d="M3.200 14.600c-.6-2.400 3.300-5.600 8.800-5.600s9.400 3.200 8.800 5.600l-.5 2-4.800-1v-2.700a12 12 0 0 0-7 0v2.700l-4.800 1z"/>`,
  home: svg`<path d="M4 11l8-6.500 8 6.500v8a1 1 0 0 1-1 1h-4.500v-5h-5v5H5a1 1 0 0 1-1-1z"/>`,
  key: svg`<circle cx="8" cy="15.500" r="4"/><path d="M11 12.500L20 3.500M16.500 7l2.500 2.500M14 9.500l1.500 1.500"/>`,
  laptop: svg`<rect x="4.500" y="5" width="15" height="10.500" rx="1.500"/><path d="M2.500 19h19"/>`,
  link: svg`<path d="M10 14a4 4 0 0 0 5.700 0l3.100-3.100a4 4 0 0 0-5.700-5.700L12 6.300M14 10a4 4 0 0 0-5.700 0l-3.100 3.100a4 4 0 0 0 5.700 5.700l1.100-1.100"/>`,
  lock: svg`<rect x="5" y="10.500" width="14" height="9.500" rx="2"/><path d="M8 10.500V8a4 4 0 0 1 8 0v2.500"/>`,
  mic: svg`<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3"/>`,
  micOff: svg`<path d="M15 9.5V6a3 3 0 0 0-5.7-1.3M9 9v2a3 3 0 0 0 4.6 2.5M5.500 11.500a6.500 6.500 0 0 0 10.400 5.200M18.400 13a6.600 6.600 0 0 0 .1-1.500M12 18v3M4 4l16 16"/>`,
  more: svg`<circle cx="5.500" cy="12" r="1.300" class="fill"/><circle cx="12" cy="12" r="1.300" class="fill"/><circle cx="18.500" cy="12" r="1.300" class="fill"/>`,
  offline: svg`<path d="M2.800 9.300A13.500 13.500 0 0 1 6.500 6.700M10.500 5.600a13.300 13.300 0 0 1 10.700 3.700M6.200 12.800a8.600 8.600 0 0 1 3.300-2M14.500 10.900a8.600 8.600 0 0 1 3.300 1.900M9.500 16.200a3.800 3.800 0 0 1 5 0M4 4l16 16"/><circle cx="12" cy="19" r="1" class="fill"/>`,
  pen: svg`<path d="M4 20l1-4L16.500 4.500l3 3L8 19z"/><path d="M14 7l3 3"/>`,
  people: svg`<circle cx="9" cy="8.500" r="3.500"/><path d="M2.800 19.500c.5-3.400 3-5.500 6.200-5.500s5.700 2.100 6.200 5.500M15.500 5.300a3.500 3.500 0 0 1 0 6.400M17.500 14.500c2 .7 3.400 2.500 3.700 5"/>`,
  phone: svg`<rect x="7" y="2.500" width="10" height="19" rx="2.200"/><path d="M11 18.500h2"/>`,
  plus: svg`<path d="M12 5v14M5 12h14"/>`,
  reply: svg`<path d="M9 6l-5 5 5 5M4.500 11H14a6 6 0 0 1 6 6v1.500"/>`,
  ring: svg`<circle cx="12" cy="12" r="9"/><circle cx="12" cy="12" r="3.75"/><path d="M5.7 5.7l3.6 3.6M14.7 14.7l3.6 3.6M18.3 5.7l-3.6 3.6M9.3 14.7l-3.6 3.6"/>`,
  search: svg`<circle cx="10.500" cy="10.500" r="6"/><path d="M15 15l5.500 5.500"/>`,
  send: svg`<path d="M12 19V5M6 11l6-6 6 6"/>`,
  sendBack: svg`<path d="M13 4h5a1.500 1.500 0 0 1 1.500 1.500V20M10.500 20H21M14 12H3.500M7.500 8l-4 4 4 4"/>`,
  settings: svg`<path d="M4 7h9M17 7h3M4 17h3M11 17h9"/><circle cx="15" cy="7" r="2"/><circle cx="9" cy="17" r="2"/>`,
  shield: svg`<path d="M12 3.500l7 2.500v5.500c0 4.300-2.900 7.400-7 9-4.100-1.600-7-4.700-7-9V6z"/><path d="M9 12l2.200 2.200L15.200 10"/>`,
  talk: svg`<path d="M5 4.500h14a1.500 1.500 0 0 1 1.500 1.500v9a1.500 1.500 0 0 1-1.500 1.500h-7L7.500 20.500v-4H5A1.500 1.500 0 0 1 3.500 15V6A1.500 1.500 0 0 1 5 4.500z"/>`,
  warning: svg`<path d="M12 4L2.800 19.500h18.400z"/><path d="M12 10v4.500M12 17.200v.1"/>`,
} as const satisfies Record<string, SVGTemplateResult>;

/** Name of a drawing. */
export type IconName = keyof typeof DRAWINGS;

/** A drawing. look: "s" 16 px, "l" 24 px, "flip" mirrored in right-to-left, or nothing (20 px). */
export function icon(name: IconName, look = ""): TemplateResult {
  return html`<svg class="icon ${look}" viewBox="0 0 24 24" aria-hidden="true">${DRAWINGS[name]}</svg>`;
}

const FRAME = svg`<path d="M7.500 28V5.200A1.200 1.200 0 0 1 8.700 4h14.600a1.200 1.200 0 0 1 1.200 1.200V28"/>`;
const FLOOR = svg`<path d="M3.500 28h25"/>`;
const LEAF = svg`<path class="leaf" d="M9.700 6h12.600v22H9.700z"/>`;
const STRING = svg`<path d="M16 8.500l-3.200 3.500M16 8.500l3.200 3.500" stroke-width="1"/>`;

/** One drawing, as open as the office is. */
const DOORS: Readonly<Record<OfficeStatus, SVGTemplateResult>> = {
  open: svg`<path class="light" d="M9.500 6h13v22h-13z"/><path class="light" opacity=".38" d="M15 28h7.500l5 3.500H18z"/>${FRAME}${FLOOR}<path class="leaf" d="M9.500 6l6.500 2.600v22L9.500 28z"/><circle class="knob" cx="14.200" cy="19.300" r=".9"/>`,
  in_session: svg`${FRAME}<path class="leaf" d="M9.700 6h12.600v20.600H9.700z"/><circle class="knob" cx="19.700" cy="17" r="1.100"/>${FLOOR}<path class="slit" d="M10.500 27.300h11"/>`,
  away: svg`${FRAME}${LEAF}${STRING}<rect class="sign" x="11.700" y="12" width="8.600" height="5" rx=".8"/><circle class="knob" cx="19.700" cy="20.500" r="1.100"/>${FLOOR}`,
  closed: svg`${FRAME}${LEAF}<circle class="knob" cx="19.700" cy="17.500" r="1.100"/>${FLOOR}`,
  on_leave: svg`${FRAME}${LEAF}${STRING}<rect class="sign" x="11.700" y="12" width="8.600" height="9" rx=".8"/><path d="M13.500 14.800h5M13.500 16.700h5M13.500 18.600h3" stroke-width="1"/>${FLOOR}`,
};

/**
 * The door, closed where nobody's presence is known: Rapport's mark. look: "l" large, "m" 32 px, or nothing (20 px).
 * Not mirrored from right to left.
 */
export function door(look = "", status: OfficeStatus | null = "closed"): TemplateResult {
  const unknown = status === null ? "unknown" : "";
  return html`<svg class="door ${look} ${unknown}" viewBox="0 0 32 32" aria-hidden="true">${DOORS[status ?? "closed"]}</svg>`;
}
