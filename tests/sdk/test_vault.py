"""Both vaults keep the same promises; the one on disk also hides what it holds and survives what disks do."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from rapport.adapters.vault_memory import Crash, CrashPoint, MemoryStorage, MemoryVault
from rapport.adapters.vault_sqlite import SqliteVault
from rapport.ports import Transaction, Vault, VaultLocked, VaultProblem


class VaultContract:
    """Every vault passes these."""

    async def test_a_committed_record_is_found_again(self, vault: Vault) -> None:
        await vault.run(lambda tx: tx.put("t", b"k", b"value"))
        assert await vault.run(lambda tx: tx.get("t", b"k")) == b"value"
        assert await vault.run(lambda tx: tx.get("other", b"k")) is None
        assert await vault.run(lambda tx: tx.get("t", b"K")) is None

    async def test_a_step_that_raises_leaves_nothing(self, vault: Vault) -> None:
        await vault.run(lambda tx: tx.put("t", b"kept", b"1", group=b"g", order=1))

        def step(tx: Transaction) -> None:
            tx.put("t", b"kept", b"2", group=b"h", order=9)
            tx.put("t", b"new", b"3")
            tx.delete("t", b"kept")
            raise KeyError

        rev = await vault.run(lambda tx: tx.rev)
        with pytest.raises(KeyError):
            await vault.run(step)
        assert await vault.run(lambda tx: list(tx.list("t", b"g"))) == [(b"kept", b"1")]
        assert await vault.run(lambda tx: tx.get("t", b"new")) is None
        assert await vault.run(lambda tx: tx.rev) == rev

    async def test_a_savepoint_undoes_only_its_part(self, vault: Vault) -> None:
        def step(tx: Transaction) -> None:
            tx.put("t", b"a", b"1")
            with pytest.raises(KeyError), tx.savepoint():
                tx.put("t", b"a", b"2")
                tx.put("t", b"b", b"2")
                raise KeyError
            with tx.savepoint():
                tx.put("t", b"c", b"3")

        await vault.run(step)
        found = await vault.run(lambda tx: [tx.get("t", key) for key in (b"a", b"b", b"c")])
        assert found == [b"1", None, b"3"]

    async def test_savepoints_nest(self, vault: Vault) -> None:
        def step(tx: Transaction) -> None:
            with tx.savepoint():
                tx.put("t", b"a", b"1")
                with pytest.raises(KeyError), tx.savepoint():
                    tx.put("t", b"a", b"2")
                    raise KeyError

        await vault.run(step)
        assert await vault.run(lambda tx: tx.get("t", b"a")) == b"1"

    async def test_only_writing_raises_the_revision(self, vault: Vault) -> None:
        before = await vault.run(lambda tx: tx.rev)
        await vault.run(lambda tx: tx.get("t", b"k"))
        assert await vault.run(lambda tx: tx.rev) == before
        await vault.run(lambda tx: tx.put("t", b"k", b"v"))
        await vault.run(lambda tx: tx.delete("t", b"k"))
        assert await vault.run(lambda tx: tx.rev) == before + 2

    async def test_groups_are_listed_by_order_then_age(self, vault: Vault) -> None:
        def step(tx: Transaction) -> None:
            for key, order in ((b"c", 3), (b"a", 1), (b"b2", 2), (b"b1", 2)):
                tx.put("t", key, key.upper(), group=b"g", order=order)
            tx.put("t", b"elsewhere", b"", group=b"h", order=2)
            tx.put("u", b"a", b"", group=b"g", order=2)

        await vault.run(step)

        def keys(**window: Any) -> Callable[[Transaction], list[bytes]]:
            return lambda tx: [key for key, _ in tx.list("t", b"g", **window)]

        assert await vault.run(keys()) == [b"a", b"b2", b"b1", b"c"]
        assert await vault.run(keys(newest_first=True)) == [b"c", b"b1", b"b2", b"a"]
        assert await vault.run(keys(above=1, below=3)) == [b"b2", b"b1"]
        assert await vault.run(keys(limit=1)) == [b"a"]
        assert await vault.run(keys(limit=2, newest_first=True, below=3)) == [b"b1", b"b2"]
        assert await vault.run(lambda tx: tx.count("t", b"g")) == 4
        assert await vault.run(lambda tx: dict(tx.list("t", b"g"))[b"c"]) == b"C"

    async def test_replacing_moves_a_record_to_its_new_group(self, vault: Vault) -> None:
        await vault.run(lambda tx: tx.put("t", b"k", b"1", group=b"g", order=5))
        await vault.run(lambda tx: tx.put("t", b"k", b"2", group=b"h", order=6))
        assert await vault.run(lambda tx: tx.count("t", b"g")) == 0
        assert await vault.run(lambda tx: list(tx.list("t", b"h"))) == [(b"k", b"2")]

    async def test_writing_while_iterating_is_safe(self, vault: Vault) -> None:
        def step(tx: Transaction) -> int:
            for n in range(20):
                tx.put("t", bytes([n]), b"", group=b"g", order=n)
            for key, _ in tx.list("t", b"g"):
                tx.delete("t", key)
                tx.put("t", key + b"+", b"", group=b"g", order=100)
            return tx.count("t", b"g")

        assert await vault.run(step) == 20

    async def test_deleting_what_is_absent_is_no_error(self, vault: Vault) -> None:
        await vault.run(lambda tx: tx.delete("t", b"nothing"))

    async def test_long_and_empty_values(self, vault: Vault) -> None:
        big = os.urandom(100_000)
        await vault.run(lambda tx: tx.put("t", b"", big))
        await vault.run(lambda tx: tx.put("t", b"e", b"", order=2**53 - 1))
        assert await vault.run(lambda tx: tx.get("t", b"")) == big
        assert await vault.run(lambda tx: list(tx.list("t", above=0))) == [(b"e", b"")]

    async def test_steps_run_in_order_of_asking(self, vault: Vault) -> None:
        def appending(n: int) -> Callable[[Transaction], None]:
            return lambda tx: tx.put("t", b"k", (tx.get("t", b"k") or b"") + bytes([n]))

        await asyncio.gather(*(vault.run(appending(n)) for n in range(50)))
        assert await vault.run(lambda tx: tx.get("t", b"k")) == bytes(range(50))

    async def test_a_closed_vault_says_so(self, vault: Vault) -> None:
        await vault.close()
        await vault.close()
        with pytest.raises(VaultProblem, match="closed"):
            await vault.run(lambda tx: None)


class TestMemoryVault(VaultContract):
    @pytest.fixture
    def vault(self) -> MemoryVault:
        return MemoryVault.fresh()

    async def test_a_second_writer_is_refused(self) -> None:
        storage = MemoryStorage()
        first = MemoryVault(storage)
        with pytest.raises(VaultLocked):
            MemoryVault(storage)
        await first.close()
        MemoryVault(storage)

    @pytest.mark.parametrize(("point", "kept"), [(CrashPoint.BEFORE_COMMIT, None), (CrashPoint.AFTER_COMMIT, b"v")])
    async def test_a_crash_keeps_what_was_committed_and_nothing_else(
        self, point: CrashPoint, kept: bytes | None
    ) -> None:
        storage = MemoryStorage()
        vault = MemoryVault(storage)
        vault.crash_next = point
        await vault.run(lambda tx: tx.get("t", b"k"))
        with pytest.raises(Crash):
            await vault.run(lambda tx: tx.put("t", b"k", b"v"))
        with pytest.raises(VaultProblem):
            await vault.run(lambda tx: tx.get("t", b"k"))
        assert await MemoryVault(storage).run(lambda tx: tx.get("t", b"k")) == kept


class TestSqliteVault(VaultContract):
    @pytest.fixture
    async def vault(self, tmp_path: Path) -> AsyncIterator[SqliteVault]:
        vault = await SqliteVault.open(tmp_path / "vault", create=True)
        yield vault
        await vault.close()

    async def test_what_was_committed_is_there_after_reopening(self, tmp_path: Path) -> None:
        vault = await SqliteVault.open(tmp_path / "v", create=True)
        await vault.run(lambda tx: tx.put("t", b"k", b"v", group=b"g", order=7))
        await vault.close()
        again = await SqliteVault.open(tmp_path / "v")
        assert await again.run(lambda tx: list(tx.list("t", b"g", above=6))) == [(b"k", b"v")]
        assert await again.run(lambda tx: tx.rev) == 1
        await again.close()

    async def test_a_second_opener_is_told_who_has_it(self, vault: SqliteVault, tmp_path: Path) -> None:
        with pytest.raises(VaultLocked, match="in use by another process"):
            await SqliteVault.open(tmp_path / "vault")
        code = (
            "import asyncio,sys,pathlib\n"
            "from rapport.adapters.vault_sqlite import SqliteVault\n"
            "from rapport.ports import VaultLocked\n"
            "try:\n asyncio.run(SqliteVault.open(pathlib.Path(sys.argv[1])))\n"
            "except VaultLocked: sys.exit(7)\n"
        )
        other = await asyncio.to_thread(
            subprocess.run, [sys.executable, "-c", code, str(tmp_path / "vault")], timeout=30
        )
        assert other.returncode == 7

    async def test_a_cancelled_caller_does_not_tear_the_step(self, vault: SqliteVault) -> None:
        caller = asyncio.create_task(vault.run(lambda tx: tx.put("t", b"k", b"v")))
        await asyncio.sleep(0)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        assert await vault.run(lambda tx: tx.get("t", b"k")) == b"v"

    async def test_nothing_readable_stands_in_the_files(self, vault: SqliteVault, tmp_path: Path) -> None:
        planted = [b"planted-table", b"planted-key", b"planted-group", b"planted-value"]
        await vault.run(lambda tx: tx.put("planted-table", planted[1], planted[3] * 100, group=planted[2], order=1))
        await vault.run(lambda tx: tx.put("planted-table", planted[1], planted[3], group=planted[2], order=1))
        await vault.run(lambda tx: tx.delete("planted-table", planted[1]))
        files = list((tmp_path / "vault").iterdir())
        assert "vault.sqlite-wal" in {file.name for file in files}
        await vault.close()
        files = list((tmp_path / "vault").iterdir())
        content = b"".join(file.read_bytes() for file in files)
        assert len(content) > 10_000
        assert not [word for word in planted if word in content]

    async def test_only_the_owner_may_read_folder_and_key(self, vault: SqliteVault, tmp_path: Path) -> None:
        folder = tmp_path / "vault"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "vault.key").stat().st_mode & 0o777 == 0o600
        assert (folder / "vault.sqlite").stat().st_mode & 0o777 == 0o600


async def _closed_vault(folder: Path) -> Path:
    vault = await SqliteVault.open(folder, create=True)
    for n in range(50):
        await vault.run(lambda tx, n=n: tx.put("t", bytes([n]), bytes(1000)))  # type: ignore[misc]
    await vault.close()
    return folder / "vault.sqlite"


class TestOpeningWhatIsNotRight:
    async def test_no_vault(self, tmp_path: Path) -> None:
        with pytest.raises(VaultProblem, match="no vault"):
            await SqliteVault.open(tmp_path)
        assert not (tmp_path / "lock").exists()

    async def test_damaged_file(self, tmp_path: Path) -> None:
        file = await _closed_vault(tmp_path)
        file.write_bytes(b"x" * 4096 + file.read_bytes()[4096:])
        with pytest.raises(VaultProblem, match="damaged"):
            await SqliteVault.open(tmp_path)

    async def test_another_database(self, tmp_path: Path) -> None:
        file = await _closed_vault(tmp_path)
        file.unlink()
        other = sqlite3.connect(file)
        other.execute("CREATE TABLE something (x)")
        other.commit()
        other.close()
        with pytest.raises(VaultProblem, match="not a vault"):
            await SqliteVault.open(tmp_path, create=True)

    async def test_newer_version(self, tmp_path: Path) -> None:
        file = await _closed_vault(tmp_path)
        db = sqlite3.connect(file)
        db.execute("PRAGMA user_version=2")
        db.close()
        with pytest.raises(VaultProblem, match="newer version"):
            await SqliteVault.open(tmp_path)

    async def test_missing_key(self, tmp_path: Path) -> None:
        await _closed_vault(tmp_path)
        (tmp_path / "vault.key").unlink()
        with pytest.raises(VaultProblem, match="key is missing"):
            await SqliteVault.open(tmp_path, create=True)

    async def test_another_key(self, tmp_path: Path) -> None:
        await _closed_vault(tmp_path)
        (tmp_path / "vault.key").write_bytes(bytes(32))
        with pytest.raises(VaultProblem, match="does not fit"):
            await SqliteVault.open(tmp_path)

    async def test_key_that_others_may_read(self, tmp_path: Path) -> None:
        await _closed_vault(tmp_path)
        (tmp_path / "vault.key").chmod(0o644)
        with pytest.raises(VaultProblem, match="chmod 600"):
            await SqliteVault.open(tmp_path)

    async def test_key_cut_short(self, tmp_path: Path) -> None:
        await _closed_vault(tmp_path)
        (tmp_path / "vault.key").write_bytes(bytes(31))
        with pytest.raises(VaultProblem, match="key file is damaged"):
            await SqliteVault.open(tmp_path)

    async def test_swapped_values_are_noticed(self, tmp_path: Path) -> None:
        file = await _closed_vault(tmp_path)
        db = sqlite3.connect(file)
        rows = db.execute("SELECT serial, value FROM records ORDER BY serial LIMIT 2").fetchall()
        db.execute("UPDATE records SET value = ? WHERE serial = ?", (rows[0][1], rows[1][0]))
        db.commit()
        db.close()
        vault = await SqliteVault.open(tmp_path)
        with pytest.raises(VaultProblem, match="does not verify"):
            await vault.run(lambda tx: tx.get("t", bytes([1])))
        assert await vault.run(lambda tx: tx.get("t", bytes([0]))) == bytes(1000)
        await vault.close()

    async def test_a_full_disk_is_said_and_loses_nothing(self, tmp_path: Path) -> None:
        vault = await SqliteVault.open(tmp_path, create=True)
        await vault.run(lambda tx: tx.put("t", b"k", b"v"))
        db = vault._db
        await vault.run(lambda tx: db.execute("PRAGMA max_page_count=12").fetchall())
        with pytest.raises(VaultProblem, match="disk is full"):
            await vault.run(lambda tx: tx.put("t", b"big", bytes(200_000)))
        await vault.run(lambda tx: db.execute("PRAGMA max_page_count=100000").fetchall())
        await vault.run(lambda tx: tx.put("t", b"big", bytes(200_000)))
        assert await vault.run(lambda tx: tx.get("t", b"k")) == b"v"
        await vault.close()

    async def test_a_full_disk_inside_a_part_ends_the_whole_step(self, tmp_path: Path) -> None:
        vault = await SqliteVault.open(tmp_path, create=True)
        db = vault._db
        await vault.run(lambda tx: db.execute("PRAGMA max_page_count=12").fetchall())

        def careful(tx: Transaction) -> None:
            tx.put("t", b"first", b"v")
            try:
                with tx.savepoint():
                    tx.put("t", b"big", bytes(200_000))
            except VaultProblem:
                raise
            except Exception:
                tx.put("t", b"set aside", b"v")

        with pytest.raises(VaultProblem, match="disk is full"):
            await vault.run(careful)
        assert await vault.run(lambda tx: [tx.get("t", key) for key in (b"first", b"set aside")]) == [None, None]
        await vault.close()
