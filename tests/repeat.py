"""Runs the tests several times in a row and says how often they were green: `python -m tests.repeat 10`.

Further arguments go to pytest. Stops at the first red run and shows its output.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def main(arguments: list[str]) -> int:
    """Exit code 0 if every run was green."""
    runs = int(arguments[0]) if arguments else 10
    for number in range(1, runs + 1):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stdout.write(done.stdout)
            sys.stdout.write(f"run {number} of {runs}: red\n")
            return 1
        last = done.stdout.strip().rpartition("\n")[2]
        sys.stdout.write(f"run {number} of {runs}: green after {time.monotonic() - started:.0f} s: {last}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{runs} of {runs} green\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
