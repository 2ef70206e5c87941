/** Prekeys as the server keeps and hands them out. */

import { equal } from "../protocol/bytes.ts";
import type { DeviceEntry } from "../protocol/device-lists.ts";
import { Rejected } from "../protocol/errors.ts";
import type { AccountId, DeviceId } from "../protocol/ids.ts";
import { CLAIM_REMEMBERED_MS } from "../protocol/limits.ts";
import {
  checkLastResortKey,
  checkOneTimeBundle,
  checkSignedPrekey,
  parseLastResortKey,
  parseOneTimeBundle,
  parseSignedPrekey,
} from "../protocol/prekeys.ts";
import type { Bundle, Claim, Prekeys, PrekeysLeft, PrekeyUpload } from "../protocol/requests.ts";
import { contactsOf, type DeviceRecord, type Numbered, ownDevice, type Principal, type Store } from "./server-state.ts";

const ONE_TIME_STORED = 200;

/** Prekeys of one device that it has signed. replace: one-time bundles that are not among these are dropped. */
export interface CheckedPrekeys {
  readonly signed: Numbered | null;
  readonly lastResort: Numbered | null;
  readonly oneTime: readonly Numbered[];
  readonly replace: boolean;
}

/** Parsed and verified under the signing key of the device's listed entry. */
export function checkedPrekeys(
  account: AccountId,
  { device, dsig }: Pick<DeviceEntry, "device" | "dsig">,
  given: PrekeyUpload | Prekeys,
): CheckedPrekeys {
  let signed: Numbered | null = null;
  let lastResort: Numbered | null = null;
  if (given.signed !== null) {
    const prekey = parseSignedPrekey(given.signed);
    checkSignedPrekey(prekey, account, device, dsig);
    signed = [prekey.id, given.signed];
  }
  if (given.lastResort !== null) {
    const prekey = parseLastResortKey(given.lastResort);
    checkLastResortKey(prekey, account, device, dsig);
    lastResort = [prekey.id, given.lastResort];
  }
  const oneTime = given.oneTime.map((raw): Numbered => {
    const bundle = parseOneTimeBundle(raw);
    checkOneTimeBundle(bundle, account, device, dsig);
    return [bundle.id, raw];
  });
  if (new Set(oneTime.map(([id]) => id)).size < oneTime.length) {
    throw new Rejected("conflict", "a one-time bundle's id occurs twice");
  }
  return { signed, lastResort, oneTime, replace: "replace" in given && given.replace };
}

function newer(held: Numbered | null, uploaded: Numbered | null): Numbered | null {
  if (held === null || uploaded === null) {
    return held ?? uploaded;
  }
  if (held[0] === uploaded[0] && !equal(held[1], uploaded[1])) {
    throw new Rejected("conflict", "prekey id is taken");
  }
  return held[0] >= uploaded[0] ? held : uploaded;
}

/** Adds prekeys to those of a device; checks everything, then writes. */
export function addPrekeys(device: DeviceRecord | undefined, given: CheckedPrekeys): void {
  if (device === undefined) {
    return;
  }
  const fresh: Numbered[] = [];
  for (const [id, raw] of given.oneTime) {
    const known = device.oneTime.get(id);
    if (known !== undefined && !equal(known, raw)) {
      throw new Rejected("conflict", "prekey id is taken");
    }
    if (id > device.top) {
      fresh.push([id, raw]);
    }
  }
  const again = new Set(given.oneTime.map(([id]) => id));
  const kept = [...device.oneTime].filter(([id]) => !given.replace || again.has(id));
  if (kept.length + fresh.length > ONE_TIME_STORED) {
    throw new Rejected("too_many", "too many one-time bundles");
  }
  const signed = newer(device.signed, given.signed);
  const lastResort = newer(device.lastResort, given.lastResort);
  Object.assign(device, {
    signed,
    lastResort,
    oneTime: new Map([...kept, ...fresh]),
    top: Math.max(device.top, ...fresh.map(([id]) => id)),
  });
}

/** New prekeys of the asking device. */
export function uploadPrekeys(store: Store, who: Principal, request: PrekeyUpload): PrekeysLeft {
  const device = ownDevice(store, who);
  addPrekeys(device, checkedPrekeys(who.account, { device: who.device, dsig: device.dsig }, request));
  const others = [device.signed, device.lastResort].map((key) => key?.[0] ?? 0);
  return { oneTime: device.oneTime.size, highest: Math.max(0, device.top, ...others) };
}

/** One bundle per device; `allow` says whether the asker may still take one-time keys of a device. */
export function claimBundles(
  store: Store,
  who: Principal,
  { claim, devices }: Claim,
  allow: (device: DeviceId) => boolean,
): readonly Bundle[] {
  const now = store.now();
  const key = `${who.device}${claim}` as const;
  const earlier = store.state.claims.get(key);
  if (earlier !== undefined && earlier.at > now - CLAIM_REMEMBERED_MS) {
    return earlier.bundles;
  }
  const contacts = contactsOf(store, who.account);
  const bundles: Bundle[] = [];
  for (const device of new Set(devices)) {
    const record = store.state.devices.get(device);
    if (!record?.listed || !contacts.has(record.account) || record.signed === null || record.lastResort === null) {
      continue;
    }
    const least = Math.min(...record.oneTime.keys());
    const oneTime = record.oneTime.get(least);
    const taken = oneTime !== undefined && allow(device);
    if (taken) {
      record.oneTime.delete(least);
    }
    bundles.push({
      device,
      signed: record.signed[1],
      key: taken ? oneTime : record.lastResort[1],
      lastResort: !taken,
    });
  }
  store.state.claims.set(key, { at: now, bundles });
  return bundles;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** How many one-time keys one account may take of one device: 10 in any hour, 40 in any day, 200 an hour in all. */
export class ClaimLimits {
  readonly #times = new Map<string, number[]>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Whether the account may take one of the device now; if so, it is counted. */
  allow(account: AccountId, device: DeviceId): boolean {
    const now = this.#now();
    const pair = this.#timesOf(account + device);
    const all = this.#timesOf(account);
    const full = (times: number[], most: number, since: number) => times.filter((at) => at > since).length >= most;
    if (full(pair, 10, now - HOUR_MS) || full(pair, 40, now - DAY_MS) || full(all, 200, now - HOUR_MS)) {
      return false;
    }
    pair.push(now);
    all.push(now);
    return true;
  }

  #timesOf(key: string): number[] {
    const times = (this.#times.get(key) ?? []).filter((at) => at > this.#now() - DAY_MS);
    this.#times.set(key, times);
    return times;
  }
}
