"""Empty store files: made once in a process and copied, because making one takes longer than most tests."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path

from rapport_server.adapters.store.sqlite.version import initialise


def put_empty_store(path: Path) -> None:
    """Puts a store as `rapport init` makes it where nothing is yet. All of one process have the same ids."""
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(_empty_store())


@cache
def _empty_store() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.db"
        initialise(path)
        return path.read_bytes()
