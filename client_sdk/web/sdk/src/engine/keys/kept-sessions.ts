/** Where ratchet sessions are kept: by device and session id, so that nobody can speak in another device's session. */

import type { Session } from "../../crypto/ratchet.ts";
import type { Transaction } from "../../ports.ts";
import type { DeviceId, SessionId } from "../../protocol/ids.ts";
import { Table } from "../vault/tables.ts";

/** By device and session id; group: device; order: when it was made. */
const SESSIONS = new Table<Session>("session", { stopped: false });

/** The session of that id with that device, or null. */
export function getSession(tx: Transaction, device: DeviceId, sid: SessionId): Session | null {
  return SESSIONS.get(tx, device + sid);
}

/** Keeps the newest state of a session with `device`. */
export function putSession(tx: Transaction, device: DeviceId, session: Session): void {
  SESSIONS.put(tx, device + session.sid, session, { group: device, order: session.createdMs });
}

/** All sessions with a device, oldest first. */
export function sessionsOf(tx: Transaction, device: DeviceId): Session[] {
  return SESSIONS.list(tx, device).map(([, session]) => session);
}

/** Forgets a session for good. */
export function deleteSession(tx: Transaction, device: DeviceId, sid: SessionId): void {
  SESSIONS.delete(tx, device + sid);
}
