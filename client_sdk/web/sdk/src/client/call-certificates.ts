/**
 * Certificates of the calls that live, for a page that comes back to its call after a reload or a crash: the other side
 * refuses a connection with another one.
 *
 * A database of this origin beside the vault: pages have no keys of the vault, and the browser lets nobody read or seal a
 * certificate's key. It is of one call and deleted with its end; media of the past stay safe without it (DTLS agrees on
 * fresh keys). What cannot be kept is no harm: then a call cannot be come back to.
 */

import type { MessageId } from "../protocol/ids.ts";

const DATABASE = "rapport-call-certificates";
const STORE = "certificates";

function done<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

async function within<T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>): Promise<T | null> {
  if (typeof indexedDB === "undefined") {
    return null;
  }
  try {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    const database = await done(opening);
    try {
      return await done(work(database.transaction(STORE, mode).objectStore(STORE)));
    } finally {
      database.close();
    }
  } catch {
    return null; // the browser keeps nothing here
  }
}

/** Keeps the certificate of a call. */
export async function keepCertificate(call: MessageId, certificate: RTCCertificate): Promise<void> {
  await within("readwrite", (store) => store.put(certificate, call));
}

/** The certificate that this call began with on this device; null = it is not here. */
export async function keptCertificate(call: MessageId): Promise<RTCCertificate | null> {
  const kept = await within<unknown>("readonly", (store) => store.get(call));
  return typeof RTCCertificate !== "undefined" && kept instanceof RTCCertificate ? kept : null;
}

/** The call is over. */
export async function forgetCertificate(call: MessageId): Promise<void> {
  await within("readwrite", (store) => store.delete(call));
}

/** Forgets those of all calls but these: a page that was closed has left its own behind. */
export async function forgetOtherCertificates(calls: readonly MessageId[]): Promise<void> {
  const kept = (await within("readonly", (store) => store.getAllKeys())) ?? [];
  for (const call of kept) {
    if (!calls.includes(call as MessageId)) {
      await forgetCertificate(call as MessageId); // what they are kept under
    }
  }
}
