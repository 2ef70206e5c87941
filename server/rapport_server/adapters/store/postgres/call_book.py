"""Calls in one transaction of the writer: read while their conversations are locked, written before the commit."""

import secrets
from collections.abc import Iterable
from typing import Any, Final

from rapport_protocol.calls.arbiter import CallRecord
from rapport_protocol.ids import ConversationId, ItemId, MessageId, PracticeId
from rapport_protocol.messages import NoticeKind
from rapport_server.adapters.store.calls import about_missed
from rapport_server.adapters.store.sql.calls import COLUMNS, record_of, row_of
from rapport_server.jobs import CallNews

__all__ = ["CALLS", "CONVERSATIONS", "KEEP_CALLS", "NOTE_MISSED", "BatchCalls"]

_NAMES: Final = ", ".join(COLUMNS)
_OF_C: Final = ", ".join(f"c.{name}" for name in COLUMNS)
_NUMBERS: Final = frozenset(name for name in COLUMNS if name.endswith("_ms") or name in ("rings", "version"))
_TEXTS: Final = frozenset({"phase", "reason"})
_TYPES: Final = ["bigint" if name in _NUMBERS else "text" if name in _TEXTS else "bytea" for name in COLUMNS]
_ARRAYS: Final = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(_TYPES, 1))
_MOVED: Final = ", ".join(f"{name} = EXCLUDED.{name}" for name in COLUMNS[5:])
_DUE: Final = len(COLUMNS) + 1

# $1, $2: practice and id of calls.
CONVERSATIONS: Final = """
SELECT DISTINCT c.practice || c.conv AS key FROM unnest($1::bytea[], $2::bytea[]) AS w (practice, call)
CROSS JOIN LATERAL (
  SELECT c.practice, c.conv FROM call AS c WHERE c.practice = w.practice AND c.call = w.call LIMIT 1
) AS c
"""

# $1, $2: practice and id of calls; $3, $4: practice and id of conversations, of which those that live are wanted. The
# conversations' rows are locked, and with them whatever happens to their calls.
CALLS: Final = f"""
SELECT {_OF_C} FROM unnest($1::bytea[], $2::bytea[]) AS w (practice, call) CROSS JOIN LATERAL (
  SELECT {_NAMES} FROM call AS c WHERE c.practice = w.practice AND c.call = w.call LIMIT 1
) AS c
UNION
SELECT {_OF_C} FROM unnest($3::bytea[], $4::bytea[]) AS w (practice, conv) CROSS JOIN LATERAL (
  SELECT {_NAMES} FROM call AS c WHERE c.practice = w.practice AND c.conv = w.conv AND c.ended_ms = 0 LIMIT 1
) AS c
"""  # noqa: S608 - constants of this file

# One array per column, and when the timer is due, 0 = it has none any more.
KEEP_CALLS: Final = f"""
WITH kept AS MATERIALIZED (
  SELECT {_NAMES}, due_ms FROM unnest({_ARRAYS}, ${_DUE}::bigint[]) AS k ({_NAMES}, due_ms)
), timed AS (
  INSERT INTO timer (kind, key, due_ms, leased_until_ms)
  SELECT 'call', practice || call, due_ms, 0 FROM kept WHERE due_ms > 0
  ON CONFLICT (kind, key) DO UPDATE SET due_ms = EXCLUDED.due_ms, leased_until_ms = 0
), untimed AS (
  DELETE FROM timer AS t USING kept AS k WHERE k.due_ms = 0 AND t.kind = 'call' AND t.key = k.practice || k.call
)
INSERT INTO call ({_NAMES}) SELECT {_NAMES} FROM kept
ON CONFLICT (practice, call) DO UPDATE SET {_MOVED}
"""  # noqa: S608 - constants of this file

# $1: practice, $2: id, $3: conversation, $4: time, $5: what it is about, $6: kind, $7: devices.
NOTE_MISSED: Final = """
WITH noted AS (
  INSERT INTO item (position, practice, id, conv, seq, at, act_until, body, form, kind)
  VALUES (nextval('place'), $1, $2, $3, 0, $4, 0, $5, 2, $6) RETURNING position
)
INSERT INTO envelope (practice, device, position, key)
SELECT $1, d.device, n.position, ''::bytea FROM noted AS n CROSS JOIN unnest($7::bytea[]) AS d (device)
"""


class BatchCalls:
    """Satisfies CallBook."""

    def __init__(self) -> None:
        self._calls: dict[bytes, CallRecord] = {}
        self._live: dict[bytes, CallRecord] = {}
        self._changed: dict[bytes, tuple[PracticeId, CallRecord, int]] = {}
        self._missed: list[tuple[PracticeId, CallRecord, CallNews]] = []

    def stand(self, rows: Iterable[Any]) -> None:
        """Takes in calls as the database has them."""
        for row in rows:
            call, practice = record_of(row), PracticeId(row["practice"])
            self._calls[practice + call.id] = call
            if call.is_live:
                self._live[practice + call.conv] = call

    def find(self, practice: PracticeId, call: MessageId) -> CallRecord | None:
        """See CallBook.find."""
        return self._calls.get(practice + call)

    def live_in(self, practice: PracticeId, conv: ConversationId) -> CallRecord | None:
        """See CallBook.live_in."""
        return self._live.get(practice + conv)

    def put(self, practice: PracticeId, call: CallRecord, due_ms: int) -> None:
        """See CallBook.put."""
        key, where = practice + call.id, practice + call.conv
        self._calls[key] = call
        self._changed[key] = practice, call, due_ms
        if call.is_live:
            self._live[where] = call
        elif where in self._live and self._live[where].id == call.id:
            del self._live[where]

    def miss(self, practice: PracticeId, call: CallRecord, news: CallNews) -> None:
        """See CallBook.miss."""
        self._missed.append((practice, call, news))

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._changed)

    def rows(self) -> list[list[Any]]:
        """The parameters of `KEEP_CALLS`."""
        kept = self._changed.values()
        columns = [list(column) for column in zip(*(row_of(practice, call) for practice, call, _ in kept), strict=True)]
        return [*columns, [due_ms for _, _, due_ms in kept]]

    def notices(self) -> list[tuple[Any, ...]]:
        """The parameters of `NOTE_MISSED`, one after the other."""
        return [
            (
                practice, ItemId(secrets.token_bytes(16)), call.conv, call.ended_ms, about_missed(call),
                NoticeKind.CALL_MISSED, news.woken,
            )
            for practice, call, news in self._missed
        ]  # fmt: skip
