#!/usr/bin/env python3
"""Draw docs/calls.md and docs/waiting-room.md from the tables of calls and of waiting rooms.

Without arguments it writes the files; with `--check` it writes nothing, and its exit code is 1 when one of them is not
what the tables say.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from rapport_protocol.calls import arbiter
from rapport_protocol.calls.arbiter import CallPhase, CallStep, EndReason, Party
from rapport_protocol.calls.moves import (
    ANSWER_EVERY_MS,
    CHECK_EVERY_MS,
    MOVES,
    PATIENCE_MS,
    RESTART_EVERY_MS,
    SETTLE_MS,
    CallSign,
    DevicePhase,
)
from rapport_protocol.rooms import person
from rapport_protocol.rooms.door import DOORS, Span
from rapport_protocol.rooms.person import DECLINED_MS, PersonEvent
from rapport_protocol.rooms.states import (
    ADMITTING_MS,
    ALERTS_MS,
    GRACE_MS,
    KNOCK_EVERY_MS,
    OPENS_BEFORE_MS,
    TICKET_MS,
    UNHEARD_MS,
    DoorState,
    PersonState,
)

__all__ = ["PAGES", "drawings", "main"]

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
PAGES: Final = (DOCS / "calls.md", DOCS / "waiting-room.md")

CALLS: Final = """\
# Calls

Drawn by `deploy/draw_meetings.py` from the tables in `rapport_protocol/calls`; do not edit by hand. The rules in words
are chapter 20 of [the protocol](protocol.md).

A call is two machines. The server's decides who answers and when it is over; it is a record of the store, so any node
goes on with it. A device's decides when it rings here, what is said to the server, and how the call is shown. Neither
sees a description of media or a candidate: those are sealed from device to device.

## At the server

```mermaid
stateDiagram-v2
    [*] --> ringing: a post with the ring flag
{server_arrows}
    ended --> [*]
```

| phase | ends by itself |
|---|---|
| ringing | `missed`, {ring} s after the offer |
| accepted | `failed`, {accepted} s after `accept`; `left`, when a device has said nothing for {left} s |
| connected | `left`, as above |

A device in a call says `keep` every {keep} s; after {kept} s without it the others are told that it is away.

Who may take which step, and what follows; nothing else changes anything. The *other* ones are further devices of the
two people; while it rings, every device of the callee is *callee*.

| phase | step | {parties} |
|---|---|{party_rule}
{server_rows}

Of two calls in a conversation: the same device again ends its first one as `replaced`; while a call rings its callee
calls back, then the higher id goes on and the other one ends as `glare`; any other ends as `busy`.

## On a device

```mermaid
stateDiagram-v2
    [*] --> offering: we call
    [*] --> waking: they call
    [*] --> elsewhere: another device of ours calls
{device_arrows}
    ended --> [*]
```

| time | |
|---|---|
| {check} s | how often a device asks the server whether it still rings, a calling one whether somebody has answered |
| {kept} s | after so long without an answer to that it stops to ring |
| {answer} s | how often `accept`, `migrate` and a last word are repeated |
| {settle} s | how long the server's word, or a sealed one, is waited for after the end of the ring |
| {patience} s | how long media that stand still may come back by themselves before ICE is restarted |
| {restart} s | how long that may take before it is tried again |

Every pair of phase and sign; `·` stays. A sign is what something that is met means for the call:
`rapport_protocol/calls/moves.py` says what each of them is.

| sign | {phases} |
|---|{phase_rule}
{device_rows}
"""

ROOMS: Final = """\
# Waiting room

Drawn by `deploy/draw_meetings.py` from the tables in `rapport_protocol/rooms`; do not edit by hand. The rules in words
are chapter 23 of [the protocol](protocol.md).

## The door

What a door is follows from three facts: the time, whether a host is in the room (has said so in the last {unheard} s),
and whether a guest is. Nothing is remembered, so it is right after an appointment was moved and on any node.

```mermaid
stateDiagram-v2
    [*] --> closed
{door_arrows}
```

| part of the appointment | from | to | nobody is in | a host is in | a guest is in |
|---|---|---|---|---|---|
{door_rows}

Appointments by `phone` and `in_person` and cancelled ones have no door: it is closed.

## A person

```mermaid
stateDiagram-v2
    [*] --> invited
{person_arrows}
    removed --> [*]
```

| time | |
|---|---|
| {knock} s | how often a device that waits says so |
| {unheard} s | without a word: `disconnected`; the place is kept |
| {ticket} s | without a word: the place is lost |
| {admitting} s | who is admitted waits so long for the host's call, then for the door again |
| {declined} s | so long a knock after a decline changes nothing: it may have been under way |
| {alerts} s | after somebody came: the hosts are alerted, until one of them has acted |

Every pair of state and event; `·` stays, `-` nothing changes and whoever asked is told so.

| event | {states} |
|---|{state_rule}
{person_rows}
"""


def _arrows(moves: Mapping[tuple[str, str], Iterable[str]]) -> str:
    return "\n".join(f"    {before} --> {after}: {', '.join(why)}" for (before, after), why in moves.items())


def _collected(moves: Iterable[tuple[str, str, str]]) -> dict[tuple[str, str], list[str]]:
    """Arrows with all that leads along them, in the order of the table."""
    found: dict[tuple[str, str], list[str]] = {}
    for before, after, why in moves:
        if before != after:
            told = found.setdefault((before, after), [])
            if why not in told:
                told.append(why)
    return found


def _rows(names: Iterable[StrEnum], cells: Mapping[tuple[Any, Any], str | None], columns: type[StrEnum]) -> str:
    """A table with one row per name: where each column leads."""

    def cell(column: str, name: str) -> str:
        after = cells[column, name]
        return "-" if after is None else "·" if after == column else after

    return "\n".join(f"| {name} | " + " | ".join(cell(column, name) for column in columns) + " |" for name in names)


def _calls() -> str:
    after = {
        (phase, step): {who: CallPhase.ENDED if isinstance(to, EndReason) else to for who, to in moves.items()}
        for (phase, step), moves in arbiter.MOVES.items()
    }
    steps = [(phase, to, str(step)) for (phase, step), moves in after.items() for to in moves.values()]
    times = [(phase, "ended", "time") for phase in CallPhase if phase is not CallPhase.ENDED]
    server_rows = [
        f"| {phase} | {step} | " + " | ".join(moves.get(who, "-").replace(phase, "·") for who in Party) + " |"
        for phase in CallPhase
        for step in CallStep
        if (moves := arbiter.MOVES.get((phase, step)))
    ]
    device = [(phase, MOVES[phase, sign], str(sign)) for phase in DevicePhase for sign in CallSign]
    return CALLS.format(
        server_arrows=_arrows(_collected([*steps, *times])),
        ring=arbiter.RING_MS // 1000,
        accepted=arbiter.ACCEPTED_MS // 1000,
        left=arbiter.LEFT_MS // 1000,
        keep=arbiter.KEEP_EVERY_MS // 1000,
        kept=arbiter.KEPT_MS // 1000,
        parties=" | ".join(who.replace("_", " ") for who in Party),
        party_rule="---|" * (len(Party) + 1),
        server_rows="\n".join(server_rows),
        device_arrows=_arrows(_collected(device)),
        check=CHECK_EVERY_MS // 1000,
        answer=ANSWER_EVERY_MS // 1000,
        settle=SETTLE_MS // 1000,
        patience=PATIENCE_MS // 1000,
        restart=RESTART_EVERY_MS // 1000,
        phases=" | ".join(DevicePhase),
        phase_rule="---|" * len(DevicePhase),
        device_rows=_rows(CallSign, MOVES, DevicePhase),
    )


def _rooms() -> str:
    before, grace = OPENS_BEFORE_MS // 60_000, GRACE_MS // 60_000
    spans = {
        Span.BEFORE: ("", f"{before} min before the start"),
        Span.HOUR: (f"{before} min before the start", "the end"),
        Span.AFTER: ("the end", f"{grace} min after the end, or after the last guest has left if that is later"),
        Span.OVER: ("then", ""),
    }
    facts = ((False, False), (True, False), (True, True))
    door_rows = [
        f"| {span} | {since} | {until} | " + " | ".join(DOORS[span, host, guest] for host, guest in facts) + " |"
        for span, (since, until) in spans.items()
    ]
    moves = [(state, person.MOVES[state, event] or state, str(event)) for state in PersonState for event in PersonEvent]
    return ROOMS.format(
        door_arrows=_arrows(_collected(_door_moves())),
        door_rows="\n".join(door_rows),
        person_arrows=_arrows(_collected(moves)),
        knock=KNOCK_EVERY_MS // 1000,
        unheard=UNHEARD_MS // 1000,
        ticket=TICKET_MS // 1000,
        admitting=ADMITTING_MS // 1000,
        declined=DECLINED_MS // 1000,
        alerts=", ".join(str(alert // 1000) for alert in ALERTS_MS),
        states=" | ".join(PersonState),
        state_rule="---|" * len(PersonState),
        person_rows=_rows(PersonEvent, person.MOVES, PersonState),
    )


def _door_moves() -> Iterable[tuple[DoorState, DoorState, str]]:
    """What one fact that changes does to the door."""
    spans = list(Span)
    for (span, host, guest), state in DOORS.items():
        if span is not Span.OVER:
            yield state, DOORS[spans[spans.index(span) + 1], host, guest], "time"
        yield state, DOORS[span, not host, guest], "a host leaves" if host else "a host enters"
        if guest or state is not DoorState.CLOSED:
            yield state, DOORS[span, host, not guest], "the last guest leaves" if guest else "a guest is let in"


def drawings() -> dict[Path, str]:
    """The pages, from the tables."""
    return dict(zip(PAGES, (_calls(), _rooms()), strict=True))


def main(arguments: list[str]) -> int:
    """Write or check the pages."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    for page, text in drawings().items():
        if not arguments:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            print(f"{page.name} is not what the tables say: run deploy/draw_meetings.py", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
