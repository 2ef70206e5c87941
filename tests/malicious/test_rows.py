"""No attack of the threat model without a test, or without the reason why there is none yet."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT
from tests.malicious.rows import LATER
from tests.malicious.stage import Stage

pytestmark = pytest.mark.malicious

FOLDER = Path(__file__).parent
PAGE = ROOT / "docs/threat-model.md"


def table() -> list[str]:
    """The attacks of the table under "A server that lies"."""
    section = PAGE.read_text(encoding="utf-8").split("## A server that lies\n", 1)[1].split("\n## ", 1)[0]
    return [row for row in re.findall(r"^\| (.+?) \|", section, re.MULTILINE) if row not in {"attack", "---"}]


def tried() -> dict[str, list[str]]:
    """Row -> tests that are marked with it."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                for row in rows_of(node):
                    found.setdefault(row, []).append(node.name)
    return found


def rows_of(test: ast.AsyncFunctionDef) -> list[str]:
    calls = [mark for mark in test.decorator_list if isinstance(mark, ast.Call)]
    named = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "catches"]
    return [str(argument.value) for call in named for argument in call.args if isinstance(argument, ast.Constant)]


def test_every_row_is_tried_or_waits_for_a_feature() -> None:
    rows = table()
    assert len(rows) == len(set(rows)) > 15
    assert set(rows) == set(tried()) | set(LATER)
    assert not set(tried()) & set(LATER)
    assert all(LATER.values())


def test_every_test_here_is_of_some_row() -> None:
    for path in sorted(FOLDER.glob("test_*.py")):
        tests = [
            n for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.AsyncFunctionDef)
        ]
        tests = [test for test in tests if test.name.startswith("test_") and path.name != Path(__file__).name]
        assert [test.name for test in tests if not rows_of(test)] == []


# --- the search finds what it looks for -------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["a text", "a text in base64", "a key", "a strange device"])
async def test_a_leak_would_be_seen(stage: Stage, what: str) -> None:
    import base64

    from rapport_protocol.ids import DeviceId
    from rapport_protocol.messages import Direct

    dana, _ = await stage.pair()
    await stage.no_leak()
    keys = await dana.keys()
    text = stage.texts[0].encode()
    if what == "a strange device":
        stage.proxy.said.append((stage.proxy.wires[0], Direct(bytes(125), b"", b"", DeviceId(b"s" * 16), b"")))
    else:
        planted = {"a text": text, "a text in base64": base64.b64encode(text), "a key": keys[0]}[what]
        stage.proxy.passed.append(b"..." + planted + b"...")
    with pytest.raises(AssertionError):
        await stage.no_leak()
