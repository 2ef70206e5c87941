"""Labels keep uses apart: each has one use, none is spelled twice, none is unknown or idle."""

from __future__ import annotations

import ast
import json
import re
from collections import defaultdict

from rapport_protocol.signed import LABELS, label
from tests.house.tree import PACKAGES, ROOT, parsed

FILE = PACKAGES["rapport_protocol"] / "labels.json"

#: The rooms that sign, hash and derive; nobody else has a label in hand.
LABELLING = (PACKAGES["rapport_protocol"], PACKAGES["rapport"] / "crypto")

#: Function -> position of the label among its arguments, and what the label is used for there.
USES = {
    "h256": (0, "hash"),
    "sign": (0, "signature"),
    "verify": (1, "signature"),
    "label": (0, "key or associated data"),
}


def pairs() -> list[tuple[str, str]]:
    read: list[tuple[str, str]] = json.loads(FILE.read_text(encoding="ascii"), object_pairs_hook=list)
    return read


def literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def used() -> dict[str, set[str]]:
    """Label -> the sorts of use it has in the source."""
    found = defaultdict(set)
    for folder in LABELLING:
        for path in folder.rglob("*.py"):
            for node in ast.walk(parsed(path)):
                name, use = None, ""
                if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "_LABEL_BYTES":
                    name, use = literal(node.slice), "key or associated data"
                elif isinstance(node, ast.Call):
                    at, use = USES.get(ast.unparse(node.func).split(".")[-1], (99, ""))
                    name = literal(node.args[at]) if len(node.args) > at else None
                if name is not None:
                    found[name].add(use)
    return dict(found)


def test_no_label_is_written_twice() -> None:
    names = [name for name, _ in pairs()]
    uses = [use for _, use in pairs()]
    assert len(names) == len(set(names))
    assert len(uses) == len(set(uses))
    assert names == sorted(names)
    assert dict(pairs()) == LABELS


def test_every_label_has_one_use_in_the_source_and_none_is_idle() -> None:
    found = used()
    assert set(found) == set(LABELS)
    assert {name: uses for name, uses in found.items() if len(uses) > 1} == {}


def test_only_these_rooms_use_labels() -> None:
    strangers = [
        f"{path.name}: {name.name}"
        for folder in PACKAGES.values()
        for path in folder.rglob("*.py")
        if not any(path.is_relative_to(room) for room in LABELLING)
        if "rapport_protocol.signed" in path.read_text(encoding="utf-8")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.module == "rapport_protocol.signed"
        for name in node.names
        if name.name in {"h256", "label", "verify"}
    ]
    assert strangers == []


def test_no_label_begins_another_ones_bytes() -> None:
    """Length-prefixed labels cannot be extended into one another by what follows them."""
    every = [label(name) for name in LABELS]
    assert [a for a in every for b in every if a is not b and b.startswith(a)] == []


def test_the_document_names_them_all() -> None:
    text = (ROOT / "docs/protocol.md").read_text(encoding="utf-8")
    listed = re.search(r"labels\.json`:\s+`([^`]*)`", text)
    assert listed is not None
    assert listed[1].split() == sorted(LABELS)
