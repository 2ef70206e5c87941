/** The rows of a list of conversations: each with the newest thing said, read from the vault only when it may differ. */

import type { ClientRow, LastKind } from "@rapport/elements";
import type { AccountId, Conversation, ConversationId, Member, Message, RapportClient } from "@rapport/sdk";

interface Kept {
  /** What the view said when it was read. */
  readonly mark: string;
  readonly message: Message | null;
}

/** Remembers the newest message of every conversation. */
export class Latest {
  readonly #client: RapportClient;
  readonly #changed: () => void;
  readonly #kept = new Map<ConversationId, Kept>();

  /** changed: called when a row has something new to show. */
  constructor(client: RapportClient, changed: () => void) {
    this.#client = client;
    this.#changed = changed;
  }

  /** All rows, the most recently active first. What is not read yet comes with the next call of `changed`. */
  rows(me: AccountId): readonly ClientRow[] {
    const changedKeys = new Set(
      this.#client
        .contacts()
        .filter((contact) => contact.identityChanged)
        .map(({ account }) => account),
    );
    return this.#client.conversations().map((conversation) => {
      const { view } = conversation;
      this.#read(conversation, `${view.activeMs} ${view.shown} ${view.unread}`);
      const others = view.members.filter(({ account }) => account !== me);
      const message = this.#kept.get(conversation.id)?.message ?? null;
      return {
        conversation: conversation.id,
        name: others.map(({ name }) => name).join(", "),
        last: message && {
          text: message.text,
          mine: message.account === me,
          atMs: message.atMs,
          kind: kindOf(message),
        },
        unread: view.unread,
        draft: view.draft,
        identityChanged: others.some(({ account }) => changedKeys.has(account)),
        there: this.#there(others),
      };
    });
  }

  /** Whether the one other person is there; never told to clients. */
  #there(others: readonly Member[]): ClientRow["there"] {
    const [other] = others;
    if (other === undefined || others.length > 1 || this.#client.identity?.role === "client") {
      return null;
    }
    const state = this.#client.presence.of(other.account);
    return state === "online" || state === "away" ? state : null;
  }

  /** What was read of it is stale: the next call of `rows` reads it again. */
  forget(conversation: ConversationId): void {
    const kept = this.#kept.get(conversation);
    if (kept !== undefined) {
      this.#kept.set(conversation, { mark: "", message: kept.message });
    }
  }

  #read(conversation: Conversation, mark: string): void {
    const kept = this.#kept.get(conversation.id);
    if (kept?.mark === mark) {
      return;
    }
    this.#kept.set(conversation.id, { mark, message: kept?.message ?? null });
    conversation.history({ limit: 1 }).then(
      ([message]) => {
        if (this.#kept.get(conversation.id)?.mark === mark) {
          this.#kept.set(conversation.id, { mark, message: message ?? null });
          this.#changed();
        }
      },
      () => this.#kept.delete(conversation.id),
    );
  }
}

function kindOf(message: Message): LastKind {
  if (message.placeholder !== null) {
    return "waiting";
  }
  if (message.deleted) {
    return "deleted";
  }
  return message.call ? "call" : message.appointment ? "appointment" : "text";
}
