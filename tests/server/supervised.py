"""The supervisor over stand-in workers, for `test_workers.py`: `supervised.py FOLDER WORKERS SECONDS_TO_END`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from rapport_server import workers
from rapport_server.config import Bus, Config, Log, Metrics, Server, Store
from rapport_server.systemd import READY, notify

folder, count = Path(sys.argv[1]), int(sys.argv[2])
workers.END_WITHIN_S = float(sys.argv[3])  # type: ignore[misc]
workers._FIRST_WAIT_S = 0.01  # type: ignore[misc]
config = Config(
    server=Server(port=0, workers=count),
    store=Store(url="postgresql://rapport@127.0.0.1/rapport"),
    bus=Bus(url="redis://127.0.0.1"),
    metrics=Metrics(enabled=True, port=20_000),
    log=Log(level="error"),
)


def ready(facts: dict[str, object]) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")
    notify(READY)


stand_in = [sys.executable, str(Path(__file__).with_name("stand_in_worker.py")), str(folder)]
sys.exit(workers.supervise(config, ready, stand_in))
