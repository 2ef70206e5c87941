"""The files in `deploy/`, read by the programs that they are for: `python -m tests.deploy.check`.

Needs Debian's caddy, prometheus, docker-compose and systemd (`python3 deploy/run.py deploy` installs them); helm is
used where there is one. One line per check; exit code 1 when one failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from tests.house.tree import ROOT

LIMIT_S = 60
#: Where the unit expects the program. `systemd-analyze verify` wants it to exist.
INSTALLED = "/opt/rapport/bin/rapport"
#: Of 100, as `systemd-analyze security` counts: the lower, the less a break-in would gain.
MOST_EXPOSED = 25


def checks(deploy: Path, scratch: Path) -> Iterator[tuple[str, list[str]]]:
    """What each check is called, and its command."""
    rules, unit = deploy / "prometheus", scratch / "rapport.service"
    unit.write_text((deploy / unit.name).read_text().replace(INSTALLED, str(Path(sys.executable).with_name("rapport"))))
    yield "alerts can be read", ["promtool", "check", "rules", str(rules / "rules.yaml")]
    yield "alerts fire when they should", ["promtool", "test", "rules", str(rules / "rules.test.yaml")]
    yield "Compose can read its file", ["docker-compose", "--file", str(deploy / "compose.yaml"), "config", "--quiet"]
    caddy = ["caddy", "validate", "--adapter", "caddyfile", "--config"]
    yield "Caddy can read its file", [*caddy, str(deploy / "Caddyfile")]
    yield "systemd can read the unit", ["systemd-analyze", "verify", str(unit)]
    harden = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED}"]
    yield "the unit is hardened", [*harden, str(unit)]
    chart = deploy / "helm/rapport"
    if shutil.which("helm"):
        yield "Helm can render the chart", ["helm", "template", "rapport", str(chart)]
    yield "the chart is valid YAML", ["/usr/bin/python3", str(Path(__file__).with_name("render_chart.py")), str(chart)]
    yield "two nodes behind Caddy", [sys.executable, str(deploy / "local_cluster.py"), "--check"]


def passed(title: str, command: list[str]) -> bool:
    """Run one check and say how it went."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={"RAPPORT_TURN": "turn.example.org", **os.environ},
        )
    except FileNotFoundError:
        click.echo(f"FAILED   {title}: {command[0]} is not installed")
        return False
    except subprocess.TimeoutExpired:
        click.echo(f"FAILED   {title}: no end within {LIMIT_S} s")
        return False
    # `verify` ends with 0 when it only warns; a warning is a line that systemd would pass over.
    warned = command[:2] == ["systemd-analyze", "verify"] and bool(done.stdout.strip())
    good = done.returncode == 0 and not warned
    click.echo(f"{'passed' if good else 'FAILED'}   {title}")
    if not good:
        click.echo(f"{' '.join(command)}\n{done.stdout}")
    return good


def main(arguments: list[str]) -> int:
    """Check this checkout's folder, or the one that is named."""
    deploy = Path(arguments[0]) if arguments else ROOT / "deploy"
    with tempfile.TemporaryDirectory(prefix="rapport-deploy-") as scratch:
        outcomes = [passed(*check) for check in checks(deploy, Path(scratch))]
    if not shutil.which("helm"):
        click.echo("left out Helm can render the chart: there is no helm here")
    return 0 if all(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
