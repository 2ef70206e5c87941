"""What may be written about.

An allow-list of keys, and a pseudonym for ids whose key is forgotten every day. A line has an event (a fixed phrase of
the program), and values under known keys. Anything else is dropped and counted, so that a careless line can lose a
detail but never give one away. Texts of exceptions are never written: they may quote what they choke on. Source:
docs/operate.md, "Logs".
"""

import hashlib
import logging
import secrets
import sys
import traceback
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog

from rapport_server.config import Log

__all__ = ["ALLOWED_KEYS", "ID_KEYS", "DailyPseudonym", "KeyFilter", "configure"]

ALLOWED_KEYS: Final = frozenset(
    {
        "code", "connections", "count", "error", "event", "kind", "level", "library", "method", "ms", "operation",
        "port", "reason", "seconds", "signal", "status", "timestamp", "version", "where", "worker",
    }
)  # fmt: skip
"""Keys whose values the program itself makes up: names, numbers, codes."""
ID_KEYS: Final = frozenset({"account", "conv", "device", "practice"})
"""Keys whose values are ids of 16 bytes; written as a pseudonym that is good for one day."""

_DAY_S: Final = 86_400


class DailyPseudonym:
    """Keyed hash of an id.

    The key is random, lives in memory and is replaced every day, so that old logs name nobody.
    """

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._day = -1

    def of(self, name: bytes, day: int) -> str:
        """Eight hexadecimal digits: the same for the same id on the same day (days since 1970)."""
        if day != self._day:
            self._day, self._key = day, secrets.token_bytes(32)
        return hashlib.blake2b(name, key=self._key, digest_size=4).hexdigest()


class KeyFilter:
    """A structlog processor: keeps known keys, replaces ids, turns an exception into its type and place."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self.dropped = 0
        """How many values were left out; shown as a figure, since each is a mistake in the program."""
        self._pseudonym = DailyPseudonym()
        self._now_s = now_s

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Filters one line."""
        kept: dict[str, Any] = {}
        failure = line.pop("exc_info", None)
        if failure:
            kept.update(_place(failure))
        for key, value in line.items():
            if key in ID_KEYS and isinstance(value, bytes):
                kept[key] = self._pseudonym.of(value, int(self._now_s()) // _DAY_S)
            elif key in ALLOWED_KEYS and isinstance(value, str | int | float | bool):
                kept[key] = value
            else:
                self.dropped += 1
        return kept


def _place(failure: object) -> dict[str, str]:
    """Type of an exception and the line it came from; not its text.

    failure: an exception, the triple of `sys.exc_info`, or anything true for "the one being handled".
    """
    problem = failure[1] if isinstance(failure, tuple) and len(failure) > 1 else failure
    if not isinstance(problem, BaseException):
        problem = sys.exc_info()[1] if problem else None
    if problem is None:
        return {}
    frames = traceback.extract_tb(problem.__traceback__)
    where = f"{frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": type(problem).__name__, "where": where}


class _Libraries(logging.Handler):
    """What libraries log, without their words: the message may quote a header or a statement's parameters."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, "library message", library=record.name, **_place(record.exc_info))


def configure(settings: Log, now_s: Callable[[], float], stream: TextIO | None = None) -> KeyFilter:
    """Sets the process's logging up, ours and that of libraries. stream: standard error by default."""
    keys = KeyFilter(now_s)
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(sort_keys=True)
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=False, pad_event_to=0)
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keys,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=max(level, logging.WARNING), force=True)
    return keys
