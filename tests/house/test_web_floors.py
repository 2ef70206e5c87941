"""The TypeScript house has floors too: imports point down, and packages know each other by their front doors alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.tree import ROOT

WEB = ROOT / "client_sdk/web"
IMPORT = re.compile(r"""(?:\bfrom |^import |\bimport\()["']([^"'\s]+)["']""", re.MULTILINE)

#: Room of the SDK -> its floor. Rooms on one floor may not know each other, but for worker and client, who talk.
FLOORS = {
    "protocol": 1,
    "crypto": 2,
    "rooms": 2.1,
    "calls": 2.1,
    "office": 2.2,
    "call-views": 2.3,
    "appointments": 2.3,
    "meetings": 2.4,
    "agreements": 2.4,
    "ports": 2.5,
    "events": 2.5,
    "engine": 3,
    "adapters": 3,
    "local-device": 4,
    "worker": 5,
    "client": 5,
    "in-thread": 6,
    "index": 6,
    "testing": 7,
}
TOGETHER = {frozenset({"ports", "events"}), frozenset({"worker", "client"}), frozenset({"in-thread", "index"})}

#: Package -> what its sources may import beside their own files.
DOORS = {
    "sdk": {"@msgpack/msgpack", "libsodium-wrappers-sumo"},
    "elements": {"@rapport/sdk", "lit", "lit/directive.js", "uqr"},
    "app": {"@rapport/elements", "@rapport/sdk", "lit"},
}


def imports(file: Path) -> list[str]:
    return IMPORT.findall(re.sub(r"/\*.*?\*/", "", file.read_text(encoding="utf-8"), flags=re.DOTALL))


def room(path: Path) -> str:
    return path.relative_to(WEB / "sdk/src").parts[0].removesuffix(".ts")


def broken_floors(files: dict[Path, list[str]]) -> list[str]:
    found = []
    for file, names in files.items():
        here = room(file)
        for name in names:
            if not name.startswith("."):
                continue
            there = room((file.parent / name).resolve())
            allowed = there == here or FLOORS[there] < FLOORS[here] or frozenset({here, there}) in TOGETHER
            if not allowed:
                found.append(f"{file.relative_to(WEB)} -> {name}")
    return found


def test_imports_of_the_sdk_point_down() -> None:
    files = {file: imports(file) for file in (WEB / "sdk/src").rglob("*.ts")}
    assert broken_floors(files) == []
    planted = {WEB / "sdk/src/crypto/ratchet.ts": ["../engine/vault/turn.ts"]}
    assert broken_floors(planted) != []


@pytest.mark.parametrize("package", DOORS)
def test_packages_know_each_other_by_their_front_doors(package: str) -> None:
    sources = WEB / package / "src"
    foreign = {
        f"{file.relative_to(WEB)} -> {name}"
        for file in sources.rglob("*.ts")
        if "testing" not in file.parts
        for name in imports(file)
        if (
            name.split("/directives/")[0] not in DOORS[package]
            if not name.startswith(".")
            else not (file.parent / name).exists()
        )
    }
    assert foreign == set()
