"""The store in PostgreSQL, which several processes and nodes share.

Posts, directs and acknowledgements go through one task and session per process (`writer`), which decides in Python
(`batch`) and writes with a few long statements (`statements`); mailboxes are read in bulk (`mail_reader`), the cold
records by the functions that every SQL database shares (`asking`). Row-level security keeps practices apart even where
a query forgets to; `version` makes the tables, as another role.
"""

from rapport_server.adapters.store.postgres.store import PostgresStore

__all__ = ["PostgresStore"]
