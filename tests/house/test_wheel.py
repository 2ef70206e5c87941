"""What is published holds what is here."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.house.tree import PACKAGES, ROOT


def test_the_wheel_holds_the_three_packages_whole(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("rapport-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
        (entry_points,) = (archive.read(name).decode() for name in packed if name.endswith("entry_points.txt"))
    ours = {
        path.relative_to(folder.parent).as_posix()
        for folder in PACKAGES.values()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in packed if ".dist-info/" not in name} == ours
    assert "rapport_server/web_app/manifest.json" in packed
    assert any(name.endswith("licenses/LICENSE") for name in packed)
    assert "rapport = rapport.cli:main" in entry_points
    assert "[rapport.commands]" in entry_points
