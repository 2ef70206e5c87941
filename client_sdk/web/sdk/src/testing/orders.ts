/** What a player process is told and what it answers: one JSON object per line, each way; `player.ts` says what it means. */

import type { Role } from "../protocol/requests.ts";

/** One line in; fields that an order does not need may be left out. */
export interface Order {
  readonly number: number;
  readonly order: string;
  readonly client: string;
  readonly link?: string;
  readonly name?: string;
  readonly role?: Role;
  readonly texts?: readonly string[];
  readonly text?: string;
  readonly rate?: number;
  readonly count?: number;
  readonly heard?: number;
}

/** One line out. problem: why the order was not carried out. */
export interface Reply {
  readonly number: number;
  readonly link?: string;
  readonly text?: string;
  readonly sent?: number;
  readonly problem?: string;
}
