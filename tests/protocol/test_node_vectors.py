"""The TypeScript SDK, in Node.js, agrees with every vector and sees every fault that is planted in one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.vector_files import FOLDER

pytestmark = pytest.mark.node

CHECK = ROOT / "client_sdk/web/sdk/test/vectors/check.ts"

#: File -> a field of bytes in it. The first one of that name is part of a case that must open or be made again.
PLANTS = {
    "archive.json": "entry",
    "device_lists.json": "selfsig",
    "handshake.json": "session_key",
    "hashes.json": "output",
    "invites.json": "sealed",
    "kdf.json": "output",
    "kem.json": "rejection_secret",
    "labels.json": "bytes",
    "linking.json": "sealed",
    "membership.json": "hash",
    "messages.json": "ciphertext",
    "office.json": "messagepack",
    "padding.json": "content",
    "prekeys.json": "encoded",
    "ratchet.json": "root",
    "safety_number.json": "digits",
    "sign_in.json": "answer",
    "signals.json": "frame",
    "signatures.json": "signature",
    "urgent.json": "message",
    "weak_keys.json": "output",
}


def check(node_js: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(node_js), str(CHECK), str(folder)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for path in FOLDER.glob("*.json"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_every_case_agrees(node_js: Path) -> None:
    done = check(node_js, FOLDER)
    assert (done.returncode, done.stderr) == (0, "")
    counts = {path.name: len(json.loads(path.read_text("ascii"))["cases"]) for path in FOLDER.glob("*.json")}
    lines = done.stdout.splitlines()
    assert dict(re.findall(r"(\w+\.json) (\d+)", done.stdout)) == {name: str(count) for name, count in counts.items()}
    chapters = [int(match) for match in re.findall(r"^chapter (\d+):", done.stdout, re.MULTILINE)]
    assert chapters == [*range(1, 10), 13, 15, 17]
    assert lines[-1] == f"{sum(counts.values())} cases in {len(counts)} files agree."


def test_every_file_has_a_planted_fault() -> None:
    assert sorted(PLANTS) == sorted(path.name for path in FOLDER.glob("*.json"))


@pytest.mark.long
@pytest.mark.parametrize("name", PLANTS)
def test_a_changed_byte_is_seen(node_js: Path, copy: Path, name: str) -> None:
    text = (copy / name).read_text("ascii")
    found = re.search(rf'"{PLANTS[name]}": "([0-9a-f]+)"', text)
    assert found
    middle = (found.start(1) + found.end(1)) // 2
    changed = f"{int(text[middle], 16) ^ 1:x}"
    (copy / name).write_text(text[:middle] + changed + text[middle + 1 :], "ascii")
    done = check(node_js, copy)
    assert done.returncode == 1
    assert done.stderr.startswith(f'{name}: "')
    assert "the vector says" in done.stderr


def test_files_kinds_and_cases_that_nobody_checks_are_seen(node_js: Path, copy: Path) -> None:
    unknown = copy / "unknown.json"
    unknown.write_text('{"chapter": 1, "cases": []}\n')
    assert "unknown.json" in refusal(node_js, copy)
    unknown.unlink()
    first = copy / "labels.json"
    original = first.read_text("ascii")
    first.write_text('{"chapter": 1, "cases": []}\n')
    assert refusal(node_js, copy).startswith("labels.json")
    first.write_text(original.replace('"name"', '"kind": "new", "name"', 1))
    assert 'unknown kind "new"' in refusal(node_js, copy)


def refusal(node_js: Path, folder: Path) -> str:
    done = check(node_js, folder)
    assert done.returncode == 1
    return done.stderr
