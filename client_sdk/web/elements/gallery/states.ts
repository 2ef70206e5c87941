/** Every element in every state it can be in. A test fails where an element has no entry. */

import { html, type TemplateResult } from "lit";
import { desk } from "./desk.ts";
import { live } from "./live.ts";
import { office } from "./office.ts";
import { screens } from "./screens.ts";
import { small } from "./small.ts";
import { threads } from "./threads.ts";

/** One state. fills: the element takes the whole height, as in an app. */
export interface Shown {
  readonly element: string;
  readonly state: string;
  readonly fills?: boolean;
  readonly draw: () => TemplateResult;
}

/** All of them. */
export const STATES: readonly Shown[] = [...screens, ...threads, ...office, ...live, ...desk, ...small];

/** A state's address in the gallery. */
export function nameOf({ element, state }: Shown): string {
  return `${element}/${state}`;
}

/** For a name that is not there. */
export const missing: TemplateResult = html`<p>There is no such state.</p>`;
