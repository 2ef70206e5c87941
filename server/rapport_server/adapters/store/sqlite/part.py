"""The two ways into a SQLite store, for those of its ports that stand in files of their own."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from rapport_server.adapters.store.sql.placing import Transaction

__all__ = ["StorePart"]

Given = ParamSpec("Given")
Result = TypeVar("Result")


class StorePart(ABC):
    """A part of `SqliteStore`, which brings both ways."""

    @abstractmethod
    async def _write(self, run: Callable[[Transaction], Result], *, folds: bool = False, moves: bool = False) -> Result:
        """Runs a cold write in the writer; returns once it is synced."""

    @abstractmethod
    async def _read(
        self, ask: Callable[Concatenate[Connection, Given], Result], *args: Given.args, **kwargs: Given.kwargs
    ) -> Result:
        """Asks a reader."""

    @abstractmethod
    async def _settled(self) -> None:
        """Lets everything that was reported be found."""
