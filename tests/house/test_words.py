"""Words that must not appear: places of one's own machine, registry hosts, half-done work, waiting by the clock."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.house.tree import PACKAGES, ROOT, modules, parsed, project_files

#: Spelled so that this file does not contain them.
REGISTRIES = (
    "pypi" + ".org",
    "python" + "hosted.org",
    "registry.npm" + "js",
    "deb.deb" + "ian.org",
    "security.deb" + "ian.org",
)
HALF_DONE = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
THIS_MACHINE = re.compile(r"/(?:ho" + r"me|wo" + r"rk|Us" + r"ers)/\w")

WAITS = {"sleep"}


@functools.cache
def texts() -> list[tuple[str, str]]:
    """Name and content of every text file of the project, read once."""
    found = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content:
            found.append((str(path.relative_to(ROOT)), content.decode("utf-8")))
    return found


def test_all_text_files_are_utf8_and_end_with_a_newline() -> None:
    assert [name for name, text in texts() if text and not text.endswith("\n")] == []


def test_no_file_names_a_package_registry() -> None:
    assert [(name, host) for name, text in texts() for host in REGISTRIES if host in text] == []


@pytest.mark.parametrize("pattern", [HALF_DONE, THIS_MACHINE], ids=["half done", "this machine"])
def test_no_file_holds_left_overs(pattern: re.Pattern[str]) -> None:
    assert [(name, hit.group()) for name, text in texts() for hit in pattern.finditer(text)] == []


def test_tests_do_not_wait_by_the_clock() -> None:
    """`asyncio.sleep(0)` gives way to other tasks and waits for nothing; it alone is allowed."""
    named = [ROOT / name for name, text in texts() if name.startswith("tests/") and any(word in text for word in WAITS)]
    waits = [where for path in named if path.suffix == ".py" for where in sleeps(path)]
    assert waits == []


def sleeps(path: Path) -> list[str]:
    found = []
    for node in ast.walk(parsed(path)):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        gives_way = bool(node.args) and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if name in WAITS and not gives_way:
            found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return found


def test_no_module_goes_by_an_empty_name() -> None:
    empty = {"utils", "util", "helpers", "helper", "manager", "managers", "data", "common", "misc"}
    assert [module.name for module in modules() if set(module.name.split(".")) & empty] == []


def test_every_package_tells_type_checkers_that_it_is_typed() -> None:
    assert [name for name, folder in PACKAGES.items() if not (folder / "py.typed").exists()] == []
