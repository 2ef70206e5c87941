import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { PassphraseNeeded, WrongPassphrase } from "../src/adapters/passphrase.ts";
import { openIndexedDbVault } from "../src/adapters/vault-indexeddb.ts";
import { Crash, MemoryStorage, MemoryVault } from "../src/adapters/vault-memory.ts";
import { type Vault, VaultLocked, VaultProblem } from "../src/ports.ts";
import { utf8 } from "../src/protocol/bytes.ts";
import { loadSodium } from "../src/protocol/sodium.ts";

const keysOf = (found: readonly [string, object][]) => found.map(([key]) => key);

/** Every vault, closed and opened again by `again`. */
function keepsItsPromises(kind: string, again: (vault: Vault | null) => Promise<Vault>): void {
  describe(kind, () => {
    it("keeps what was committed, and nothing of a step that threw", async () => {
      let vault = await again(null);
      await vault.run((tx) => tx.put("a", "1", { text: "one", bytes: utf8("x") }));
      await assert.rejects(
        vault.run((tx) => {
          tx.put("a", "1", { text: "two" });
          tx.put("a", "2", {});
          throw new RangeError("step");
        }),
        RangeError,
      );
      vault = await again(vault);
      const [one, two, rev] = await vault.run((tx) => [tx.get("a", "1"), tx.get("a", "2"), tx.rev]);
      assert.deepEqual(one, { text: "one", bytes: utf8("x") });
      assert.deepEqual([two, rev], [null, 1]);
      await vault.close();
    });

    it("lists by order, equal ones by age, with ends that are exclusive", async () => {
      let vault = await again(null);
      await vault.run((tx) => {
        for (const [key, order] of [
          ["c", 3],
          ["a", 1],
          ["b", 1],
          ["d", 9],
        ] as const) {
          tx.put("t", key, { key }, { group: "g", order });
        }
        tx.put("t", "other", {}, { group: "h" });
        tx.put("t", "a", { key: "a", again: true }, { group: "g", order: 1 });
      });
      vault = await again(vault);
      await vault.run((tx) => {
        assert.deepEqual(keysOf(tx.list("t", "g")), ["a", "b", "c", "d"]);
        assert.deepEqual(keysOf(tx.list("t", "g", { above: 1, below: 9 })), ["c"]);
        assert.deepEqual(keysOf(tx.list("t", "g", { newestFirst: true, limit: 2 })), ["d", "c"]);
        assert.deepEqual([tx.count("t", "g"), tx.count("t", "h"), tx.count("t")], [4, 1, 0]);
        tx.put("t", "c", {}, { group: "h" });
        tx.delete("t", "d");
        assert.deepEqual(
          [keysOf(tx.list("t", "g")), keysOf(tx.list("t", "h"))],
          [
            ["a", "b"],
            ["c", "other"],
          ],
        );
      });
      vault = await again(vault);
      assert.deepEqual(await vault.run((tx) => keysOf(tx.list("t", "h"))), ["c", "other"]);
      await vault.close();
    });

    it("undoes a part that threw and keeps the rest", async () => {
      let vault = await again(null);
      await vault.run((tx) => {
        tx.put("t", "kept", { n: 1 });
        assert.throws(() =>
          tx.part(() => {
            tx.put("t", "kept", { n: 2 });
            tx.put("t", "lost", {});
            tx.part(() => tx.delete("t", "kept"));
            throw new RangeError("part");
          }),
        );
        tx.put("t", "after", {});
      });
      vault = await again(vault);
      await vault.run((tx) => {
        assert.deepEqual(tx.get("t", "kept"), { n: 1 });
        assert.deepEqual([tx.get("t", "lost"), tx.get("t", "after")], [null, {}]);
      });
      await vault.close();
      await assert.rejects(
        vault.run(() => 0),
        VaultProblem,
      );
    });
  });
}

before(loadSodium);

let storage = new MemoryStorage();
keepsItsPromises("the vault in memory", async (vault) => {
  await vault?.close();
  storage = vault === null ? new MemoryStorage() : storage;
  return new MemoryVault(storage);
});

let name = 0;
keepsItsPromises("the vault in IndexedDB", async (vault) => {
  await vault?.close();
  name += vault === null ? 1 : 0;
  return openIndexedDbVault(`vault ${name}`);
});

describe("the vault in memory, alone", () => {
  it("has one holder, and crashes where it is told to", async () => {
    const disk = new MemoryStorage();
    const vault = new MemoryVault(disk);
    assert.throws(() => new MemoryVault(disk), VaultLocked);
    vault.crashNext = "before_commit";
    await vault.run((tx) => tx.get("t", "k"));
    await assert.rejects(
      vault.run((tx) => tx.put("t", "k", {})),
      Crash,
    );
    const second = new MemoryVault(disk);
    assert.equal(await second.run((tx) => tx.get("t", "k")), null);
    second.crashNext = "after_commit";
    await assert.rejects(
      second.run((tx) => tx.put("t", "k", {})),
      Crash,
    );
    assert.deepEqual(await new MemoryVault(disk).run((tx) => tx.get("t", "k")), {});
  });

  it("finds out who changes what the vault holds", async () => {
    const vault = new MemoryVault();
    await vault.run((tx) => tx.put("t", "k", { list: [1] }));
    await assert.rejects(
      vault.run((tx) => Object.assign(tx.get("t", "k") ?? {}, { list: [] })),
      TypeError,
    );
  });
});

async function rowsOf(database: string): Promise<[IDBDatabase, { value: Uint8Array }[]]> {
  const opened = await new Promise<IDBDatabase>((resolve) => {
    const request = indexedDB.open(database);
    request.onsuccess = () => resolve(request.result);
  });
  const asked = opened.transaction("records").objectStore("records").getAll();
  await new Promise((resolve) => {
    asked.onsuccess = resolve;
  });
  return [opened, asked.result];
}

async function put(opened: IDBDatabase, store: string, value: unknown, key?: string): Promise<void> {
  const transaction = opened.transaction(store, "readwrite");
  transaction.objectStore(store).put(value, key);
  await new Promise((resolve) => {
    transaction.oncomplete = resolve;
  });
  opened.close();
}

describe("the vault in IndexedDB, alone", () => {
  it("shows the storage neither names nor contents, and refuses swapped values", async () => {
    const vault = await openIndexedDbVault("sealed");
    await vault.run((tx) => {
      tx.put("messages", "some key", { text: "a secret sentence" }, { group: "some group" });
      tx.put("messages", "other key", { text: "another" });
    });
    await vault.close();
    const [opened, rows] = await rowsOf("sealed");
    const shown = JSON.stringify(rows.map((row) => ({ ...row, value: Buffer.from(row.value).toString("latin1") })));
    assert.doesNotMatch(shown, /secret|some|messages|text/);
    await put(opened, "records", { ...rows[0], value: rows[1]?.value });
    const again = await openIndexedDbVault("sealed");
    await assert.rejects(
      again.run((tx) => [tx.get("messages", "some key"), tx.get("messages", "other key")]),
      /does not verify/,
    );
    await again.close();
  });

  it("does not let a second writer commit", async () => {
    const first = await openIndexedDbVault("twice");
    const second = await openIndexedDbVault("twice");
    await second.run((tx) => tx.put("t", "k", { by: "second" }));
    await assert.rejects(
      first.run((tx) => tx.put("t", "k", { by: "first" })),
      /somebody else/,
    );
    await first.lost;
    await assert.rejects(
      first.run((tx) => tx.get("t", "k")),
      VaultProblem,
    );
    await second.close();
    const third = await openIndexedDbVault("twice");
    assert.deepEqual(await third.run((tx) => tx.get("t", "k")), { by: "second" });
    await third.close();
  });

  it("opens with its passphrase only, once it has one", async () => {
    const vault = await openIndexedDbVault("locked");
    await vault.run((tx) => tx.put("t", "k", { kept: true }));
    await vault.setPassphrase("pass é", null);
    await vault.close();
    await assert.rejects(openIndexedDbVault("locked"), PassphraseNeeded);
    await assert.rejects(openIndexedDbVault("locked", "wrong"), WrongPassphrase);
    const again = await openIndexedDbVault("locked", "pass e\u0301");
    await assert.rejects(again.setPassphrase(null, "wrong"), WrongPassphrase);
    await again.setPassphrase(null, "pass é");
    await again.close();
    const open = await openIndexedDbVault("locked");
    assert.deepEqual(await open.run((tx) => tx.get("t", "k")), { kept: true });
    await open.close();
  });

  it("refuses a later version's storage and a key that was exchanged", async () => {
    const vault = await openIndexedDbVault("foreign");
    await vault.run((tx) => tx.put("t", "k", {}));
    await vault.close();
    const other = await openIndexedDbVault("foreign 2");
    await other.close();
    const [theirs] = await rowsOf("foreign 2");
    const asked = theirs.transaction("state").objectStore("state").get("key");
    await new Promise((resolve) => {
      asked.onsuccess = resolve;
    });
    theirs.close();
    const [ours] = await rowsOf("foreign");
    await put(ours, "state", asked.result, "key");
    await assert.rejects(openIndexedDbVault("foreign"), /damaged/);
    await new Promise((resolve) => {
      indexedDB.open("foreign", 2).onsuccess = ({ target }) => {
        (target as IDBOpenDBRequest).result.close();
        resolve(null);
      };
    });
    await assert.rejects(openIndexedDbVault("foreign"), /later version/);
  });

  it("is lost for good when somebody deletes it while it is open, and says so", async () => {
    const vault = await openIndexedDbVault("deleted");
    const deleting = new Promise((resolve) => {
      indexedDB.deleteDatabase("deleted").onsuccess = resolve;
    });
    await vault.lost;
    await deleting;
    await assert.rejects(
      vault.run((tx) => tx.put("t", "k", {})),
      VaultProblem,
    );
    await vault.close();
  });

  it("stays usable when the storage is full: the step is undone", async () => {
    const vault = await openIndexedDbVault("full");
    await vault.run((tx) => tx.put("t", "k", { n: 1 }));
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = function full() {
      this.transaction.abort();
      Object.defineProperty(this.transaction, "error", { value: new DOMException("full", "QuotaExceededError") });
      return {} as IDBRequest<IDBValidKey>;
    };
    try {
      await assert.rejects(
        vault.run((tx) => tx.put("t", "k", { n: 2 })),
        /full/,
      );
    } finally {
      IDBObjectStore.prototype.put = put;
    }
    assert.deepEqual(await vault.run((tx) => tx.get("t", "k")), { n: 1 });
    await vault.run((tx) => tx.put("t", "k", { n: 3 }));
    await vault.close();
  });
});
