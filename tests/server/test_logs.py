"""The log: what is let through, what is withheld and counted, and how ids are written."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from rapport_server import logs
from rapport_server.config import Log
from rapport_server.logs import DailyPseudonym, KeyFilter


class Captured:
    """The process's logging, set up as `rapport serve` does, into a text."""

    def __init__(self, settings: Log) -> None:
        self.now_s = 86_400.0 * 20_000
        self._stream = io.StringIO()
        self.keys: KeyFilter = logs.configure(settings, lambda: self.now_s, self._stream)

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def captured() -> Iterator[Captured]:
    before = logging.root.handlers[:], logging.root.level
    yield Captured(Log(format="json", level="debug"))
    structlog.reset_defaults()
    logging.root.handlers[:] = before[0]
    logging.root.setLevel(before[1])


def test_only_known_keys_get_through(captured: Captured) -> None:
    structlog.get_logger("x").info("answered", status=200, operation="invite.view", name="Dana", token=b"t" * 32)
    assert captured.lines == [
        {
            "event": "answered",
            "level": "info",
            "operation": "invite.view",
            "status": 200,
            "timestamp": captured.lines[0]["timestamp"],
        }
    ]
    assert captured.keys.dropped == 2


def test_known_keys_hold_plain_values_only(captured: Captured) -> None:
    structlog.get_logger("x").info("answered", status={"text": "planted"}, reason=b"planted")
    assert "planted" not in captured.text
    assert captured.keys.dropped == 2


def test_ids_are_pseudonyms_of_the_day(captured: Captured) -> None:
    device, log = os.urandom(16), structlog.get_logger("x")
    log.info("one", device=device)
    log.info("two", device=device)
    captured.now_s += 86_400
    log.info("three", device=device)
    log.info("four", device="planted")
    written = [line.get("device") for line in captured.lines]
    assert written[0] == written[1] != written[2]
    assert written[3] is None
    assert device.hex() not in captured.text
    assert "planted" not in captured.text


def test_an_exception_leaves_its_type_and_place(captured: Captured) -> None:
    try:
        int("planted")
    except ValueError:
        structlog.get_logger("x").exception("request failed", operation="prekeys.claim")
    line = captured.lines[0]
    assert line["error"] == "ValueError"
    assert str(line["where"]).startswith("test_logs.py:")
    assert "planted" not in captured.text


def test_libraries_lose_their_words(captured: Captured) -> None:
    logging.getLogger("aiohttp.server").error("Error handling request from %s", "planted")
    try:
        raise RuntimeError("planted")
    except RuntimeError:
        logging.getLogger("asyncio").exception("planted")
    logging.getLogger("aiohttp.access").info("planted")
    assert [(line["library"], line.get("error")) for line in captured.lines] == [
        ("aiohttp.server", None),
        ("asyncio", "RuntimeError"),
    ]
    assert "planted" not in captured.text


async def test_a_task_that_fails_unseen_is_noticed(captured: Captured) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "planted", "exception": KeyError("planted")})
    assert captured.lines[0]["error"] == "KeyError"
    assert "planted" not in captured.text


def test_levels_are_kept() -> None:
    captured = Captured(Log(format="console", level="warning"))
    try:
        structlog.get_logger("x").info("quiet")
        structlog.get_logger("x").warning("loud", count=3)
    finally:
        structlog.reset_defaults()
        logging.root.handlers.clear()
    assert "quiet" not in captured.text
    assert "loud" in captured.text
    assert "count=3" in captured.text


def test_a_pseudonym_says_nothing_about_another_server() -> None:
    name = os.urandom(16)
    assert DailyPseudonym().of(name, 1) != DailyPseudonym().of(name, 1)
