"""The catalogue of errors is what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rapport_protocol.errors import ErrorCode

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/list_errors.py"


def checked(script: Path) -> int:
    command = [sys.executable, str(script), "--check"]
    return subprocess.run(command, timeout=60, capture_output=True, check=False).returncode


def test_the_page_is_up_to_date(tmp_path: Path) -> None:
    assert checked(SCRIPT) == 0, "python deploy/list_errors.py"
    (tmp_path / "deploy").mkdir()
    (tmp_path / "docs").mkdir()
    copy = tmp_path / "deploy/list_errors.py"
    copy.write_text(SCRIPT.read_text())
    stale = (ROOT / "docs/errors.md").read_text().replace("| `busy` | 503 | later |", "| `busy` | 503 | never |")
    (tmp_path / "docs/errors.md").write_text(stale)
    assert checked(copy) == 1


def test_every_code_and_everything_that_programs_catch_is_explained() -> None:
    import rapport
    from rapport_protocol.errors import RapportError

    page = (ROOT / "docs/errors.md").read_text()
    rows = {line.split("`")[1]: line for line in page.splitlines() if line.startswith("| `")}
    for code in ErrorCode:
        assert rows[code].split("|")[4].strip(), code
    for name in rapport.__all__:
        if isinstance(getattr(rapport, name), type) and issubclass(getattr(rapport, name), RapportError):
            assert f"`{name}` | `rapport` |" in page
