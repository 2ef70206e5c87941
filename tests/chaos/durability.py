"""Two judges over a traced server: did each acceptance wait for its sync, and what would a loss of power have left?"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from tests.chaos.system_calls import Call

__all__ = ["acceptances", "accepted_too_early", "lost_without_power"]

_ACCEPTED = b"\xa8accepted\xc4\x10"
"""How an `accepted` frame goes on after its array header; the message id follows."""


def acceptances(calls: Sequence[Call]) -> dict[bytes, Call]:
    """Message id -> the write to a socket that carried its acceptance for the first time."""
    found: dict[bytes, Call] = {}
    for call in calls:
        if call.writes and call.file.startswith("socket:"):
            at = call.content.find(_ACCEPTED)
            while at >= 0:
                ident = call.content[at + len(_ACCEPTED) : at + len(_ACCEPTED) + 16]
                found.setdefault(ident, call)
                at = call.content.find(_ACCEPTED, at + 1)
    return found


def accepted_too_early(calls: Sequence[Call], ids: Iterable[bytes]) -> list[str]:
    """One sentence for each id that was accepted before its bytes were in the log and a sync begun after them ended."""
    answers = acceptances(calls)
    log = [call for call in calls if call.writes and call.file.endswith("-wal")]
    syncs = [call for call in calls if call.syncs and call.file.endswith("-wal")]
    findings = []
    for ident in ids:
        answer = answers.get(ident)
        written = next((call for call in log if ident in call.content), None)
        if answer is None:
            findings.append(f"{ident.hex()[:8]}: its acceptance is not in the trace")
        elif written is None or written.ended >= answer.began:
            findings.append(f"{ident.hex()[:8]}: accepted before it was written")
        elif not any(written.ended < sync.began and sync.ended < answer.began for sync in syncs):
            findings.append(f"{ident.hex()[:8]}: accepted before it was synced")
    return findings


def lost_without_power(
    calls: Sequence[Call], ids: Collection[bytes], before: dict[str, bytes], folder: Path
) -> list[str]:
    """Cut the power right before each acceptance leaves: which messages accepted by then are missing?

    before: the database's files as they were when the trace began, by path. folder: where to rebuild them. Only writes
    that a later sync of the same file made durable are there. Each message is told once.
    """
    disk = _Disk(before)
    answers = sorted((call.began, ident) for ident, call in acceptances(calls).items() if ident in ids)
    findings, promised, done = [], [], 0
    by_end = sorted(calls, key=lambda call: call.ended)
    for began, ident in answers:
        while done < len(by_end) and by_end[done].ended < began:
            disk.see(by_end[done])
            done += 1
        promised.append(ident)
        kept = _contents(disk.write(folder))
        missing = [known for known in promised if known not in kept]
        findings += [f"{known.hex()[:8]}: lost when {ident.hex()[:8]} is accepted" for known in missing]
        promised = [known for known in promised if known in kept]
    return findings


class _Disk:
    """Files as a loss of power would leave them."""

    def __init__(self, before: dict[str, bytes]) -> None:
        self._durable = {path: bytearray(content) for path, content in before.items()}
        self._pending: dict[str, list[Call]] = {}

    def see(self, call: Call) -> None:
        """The next call by the time of its end."""
        if call.syncs:
            self._sync(call)
        elif (call.writes and call.offset is not None and call.result > 0) or call.cuts:
            self._pending.setdefault(call.file, []).append(call)

    def _sync(self, sync: Call) -> None:
        later = []
        for call in self._pending.get(sync.file, ()):
            if call.ended < sync.began:
                self._apply(call)
            else:
                later.append(call)
        self._pending[sync.file] = later

    def _apply(self, call: Call) -> None:
        content = self._durable.setdefault(call.file, bytearray())
        assert call.offset is not None
        if call.cuts:
            del content[call.offset :]
            return
        content.extend(bytes(max(0, call.offset + call.result - len(content))))
        content[call.offset : call.offset + call.result] = call.content[: call.result]

    def write(self, folder: Path) -> Path:
        """Puts the durable files into a folder; returns the database."""
        database = folder / "after.db"
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        for path, content in self._durable.items():
            for suffix in ("-wal", ".db"):
                if path.endswith(suffix):
                    name = database.name + ("-wal" if suffix == "-wal" else "")
                    database.with_name(name).write_bytes(content)
        return database


def _contents(database: Path) -> bytes:
    """Every value of every table, after the database recovered its log."""
    pieces: list[bytes] = []
    with sqlite3.connect(database) as opened:
        tables = [name for (name,) in opened.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            for row in opened.execute(f'SELECT * FROM "{table}"'):
                pieces += [value for value in row if isinstance(value, bytes)]
    opened.close()
    return b"\0".join(pieces)
