"""Reads mailboxes: many devices ask at once, after a restart or a wake, and are answered by one statement.

One session and one task; what is asked while a statement runs makes up the next one.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final, NamedTuple

import asyncpg

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import ItemId
from rapport_server.adapters.store.postgres.opening import OnPostgres, connect
from rapport_server.adapters.store.postgres.reading import WAITING, waiting_item
from rapport_server.adapters.store.postgres.statements import beginning
from rapport_server.records import Principal, Waiting

__all__ = ["MailReader"]

AT_ONCE: Final = 32
"""Questions in one statement: with 64 items of the largest bodies each, half a second of a fast line."""


_SETTINGS: Final = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "off", "enable_bitmapscan": "off"}
"""Planned anew each time: while the tables are small, reading all mail looks as good as reading one's own."""


class _Question(NamedTuple):
    principal: Principal
    beyond: int
    limit: int
    in_flight: Collection[ItemId]
    now: int
    answer: "asyncio.Future[list[Waiting]]"


class MailReader:
    """Owns its session from the first question until `stop`. A session that fails is replaced by the next question."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._questions: list[_Question] = []
        self._asked = asyncio.Event()
        self._session: OnPostgres | None = None
        self._statement: Any
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to answer."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Refuses what was asked and closes the session."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._refuse(self._questions)
        if self._session is not None:
            self._session.terminate()
            self._session = None

    async def waiting(
        self, principal: Principal, beyond: int, limit: int, in_flight: Collection[ItemId], now: int
    ) -> list[Waiting]:
        """See Mailbox.waiting. Raises Rejected(UNAVAILABLE)."""
        answer: asyncio.Future[list[Waiting]] = asyncio.get_running_loop().create_future()
        self._questions.append(_Question(principal, beyond, limit, in_flight, now, answer))
        self._asked.set()
        return await answer

    async def _run(self) -> None:
        while True:
            if not self._questions:
                self._asked.clear()
                await self._asked.wait()
            # Whoever was cancelled meanwhile wants no answer.
            asked = [question for question in self._questions[:AT_ONCE] if not question.answer.done()]
            del self._questions[:AT_ONCE]
            try:
                if asked:
                    await self._answer(asked)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                self._refuse(asked)
                if self._session is not None:
                    self._session.terminate()
                    self._session = None
            except BaseException:
                self._refuse(asked)
                raise

    @staticmethod
    def _refuse(asked: list[_Question]) -> None:
        for question in asked:
            if not question.answer.done():
                question.answer.set_exception(Rejected(ErrorCode.UNAVAILABLE, "the store does not answer"))

    async def _answer(self, asked: list[_Question]) -> None:
        session = self._session
        if session is None or session.is_closed():
            self._session = session = await connect(self._url, _SETTINGS)
            self._statement = await session.prepare(WAITING)
        flying = [(n, item) for n, question in enumerate(asked, 1) for item in question.in_flight]
        await session.execute(beginning({question.principal.practice for question in asked}, read_only=True))
        rows = await self._statement.fetch(
            max(question.now for question in asked),
            [question.principal.practice for question in asked],
            [question.principal.device for question in asked],
            [question.beyond for question in asked],
            [question.limit for question in asked],
            [n for n, _ in flying],
            [item for _, item in flying],
        )
        await session.execute("COMMIT")
        found: list[list[Waiting]] = [[] for _ in asked]
        for row in rows:
            found[row["n"] - 1].append(waiting_item(row))
        for question, items in zip(asked, found, strict=True):
            if not question.answer.done():
                question.answer.set_result(items)
