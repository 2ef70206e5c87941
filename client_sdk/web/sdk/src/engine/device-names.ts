/**
 * What people call their devices, and the devices of an account as hosts see them.
 *
 * A name is sealed in the profile that every device posts; the server knows none. Source: docs/protocol.md, section 4.8.
 */

import type { Device } from "../events.ts";
import type { AccountId, DeviceId } from "../protocol/ids.ts";
import type { Profile } from "./bodies/content.ts";
import { accountOf, newestList, rename } from "./contacts.ts";
import type { OpenedMessage } from "./opening.ts";
import { CONTACTS, SETTINGS } from "./vault/records.ts";
import { amend, Table } from "./vault/tables.ts";
import type { Turn } from "./vault/turn.ts";

/** atMs: when it was given, by the server's clock. */
export interface DeviceName {
  readonly label: string;
  readonly atMs: number;
}

/** By device. */
export const DEVICE_NAMES = new Table<DeviceName>("device_name");
/** By account; atMs: of the newest profile of it that was taken. */
const PROFILES = new Table<{ readonly atMs: number }>("profile");

/** The device is called this; the newest name counts, whatever order they arrive in. */
export function noteName(turn: Turn, device: DeviceId, label: string, atMs: number): void {
  const held = DEVICE_NAMES.get(turn.tx, device);
  if (held === null || atMs >= held.atMs) {
    DEVICE_NAMES.put(turn.tx, device, { label, atMs });
  }
}

/** An account is called this, and the device that says so that. Of several profiles the one accepted last counts. */
export function noteProfile(turn: Turn, message: OpenedMessage, profile: Profile): void {
  const { account, device } = message.outer;
  const atMs = message.envelope.at;
  const own = account === turn.me.account;
  if (own && !message.known.listed) {
    return;
  }
  noteName(turn, device, profile.device, atMs);
  const told = PROFILES.get(turn.tx, account);
  if (told !== null && atMs < told.atMs) {
    return;
  }
  PROFILES.put(turn.tx, account, { atMs });
  if (!own) {
    rename(turn, account, profile.name);
  } else if (SETTINGS.need(turn.tx, "").name !== profile.name) {
    amend(SETTINGS, turn.tx, "", { name: profile.name });
  }
}

/** What the device is called, "" if nobody has said. */
export function nameOf(turn: Turn, device: DeviceId): string {
  return DEVICE_NAMES.get(turn.tx, device)?.label ?? "";
}

/** The devices of a pinned account's newest list, in its order. */
export function devicesOf(turn: Turn, account: AccountId): readonly Device[] {
  return newestList(turn, account).content.devices.map(({ device, createdMs }) => ({
    id: device,
    label: nameOf(turn, device),
    createdMs,
    this: device === turn.me.device,
  }));
}

/** Of the accounts whose lists or names this turn has written. */
export function changedDevices(turn: Turn): Record<AccountId, readonly Device[]> {
  const owners = turn.written(DEVICE_NAMES.name).map((device) => accountOf(turn, device as DeviceId));
  return devicesOfAll(turn, [...turn.written(CONTACTS.name), ...owners]);
}

/** Of every pinned account. */
export function allDevices(turn: Turn): Record<AccountId, readonly Device[]> {
  return devicesOfAll(
    turn,
    CONTACTS.list(turn.tx).map(([account]) => account),
  );
}

function devicesOfAll(turn: Turn, accounts: readonly (string | null)[]): Record<AccountId, readonly Device[]> {
  const pinned = [...new Set(accounts)].filter((account) => account !== null && CONTACTS.has(turn.tx, account));
  return Object.fromEntries(pinned.map((account) => [account, devicesOf(turn, account as AccountId)]));
}
