"""The pure floors stay pure and the two houses stay apart, measured by what a fresh process has loaded."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig

import pytest

from tests.house.tree import PACKAGES, ROOT, modules

#: Input and output, clocks, chance, threads and logs. `time` is part of the interpreter's own start; the import
#: contracts in pyproject.toml forbid it by name.
IMPURE = {
    *("aiohttp", "aiosqlite", "http", "socket", "sqlite3", "ssl", "tempfile", "websockets"),
    *("asyncio", "multiprocessing", "select", "selectors", "subprocess", "threading"),
    *("random", "secrets", "logging"),
}

LOAD = """
import importlib, json, sys, types
search, bare_parents, names = json.loads(sys.argv[1])
sys.path[:0] = search
for parent, folder in bare_parents.items():
    sys.modules[parent] = package = types.ModuleType(parent)
    package.__path__ = [folder]
for name in names:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def loaded_by(names: list[str], bare_parents: dict[str, str] | None = None) -> set[str]:
    """Import `names` in a process without `site`, and return all that is then loaded.

    bare_parents: packages whose `__init__` is not to be run, so that a part of them can be looked at alone.
    """
    assert names, "nothing to look at: the test would prove nothing"
    search = [*(str(folder.parent) for folder in PACKAGES.values()), sysconfig.get_path("purelib")]
    command = [sys.executable, "-I", "-S", "-c", LOAD, json.dumps([search, bare_parents or {}, names])]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


def names_under(prefix: str) -> list[str]:
    names = [module.name for module in modules() if f"{module.name}.".startswith(f"{prefix}.")]
    return [name for name in names if not name.endswith("__main__")]


def test_the_contract_loads_nothing_impure() -> None:
    assert loaded_by(names_under("rapport_protocol")) & IMPURE == set()


def test_the_cryptography_loads_nothing_impure_and_no_other_room() -> None:
    loaded = loaded_by(names_under("rapport.crypto"), {"rapport": str(PACKAGES["rapport"])})
    assert loaded & IMPURE == set()
    strangers = {name for name in loaded if name.startswith(("rapport.", "rapport_server"))}
    assert {name for name in strangers if not f"{name}.".startswith("rapport.crypto.")} == set()


@pytest.mark.parametrize(("house", "other"), [("rapport", "rapport_server"), ("rapport_server", "rapport")])
def test_the_houses_do_not_load_each_other(house: str, other: str) -> None:
    loaded = loaded_by(names_under(house))
    assert {name for name in loaded if f"{name}.".startswith(f"{other}.")} == set()


def test_something_impure_would_be_noticed() -> None:
    assert loaded_by(["asyncio"]) >= {"asyncio", "socket", "logging"}
