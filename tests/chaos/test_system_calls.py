"""The reader of traces, on lines as strace writes them, and the judges, on calls that are wrong on purpose."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.chaos.durability import accepted_too_early, lost_without_power
from tests.chaos.system_calls import Call, read_trace

ID = bytes(range(16))
WAL = "/data/rapport.db-wal"
SOCKET = "socket:[77]"


def hexed(content: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in content)


def test_calls_are_read_whole_also_when_threads_interrupt_each_other() -> None:
    log, socket = hexed(WAL.encode()), hexed(SOCKET.encode())
    pieces = f'[{{iov_base="{hexed(b"x")}", iov_len=1}}, {{iov_base="{hexed(b"yz")}", iov_len=2}}], 2'
    lines = [
        f'10 pwrite64(7<{log}>, "{hexed(b"abc")}", 3, 4096) = 3',
        f"11 writev(9<{socket}>, {pieces} <unfinished ...>",
        f"10 fdatasync(7<{log}> <unfinished ...>",
        "11 <... writev resumed>) = 3",
        "10 <... fdatasync resumed>) = 0",
        f"10 fdatasync(7<{log}>) = -1 EIO (Input/output error)",
        f"10 ftruncate(7<{log}>, 32) = 0",
        "10 +++ exited with 0 +++",
    ]
    assert read_trace(iter(lines)) == [
        Call("pwrite64", 10, 0, 0, WAL, b"abc", 4096, 3),
        Call("writev", 11, 1, 3, SOCKET, b"xyz", None, 3),
        Call("fdatasync", 10, 2, 4, WAL, b"", None, 0),
        Call("fdatasync", 10, 5, 5, WAL, b"", None, -1),
        Call("ftruncate", 10, 6, 6, WAL, b"", 32, 0),
    ]


def written(began: int, ended: int) -> Call:
    return Call("pwrite64", 1, began, ended, WAL, b"row " + ID, 0, 20)


def synced(began: int, ended: int, file: str = WAL, result: int = 0) -> Call:
    return Call("fdatasync", 1, began, ended, file, b"", None, result)


def accepted(at: int) -> Call:
    return Call("write", 2, at, at, SOCKET, b"\x82\x21\x94\xa8accepted\xc4\x10" + ID + b"\x01\x02", None, 40)


@pytest.mark.parametrize(
    ("calls", "finding"),
    [
        ([written(1, 2), synced(3, 4), accepted(5)], None),
        ([written(1, 2), synced(3, 4)], "not in the trace"),
        ([accepted(5)], "before it was written"),
        ([accepted(1), written(2, 3), synced(4, 5)], "before it was written"),
        ([written(1, 6), synced(7, 8), accepted(5)], "before it was written"),
        ([written(1, 2), accepted(5)], "before it was synced"),
        ([written(1, 2), accepted(3), synced(4, 5)], "before it was synced"),
        ([synced(1, 2), written(3, 4), accepted(5)], "before it was synced"),
        ([written(1, 3), synced(2, 4), accepted(5)], "before it was synced"),
        ([written(1, 2), synced(3, 6), accepted(5)], "before it was synced"),
        ([written(1, 2), synced(3, 4, "/data/rapport.db"), accepted(5)], "before it was synced"),
        ([written(1, 2), synced(3, 4, result=-1), accepted(5)], "before it was synced"),
    ],
)
def test_an_acceptance_needs_its_bytes_and_then_a_sync(calls: list[Call], finding: str | None) -> None:
    findings = accepted_too_early(calls, [ID])
    assert (finding is None and findings == []) or (finding is not None and finding in findings[0])


@pytest.mark.parametrize("sync", [True, False])
def test_without_power_only_what_was_synced_is_there(tmp_path: Path, sync: bool) -> None:
    """A real log of SQLite's, replayed as the calls that wrote it."""
    source = tmp_path / "source.db"
    connection = sqlite3.connect(source)
    connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE mail (id BLOB)")
    before = {str(source): source.read_bytes(), f"{source}-wal": Path(f"{source}-wal").read_bytes()}
    connection.execute("INSERT INTO mail VALUES (?)", (ID,))
    connection.commit()
    log = Path(f"{source}-wal").read_bytes()
    connection.close()
    calls = [Call("pwrite64", 1, 1, 1, f"{source}-wal", log, 0, len(log)), accepted(3)]
    if sync:
        calls.insert(1, synced(2, 2, f"{source}-wal"))
    rebuilt = tmp_path / "rebuilt"
    rebuilt.mkdir()
    assert lost_without_power(calls, {ID}, before, rebuilt) == (
        [] if sync else [f"{ID.hex()[:8]}: lost when {ID.hex()[:8]} is accepted"]
    )
