"""The README's commands exist, and continuous integration runs them as they stand there."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.house.tree import ROOT

DEMO, TEST = "python3 deploy/run.py demo", "python3 deploy/run.py test"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def command_blocks(page: Path) -> str:
    return "\n".join(re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def test_readme_gives_the_two_commands() -> None:
    lines = command_blocks(ROOT / "README.md").splitlines()
    assert DEMO in lines
    assert TEST in lines


def test_continuous_integration_runs_both() -> None:
    jobs = re.findall(r"^job '.*' \d+ (.*)$", (ROOT / ".ci/run").read_text(encoding="utf-8"), re.MULTILINE)
    assert TEST in jobs
    assert f"{DEMO} --fresh" in jobs
    subprocess.run(["bash", "-n", str(ROOT / ".ci/run")], check=True, timeout=60)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text(encoding="utf-8"))
    paths = re.findall(r"`((?:client_sdk|server|tests|deploy|docs)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    broken = [link for link in links if not (page.parent / link).exists()]
    assert broken + [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_every_rapport_command_named_exists(page: Path) -> None:
    """Both in blocks (`rapport serve …`) and in running text, up to the first word that cannot be a command's name."""
    named = re.findall(r"(?:`|^|/|\$ )rapport((?: [a-z][a-z-]*)+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert [words for words in sorted(set(named)) if not is_command(words.split())] == []


def is_command(words: list[str]) -> bool:
    """Whether the command line, the server's commands included, knows `words`."""
    from rapport.cli import main

    return CliRunner().invoke(main, [*words, "--help"]).exit_code == 0
