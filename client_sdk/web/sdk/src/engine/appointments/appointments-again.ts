/**
 * After a restore: rows of our appointments that the server lacks are put again, and nobody is told.
 *
 * A row goes up by one version at a time, so it is put until it has the version of the sealed post. Several devices may do
 * that at once: a conflict only says that another one was faster.
 *
 * Source: docs/protocol.md, chapter 22 and section 12.9.
 */

import { concat } from "../../protocol/bytes.ts";
import type { Rejected } from "../../protocol/errors.ts";
import { type AppointmentId, idBytes } from "../../protocol/ids.ts";
import type { Appointments } from "../../protocol/meeting.ts";
import { accountsOf } from "../conversations.ts";
import type { Errand } from "../vault/errands.ts";
import * as errands from "../vault/errands.ts";
import { CONVERSATIONS } from "../vault/records.ts";
import { type Call, makeCall, type Turn } from "../vault/turn.ts";
import { inGrace } from "../vault/upkeep.ts";
import { APPOINTMENTS, type AppointmentRecord, recordOf, type Said, standing, takeRows } from "./appointments.ts";

/** The server has just shown its rows: those of ours that a restored server lacks are put again. */
export function bringBack(turn: Turn): void {
  if (!inGrace(turn)) {
    return;
  }
  for (const [, record] of APPOINTMENTS.list(turn.tx, "", { above: turn.nowMs })) {
    if (lacking(turn, record) !== null) {
      errands.plan(turn, "appointment_again", record.id);
    }
  }
}

/** What was sealed last, if the server has less; one that is cancelled and unknown there matters to nobody. */
function lacking(turn: Turn, record: AppointmentRecord): Said | null {
  const said = standing(turn, record.id);
  if (said === null || record.host !== turn.me.account || record.put !== "" || said.start <= turn.nowMs) {
    return null;
  }
  const { row } = record;
  return (row?.times.version ?? 0) < said.version && (row !== null || !said.cancelled) ? said : null;
}

/** Asks for the next version of a row, with what was sealed last. */
export function againCall(turn: Turn, errand: Errand): Call | null {
  const appointment = errand.subject as AppointmentId;
  const record = recordOf(turn, appointment);
  const said = lacking(turn, record);
  const conversation = record.conv === null ? null : CONVERSATIONS.get(turn.tx, record.conv);
  if (said === null || conversation === null) {
    errands.drop(turn, "appointment_again", appointment);
    return null;
  }
  const { start: startMs, minutes, modality, zone, series, movedFrom: movedFromMs, cancelled } = said;
  const members = concat(...accountsOf(turn, conversation).sort().map(idBytes));
  const version = (record.row?.times.version ?? 0) + 1;
  const { conv } = conversation;
  const times = {
    appointment,
    conv,
    version,
    startMs,
    minutes,
    modality,
    zone,
    members,
    series,
    movedFromMs,
    cancelled,
  };
  return makeCall(errands.keyOf(errand), "appointment.put", { body: { appointments: [times] } });
}

/** The row is one version further; the next one follows if it is not there yet. */
export function againTaken(turn: Turn, { subject }: Errand, answer: Appointments): void {
  errands.drop(turn, "appointment_again", subject);
  takeRows(turn, answer.appointments);
  if (lacking(turn, recordOf(turn, subject as AppointmentId)) !== null) {
    errands.plan(turn, "appointment_again", subject);
  }
}

/** Somebody was faster; or the conversation itself is not back yet, and it is tried again later. */
export function againRefused(turn: Turn, errand: Errand, refusal: Rejected): void {
  if (refusal.code === "conflict") {
    errands.drop(turn, "appointment_again", errand.subject);
    errands.plan(turn, "appointments", errand.subject);
  } else {
    errands.postpone(turn, errand);
  }
}
