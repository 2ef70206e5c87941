"""The server's truth on disk or in memory: two adapters of the Store port, and what is done to a store at rest.

Nothing is imported here, so that the SQLite adapter is loaded only where it is used:

- `memory`: MemoryStore, plain Python structures, for tests and as the readable statement of what a store does;
- `sqlite`: SqliteStore, one file with a write-ahead log; `sqlite.version` makes and migrates the file, `sqlite.backup`
  copies a running store and brings a copy to life again;
- `sql`: the tables and cold records that every SQL database shares; `migrations`: their history;
- `rules`: what all of them have to decide alike.
"""

__all__: list[str] = []
