"""The store in one SQLite file with a write-ahead log: what a server uses unless it is told otherwise.

Everything is written by one thread (`writer`), which decides from memory (`ledger`, `letters`, `lookup`) and brings the
tables up to date in bulk (`folding`, `rows`); everything is read by a few connections that cannot write (`opening`).
"""

from rapport_server.adapters.store.sqlite.store import SqliteStore

__all__ = ["SqliteStore"]
