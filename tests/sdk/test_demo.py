"""The main job, started as people start it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path

import pytest

WITHIN_S = 240
ZEROS = ["lost", "duplicated", "reordered", "phantoms", "alarms"]


@pytest.mark.long
def test_the_demo_plays_a_conversation_through_a_kill() -> None:
    command = [sys.executable, "-m", "rapport", "demo", "--headless", "--json"]
    played = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)
    assert played.returncode == 0, played.stderr
    (line,) = played.stdout.splitlines()
    verdict = json.loads(line)
    assert [verdict[name] for name in ZEROS] == [0] * len(ZEROS)
    assert verdict["sent"] == verdict["accepted"] == 111
    assert verdict["received"] == verdict["decrypted"] >= 3 * 111, "three other devices show each message"
    assert verdict["unanswered_at_kill"] >= 20
    assert verdict["seconds"] > 0
    assert min(verdict["frames_a"], verdict["frames_b"]) >= 50, "before the cut, and after it"
    assert verdict["missed_recorded"] is True


@pytest.mark.long
def test_the_demo_says_how_to_join_and_stops_when_told(tmp_path: Path) -> None:
    """On a terminal: the links are real, and a second start goes on with the same practice."""
    controller, terminal = pty.openpty()
    try:
        first = host_until_told(tmp_path, controller, terminal)
        second = host_until_told(tmp_path, controller, terminal)
    finally:
        os.close(controller)
        os.close(terminal)
    for said in (first, second):
        assert f"rapport chat --vault {tmp_path}/therapist" in said
        assert f"rapport chat --vault {tmp_path}/client --name Dana" in said
    link = re.compile(r"(http://127\.0\.0\.1:\d+)/i/([\w-]+#[\w-]+)")
    found = [*link.findall(first), *link.findall(second)]
    assert len({address for address, _ in found}) == 1
    assert len({secret for _, secret in found}) == len(found) == 4, (
        "one for a terminal and one for a browser, each time"
    )
    assert re.search(r"As the therapist, in a browser .*\n  http://127\.0\.0\.1:\d+/link#\w{32}", first)


def host_until_told(folder: Path, controller: int, terminal: int) -> str:
    """Starts it on a terminal, reads until it has said everything, interrupts it; what it said."""
    command = [sys.executable, "-m", "rapport", "demo", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=terminal, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        try:
            said = b""
            while b"/link#" not in said:
                readable, _, _ = select.select([controller], [], [], 0.2)
                said += os.read(controller, 4096) if readable else b""
                assert readable or process.poll() is None, process.stderr and process.stderr.read().decode()
            process.terminate()
            assert process.wait(WITHIN_S) == 0, process.stderr and process.stderr.read().decode()
        finally:
            process.kill()
    return said.decode().replace("\r\n", "\n")
