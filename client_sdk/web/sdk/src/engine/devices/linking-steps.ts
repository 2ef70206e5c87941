/**
 * Linking inside the vault: what the existing device gives, what the new one makes of it, and where both end.
 *
 * The new device commits its keys before it shows them to anybody; it is a device of the account once the list that
 * holds it is here and verified.
 *
 * Source: docs/protocol.md, chapter 13.
 */

import { entryOfDevice, makeDeviceSecrets } from "../../crypto/identity.ts";
import { type LinkAnswer, type LinkDone, type LinkPackage, type LinkPin, parsedEntryOf } from "../../crypto/linking.ts";
import type { Random } from "../../ports.ts";
import { EMPTY, equal, utf8 } from "../../protocol/bytes.ts";
import { encodeDeviceEntry, entryOf, versionOf } from "../../protocol/device-lists.ts";
import { LocalError } from "../../protocol/errors.ts";
import type { AccountId, DeviceId, LinkId } from "../../protocol/ids.ts";
import { ONE_TIME_KEYS } from "../../protocol/limits.ts";
import type { Role } from "../../protocol/requests.ts";
import { RuleBroken } from "../../protocol/rules.ts";
import { DEVICE_NAME_BYTES } from "../bodies/content.ts";
import { accountOf, listsOf, newestList, pin, takeLists } from "../contacts.ts";
import { openSelf } from "../conversations.ts";
import { nameOf, noteName } from "../device-names.ts";
import { archiveKeys, keepArchiveKey } from "../keys/archive-keys.ts";
import { firstPrekeys } from "../keys/prekeys.ts";
import { settings } from "../own-state.ts";
import { settleValue } from "../own-values.ts";
import { beginLinked } from "../recovery/catching-up.ts";
import { keepPromised } from "../vault/promised-pins.ts";
import { CONTACTS, COUNTERS, ME, NEW_COUNTERS, NEW_SETTINGS, SEARCH_VERSION, SETTINGS } from "../vault/records.ts";
import { amend, must, Table } from "../vault/tables.ts";
import type { Me, Turn } from "../vault/turn.ts";
import { planChange, requireRoom } from "./own-devices.ts";

/** A link that has not been finished: what the account is in its practice. */
interface Linking {
  readonly role: Role;
  readonly label: string;
}

/** One record under the empty key. */
const LINKING = new Table<Linking>("linking");
/** Settings from the package count below all that is posted later. */
const FIRST_SEQ = 1;

// --- the existing device -------------------------------------------------------------------------------------------

/** What the new device gets, and the version of the newest list in it. LocalError("too_many", "forbidden"). */
export function makePackage(turn: Turn): [content: LinkPackage, known: number] {
  requireRoom(turn);
  const { account, base, role, secrets, serverId } = turn.me;
  if (role === null) {
    throw new LocalError("forbidden", "not registered yet");
  }
  const lists = listsOf(turn, account);
  const head = must(lists.at(-1));
  const others = CONTACTS.list(turn.tx).filter(([key]) => key !== account);
  const content: LinkPackage = {
    tag: "package",
    account,
    aik: secrets.aik,
    lists: lists.map((held) => held.encoded),
    keys: archiveKeys(turn).map((held) => [held.epoch, held.key]),
    serverId,
    base,
    role,
    name: SETTINGS.need(turn.tx, "").name,
    pins: others.map(([, contact]) => pinOf(turn, contact.account)),
    labels: head.content.devices.map(({ device }) => [device, nameOf(turn, device)]),
    settings: settings(turn),
  };
  return [content, versionOf(head)];
}

function pinOf(turn: Turn, account: AccountId): LinkPin {
  const { aik, verified, name } = CONTACTS.need(turn.tx, account);
  const head = newestList(turn, account);
  return { account, aik, version: versionOf(head), listHash: head.hash, verified, name };
}

/**
 * Plans the list that holds the new device; returns its id and the errand's key.
 *
 * known: version of the newest list in the package. FormatError, RemoteError, RuleBroken: the answer is no device of
 * this account.
 */
export function acceptAnswer(
  turn: Turn,
  link: LinkId,
  key: Uint8Array,
  known: number,
  answer: LinkAnswer,
): [device: DeviceId, errand: string] {
  const { account, secrets } = turn.me;
  const { device } = parsedEntryOf(answer, account, secrets.aik);
  if (accountOf(turn, device) !== null) {
    throw new RuleBroken("duplicate");
  }
  const label = utf8(answer.label).length <= DEVICE_NAME_BYTES ? answer.label : "";
  const { entry, prekeys } = answer;
  return [device, planChange(turn, { entry, prekeys, label, link, key, known })];
}

// --- the new device ------------------------------------------------------------------------------------------------

/**
 * A new device of the account in the package. Nothing is kept yet; it has no AIK secret and no role before the end.
 *
 * base: the server as this device reaches it.
 */
export function newDevice(content: LinkPackage, base: string, random: Random, nowMs: number): Me {
  const { account, aik, serverId } = content;
  const secrets = makeDeviceSecrets(account, aik, random, nowMs);
  const [archiveEpoch, archiveKey] = content.keys.reduce((first, held) => (held[0] < first[0] ? held : first));
  return {
    account,
    device: secrets.device,
    secrets,
    aikSeed: EMPTY,
    base,
    serverId,
    archiveEpoch,
    archiveKey,
    role: null,
  };
}

/**
 * Keeps everything that came, and this device's own new keys; returns what makes it known to the existing device.
 *
 * turn.me: the new device. RemoteError: the lists do not verify; nothing is kept then.
 */
export function prepareDevice(turn: Turn, content: LinkPackage, label: string): LinkAnswer {
  const { me } = turn;
  ME.put(turn.tx, "", me);
  LINKING.put(turn.tx, "", { role: content.role, label });
  SETTINGS.put(turn.tx, "", { ...NEW_SETTINGS, name: content.name, searchVersion: SEARCH_VERSION });
  COUNTERS.put(turn.tx, "", NEW_COUNTERS);
  pin(turn, me.account, me.secrets.aik, content.lists);
  openSelf(turn);
  for (const [epoch, key] of content.keys) {
    keepArchiveKey(turn, epoch, key);
  }
  for (const promised of content.pins) {
    if (promised.account !== me.account) {
      keepPromised(turn, promised);
    }
  }
  for (const [device, name] of content.labels) {
    noteName(turn, device, name, 0);
  }
  for (const [name, value] of Object.entries(content.settings)) {
    settleValue(turn, { type: "own.setting", name, value }, FIRST_SEQ);
  }
  const entry = encodeDeviceEntry(entryOfDevice(me.secrets));
  return { tag: "answer", entry, prekeys: firstPrekeys(turn), label };
}

/**
 * The list with this device stands: from now on it is a device of the account.
 *
 * RuleBroken("device_unlisted"): the lists do not follow from those of the package, or do not hold this device.
 */
export function finishLinked(turn: Turn, done: LinkDone): Me {
  const held = LINKING.need(turn.tx, "");
  takeLists(turn, turn.me.account, done.lists);
  const listed = entryOf(newestList(turn, turn.me.account).content, turn.me.device);
  const own = encodeDeviceEntry(entryOfDevice(turn.me.secrets));
  if (listed === null || !equal(encodeDeviceEntry(listed), own)) {
    throw new RuleBroken("device_unlisted");
  }
  const me = { ...turn.me, role: held.role };
  ME.put(turn.tx, "", me);
  LINKING.delete(turn.tx, "");
  amend(SETTINGS, turn.tx, "", { oneTimeLeft: ONE_TIME_KEYS });
  noteName(turn, me.device, held.label, turn.nowMs);
  beginLinked(turn);
  return me;
}
