/**
 * What this device says about a call: steps to the server, with a sealed description where one belongs, and sealed posts.
 *
 * A description is sealed once for the device in the call; whenever it is said again the bytes are the same, so that it
 * arrives once. Source: docs/protocol.md, sections 20.1 to 20.3.
 */

import type { DeviceEffect } from "../../calls/device-events.ts";
import type { MessageId } from "../../protocol/ids.ts";
import type { Direct } from "../../protocol/messages.ts";
import { compose } from "../composing.ts";
import { listedDevices } from "../contacts.ts";
import { sealContent } from "../directs.ts";
import { CALLS, type CallRow } from "../vault/call-records.ts";
import * as errands from "../vault/errands.ts";
import type { Turn } from "../vault/turn.ts";
import { noteWord } from "./call-bubbles.ts";
import { isHere } from "./calls-shown.ts";

/** A description waits so long on the server for its device; a restart longer, since the network has just changed. */
const DESCRIPTION_MS = 60_000;
const RESTART_MS = 120_000;
/** `keep` is said for a page that was heard of within this time: one that is gone leaves its call. */
export const PAGE_HEARD_MS = 10_000;

/** Says a step of the call; without a connection it is lost, and the machine says it again. */
export function sayStep(turn: Turn, call: MessageId, step: string, withDescription: boolean): void {
  const row = CALLS.need(turn.tx, call);
  if (step === "keep" && isHere(row) && row.pageMs + PAGE_HEARD_MS < turn.nowMs) {
    return;
  }
  const direct = withDescription ? describedDirect(turn, call, row, step) : null;
  turn.send({ tag: "call", call, step, direct });
}

/**
 * Our newest description for the device in the call; null while there is none, or none that it can be sealed for: the
 * server names the device, so it must be a listed one of the other person.
 */
function describedDirect(turn: Turn, call: MessageId, row: CallRow, step: string): Direct | null {
  const { ours, machine, conv, other } = row;
  const device = machine.theirs;
  if (ours === null || device === null) {
    return null;
  }
  if (ours.direct !== null && ours.device === device) {
    return ours.direct;
  }
  if (!listedDevices(turn, other).includes(device)) {
    errands.plan(turn, "lists", other);
    return null;
  }
  const { description, restart } = ours;
  const content = { type: "call.description", call, description, restart } as const;
  const sealed = sealContent(turn, conv, device, content, restart ? RESTART_MS : DESCRIPTION_MS);
  if (sealed === null) {
    return null;
  }
  const { id: message, key, direct } = sealed;
  const after = { ...row, ours: { ...ours, message, key, direct, device, step } };
  CALLS.put(turn.tx, call, after, { order: machine.entry.atMs });
  return direct;
}

/** Tells the members, sealed, what has come of the call here. */
export function postWord(turn: Turn, call: MessageId, effect: Extract<DeviceEffect, { tag: "post" }>): void {
  const { conv, machine } = CALLS.need(turn.tx, call);
  const by = { account: turn.me.account, device: turn.me.device };
  switch (effect.what) {
    case "accepted":
      compose(turn, conv, { type: "call.accepted", call });
      noteWord(turn, conv, call, { accepted: by });
      break;
    case "declined":
      compose(turn, conv, { type: "call.declined", call, busy: effect.busy });
      noteWord(turn, conv, call, { declined: { account: by.account, busy: effect.busy } });
      break;
    case "summary": {
      const { endedMs: ended, reason } = effect;
      const began = machine.connectedMs; // 0: the two were never connected
      compose(turn, conv, { type: "call.summary", call, began, ended, reason: reason ?? "" });
      const summary = { account: by.account, began, ended, reason: reason ?? "", seq: Number.MAX_SAFE_INTEGER };
      noteWord(turn, conv, call, { summary });
    }
  }
}
