"""The cold records in PostgreSQL: a pool of sessions, one transaction per question or change.

The functions of `sql` are synchronous; SQLAlchemy runs them in a greenlet beside the event loop's own. A transaction
begins by saying for which practice it acts, or for whom that is to be found.
"""

from collections.abc import Callable, Collection
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

import sqlalchemy as sa
import sqlalchemy.exc
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from rapport_protocol.errors import ErrorCode, Rejected
from rapport_protocol.ids import PracticeId
from rapport_server.adapters.store.postgres.mailboxes import EnvelopeMailboxes, PlaceSource
from rapport_server.adapters.store.postgres.opening import connect
from rapport_server.adapters.store.postgres.writer import worth_another_try
from rapport_server.adapters.store.sql.placing import Transaction

__all__ = ["EVERYBODY", "NOBODY", "Acting", "Pool", "found_by", "of", "of_devices"]

SESSIONS: Final = 6
"""Sessions for questions and cold changes of one process: each takes milliseconds."""
WAIT_S: Final = 20.0
"""Seconds that a question may wait for a session, when thousands come at once after a restart."""
TRIES: Final = 5
"""How often a change is tried that met another one."""

Given = ParamSpec("Given")
Answer = TypeVar("Answer")

Acting = sa.Executable
"""A statement that sets `rapport.practices` for the transaction."""

_SET: Final = "SELECT set_config('rapport.practices', coalesce({}, '{{}}'::bytea[])::text, true)"
_BY_PRACTICE: Final = sa.text(_SET.format("ARRAY[CAST(:given AS bytea)]"))
_BY_DEVICES: Final = sa.text(_SET.format("practices_of_devices(CAST(:given AS bytea[]))"))
NOBODY: Final[Acting] = sa.text(_SET.format("NULL::bytea[]"))
"""For what belongs to no practice."""
EVERYBODY: Final[Acting] = sa.text(_SET.format("every_practice()"))
_FOUND: Final = {
    kind: sa.text(_SET.format(f"ARRAY[practice_of_{kind}(CAST(:given AS bytea))]"))
    for kind in ("account", "device", "token", "owner_token", "invite", "link", "calendar")
}


def of(practice: PracticeId) -> Acting:
    """Acts for this practice."""
    return _BY_PRACTICE.bindparams(sa.bindparam("given", practice, sa.LargeBinary))


def found_by(kind: str, name: bytes) -> Acting:
    """Acts for the practice to which this belongs, for none when there is no such thing.

    kind: account, device, token, owner_token, invite, link or calendar (the hash of a feed's token).
    """
    return _FOUND[kind].bindparams(sa.bindparam("given", name, sa.LargeBinary))


def of_devices(devices: Collection[bytes]) -> Acting:
    """Acts for every practice that one of these devices belongs to."""
    return _BY_DEVICES.bindparams(sa.bindparam("given", list(devices), sa.ARRAY(sa.LargeBinary)))


class Pool:
    """A few sessions. moved: called in the event loop after a change of whom posts must be sealed for."""

    def __init__(self, url: str, moved: Callable[[], None]) -> None:
        self._moved = moved
        self._engine = create_async_engine(
            "postgresql+asyncpg://",
            # Planned anew each time: tables are empty when a session begins, and large before it ends.
            async_creator=lambda: connect(url, {"plan_cache_mode": "force_custom_plan"}),
            pool_size=SESSIONS,
            max_overflow=0,
            pool_timeout=WAIT_S,
            pool_use_lifo=True,
        )

    async def close(self) -> None:
        """Closes what is idle; questions under way end by themselves."""
        await self._engine.dispose()

    async def read(
        self,
        acting: Acting,
        question: Callable[Concatenate[Connection, Given], Answer],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> Answer:
        """Asks. Raises Rejected(UNAVAILABLE) when PostgreSQL does not answer."""

        def ask(db: Connection) -> Answer:
            db.execute(acting)
            return question(db, *args, **kwargs)

        return await self._run(ask, TRIES)

    async def write(self, acting: Acting, change: Callable[[Transaction], Answer]) -> Answer:
        """Changes something in one transaction, which is synced when this returns.

        What clashes with another process is tried again, so that `change` runs several times. Raises what it raises, or
        Rejected(UNAVAILABLE); then it may have happened, if the connection broke at the very end.
        """
        moved = False

        def run(db: Connection) -> Answer:
            nonlocal moved
            moved = False

            def note() -> None:
                nonlocal moved
                moved = True

            db.execute(acting)
            return change(Transaction(db, EnvelopeMailboxes(note), PlaceSource(db), note))

        answer = await self._run(run, TRIES)
        if moved:
            self._moved()
        return answer

    async def _run(self, work: Callable[[Connection], Answer], tries: int) -> Answer:
        clashed: BaseException | None = None
        for _ in range(tries):
            try:
                async with self._engine.connect() as db:
                    try:
                        async with db.begin():
                            return await db.run_sync(work)
                    except TimeoutError:
                        await db.invalidate()  # nobody knows where it stands
                        raise
            except sqlalchemy.exc.DBAPIError as error:
                if not worth_another_try(error.orig or error):
                    raise _unavailable(error) from error
                clashed = error
            except (TimeoutError, sqlalchemy.exc.SQLAlchemyError, OSError) as error:
                raise _unavailable(error) from error
        if isinstance(clashed, sqlalchemy.exc.IntegrityError):
            raise Rejected(ErrorCode.CONFLICT, "an id is taken") from clashed
        raise _unavailable(clashed) from clashed


def _unavailable(_error: Any) -> Rejected:
    return Rejected(ErrorCode.UNAVAILABLE, "the store does not answer")
