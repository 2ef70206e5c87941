"""The measuring commands at their smallest: they run through and say what they should. No figure is judged here."""

from __future__ import annotations

import json
import os

import pytest
from click.testing import CliRunner

from rapport.bench import idle as idle_bench
from rapport.bench.calls import Settings, calls
from rapport.bench.cli import bench
from rapport.bench.idle import idle
from rapport.bench.resume import resume
from rapport.bench.wire import Peer, server_frame


@pytest.mark.long
def test_the_commands_are_there_and_seal_prints_one_object() -> None:
    assert sorted(bench.commands) == ["calls", "idle", "relay", "resume", "seal"]
    result = CliRunner().invoke(bench, ["seal", "--devices", "2", "--repeat", "2", "--json"])
    report = json.loads(result.output)
    assert report["devices"] == 2
    assert all(report[name]["median"] > 0 for name in ("symmetric_ms", "turning_ms", "new_sessions_ms"))


@pytest.mark.long
def test_idle_connects_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_bench, "SETTLED_S", 0.0)
    said: list[str] = []
    report = idle(12, said.append)
    assert report["connections"] == 12
    assert report["server_after_mib"] > 10
    assert said


@pytest.mark.long
def test_resume_counts_what_came_back() -> None:
    report = resume(70, 2, 15, lambda _: None)
    assert (report["wire_messages"], report["sdk_messages"]) == (70, 15)
    assert 0 < report["wire_ms"]["min"] <= report["wire_ms"]["max"]
    assert report["sdk_s"] > 0


@pytest.mark.long
def test_calls_are_set_up_and_stand_in_the_store() -> None:
    cores = os.sched_getaffinity(0)
    try:
        report = calls(Settings(pairs=2, rounds=1, warm_up_s=0.2, measure_s=0.5), lambda _: None)
    finally:
        os.sched_setaffinity(0, cores)
    assert report["frames_per_setup"] == 23
    assert report["calls_in_store"] > 0
    assert report["setups_per_core_s"]["median"] > 0


def test_payloads_that_came_too_early_are_put_back_whole() -> None:
    payloads = [b"a", b"b" * 200, b"c" * 70_000]
    peer = Peer(None, b"".join(server_frame(payload) for payload in payloads))  # type: ignore[arg-type]
    assert [peer.next_payload() for _ in payloads] == payloads
