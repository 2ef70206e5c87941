/** Whom we talk to, as pinned here, and what was noticed about it. */

import { safetyNumber, shownInGroups } from "../crypto/safety-number.ts";
import { readLog } from "../engine/security-log.ts";
import * as trust from "../engine/trust.ts";
import type { ContactView } from "../engine/views.ts";
import type { Contact, LogEntry } from "../events.ts";
import { LocalError } from "../protocol/errors.ts";
import type { AccountId } from "../protocol/ids.ts";
import { MeetingDevice } from "./meeting.ts";

/** The part of `LocalDevice` that knows who is who. See `DeviceCalls`, which says what each method does. */
export abstract class KnowingDevice extends MeetingDevice {
  async contact(account: AccountId): Promise<Contact> {
    return this.pinned(account).shown;
  }

  private pinned(account: AccountId): ContactView {
    const found = this.engine.contacts.get(account);
    if (found === undefined) {
      throw new LocalError("not_found", "no such contact");
    }
    return found;
  }

  /**
   * The contact sees the same digits. While an identity change waits to be decided it is still the pinned identity's
   * number: if the contact sees the same one the change is false, else it may be true.
   */
  async safetyNumber(account: AccountId): Promise<string> {
    const { me } = this.engine.core;
    const theirs = this.pinned(account);
    if (account === me.account) {
      throw new LocalError("not_found", "a safety number is of two accounts");
    }
    return shownInGroups(safetyNumber([me.account, me.secrets.aik], [account, theirs.aik]));
  }

  async verify(account: AccountId, verified = true): Promise<void> {
    await this.do((turn) => trust.verify(turn, account, { verified }));
  }

  async acknowledgeIdentity(account: AccountId): Promise<void> {
    await this.do((turn) => trust.acknowledgeIdentity(turn, account));
  }

  async securityLog(limit = 100): Promise<LogEntry[]> {
    return await this.do((turn) => readLog(turn, limit));
  }
}
