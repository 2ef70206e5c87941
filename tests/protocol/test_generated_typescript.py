"""The TypeScript SDK's part of the contract is what the Python contract says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.tree import ROOT

SCRIPT = ROOT / "client_sdk/protocol/generate_typescript.py"
FOLDER = ROOT / "client_sdk/web/sdk/src/protocol"


def checked(folder: Path) -> tuple[int, list[str]]:
    """Exit code of the check, and the names of the files that it calls stale."""
    command = [sys.executable, str(SCRIPT), "--check", str(folder)]
    done = subprocess.run(command, timeout=60, capture_output=True, text=True, check=False)
    return done.returncode, [Path(line).name for line in done.stderr.splitlines()]


def test_the_generated_files_are_up_to_date() -> None:
    assert checked(FOLDER) == (0, []), "python client_sdk/protocol/generate_typescript.py"


def test_every_stale_or_missing_file_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "protocol"
    shutil.copytree(FOLDER, copy)
    fields = (copy / "fields.ts").read_text()
    (copy / "fields.ts").write_text(fields.replace("outer:b125", "outer:b124", 1))
    (copy / "limits.ts").unlink()
    assert checked(copy) == (1, ["fields.ts", "limits.ts"])
