"""Every test is run by one of the commands, and continuous integration runs each of them."""

from __future__ import annotations

import ast
import itertools
import re
from typing import Any

from tests.house.tree import ROOT, parsed

JOBS = ("test", "long", "nodes", "web")


def constant(name: str) -> Any:
    """A constant of `deploy/run.py`."""
    for node in parsed(ROOT / "deploy/run.py").body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return ast.literal_eval(node.value)
    raise AssertionError(name)


def test_whatever_its_markers_a_test_is_run_by_one_command() -> None:
    marked: dict[str, str] = constant("MARKED")
    assert tuple(sorted(marked)) == tuple(sorted(JOBS))
    names = sorted(set(re.findall(r"\w+", " ".join(marked.values()))) - {"and", "not", "or"})
    assert names == ["long", "nodes", "web"]
    for values in itertools.product((False, True), repeat=len(names)):
        has = dict(zip(names, values, strict=True))
        assert len([job for job, markers in marked.items() if eval(markers, {}, has)]) == 1, has


def test_the_browser_tests_stand_where_they_are_looked_for() -> None:
    folders = [ROOT / folder for folder in constant("WEB_TESTS").values()]
    mark = "mark.web"
    marking = [path for path in (ROOT / "tests").rglob("*.py") if mark in path.read_text(encoding="utf-8")]
    assert marking
    strangers = [path.name for path in marking if not any(path.is_relative_to(folder) for folder in folders)]
    assert strangers == ["test_markers.py"]


def test_continuous_integration_runs_each_command_and_the_page_for_contributors_names_it() -> None:
    ci, page = (ROOT / ".ci/run").read_text(encoding="utf-8"), (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for job in JOBS:
        assert re.search(rf"^job '.*' \d+ python3 deploy/run.py {job}$", ci, re.MULTILINE), job
        assert f"`python3 deploy/run.py {job}`" in page, job
