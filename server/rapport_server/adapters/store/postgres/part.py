"""The way into a PostgreSQL store, for those of its ports that stand in files of their own."""

from abc import ABC, abstractmethod

from rapport_server.adapters.store.postgres.asking import Pool

__all__ = ["StorePart"]


class StorePart(ABC):
    """A part of `PostgresStore`, which brings the pool."""

    @property
    @abstractmethod
    def _pool(self) -> Pool:
        """Where questions and cold changes go. Raises Rejected(UNAVAILABLE) when the store is not running."""
