"""A bare Debian 12 root with nothing but python3: a new machine to try a command on, made from packages."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

__all__ = ["run_in_fresh_root"]

RELEASE = "bookworm"

#: The checkout's place in the new root.
CHECKOUT = "srv/rapport"

#: What a checkout leaves behind while it is used; a new machine has none of it.
LEFT_BEHIND = (".git", ".venv", "node_modules", "__pycache__", ".*_cache", ".hypothesis")

#: How this machine reaches its package registries: without it the new root could not fetch anything behind a proxy.
NETWORK_FILES = (
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/pip.conf",
    "/etc/npmrc",
    "/etc/ssl/certs/ca-certificates.crt",
    "/usr/local/share/ca-certificates",
    "/root/.config/pip/pip.conf",
    "/root/.npmrc",
)
NETWORK_VARIABLES = (
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_INDEX_URL",
    "SSL_CERT_FILE",
    "CI",
    "TERM",
)

MAKE = 'mmdebstrap --quiet --variant=minbase --include=python3 "$1" "$2" >&2'
ENTER = """
set -e
root=$1; checkout=$2; shift 2
mount -t proc proc "$root/proc"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
chroot "$root" env --chdir="/$checkout" "$@"
exit 0
"""


def run_in_fresh_root(checkout: Path, command: list[str]) -> int:
    """Copy `checkout` into a new root, run `command` in it and return its exit code; the root is removed afterwards.

    Needs root and `mmdebstrap`. Network and process limits are this machine's; files, packages and processes are not.
    """
    root = Path(tempfile.mkdtemp(prefix="rapport-debian-"))
    try:
        code = _run_apart(MAKE, [RELEASE, str(root)], dict(os.environ))
        if code != 0:
            return code
        _copy_network_settings(root)
        _start_no_services(root)
        shutil.copytree(checkout, root / CHECKOUT, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        environment = {name: os.environ[name] for name in NETWORK_VARIABLES if name in os.environ}
        environment |= {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        return _run_apart(ENTER, [str(root), CHECKOUT, *command], environment)
    finally:
        shutil.rmtree(root)


def _run_apart(script: str, arguments: list[str], environment: dict[str, str]) -> int:
    """Run a shell script in mount and process namespaces of its own: its mounts and all it started end with it."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, "sh", *arguments]
    process = subprocess.Popen(unshare, env=environment)
    try:
        return process.wait()
    except BaseException:
        # The shell is the first process of its namespace: nothing in there outlives it, and `unshare` waits for that.
        for shell in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            os.kill(int(shell), signal.SIGKILL)
        process.wait()
        raise


def _start_no_services(root: Path) -> None:
    """Installing a server's package must not start it: whoever needs one starts its own."""
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)


def _copy_network_settings(root: Path) -> None:
    settings = [Path(name) for name in NETWORK_FILES]
    settings += [path for path in Path("/etc/apt/apt.conf.d").glob("*") if "Acquire" in path.read_text()]
    for source in settings:
        target = root / source.relative_to("/")
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
