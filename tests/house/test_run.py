"""`deploy/run.py` says what is wrong in one sentence, and does nothing twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

#: An ordinary user, who may yet read this checkout and this Python wherever they lie.
READ = "+dac_read_search"
NOT_ROOT = ("/usr/bin/setpriv", "--reuid=65534", f"--inh-caps={READ}", f"--ambient-caps={READ}")


def copy_of_the_tooling(folder: Path) -> Path:
    """As much of the checkout as `deploy/run.py` reads, so that the real `.venv` stays out of it."""
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    shutil.copy(ROOT / "pyproject.toml", folder)
    shutil.copytree(ROOT / "client_sdk/web", folder / "client_sdk/web", ignore=shutil.ignore_patterns("node_modules"))
    return folder / "deploy/run.py"


def run(script: Path, *arguments: str, unprivileged: bool = False) -> subprocess.CompletedProcess[str]:
    """Start the script with a PATH on which no program is found."""
    command = [sys.executable, str(script), *arguments]
    if unprivileged and os.geteuid() == 0:
        command = [*NOT_ROOT, *command]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, env={"PATH": "/nonexistent"}
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return copy_of_the_tooling(tmp_path)


@pytest.mark.parametrize(
    ("job", "package"),
    [
        (["test"], "strace"),
        (["long"], "tmux"),
        (["nodes"], "redis-server"),
        (["demo", "--cluster", "--headless"], "redis-server"),
        (["cluster", "--check"], "caddy"),
        (["deploy"], "prometheus"),
    ],
)
def test_without_root_it_names_the_missing_package_and_stops(script: Path, job: list[str], package: str) -> None:
    done = run(script, *job, unprivileged=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (sentence,) = done.stderr.splitlines()
    assert f" {package}" in sentence
    assert "apt-get install" in sentence
    assert not (script.parent.parent / ".venv").exists()


def test_a_fresh_root_needs_root(script: Path) -> None:
    done = run(script, "demo", "--fresh", unprivileged=True)
    assert done.returncode == 2
    (sentence,) = done.stderr.splitlines()
    assert "root" in sentence


@pytest.mark.parametrize("arguments", [[], ["dance"], ["setup", "now"]])
def test_wrong_usage_prints_the_usage(script: Path, arguments: list[str]) -> None:
    done = run(script, *arguments)
    assert done.returncode == 2
    assert "deploy/run.py test" in done.stderr


@pytest.mark.long
def test_a_failed_install_says_so_and_leaves_no_stamp(script: Path) -> None:
    lock = script.parent / "lock/run.txt"
    lock.write_text("no-such-package==1 --hash=sha256:" + "0" * 64 + "\n", encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, str(script), "demo"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 1
    assert "installing the locked packages failed" in done.stderr.splitlines()[-1]
    assert not (script.parent.parent / ".venv/rapport-setup.json").exists()
