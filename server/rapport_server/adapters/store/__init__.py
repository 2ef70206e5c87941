"""The server's truth on disk or in memory: two adapters of the Store port, and what is done to a store at rest.

Nothing is imported here, so that the SQLite adapter is loaded only where it is used:

- `memory`: MemoryStore, plain Python structures, for tests and as the readable statement of what a store does;
- `sqlite`: SqliteStore, one file with a write-ahead log;
- `version`: initialise and migrate a data file;
- `backup`: copy a running store, and bring a copy to life again.
"""

__all__: list[str] = []
