"""What a store leaves behind when its process is killed."""

import shutil
from pathlib import Path

__all__ = ["after_kill"]


def after_kill(path: Path, target: Path) -> Path:
    """Copies the file and its log as they are now, which is what the next process finds after `kill -9`.

    Only while the writer is idle: then nothing is half written. The index of the log is left out; it is made anew.
    """
    for suffix in ("", "-wal"):
        log = path.with_name(path.name + suffix)
        if log.exists():
            shutil.copy(log, target.with_name(target.name + suffix))
    return target
