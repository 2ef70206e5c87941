/** Why a vault that is locked with a passphrase does not open. */

import { VaultProblem } from "../ports.ts";

/** The vault opens with a passphrase only, and none was given. */
export class PassphraseNeeded extends VaultProblem {
  constructor() {
    super("the vault is locked with a passphrase");
  }
}

/** Another passphrase than the vault was locked with; nothing has changed. */
export class WrongPassphrase extends VaultProblem {
  constructor() {
    super("this is not the vault's passphrase");
  }
}
