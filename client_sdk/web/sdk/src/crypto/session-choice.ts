/**
 * Which session to send on, and when to start a fresh one: pure rules over session values.
 *
 * Two devices can hold several sessions at once: both started at the same time, one was renewed, one was lost. All of
 * them stay able to receive; for sending both sides must settle on one without asking each other.
 *
 * Source: docs/protocol.md, chapter 6.
 */

import { type Session, SKIPPED_LIFE_MS } from "./ratchet.ts";

/** A session older than this is renewed, if its peer was heard within the same time. */
export const RENEW_AFTER_MS = 7 * 86_400_000;
/** A session with more messages than this is renewed, if its peer was heard within 7 days. */
export const RENEW_AFTER_MESSAGES = 100;
/** This many messages without an answer renew a session too: half of what a receiver may skip. */
export const RENEW_UNANSWERED = 1000;
/** An unconfirmed session of our own younger than a day counts as the renewal under way. */
const RETRY_RENEWAL_MS = 86_400_000;
const HEARTBEAT_RECEIVED = 40;
const HEARTBEAT_MS = 7 * 86_400_000;

/** The session with the largest time; of equal ones that with the smallest id. */
function latest(sessions: readonly Session[], time: (held: Session) => number): Session | null {
  return sessions.reduce<Session | null>((best, held) => {
    if (best === null || time(held) > time(best)) {
      return held;
    }
    return time(held) === time(best) && held.sid < best.sid ? held : best;
  }, null);
}

/**
 * The session to send on, null if there is none. Stopped ones count for nothing.
 *
 * Confirmed before unconfirmed; among confirmed ones the one last received on. Without a confirmed one: the newest that
 * we started or, if the peer started one too, the one with the smaller id of the two, which is the same on both sides.
 * One with 1,000 unanswered messages comes last.
 */
export function sendingSession(sessions: readonly Session[]): Session | null {
  const sending = sessions.filter((held) => !held.stopped);
  const fresh = sending.filter((held) => held.unanswered < RENEW_UNANSWERED);
  const usable = fresh.length ? fresh : sending;
  const confirmed = usable.filter((held) => held.confirmed);
  if (confirmed.length) {
    return latest(confirmed, (held) => held.receivedMs);
  }
  const [own, theirs] = [true, false].map((side) =>
    latest(
      usable.filter((held) => held.initiated === side),
      (held) => held.createdMs,
    ),
  );
  if (!own || !theirs) {
    return own ?? theirs ?? null;
  }
  return own.sid < theirs.sid ? own : theirs;
}

/** Whether the next send should start a new session (claim a bundle) instead of using `sendingSession`. */
export function renewalDue(sessions: readonly Session[], nowMs: number): boolean {
  const current = sendingSession(sessions);
  if (current === null) {
    return true;
  }
  const underWay = sessions.some(
    (held) => held.initiated && !held.confirmed && held !== current && nowMs - held.createdMs < RETRY_RENEWAL_MS,
  );
  if (underWay) {
    return false;
  }
  if (current.unanswered >= RENEW_UNANSWERED) {
    return true;
  }
  const heard = current.receivedMs > 0 && nowMs - current.receivedMs <= RENEW_AFTER_MS;
  return heard && (nowMs - current.createdMs > RENEW_AFTER_MS || current.messages > RENEW_AFTER_MESSAGES);
}

/** Whether to send an empty message, so that the peer's ratchet turns: 40 received, or 7 days, without sending. */
export function heartbeatDue(session: Session, nowMs: number): boolean {
  if (session.unreturned === 0) {
    return false;
  }
  return session.unreturned >= HEARTBEAT_RECEIVED || nowMs - session.receivedMs > HEARTBEAT_MS;
}

/** Whether a session that is no longer sent on must still be kept: 97 days after its last use. */
export function receivable(session: Session, nowMs: number): boolean {
  return nowMs - Math.max(session.createdMs, session.receivedMs) <= SKIPPED_LIFE_MS;
}
