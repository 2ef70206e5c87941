"""A worker without a server: says that it listens, and lives until it is told to end, or as its folder says.

`stubborn` in the folder: it does not end when asked. `dies`: it ends at once, with the code that stands there. What it
does stands on standard error: `began PORT METRICS_PORT PID`, `drained PID`, `orphan PID`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

folder = Path(sys.argv[1])
config = json.loads(sys.stdin.readline())
port, metrics = config["server"]["port"], config["metrics"]["port"]


def drain(*_: object) -> None:
    os.write(2, f"drained {os.getpid()}\n".encode())
    os._exit(0)


signal.signal(signal.SIGTERM, signal.SIG_IGN if (folder / "stubborn").exists() else drain)
os.write(2, f"began {port} {metrics} {os.getpid()}\n".encode())
place = socket.socket()
place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
place.bind(("127.0.0.1", port))
place.listen()
if (folder / "dies").exists():
    sys.exit(int((folder / "dies").read_text()))
os.write(1, json.dumps({"port": port, "metrics_port": metrics}).encode() + b"\n")
sys.stdin.read()
os.write(2, f"orphan {os.getpid()}\n".encode())
