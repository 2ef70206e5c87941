"""The lock files hold what pyproject.toml asks for, with hashes and without the name of any host."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.tree import ROOT

RUN, TEST = ROOT / "deploy/lock/run.txt", ROOT / "deploy/lock/test.txt"
PIN = re.compile(r"^([a-z0-9-]+)(?:\[[a-z,]+\])?==([^ ;]+)", re.MULTILINE)


def pins(lock: Path) -> dict[str, str]:
    found = dict(PIN.findall(lock.read_text(encoding="utf-8")))
    assert found
    return found


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def unmet(requirements: Iterable[str], lock: Path) -> list[str]:
    locked = pins(lock)
    wanted = [Requirement(text) for text in requirements]
    return [
        str(want)
        for want in wanted
        if want.name != "rapport" and not want.specifier.contains(locked.get(canonicalize_name(want.name), "0.dev0"))
    ]


def test_the_locks_meet_what_the_project_asks_for() -> None:
    table = project()
    extras, groups = table["project"]["optional-dependencies"], table["dependency-groups"]
    run = [*table["project"]["dependencies"], *extras["server"], *extras["chat"], *extras["keyring"], *groups["build"]]
    assert unmet(run, RUN) == []
    assert unmet([*run, *extras["dev"]], TEST) == []


def test_what_runs_is_tested_at_the_same_versions() -> None:
    assert pins(RUN).items() - pins(TEST).items() == set()


def test_every_locked_package_has_hashes() -> None:
    for lock in (RUN, TEST):
        entries = re.split(r"\n(?=[a-z])", lock.read_text(encoding="utf-8").split("\n", 2)[2])
        assert len(entries) == len(pins(lock))
        assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_locks_name_no_host() -> None:
    for lock in (RUN, TEST):
        assert "://" not in lock.read_text(encoding="utf-8")
    for place in ("client_sdk/web", "client_sdk/web/api-docs"):
        packages = json.loads((ROOT / place / "package-lock.json").read_text(encoding="utf-8"))["packages"]
        fetched = {name: it for name, it in packages.items() if name.startswith("node_modules/") and "link" not in it}
        assert fetched
        assert [name for name, it in fetched.items() if "resolved" in it or "integrity" not in it] == []
