#!/usr/bin/env python3
"""Draw docs/connection.md from the table of the connection machine.

Without arguments it writes the file; with `--check` it writes nothing, and its exit code is 1 when the file is not what
the table says.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from rapport_protocol.connection import (
    ATTEMPT_S,
    DRAINED_RETRY_S,
    LASTED_S,
    MOVES,
    RETRY_AFTER_MOST_S,
    RETRY_CEILING_S,
    ConnectionState,
)
from rapport_protocol.limits import CLIENT_GIVES_UP_S

__all__ = ["drawing", "main"]

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "connection.md"

TEXT: Final = """\
# The client's connection

Drawn by `deploy/draw_connection.py` from `MOVES` in `rapport_protocol/connection.py`; do not edit by hand.

A client holds one WebSocket to its server and never gives up on it. Where it stands is one of six states; what it is
told is an event; an event that is not drawn for a state changes nothing there. `expired` means that the deadline of the
state passed.

```mermaid
stateDiagram-v2
    [*] --> idle
{arrows}
    closed --> [*]
```

| state | meaning | deadline |
|---|---|---|
| idle | not started | none |
| connecting | one attempt, from opening the socket to `hello` | {attempt:g} s after its beginning |
| connected | signed in | {silence:g} s after the last message heard |
| reconnecting | between two attempts | the next attempt |
| suspended | the host says there is no network | none |
| closed | stopped, or refused with a close code of 4500-4999 | none |

Waits before the next attempt, with a fresh random number 0 <= j < 1 each time:

| after | wait |
|---|---|
| a cut without a close code, or the loss of a connection that held {lasted:g} s | j * 1 s |
| every further failure | j * 2, 4, 8 … up to {ceiling:g} s |
| `draining` | what the server named, at most {most:g} s |
| close code 4000 without `draining` | j * {drained:g} s |
| `online` | none |

Every pair of state and event:

| event | {heads} |
|---|{rule}
{rows}
"""


def drawing() -> str:
    """The page, from the table."""
    events = list(dict.fromkeys(event for _, event in MOVES))
    names = {event: str(event.__struct_config__.tag) for event in events}
    arrows: dict[tuple[str, str], list[str]] = {}
    for (before, event), after in MOVES.items():
        if after is not before:
            arrows.setdefault((before, after), []).append(names[event])
    rows = [
        f"| {names[event]} | "
        + " | ".join("·" if MOVES[state, event] is state else MOVES[state, event] for state in ConnectionState)
        + " |"
        for event in events
    ]
    return TEXT.format(
        arrows="\n".join(f"    {before} --> {after}: {', '.join(told)}" for (before, after), told in arrows.items()),
        attempt=ATTEMPT_S,
        silence=CLIENT_GIVES_UP_S,
        lasted=LASTED_S,
        ceiling=RETRY_CEILING_S,
        most=RETRY_AFTER_MOST_S,
        drained=DRAINED_RETRY_S,
        heads=" | ".join(ConnectionState),
        rule="---|" * len(ConnectionState),
        rows="\n".join(rows),
    )


def main(arguments: list[str]) -> int:
    """Write or check the page."""
    if arguments == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == drawing():
            return 0
        print(f"{PAGE.name} is not what the table says: run deploy/draw_connection.py", file=sys.stderr)
        return 1
    if arguments:
        print(__doc__, file=sys.stderr)
        return 2
    PAGE.write_text(drawing(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
